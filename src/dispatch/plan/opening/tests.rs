//! Which calls wait for a closed target, for which one, and for how long? The clock stands still unless a call waits.

use std::sync::Arc;

use tokio::time::advance;

use super::*;
use crate::chat::ChatRequest;
use crate::dispatch::AskedLimits;
use crate::dispatch::retry_budget;
use crate::dispatch::routes::Route;
use crate::dispatch::specimens::{asked_for, route};
use crate::dispatch::spending::Spending;
use crate::dispatch::target::{RetryFirst, Scenario};
use crate::dispatch::tokens::Budget;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::health::breaker::Forced;
use crate::health::permit::Permit;
use crate::health::scopes::Settings;
use crate::health::{breaker, throttle};
use crate::trail::{AttemptKind, Trail};

const HELD_OPEN: Forced = Forced {
    closed: false,
    until: None,
};

/// Why a target is not tried.
#[derive(Clone, Copy, Debug)]
enum Closed {
    Not,
    /// Its provider limits our rate for so many milliseconds.
    Rate(u64),
    /// Its key was just refused.
    Key,
    /// An operator holds it open.
    Operator,
    /// As many attempts are under way as are allowed.
    Busy,
    /// A probe is under way.
    Probing,
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Breakers that open at the first failure, and two attempts at a time.
fn strict() -> Settings {
    Settings {
        breaker: breaker::Settings {
            consecutive_failures: 1,
            ..breaker::Settings::default()
        },
        throttle: throttle::Settings {
            initial_concurrency: 2,
            ..throttle::Settings::default()
        },
        ..Settings::default()
    }
}

/// A call with `left` of its time on targets of these names. Its scenario is changed by `change` and has so many retry
/// tokens.
fn call(models: &[&str], left: Duration, tokens: u32, change: impl FnOnce(&mut Scenario)) -> Plan {
    let bare = Arc::into_inner(route(models, strict())).expect("nobody else has it");
    let mut scenario = Arc::into_inner(bare.scenario).expect("nobody else has it");
    change(&mut scenario);
    let budget = Budget::new(retry_budget::Settings {
        burst: tokens,
        ..scenario.retry
    });
    let route = Route {
        scenario: Arc::new(scenario),
        targets: bare.targets,
        answers: bare.answers,
        waste: bare.waste,
        budget: Arc::new(budget),
        hedging: bare.hedging,
        generation: bare.generation,
    };
    let asked = asked_for(ChatRequest::default());
    let deadline = Some(Instant::now() + left);
    let trail = Trail::default();
    Plan::new(
        Arc::new(route),
        asked,
        AskedLimits::default(),
        deadline,
        trail,
        Spending::none(),
    )
}

/// A call with time and tokens enough.
fn usual_call(models: &[&str]) -> Plan {
    call(models, Duration::from_secs(60), 10, |_| {})
}

fn guard(plan: &Plan, position: usize) -> &Arc<Guard> {
    &plan.route.targets[position].health
}

fn permit(plan: &Plan, position: usize) -> Permit {
    guard(plan, position)
        .admit(0.0, &"".into())
        .expect("admitted")
}

fn limit_rate(permit: &mut Permit, wait: Duration) {
    let error = UpstreamError {
        retry_after: Some(wait),
        ..UpstreamError::new(UpstreamErrorKind::RateLimited)
    };
    permit.failed(&error, false);
}

/// Closes a target; the attempts that are returned keep it closed. For a target that is to be probed, the clock moves on until its breaker is due.
async fn close(plan: &Plan, position: usize, closed: Closed) -> Vec<Permit> {
    let fail = |kind| permit(plan, position).failed(&UpstreamError::new(kind), false);
    match closed {
        Closed::Not => {}
        Closed::Rate(wait) => limit_rate(&mut permit(plan, position), millis(wait)),
        Closed::Key => fail(UpstreamErrorKind::Authentication),
        Closed::Operator => assert!(guard(plan, position).force(Some(HELD_OPEN))),
        Closed::Busy => return vec![permit(plan, position), permit(plan, position)],
        Closed::Probing => {
            fail(UpstreamErrorKind::ServerError);
            advance(Duration::from_secs(6)).await;
            let probe = permit(plan, position);
            assert!(probe.is_probe());
            return vec![probe];
        }
    }
    Vec::new()
}

/// Notes that the call has made an attempt of this kind on its first target, which failed.
fn has_failed(plan: &mut Plan, kind: AttemptKind) {
    assert_eq!(plan.cursor.advance(), Some(0));
    plan.cursor.start(0, kind);
    let error = UpstreamError::new(UpstreamErrorKind::ServerError);
    plan.cursor.fail(0, error);
}

/// The kind of attempt that the call makes, if it may make one, and how long the call waits for that.
async fn find(plan: &mut Plan) -> (Option<AttemptKind>, Duration) {
    let mut tokens = TokenHold::of(&plan.route.budget);
    let began = Instant::now();
    let found = plan
        .find_target(&mut tokens, &mut ObservedCall::default())
        .await;
    (found.ok().map(|admitted| admitted.kind), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn what_ends_by_itself_or_by_a_probe_is_waited_for_and_the_first_of_it() {
    use Closed::{Busy, Key, Not, Operator, Probing, Rate};
    /// What is due first within two seconds: the target's position, and when if that is known.
    type Expected = Option<(usize, Option<Duration>)>;
    let table: [(&[Closed], Expected); 12] = [
        (&[Not], Some((0, Some(Duration::ZERO)))),
        (&[Rate(1000)], Some((0, Some(millis(1000))))),
        (&[Rate(1999)], Some((0, Some(millis(1999))))),
        (&[Rate(2000)], None),
        (&[Probing], Some((0, None))),
        (&[Key], None),
        (&[Operator], None),
        (&[Busy], None),
        (&[Rate(1500), Rate(1200)], Some((1, Some(millis(1200))))),
        (&[Rate(1500), Not], Some((1, Some(Duration::ZERO)))),
        (&[Operator, Busy, Rate(1000)], Some((2, Some(millis(1000))))),
        (&[Probing, Rate(1500)], Some((1, Some(millis(1500))))),
    ];
    for (closed, expected) in table {
        let names = ["a", "b", "c"];
        let plan = usual_call(&names[..closed.len()]);
        let mut beside = Vec::new();
        for (position, &closed) in closed.iter().enumerate() {
            beside.push(close(&plan, position, closed).await);
        }

        let now = Instant::now();
        let first = plan.first_due(now + millis(2000)).map(|(due, health)| {
            let mut targets = plan.route.targets.iter();
            let position = targets.position(|target| std::ptr::eq(&*target.health, health));
            let wait = match due {
                Due::Now => Some(Duration::ZERO),
                Due::At(then) => Some(then - now),
                Due::AfterProbe => None,
            };
            (position.expect("one of the targets"), wait)
        });

        assert_eq!(first, expected, "{closed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_may_soon_be_tried_again_is_waited_for() {
    let plan = usual_call(&["a"]);
    close(&plan, 0, Closed::Key).await;

    let in_time = plan.first_due(Instant::now() + millis(5001));

    let due = in_time.map(|(due, _)| due);
    assert_eq!(due, Some(Due::At(Instant::now() + millis(5000))));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_answer_is_not_waited_for() {
    let mut plan = usual_call(&["a"]);
    let mut request = ChatRequest::default();
    // One more than the format takes.
    request.sampling.stop_sequences = vec!["END".to_owned(); 5];
    plan.asked = Arc::new(asked_for(request));

    assert!(plan.first_due(Instant::now() + millis(2000)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_two_seconds_or_a_fifth_of_its_time_and_longer_for_a_first_choice() {
    // Seconds that the call has; the longest wait of its policy for a first choice; how long it waits.
    let table = [
        (60, None, 2000),
        (5, None, 1000),
        (60, Some(7000), 7000),
        (6, Some(7000), 3000),
        (60, Some(500), 2000),
    ];
    for (seconds, policy, expected) in table {
        let plan = call(&["a"], Duration::from_secs(seconds), 10, |scenario| {
            scenario.retry_first = policy.map(|wait| RetryFirst {
                longest_wait: millis(wait),
                ..RetryFirst::default()
            });
        });

        let longest = plan.longest_wait(Instant::now());

        assert_eq!(longest, millis(expected), "{seconds} {policy:?}");
    }
}

#[test]
fn calls_that_wait_for_the_same_provider_look_again_one_after_the_other() {
    let table = [
        (0, 0.0, 1.0),
        (0, 1.0, 1.0),
        (1, 0.0, 5.0),
        (1, 0.5, 10.0),
        (2, 1.0, 30.0),
        (20, 0.25, 150.0),
    ];
    for (ahead, draw, expected) in table {
        let pause = pause_behind(ahead, draw);

        assert_eq!(pause, millis(1).mul_f64(expected), "{ahead} {draw}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_sent_nothing_waits_for_the_end_of_a_rate_limit_and_pays_no_token() {
    let mut plan = call(&["a"], Duration::from_secs(60), 0, |_| {});
    close(&plan, 0, Closed::Rate(1000)).await;

    let found = find(&mut plan).await;

    assert_eq!(found, (Some(AttemptKind::Primary), millis(1001)));
    // The target was skipped before the wait. What was recorded during the wait is out of date.
    assert_eq!(plan.trail.attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_wait_the_targets_are_tried_in_their_order() {
    let mut plan = usual_call(&["a", "b"]);
    close(&plan, 0, Closed::Operator).await;
    close(&plan, 1, Closed::Rate(1000)).await;

    let found = find(&mut plan).await;

    assert_eq!(found, (Some(AttemptKind::Failover), millis(1001)));
    assert_eq!(plan.trail.attempts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_waiting_if_the_target_closes_again_before_it_is_tried() {
    let mut plan = call(&["a"], Duration::from_secs(60), 10, |scenario| {
        scenario.retry_first = Some(RetryFirst {
            longest_wait: millis(9000),
            ..RetryFirst::default()
        });
    });
    let mut late = permit(&plan, 0);
    limit_rate(&mut late, millis(1000));
    let ahead: Vec<_> = (0..60).map(|_| guard(&plan, 0).wait()).collect();

    // The call pauses for 300 ms at least, since others are ahead of it.
    let closes_again = async {
        sleep_until(Instant::now() + millis(1200)).await;
        limit_rate(&mut late, millis(2000));
        drop(late);
    };
    let ((kind, took), ()) = tokio::join!(find(&mut plan), closes_again);

    assert_eq!(kind, Some(AttemptKind::Primary));
    assert!(took >= millis(3500), "{took:?}");
    assert_eq!(ahead.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_failed_or_may_make_no_attempt_waits_for_nothing() {
    // What the call has tried, how many attempts it may make, its retry tokens, and whether it waits.
    let table = [
        (None, 1, 0, true),
        (None, 0, 10, false),
        (Some(AttemptKind::Primary), 3, 10, false),
        (Some(AttemptKind::LastResort), 3, 10, true),
        (Some(AttemptKind::LastResort), 1, 10, false),
        (Some(AttemptKind::LastResort), 3, 0, false),
    ];
    for (tried, max_attempts, tokens, waits) in table {
        let mut plan = call(&["a"], Duration::from_secs(60), tokens, |scenario| {
            scenario.max_attempts = max_attempts;
        });
        close(&plan, 0, Closed::Rate(1000)).await;
        if let Some(kind) = tried {
            has_failed(&mut plan, kind);
        }

        let (found, took) = find(&mut plan).await;

        let expected = (waits, millis(1001 * u64::from(waits)));
        let case = (tried, max_attempts, tokens);
        assert_eq!((found.is_some(), took), expected, "{case:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_up_waits_for_nothing() {
    let mut plan = call(&["a"], Duration::ZERO, 10, |_| {});
    close(&plan, 0, Closed::Rate(1000)).await;
    let mut tokens = TokenHold::of(&plan.route.budget);
    let began = Instant::now();

    let found = plan
        .find_target(&mut tokens, &mut ObservedCall::default())
        .await;

    assert_eq!(found.err(), Some(Error::DeadlineExceeded));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_not_judged_in_time_is_waited_for_no_longer() {
    let mut plan = usual_call(&["a"]);
    let _probe = close(&plan, 0, Closed::Probing).await;
    has_failed(&mut plan, AttemptKind::LastResort);

    let (found, took) = find(&mut plan).await;

    assert_eq!(found, None);
    assert!(took >= millis(2000) && took < millis(2010), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_as_soon_as_a_probe_has_succeeded_or_an_operator_opens_the_target() {
    for closed in [Closed::Probing, Closed::Rate(1500)] {
        let mut plan = usual_call(&["a"]);
        let mut beside = close(&plan, 0, closed).await;
        has_failed(&mut plan, AttemptKind::LastResort);
        let health = Arc::clone(guard(&plan, 0));

        let opens = async {
            sleep_until(Instant::now() + millis(300)).await;
            match beside.pop() {
                Some(mut probe) => probe.first_content(false, false),
                None => assert!(health.force(None)),
            }
        };
        let ((found, took), ()) = tokio::join!(find(&mut plan), opens);

        assert!(found.is_some(), "{closed:?}");
        assert_eq!(took, millis(301), "{closed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_wait_for_a_provider_than_may() {
    let mut plan = usual_call(&["a"]);
    close(&plan, 0, Closed::Rate(1000)).await;
    let mut ahead: Vec<_> = (0..64).map(|_| guard(&plan, 0).wait()).collect();
    assert!(ahead.iter().all(Option::is_some));

    assert_eq!(find(&mut plan).await, (None, Duration::ZERO));

    ahead.truncate(63);
    plan.cursor.rewind();
    assert!(find(&mut plan).await.0.is_some());
}
