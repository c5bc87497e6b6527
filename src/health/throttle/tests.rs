//! For how long, and to how many attempts, does a throttle hold back a model?

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_named_wait_is_kept_within_a_second_and_a_minute() {
    for (named, expected) in [(0, 1), (2, 2), (30, 30), (3600, 60)] {
        let mut throttle = Throttle::new(Settings::default());
        let now = Instant::now();

        throttle.refused(true, Some(seconds(named)), now);

        assert_eq!(
            throttle.refuses(now),
            Some(Throttled::Until(now + seconds(expected)))
        );
        assert_eq!(throttle.refuses(now + seconds(expected)), None);
    }
}

#[test]
fn refusals_without_a_wait_double_it_until_a_success() {
    let mut throttle = Throttle::new(Settings::default());
    let mut now = Instant::now();

    let mut waits = Vec::new();
    for _ in 0..7 {
        throttle.refused(true, None, now);
        let Some(Throttled::Until(until)) = throttle.refuses(now) else {
            panic!("throttled")
        };
        waits.push(until.duration_since(now).as_secs());
        now = until;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60]);

    throttle.succeeded();
    throttle.refused(true, None, now);
    assert_eq!(
        throttle.refuses(now),
        Some(Throttled::Until(now + seconds(1)))
    );
}

#[test]
fn a_burst_of_refusals_is_one_refusal() {
    let mut throttle = Throttle::new(Settings::default());
    let now = Instant::now();

    for _ in 0..10 {
        throttle.refused(true, None, now);
    }

    assert_eq!(
        throttle.refuses(now),
        Some(Throttled::Until(now + seconds(1)))
    );
}

fn with_under_way(attempts: u32) -> (Throttle, Instant) {
    let mut throttle = Throttle::new(Settings::default());
    (0..attempts).for_each(|_| throttle.enter());
    (throttle, Instant::now())
}

#[test]
fn nothing_is_held_back_from_a_provider_that_has_refused_nothing() {
    let (throttle, now) = with_under_way(1000);

    assert_eq!(throttle.refuses(now), None);
}

#[test]
fn concurrency_falls_below_what_was_too_much_and_rises_by_one() {
    let (mut throttle, now) = with_under_way(100);

    throttle.refused(false, None, now);

    assert_eq!(throttle.limit(), 70);
    assert_eq!(throttle.refuses(now), Some(Throttled::Busy));
    (0..31).for_each(|_| throttle.leave());
    assert_eq!(throttle.refuses(now), None);
    throttle.succeeded();
    assert_eq!(throttle.limit(), 71);
}

#[test]
fn a_burst_of_refusals_lowers_concurrency_once() {
    let (mut throttle, now) = with_under_way(100);

    for _ in 0..30 {
        throttle.refused(true, None, now);
        throttle.leave();
    }
    assert_eq!(throttle.limit(), 70);

    throttle.refused(true, None, now + seconds(1));
    assert_eq!(throttle.limit(), 49);
}

#[test]
fn a_provider_that_takes_more_than_is_asked_of_it_does_not_earn_concurrency() {
    let (mut throttle, now) = with_under_way(100);
    throttle.refused(false, None, now);
    (0..70).for_each(|_| throttle.leave());

    (0..100).for_each(|_| throttle.succeeded());

    assert_eq!((throttle.in_flight(), throttle.limit()), (30, 70));
}

#[test]
fn half_of_what_may_be_under_way_is_enough_to_earn_more() {
    for (under_way, expected) in [(34, 70), (35, 71)] {
        let (mut throttle, now) = with_under_way(100);
        throttle.refused(false, None, now);
        (under_way..100).for_each(|_| throttle.leave());

        throttle.succeeded();

        assert_eq!(throttle.limit(), expected, "{under_way} under way");
    }
}

#[test]
fn the_number_of_attempts_that_is_always_allowed_is_never_too_many() {
    let now = Instant::now();
    for (in_flight, lowers) in [(1, false), (4, false), (5, true)] {
        let mut throttle = Throttle::new(Settings::default());
        for _ in 0..in_flight {
            throttle.enter();
        }

        throttle.refused(false, None, now);

        assert_eq!(throttle.limit() < 10_000, lowers, "{in_flight}");
    }
}

#[test]
fn concurrency_stays_between_its_limits() {
    let (mut throttle, now) = with_under_way(100);

    for step in 0..50 {
        throttle.refused(false, None, now + seconds(step));
    }
    assert_eq!(throttle.limit(), 4);

    (0..20_000).for_each(|_| throttle.enter());
    (0..20_000).for_each(|_| throttle.succeeded());
    assert_eq!(throttle.limit(), 10_000);
}

/// Settings that differ from the defaults in the limit at the start.
fn beginning_with(initial_concurrency: u32) -> Settings {
    Settings {
        initial_concurrency,
        max_concurrency: 50,
        ..Settings::default()
    }
}

#[test]
fn as_many_attempts_are_under_way_as_the_limit_says_and_no_more() {
    let mut throttle = Throttle::new(beginning_with(5));
    let now = Instant::now();
    for _ in 0..5 {
        assert_eq!(throttle.refuses(now), None);
        throttle.enter();
    }

    assert_eq!(throttle.refuses(now), Some(Throttled::Busy));
}

#[test]
fn with_other_settings_a_limit_that_was_learnt_or_earned_stays_and_any_other_follows_them() {
    let now = Instant::now();
    // The limits at the start before and after the change, what happens before it, and the limit after it.
    type Lesson = fn(&mut Throttle, Instant);
    let nothing: Lesson = |_, _| {};
    let learns: Lesson = |throttle, now| {
        throttle.refused(false, None, now);
    };
    let earns: Lesson = |throttle, _| throttle.succeeded();
    let table = [
        (10, 20, nothing, 20),
        (10, 7, nothing, 7),
        (10, 10, nothing, 10),
        (10, 100, nothing, 50),
        (10, 1, nothing, 4),
        (10, 20, learns, 7),
        (10, 8, learns, 7),
        (10, 10, earns, 11),
        (10, 20, earns, 20),
        (10, 8, earns, 8),
    ];
    for (before, after, lesson, expected) in table {
        let mut throttle = Throttle::new(beginning_with(before));
        (0..10).for_each(|_| throttle.enter());
        lesson(&mut throttle, now);

        throttle.change(beginning_with(after));

        assert_eq!(throttle.limit(), expected, "{before}, {after}");
    }
}

#[test]
fn a_wait_is_reported_once_when_it_begins() {
    let mut throttle = Throttle::new(Settings::default());
    let now = Instant::now();

    let begins = throttle.refused(true, Some(seconds(3)), now);
    let goes_on = throttle.refused(true, Some(seconds(5)), now);

    assert_eq!((begins, goes_on), (Some(seconds(3)), None));
    assert_eq!(throttle.waits_until(now), Some(now + seconds(5)));
    assert_eq!(throttle.waits_until(now + seconds(5)), None);
}

#[test]
fn a_lifted_throttle_has_learnt_nothing() {
    let mut throttle = Throttle::new(Settings::default());
    let now = Instant::now();
    assert!(!throttle.lift(now));
    (0..20).for_each(|_| throttle.enter());
    throttle.refused(true, None, now);
    assert!(throttle.limit() < 20);

    assert!(throttle.lift(now));

    assert_eq!(throttle.refuses(now), None);
    assert_eq!(throttle.limit(), 10_000);
    assert!(!throttle.lift(now));
}

#[test]
fn a_lowered_limit_can_be_lifted_and_a_raised_one_cannot() {
    let now = Instant::now();
    // Whether the provider refuses for mere overload, or takes all.
    for (refuses, expected) in [(true, true), (false, false)] {
        let mut throttle = Throttle::new(Settings {
            initial_concurrency: 20,
            ..Settings::default()
        });
        (0..20).for_each(|_| throttle.enter());
        match refuses {
            true => assert_eq!(throttle.refused(false, None, now), None),
            false => throttle.succeeded(),
        }
        assert_ne!(throttle.limit(), 20);

        assert_eq!(throttle.lift(now), expected, "{refuses}");
    }
}
