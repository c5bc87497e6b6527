use super::*;
use crate::caller::{Caller, Door, Method, Priority};
use crate::identity::Labels;
use crate::telemetry::facts::{AskedFor, CallTimes};
use crate::trail::Trail;

static NO_LABELS: Labels = Labels::new();

fn facts<'a>(trail: &'a Trail, end: CallEnd, total: Duration) -> CallFacts<'a> {
    CallFacts {
        trail,
        caller: Caller::Unknown,
        identity: None,
        labels: &NO_LABELS,
        request_id: None,
        method: Method::Generate,
        door: Door::Grpc,
        asked_for: &AskedFor::Unread,
        priority: Priority::Default,
        end,
        blame: end.blame(true),
        messages: None,
        replayed: false,
        times: CallTimes {
            total,
            ..CallTimes::default()
        },
    }
}

/// How many of these calls, with trace ids that are spread evenly, get a line.
fn kept(settings: Settings, end: CallEnd, total: Duration) -> usize {
    let log = CallLog::default();
    log.apply(&settings);
    let calls = (0..1000_u64).filter(|number| {
        let trail = Trail {
            trace_id: format!("{:016x}{:016x}", number, number * (u64::MAX / 1000)),
            ..Trail::default()
        };
        log.is_kept(&facts(&trail, end, total))
    });
    calls.count()
}

#[test]
fn a_share_of_the_answered_calls_is_kept_and_every_failed_or_long_one() {
    let settings = |sample_ok| Settings {
        sample_ok,
        ..Settings::default()
    };
    let failed = CallEnd::Failed(Reason::ProviderError);
    for (share, expected) in [(1.0, 1000), (0.25, 250), (0.0, 0)] {
        let of = |end, total| kept(settings(share), end, total);

        assert!(
            of(CallEnd::Answered, LONG).abs_diff(expected) <= 1,
            "{share}"
        );
        assert_eq!(of(CallEnd::Answered, LONG * 2), 1000);
        assert_eq!(of(failed, Duration::ZERO), 1000);
        assert_eq!(of(CallEnd::Cancelled, Duration::ZERO), 1000);
    }
}

#[test]
fn only_failed_calls_or_none_are_kept_where_that_is_asked_for() {
    let failed = CallEnd::Failed(Reason::ProviderError);
    for (calls, of_answered, of_failed) in
        [(LoggedCalls::Failed, 0, 1000), (LoggedCalls::None, 0, 0)]
    {
        let settings = Settings {
            calls,
            ..Settings::default()
        };

        let answered = kept(settings.clone(), CallEnd::Answered, LONG * 2);
        assert_eq!(answered, of_answered, "{calls:?}");
        assert_eq!(kept(settings, failed, LONG * 2), of_failed, "{calls:?}");
    }
}

#[test]
fn fifty_refusals_of_a_reason_get_a_line_in_a_second_and_the_rest_are_counted() {
    let flood = Flood::default();

    for second in [0, 1, 7] {
        let admitted = (0..1000).filter(|_| flood.admits(second)).count();
        assert_eq!(admitted, 50, "{second}");
    }
}

#[test]
fn every_call_is_written_or_counted_once() {
    let log = CallLog::default();
    let trail = Trail::default();
    let refused = facts(&trail, CallEnd::Failed(Reason::Overloaded), Duration::ZERO);

    (0..200).for_each(|_| log.write(&refused));

    let flood = log.flood(refused.end);
    let summed_up = flood.unwritten.load(Ordering::Relaxed);
    // The second may have ended in the middle.
    assert!((100..=150).contains(&summed_up), "{summed_up}");
    assert_eq!(log.counters.summed_up.load(Ordering::Relaxed), summed_up);
    log.sum_up();
    assert_eq!(flood.unwritten.load(Ordering::Relaxed), 0);
}
