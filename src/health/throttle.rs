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

    /// Goes on with other settings. A limit that was learnt stays, within the new bounds.
    pub fn change(&mut self, settings: Settings) {
        let is_learnt = self.limit < f64::from(self.settings.initial_concurrency);
        if !is_learnt {
            self.limit = self.limit.max(f64::from(settings.initial_concurrency));
            let lowered = settings.initial_concurrency < self.settings.initial_concurrency;
            if lowered {
                self.limit = f64::from(settings.initial_concurrency);
            }
        }
        let most = f64::from(settings.max_concurrency);
        self.limit = self
            .limit
            .max(f64::from(settings.min_concurrency))
            .min(most);
        self.settings = settings;
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
mod tests;
