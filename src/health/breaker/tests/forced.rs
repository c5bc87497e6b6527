//! What stands in the place of its own decisions: an operator, and its provider's other models.

use super::*;

#[test]
fn an_operator_holds_it_open_until_a_time_or_for_good() {
    let (mut breaker, now) = closed();
    let open = |until| Forced {
        closed: false,
        until,
    };

    breaker.force(Some(open(Some(now + seconds(90)))), now);
    assert_eq!(breaker.state(now), BreakerState::ForcedOpen);
    let until_then = Barred::Forced(Some(now + seconds(90)));
    assert_eq!(breaker.admit(now).unwrap_err(), until_then);
    assert!(!breaker.would_probe(now + seconds(89)));
    assert_eq!(breaker.snapshot(now).forced_until, Some(now + seconds(90)));
    let freed = now + seconds(90);
    assert_eq!(breaker.state(freed), BreakerState::Closed);
    assert!(!breaker.admit(freed).unwrap().is_probe());

    breaker.force(Some(open(None)), now);
    let much_later = now + seconds(100_000);
    let for_good = Barred::Forced(None);
    assert_eq!(breaker.admit(much_later).unwrap_err(), for_good);
    let snapshot = breaker.snapshot(much_later);
    assert_eq!(
        (snapshot.forced_until, snapshot.refuses_until),
        (None, None)
    );

    breaker.force(None, much_later);
    assert_eq!(breaker.state(much_later), BreakerState::Closed);
}

#[test]
fn a_decision_ends_once_and_at_its_time() {
    for (closed, from) in [
        (false, BreakerState::ForcedOpen),
        (true, BreakerState::ForcedClosed),
    ] {
        let (mut breaker, now) = opened();
        let end = now + seconds(90);
        let until = Some(end);
        breaker.force(Some(Forced { closed, until }), now);

        assert_eq!(breaker.end_decision(end - Duration::from_millis(1)), None);
        assert_eq!(breaker.snapshot(now).state, from);
        let late = end + seconds(1);
        let ended = breaker.end_decision(late);

        let expected = Transition {
            from,
            to: BreakerState::Closed,
            cause: "decision_ended",
        };
        assert_eq!(ended, Some(expected));
        assert_eq!(breaker.snapshot(late).since, end);
        assert_eq!(breaker.end_decision(late), None);
        assert_eq!(breaker.decision_ends(), None);
    }
}

#[test]
fn watchers_see_the_begin_and_the_end_of_a_decision_that_ends_at_once() {
    let (mut breaker, now) = closed();
    let over = Forced {
        closed: false,
        until: Some(now),
    };

    let begun = breaker.force(Some(over), now);
    let ended = breaker.end_decision(now);

    let states = |told: Option<Transition>| told.map(|told| (told.from, told.to));
    let (closed, open) = (BreakerState::Closed, BreakerState::ForcedOpen);
    assert_eq!(states(begun), Some((closed, open)));
    assert_eq!(states(ended), Some((open, closed)));
}

#[test]
fn whatever_happens_to_one_that_an_operator_holds_closed_counts_nothing() {
    let (mut breaker, now) = opened();
    let held = Some(Forced {
        closed: true,
        until: Some(now + seconds(90)),
    });

    breaker.force(held, now);
    for _ in 0..100 {
        assert_eq!(attempt(&mut breaker, FAILED, now), None);
    }
    assert_eq!(breaker.trip("models_failing", alone(now)), None);

    assert_eq!(breaker.state(now), BreakerState::ForcedClosed);
    let snapshot = breaker.snapshot(now + seconds(90));
    assert_eq!(snapshot.state, BreakerState::Closed);
    assert_eq!(snapshot.failures, 0);
}

#[test]
fn an_open_breaker_cannot_be_opened_again_from_outside() {
    let (mut breaker, now) = opened();
    let (mut other, _) = closed();

    assert_eq!(breaker.trip("models_failing", alone(now)), None);
    let transition = other.trip("models_failing", alone(now));

    assert_eq!(cause_of(transition), Some("models_failing"));
    assert_eq!(breaker.snapshot(now).opened_total, 1);
}
