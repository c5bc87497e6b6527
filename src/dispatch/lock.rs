//! Whether a credential may be used: after a refused key or a spent quota it is left alone for a while.

use std::time::Duration;

use tokio::time::Instant;

/// How long a credential is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The first time; doubles with each further refusal in a row.
    pub base: Duration,
    /// At most.
    pub max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(5 * 60),
            max: Duration::from_secs(60 * 60),
        }
    }
}

/// Why a credential is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The provider does not accept it.
    Refused,
    /// Its quota or credit is used up.
    QuotaExhausted,
}

/// The lock of one credential. Pure: time is passed in.
#[derive(Debug)]
pub struct Lock {
    settings: Settings,
    held: Option<(Instant, Cause)>,
    refusals: u32,
}

impl Lock {
    /// An open lock.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            held: None,
            refusals: 0,
        }
    }

    /// Until when and why the credential is left alone; `None` if it may be used.
    pub fn held(&self, now: Instant) -> Option<(Instant, Cause)> {
        self.held.filter(|(until, _)| *until > now)
    }

    /// The provider refused the credential. Refusals of attempts that were already under way do not
    /// prolong the lock.
    pub fn refuse(&mut self, cause: Cause, retry_after: Option<Duration>, now: Instant) {
        if self.held(now).is_some() {
            return;
        }
        let doubled = self
            .settings
            .base
            .saturating_mul(1 << self.refusals.min(16));
        let wait = doubled
            .max(retry_after.unwrap_or_default())
            .min(self.settings.max);
        self.refusals = self.refusals.saturating_add(1);
        self.held = Some((now + wait, cause));
    }

    /// The provider accepted the credential. While it is locked, only attempts from before can say
    /// so: that decides nothing.
    pub fn accept(&mut self, now: Instant) {
        if self.held(now).is_none() {
            self.refusals = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn each_refusal_in_a_row_doubles_the_time_up_to_its_limit() {
        let mut lock = Lock::new(Settings::default());
        let mut now = Instant::now();

        let mut minutes = Vec::new();
        for _ in 0..6 {
            lock.refuse(Cause::Refused, None, now);
            let (until, _) = lock.held(now).unwrap();
            minutes.push(until.duration_since(now).as_secs() / 60);
            now = until;
        }

        assert_eq!(minutes, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn refusals_of_attempts_under_way_do_not_prolong_it() {
        let mut lock = Lock::new(Settings::default());
        let now = Instant::now();
        lock.refuse(Cause::QuotaExhausted, None, now);

        lock.refuse(Cause::Refused, None, now + MINUTE);

        let held = Some((now + 5 * MINUTE, Cause::QuotaExhausted));
        assert_eq!(lock.held(now + MINUTE), held);
        assert_eq!(lock.held(now + 5 * MINUTE), None);
    }

    #[test]
    fn an_accepted_credential_is_as_good_as_new() {
        let mut lock = Lock::new(Settings::default());
        let now = Instant::now();
        lock.refuse(Cause::Refused, None, now);
        let now = now + 6 * MINUTE;

        lock.accept(now);
        lock.refuse(Cause::Refused, None, now);

        assert_eq!(lock.held(now), Some((now + 5 * MINUTE, Cause::Refused)));
    }

    #[test]
    fn attempts_under_way_do_not_open_it() {
        let mut lock = Lock::new(Settings::default());
        let now = Instant::now();
        lock.refuse(Cause::Refused, None, now);
        let locked = lock.held(now);

        lock.accept(now + MINUTE);

        assert_eq!(lock.held(now + MINUTE), locked);
        let now = now + 5 * MINUTE;
        lock.refuse(Cause::Refused, None, now);
        assert_eq!(lock.held(now), Some((now + 10 * MINUTE, Cause::Refused)));
    }
}
