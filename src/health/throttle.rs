//! How much may be sent to a model at once? What its provider said about its rate limit, and what we learnt.
//!
//! A 429 is no failure. It names a time to wait (or makes us guess one), and it lowers the number of
//! attempts that may be under way below the number that was refused. Each success near the limit raises it
//! again by one.

use std::time::Duration;

use tokio::time::Instant;

/// How rate limits are handled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The limit on attempts under way at the start.
    pub initial_concurrency: u32,
    /// The lowest limit, however often attempts are refused.
    pub min_concurrency: u32,
    /// The highest limit.
    pub max_concurrency: u32,
    /// A refusal lowers the limit to this share of the attempts that were under way, 0 to 1.
    pub decrease: f64,
    /// The wait after a refusal that names none; doubles with each refusal in a row. Refusals that come closer together
    /// than this lower the limit only once.
    pub base_wait: Duration,
    /// The longest wait, also if the provider names a longer one.
    pub max_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Practically no limit until a provider refuses something.
            initial_concurrency: 10_000,
            min_concurrency: 4,
            max_concurrency: 10_000,
            decrease: 0.7,
            base_wait: Duration::from_secs(1),
            max_wait: Duration::from_secs(60),
        }
    }
}

/// Why no attempt on the model is sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttled {
    /// The provider asked us to wait until then.
    Until(Instant),
    /// As many attempts are under way as the provider accepts.
    Busy,
}

/// The limits of one model for one credential. Pure: time is passed in.
#[derive(Debug)]
pub struct Throttle {
    settings: Settings,
    until: Option<Instant>,
    refusals: u32,
    limit: f64,
    lowered: Option<Instant>,
    in_flight: u32,
}

impl Throttle {
    /// A throttle that has not learnt anything.
    pub fn new(settings: Settings) -> Self {
        let limit = f64::from(settings.initial_concurrency);
        Self {
            settings,
            until: None,
            refusals: 0,
            limit,
            lowered: None,
            in_flight: 0,
        }
    }

    /// Why an attempt would be refused at this time.
    pub fn refuses(&self, now: Instant) -> Option<Throttled> {
        match self.waits_until(now) {
            Some(until) => Some(Throttled::Until(until)),
            None if f64::from(self.in_flight) + 1.0 > self.limit => Some(Throttled::Busy),
            None => None,
        }
    }

    /// Until when the provider asked us to wait; `None` if that is over.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Forgets what was learnt about the provider's limit; false if that changes nothing.
    pub fn lift(&mut self, now: Instant) -> bool {
        let initial = f64::from(self.settings.initial_concurrency);
        let is_learnt = self.waits_until(now).is_some() || self.limit < initial;
        if is_learnt {
            self.until = None;
            self.refusals = 0;
            self.limit = initial;
            self.lowered = None;
        }
        is_learnt
    }

    /// Counts an attempt that is sent. Give it back with [`Throttle::leave`].
    pub fn enter(&mut self) {
        self.in_flight = self.in_flight.saturating_add(1);
    }

    /// Counts an attempt that has ended.
    pub fn leave(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Takes in that the provider answered.
    pub fn succeeded(&mut self) {
        self.refusals = 0;
        if 2.0 * f64::from(self.in_flight) >= self.limit {
            self.limit = (self.limit + 1.0).min(f64::from(self.settings.max_concurrency));
        }
    }

    /// Takes in that the provider limits our rate, or has no capacity. `named` is the wait that it asks for, if any.
    /// `rate_limited` is false for an overload: that lowers the limit and leaves the wait to the breaker. Returns the
    /// wait if one begins now.
    pub fn refused(
        &mut self,
        rate_limited: bool,
        named: Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        self.lower(now);
        if !rate_limited {
            return None;
        }
        // During a wait, refusals are those of attempts that were already under way: they are no further ones in a row.
        let known = self.waits_until(now).is_some();
        let wait = match named {
            Some(named) => named.max(self.settings.base_wait),
            None if known => return None,
            None => self
                .settings
                .base_wait
                .saturating_mul(1 << self.refusals.min(16)),
        };
        self.refusals = self.refusals.saturating_add(u32::from(!known));
        let wait = wait.min(self.settings.max_wait);
        self.until = self.until.max(Some(now + wait));
        (!known).then_some(wait)
    }

    fn lower(&mut self, now: Instant) {
        let just_lowered = self
            .lowered
            .is_some_and(|lowered| now.duration_since(lowered) < self.settings.base_wait);
        // With so few attempts under way, a refusal says nothing about how many are too many.
        let few = self.in_flight <= self.settings.min_concurrency;
        if just_lowered || few {
            return;
        }
        self.lowered = Some(now);
        let too_much = self.limit.min(f64::from(self.in_flight));
        self.limit =
            (too_much * self.settings.decrease).max(f64::from(self.settings.min_concurrency));
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Attempts that may be under way, rounded down.
    pub fn limit(&self) -> u32 {
        self.limit as u32
    }
}

#[cfg(test)]
mod tests {
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
    fn so_few_attempts_as_are_always_allowed_were_not_too_many() {
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

    #[test]
    fn a_wait_is_told_when_it_begins() {
        let mut throttle = Throttle::new(Settings::default());
        let now = Instant::now();

        let begins = throttle.refused(true, Some(seconds(3)), now);
        let goes_on = throttle.refused(true, Some(seconds(5)), now);

        assert_eq!((begins, goes_on), (Some(seconds(3)), None));
        assert_eq!(throttle.waits_until(now), Some(now + seconds(5)));
        assert_eq!(throttle.waits_until(now + seconds(5)), None);
    }

    #[test]
    fn lifted_it_has_learnt_nothing() {
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
    fn fewer_attempts_are_something_to_lift_and_more_are_not() {
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
}
