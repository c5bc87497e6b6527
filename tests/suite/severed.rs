//! What becomes of two hundred calls when their provider is killed, paused, slowed or cut off under
//! them, and what of the calls after that?
//!
//! The logs of the primary and the backup show which attempts were made; what callers learn must be
//! the same, attempt by attempt.

mod site;

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::{Duration, SystemTime};

use modelway::simulator::{Behaviour, Fault, text};
use tokio::time::timeout;
use tonic::Code;

use crate::support::aftermath::breaker;
use crate::support::crowd::{CallResult, Crowd, Kind};
use crate::support::proxy::{Cut, Faults, Towards};
use crate::support::{details, lines};

use self::site::{CALLS, PATIENT, PROMPTLY, Site};

/// Tokens of the primary's answers. The backup's have 24.
const WHOLE: usize = 40;

/// Forty tokens, of which twenty come.
fn stalling() -> Behaviour {
    Behaviour {
        tokens: WHOLE,
        ..Fault::Stall { after: 20 }.into()
    }
}

fn healthy() -> Behaviour {
    Behaviour {
        tokens: WHOLE,
        ..Behaviour::default()
    }
}

/// Each stream has received this many words.
fn each(least: usize) -> impl FnMut(&Vec<usize>) -> bool {
    move |streams| streams.iter().all(|words| *words >= least)
}

/// What every caller may rely on: an answer that is reported as complete is complete, and anything else ends in a
/// failure with a reason. Gives the reason.
fn reason(result: &CallResult) -> Option<String> {
    match &result.outcome {
        Ok(response) => {
            let whole = match response.model.as_str() {
                "primary" => text(WHOLE),
                _ => text(24),
            };
            assert_eq!(result.text, whole, "{result:?}");
            assert!(result.resets <= usize::from(result.kind == Kind::Restarting));
            assert!(response.usage.is_some());
            None
        }
        Err(status) => {
            let failure = details(status);
            assert_eq!(failure.code, Code::Unavailable, "{result:?}");
            assert_eq!(failure.pushback, Some(-1), "{result:?}");
            assert!(!failure.failure.unwrap().attempts.is_empty());
            Some(failure.reason)
        }
    }
}

/// Why calls failed. Each caller must have received nothing but the truth.
fn failures(results: &[CallResult]) -> Vec<(Kind, String)> {
    let failure = |result: &CallResult| Some((result.kind, reason(result)?));
    results.iter().filter_map(failure).collect()
}

/// An interruption is reported with the words and the usage so far.
fn assert_interrupted(result: &CallResult) {
    assert_eq!(reason(result).unwrap(), "STREAM_INTERRUPTED");
    assert_eq!(result.resets, 0);
    assert!(!result.text.is_empty());
    assert!(text(1000).starts_with(result.text.trim_end()));
    let failure = details(result.outcome.as_ref().unwrap_err())
        .failure
        .unwrap();
    assert!(failure.usage.unwrap().input_tokens > 0);
}

#[tokio::test]
async fn calls_survive_that_their_provider_is_killed() {
    let site = Site::start(PATIENT, stalling()).await;
    let crowd = site.crowd(CALLS);
    crowd.has_received(each(20)).await;
    site.primary.wait_for(|log| log.len() == CALLS).await;

    site.primary.pause().await;
    let mut results = crowd.results().await;

    for result in &results {
        match result.kind {
            Kind::Whole | Kind::Restarting => {
                assert_eq!(reason(result), None);
                let response = result.outcome.as_ref().unwrap();
                let trail = [
                    "1 PRIMARY severed/primary FAILED PROVIDER_UNREACHABLE",
                    "2 FAILOVER openai/backup SUCCEEDED",
                ];
                assert_eq!(lines(&response.attempts), trail);
                assert_eq!(result.resets, usize::from(result.kind == Kind::Restarting));
            }
            Kind::Failing => {
                assert_interrupted(result);
                assert_eq!(result.text.trim_end(), text(20));
            }
        }
    }
    assert_eq!(site.every_attempt_is_reported(&results), CALLS + 150);

    let gone = site.crowd(CALLS).results().await;
    assert_eq!(failures(&gone), []);
    results.extend(gone);

    site.primary.set("primary", healthy());
    site.primary.resume().await.unwrap();
    site.recovers(&mut results).await;
    let before = site.primary.requests().len();
    let back = site.crowd(CALLS).results().await;
    assert_eq!(failures(&back), []);
    assert_eq!(site.primary.requests().len() - before, CALLS);
    results.extend(back);
    site.is_as_before(&results).await;
}

#[tokio::test]
async fn where_the_budget_does_not_suffice_for_all_of_them_the_rest_are_told_so() {
    let site = Site::with_budget(PATIENT, stalling(), "{ ratio = 0.2, burst = 50 }").await;
    let crowd = site.crowd(CALLS);
    crowd.has_received(each(20)).await;
    site.primary.wait_for(|log| log.len() == CALLS).await;

    site.primary.pause().await;
    let results = crowd.results().await;

    let answered = results
        .iter()
        .filter(|result| reason(result).is_none())
        .count();
    for (kind, reason) in failures(&results) {
        let expected = match kind {
            Kind::Whole => "RETRY_BUDGET_EXHAUSTED",
            Kind::Failing | Kind::Restarting => "STREAM_INTERRUPTED",
        };
        assert_eq!(reason, expected);
    }
    let added = site.every_attempt_is_reported(&results) - CALLS;
    assert_eq!(added, answered, "each added attempt has rescued a call");
    assert!(
        added >= 50 && added <= 50 + answered / 5,
        "{added} were added"
    );
}

#[tokio::test]
async fn calls_survive_that_their_provider_falls_silent() {
    const FLOWING: usize = 160;
    let timeouts = r#"{ stall_after = "2s", first_event = "4s", byte_idle = "4s" }"#;
    let site = Site::start(timeouts, healthy()).await;
    let flowing: Behaviour = "tokens=1000+gap=50ms".parse().unwrap();
    site.primary.set("flowing", flowing);
    let mut crowd = Crowd::of(&site.gateway, "flow", FLOWING);
    crowd.has_received(each(1)).await;

    site.silence(true);
    let began = SystemTime::now();
    crowd.join(&site.gateway, "s", CALLS - FLOWING);
    let open = async {
        loop {
            let breaker = breaker(&site.gateway, "severed/primary").await;
            if breaker.opened_total > 0 {
                return SystemTime::try_from(breaker.state_since.unwrap()).unwrap();
            }
        }
    };
    let open = timeout(PROMPTLY, open).await.expect("the breaker opens");
    let mut results = crowd.results().await;
    // There is no wait any more for those who come later, but for probes.
    let later = site.crowd(CALLS).results().await;

    let open = open.duration_since(began).unwrap();
    println!("silence: the breaker opened after {open:?}, `stall_after` is 2 s");
    let (interrupted, rescued): (Vec<_>, Vec<_>) = results
        .iter()
        .partition(|result| result.kind == Kind::Failing && result.scenario == "flow");
    for result in interrupted {
        assert_interrupted(result);
    }
    for result in rescued {
        assert_eq!(reason(result), None);
    }
    assert_eq!(failures(&later), []);
    results.extend(later);

    site.silence(false);
    site.recovers(&mut results).await;
    site.is_as_before(&results).await;
}

#[tokio::test]
async fn nothing_fails_that_is_merely_slow() {
    let site = Site::start(PATIENT, healthy()).await;
    let slow = Faults {
        latency: Duration::from_millis(50),
        bandwidth: NonZeroU64::new(50_000),
        slow_close: Duration::from_millis(50),
        ..Faults::default()
    };
    site.proxy.set(Towards::Server, slow);
    site.proxy.set(
        Towards::Client,
        Faults {
            slice: NonZeroUsize::new(100),
            ..slow
        },
    );

    let results = site.crowd(CALLS).results().await;

    assert_eq!(failures(&results), []);
    assert_eq!(site.primary.requests().len(), CALLS);
    assert_eq!(site.gateway.simulator.requests_for("backup").len(), 0);
    let breaker = breaker(&site.gateway, "severed/primary").await;
    assert_eq!(breaker.window_failures, 0);
    site.is_as_before(&results).await;
}

#[tokio::test]
async fn calls_survive_that_the_network_is_cut_wherever_they_are() {
    const EARLIER: usize = 150;
    let mut site = Site::start(PATIENT, Behaviour::default()).await;
    // Before the head, before the content, in the middle, and at the end of an answer.
    let places = [
        "hang",
        "silence",
        "role-only",
        "stall=20",
        "stall=100",
        "tokens=40",
    ]
    .map(|place| place.parse().unwrap())
    .map(|behaviour| Behaviour {
        tokens: WHOLE,
        ..behaviour
    });
    let script = places.iter().cycle().take(EARLIER).cloned();
    site.primary.script("primary", script);
    let mut crowd = site.crowd(EARLIER);
    site.primary.wait_for(|log| log.len() == EARLIER).await;
    let some = |streams: &Vec<usize>| streams.iter().any(|words| *words >= 20);
    crowd.has_received(some).await;

    site.proxy.down(Cut::Reset).await;
    crowd.join(&site.gateway, "s", CALLS - EARLIER);
    let mut results = crowd.results().await;

    let interrupted = results.iter().filter(|result| reason(result).is_some());
    let interrupted: Vec<&CallResult> = interrupted.collect();
    assert!(!interrupted.is_empty());
    for result in interrupted {
        assert_eq!(result.kind, Kind::Failing);
        assert_interrupted(result);
    }
    let cut_off = site.crowd(CALLS).results().await;
    assert_eq!(failures(&cut_off), []);
    results.extend(cut_off);

    site.primary.set("primary", healthy());
    site.proxy.up().unwrap();
    site.recovers(&mut results).await;
    site.is_as_before(&results).await;
}
