//! The situations whose numbers matter, with the true ones: default settings in virtual time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::METHODS;

use super::wires::{Clockwork, Outcome, in_every_format};

const MINUTE: Duration = Duration::from_secs(60);

/// Both methods are answered by the backup, after so long and one attempt on the primary each.
async fn assert_rescued_after(clockwork: &Clockwork, time: Duration) {
    for (position, method) in METHODS.into_iter().enumerate() {
        let outcome = clockwork.call(method).await;

        assert!(outcome.is_answered());
        assert!(!outcome.by_primary());
        assert_eq!(outcome.took, time);
        assert_eq!(clockwork.primary_asked().len(), position + 1);
    }
}

fn assert_all_answered(outcomes: &[Outcome]) {
    let lost = outcomes.iter().filter(|outcome| !outcome.is_answered());
    assert_eq!(lost.count(), 0, "of {}", outcomes.len());
}

#[test]
fn a_429_with_retry_after_2_s_then_fine() {
    in_every_format("", async |clockwork| {
        clockwork.primary(&["status=429+retry-after=2s", "tokens=24"]);

        let outcomes = clockwork.two_a_second(Duration::from_secs(10)).await;

        assert_all_answered(&outcomes);
        let asked = clockwork.primary_asked();
        let pause = asked[1].duration_since(asked[0]).as_secs_f64();
        assert!((1.8..=3.0).contains(&pause), "{pause} s");
        assert!(outcomes.last().unwrap().by_primary());
    });
}

#[test]
fn endless_429() {
    assert_little_is_asked_of("status=429");
}

#[test]
fn endless_503() {
    assert_little_is_asked_of("status=503");
}

/// For a minute at two calls a second the backup answers each, and the primary is asked now and then.
fn assert_little_is_asked_of(primary: &str) {
    in_every_format("", async |clockwork| {
        clockwork.primary(&[primary]);

        let outcomes = clockwork.two_a_second(MINUTE).await;

        assert_all_answered(&outcomes);
        let asked = clockwork.primary_asked().len();
        assert!(asked <= 8, "asked {asked} times");
    });
}

#[test]
fn silence() {
    for primary in ["hang", "silence"] {
        in_every_format("", async |clockwork| {
            clockwork.primary(&[primary]);

            assert_rescued_after(&clockwork, Duration::from_secs(10)).await;
        });
    }
}

#[test]
fn the_first_token_after_20_s() {
    in_every_format("first_content = \"12s\"", async |clockwork| {
        clockwork.primary(&["first=20s"]);

        assert_rescued_after(&clockwork, Duration::from_secs(12)).await;
    });
}

#[test]
fn a_stall_after_20_tokens() {
    in_every_format("", async |clockwork| {
        clockwork.primary(&["tokens=60+stall=20"]);

        assert_rescued_after(&clockwork, Duration::from_secs(20)).await;
    });
}

#[test]
fn no_done_after_a_complete_answer() {
    in_every_format("", async |clockwork| {
        clockwork.primary(&["open-end"]);
        for method in METHODS {
            let outcome = clockwork.call(method).await;

            assert!(outcome.by_primary());
            assert_eq!(outcome.took, Duration::from_secs(1));
            assert!(outcome.answer.unwrap().usage.is_some());
        }
    });
}

#[test]
fn an_error_whose_body_has_no_end() {
    in_every_format("", async |clockwork| {
        clockwork.primary(&["status=503+slice=1+drip=5s"]);

        assert_rescued_after(&clockwork, Duration::from_secs(1)).await;
    });
}

#[test]
fn the_primary_is_down_for_a_minute() {
    // A silent one costs more before its breaker opens, and each probe takes its time to fail.
    let table = [("reset", 8, 30), ("status=500", 8, 30), ("hang", 16, 45)];
    for (primary, most_attempts, longest_wait) in table {
        in_every_format("", async |clockwork| {
            clockwork.primary(&[primary]);
            let recovery = Instant::now() + MINUTE;
            let recovers = async {
                sleep(MINUTE).await;
                clockwork.primary(&["tokens=24"]);
            };

            let calls = clockwork.two_a_second(2 * MINUTE);
            let (outcomes, ()) = tokio::join!(calls, recovers);

            assert_all_answered(&outcomes);
            let asked = clockwork.primary_asked();
            let meanwhile = asked.iter().filter(|at| **at < recovery).count();
            assert!(meanwhile <= most_attempts, "asked {meanwhile} times");
            let back = outcomes
                .iter()
                .find(|outcome| outcome.by_primary())
                .unwrap();
            let back = back.began.duration_since(recovery);
            assert!(
                back <= Duration::from_secs(longest_wait),
                "back after {back:?}"
            );
            assert!(outcomes.last().unwrap().by_primary());
        });
    }
}
