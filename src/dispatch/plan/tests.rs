//! Is the right target tried next, within the right limits?

use super::*;
use crate::chat::ChatRequest;
use crate::dispatch::attempt::progress::Hurried;
use crate::dispatch::specimens::{asked_for, route, target};
use crate::dispatch::spending::Spending;
use crate::dispatch::target::{Scenario, Timeouts};
use crate::dispatch::waste::{self, WasteBucket};
use crate::health::scopes;

/// A route of targets with these names, whose scenario is changed by `change`.
fn changed_route(models: &[&str], change: impl FnOnce(&mut Scenario)) -> Arc<Route> {
    let mut route = route(models, scopes::Settings::default());
    let of_route = Arc::get_mut(&mut route).expect("a route of one owner");
    change(Arc::get_mut(&mut of_route.scenario).expect("a scenario of one owner"));
    route
}

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

#[test]
fn what_failed_attempts_have_cost_is_paid_for_once_and_stays_owed_while_the_bucket_has_too_little()
{
    // What the bucket holds, what failed attempts have cost, whether it is paid, and what is owed afterwards.
    let table = [
        (10, 0, true, 0),
        (10, 9, true, 0),
        (10, 10, true, 0),
        (10, 11, false, 11),
        (0, 1, false, 1),
    ];
    for (burst_nanos, owed, is_paid, left) in table {
        let mut route = route(&["a"], scopes::Settings::default());
        let of_route = Arc::get_mut(&mut route).expect("a route of one owner");
        of_route.waste = Arc::new(WasteBucket::new(waste::Settings {
            ratio: 0.0,
            burst_nanos,
        }));
        let mut plan = plan(route, None);
        plan.spending.unpaid_waste = owed;

        // Asked twice: what was paid is not paid again, and what was not paid is not forgotten.
        assert_eq!(plan.pays_for_waste(), is_paid, "{burst_nanos} {owed}");
        assert_eq!(plan.spending.unpaid_waste, left, "{burst_nanos} {owed}");
        assert_eq!(plan.pays_for_waste(), is_paid, "{burst_nanos} {owed}");
    }
}

#[test]
fn a_blocked_prompt_goes_to_another_target_only_where_the_scenario_says_so() {
    use UpstreamErrorKind::{ContentBlocked, ContextLength, ServerError};
    // How the target has failed, whether the scenario lets another one answer what was blocked, whether one is tried.
    let table = [
        (ContentBlocked, false, false),
        (ContentBlocked, true, true),
        (ServerError, false, true),
        (ContextLength, false, true),
    ];
    for (kind, content_filter_failover, expected) in table {
        let route = changed_route(&["a", "b"], |scenario| {
            scenario.content_filter_failover = content_filter_failover;
        });

        let goes_on = plan(route, None).goes_on_after(&UpstreamError::new(kind));

        assert_eq!(goes_on, expected, "{kind:?} {content_filter_failover}");
    }
}

/// Notes that an attempt on the target at this position has failed.
fn record_failure(plan: &mut Plan, position: usize, error: UpstreamError) {
    plan.cursor.start(position, AttemptKind::Primary);
    plan.cursor.fail(position, error.clone());
    let target = Arc::clone(&plan.route.targets[position].target);
    plan.trail.attempts.push(AttemptRecord {
        outcome: Outcome::Failed(error),
        ..record_of(&target, AttemptKind::Primary, BreakerState::Closed)
    });
}

#[test]
fn a_call_that_ends_with_a_refusal_ends_with_the_first_one() {
    let refused = |message: &'static str| {
        UpstreamError::new(UpstreamErrorKind::InvalidRequest).because(message)
    };
    let failed =
        |message: &'static str| UpstreamError::new(UpstreamErrorKind::ServerError).because(message);
    // How attempts have failed, the failure that the call ends with, and what its caller gets.
    let table = [
        (vec![], refused("only"), refused("only")),
        (vec![refused("first")], refused("second"), refused("first")),
        (vec![failed("first")], refused("second"), refused("second")),
        (vec![failed("first")], failed("second"), failed("second")),
        (vec![refused("first")], failed("second"), failed("second")),
    ];
    for (earlier, last, expected) in table {
        let mut plan = plan(route(&["a", "b"], scopes::Settings::default()), None);
        for (position, error) in earlier.into_iter().enumerate() {
            record_failure(&mut plan, position, error);
        }

        assert_eq!(plan.error_of(last), Error::Upstream(expected));
    }
}

#[test]
fn a_call_that_may_not_ask_the_larger_target_names_it_and_what_keeps_the_call_from_asking_it() {
    let no_more = "the call may make no more attempts (`max_attempts`)";
    let too_late = "too little time is left";
    // The attempts that the call may make, its targets, and what is said of the larger one.
    let table: [(u32, &[&str], Option<&str>); 3] = [
        (1, &["small", "large"], Some(no_more)),
        (2, &["small", "large"], Some(too_late)),
        (1, &["small"], None),
    ];
    for (max_attempts, models, limit) in table {
        let route = changed_route(models, |scenario| scenario.max_attempts = max_attempts);
        let mut plan = plan(route, None);
        assert_eq!(plan.cursor.advance(), Some(0));
        let error = UpstreamError::new(UpstreamErrorKind::ContextLength);
        record_failure(&mut plan, 0, error.clone());

        let expected = match limit {
            Some(limit) => Error::LargerTargetUnasked {
                error,
                target: "large".to_owned(),
                limit,
            },
            None => Error::Upstream(error),
        };
        assert_eq!(plan.nothing_left(), expected, "{max_attempts} {models:?}");
    }
}
