//! Is the right target tried next, within the right limits?

use super::*;
use crate::chat::ChatRequest;
use crate::dispatch::attempt::progress::Hurried;
use crate::dispatch::specimens::{asked_for, route, target};
use crate::dispatch::spending::Spending;
use crate::dispatch::target::Timeouts;
use crate::health::scopes;

fn plan(route: Arc<Route>, deadline: Option<Instant>) -> Plan {
    let (request, limits) = (ChatRequest::default(), AskedLimits::default());
    Plan::new(
        route,
        asked_for(request),
        limits,
        deadline,
        Trail::default(),
        Spending::none(),
    )
}

/// The limits of an attempt of this kind on the plan's first target.
fn limits_of_first(plan: &mut Plan, kind: AttemptKind, stream: bool) -> (Timeouts, Hurried) {
    let tokens = TokenHold::of(&plan.route.budget);
    assert_eq!(plan.cursor.advance(), Some(0));
    plan.cursor.start(0, kind);
    plan.limits_of_attempt(&target("one"), stream, kind, &tokens)
}

#[test]
fn an_attempt_leaves_time_for_another_target_only_if_there_is_one() {
    let first_content = |models: &[&str], kind, stream| {
        let route = route(models, scopes::Settings::default());
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut plan = plan(route, Some(deadline));
        let (limits, hurried) = limits_of_first(&mut plan, kind, stream);
        (limits.first_content, hurried.first_content)
    };

    let (two, alone) = (&["one", "two"][..], &["one"][..]);
    let (whole, primary) = (false, AttemptKind::Primary);
    for stream in [true, whole] {
        let (limit, hurried) = first_content(two, primary, stream);
        assert!(limit <= Duration::from_secs(6) && hurried);
    }
    let all = (Duration::from_secs(20), false);
    assert_eq!(first_content(alone, primary, true), all);
    assert_eq!(first_content(alone, primary, whole), (Duration::MAX, false));
    for kind in [AttemptKind::Hedge, AttemptKind::LastResort] {
        assert_eq!(first_content(two, kind, true), all);
    }
}

#[test]
fn a_target_that_cannot_express_the_request_is_no_alternative() {
    let mut request = ChatRequest::default();
    request.sampling.stop_sequences = vec!["END".to_owned(); 5];
    let route = route(&["one", "two"], scopes::Settings::default());
    let deadline = Some(Instant::now() + Duration::from_secs(10));
    let (limits, trail) = (AskedLimits::default(), Trail::default());

    let mut plan = Plan::new(
        route,
        asked_for(request),
        limits,
        deadline,
        trail,
        Spending::none(),
    );

    let (limits, _) = limits_of_first(&mut plan, AttemptKind::Primary, true);
    assert!(!plan.has_alternative());
    assert_eq!(limits.first_content, Duration::from_secs(20));
}

#[test]
fn a_call_whose_time_is_up_tries_no_target() {
    let route = route(&["one"], scopes::Settings::default());
    let mut plan = plan(route, Some(Instant::now()));
    let mut tokens = TokenHold::of(&plan.route.budget);

    let error = plan.next_target(&mut tokens).err();

    assert_eq!(error, Some(Error::DeadlineExceeded));
    assert_eq!(plan.trail.attempts.len(), 0);
}

#[test]
fn one_other_provider_is_asked_after_a_refusal_and_two_refusals_are_the_end() {
    use UpstreamErrorKind::{InvalidRequest, Overloaded, UnsupportedByModel};
    // How the targets have failed, in order, and whether another may be tried.
    let table: [(&[UpstreamErrorKind], bool); 7] = [
        (&[InvalidRequest], true),
        (&[InvalidRequest, InvalidRequest], false),
        (&[Overloaded, InvalidRequest], true),
        (&[InvalidRequest, Overloaded], true),
        (&[InvalidRequest, Overloaded, InvalidRequest], false),
        (&[UnsupportedByModel, UnsupportedByModel], true),
        (&[UnsupportedByModel, InvalidRequest], true),
    ];
    for (kinds, expected) in table {
        let mut plan = plan(route(&["a", "b", "c"], scopes::Settings::default()), None);
        for (position, kind) in kinds.iter().enumerate() {
            plan.cursor.fail(position, UpstreamError::new(*kind));
        }

        let last = UpstreamError::new(kinds[kinds.len() - 1]);
        assert_eq!(plan.goes_on_after(&last), expected, "{kinds:?}");
    }
}

#[test]
fn the_target_whose_provider_has_refused_is_passed_over() {
    let mut plan = plan(route(&["a", "b"], scopes::Settings::default()), None);
    plan.cursor
        .fail(0, UpstreamError::new(UpstreamErrorKind::InvalidRequest));

    let targets = plan.route.scenario.targets.clone();
    assert_eq!(plan.ineligible(&targets[0]), Some(Skip::RefusedByProvider));
    assert_eq!(plan.ineligible(&targets[1]), None);
}
