//! May a target be tried? A circuit breaker as a pure state machine.
//!
//! Closed, it counts; open, it refuses; half-open, it lets probes through: one at a time until one has
//! succeeded, then as many at a time as must still succeed. A probe that takes longer than its lease does
//! not keep the next one waiting, but its outcome still counts. A last resort is sent although the breaker is
//! open; its outcome counts like that of a probe.
//!
//! Every admission is a [`Pass`] of the generation it was given in. A new generation begins when the
//! breaker opens, closes or is forced; from then on passes of older generations decide nothing.

mod forced;
mod opening;
mod pass;
mod recovery;
mod settings;
mod terms;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::window::Window;

use self::pass::{Counted, Kind};
use self::recovery::Probes;

pub use self::pass::Pass;
pub use self::settings::Settings;
pub use self::terms::{Barred, Circumstances, Forced, Signal, Snapshot, Transition};

/// The breaker of one target or one endpoint.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    state: State,
    since: Instant,
    /// Counts openings, closings and operators' decisions; a pass of another generation decides nothing.
    generation: u64,
    window: Window,
    /// The probes since the breaker opened.
    probes: Probes,
    successes: u64,
    consecutive_failures: u32,
    /// When the first attempt was cut short after the last success; `None` if none was.
    cut_short_since: Option<Instant>,
    /// How often in a row recovery has failed, which doubles the open time.
    severity: u32,
    opened_total: u64,
    /// Whether the breaker opened because answers broke off. Then the first content of a probe proves nothing.
    broke_off: bool,
    forced: Option<Forced>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

impl Breaker {
    /// A closed breaker that has seen nothing.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            state: State::Closed,
            since: now,
            generation: 0,
            window: Window::new(settings.window, now),
            probes: Probes::default(),
            successes: 0,
            consecutive_failures: 0,
            cut_short_since: None,
            severity: 0,
            opened_total: 0,
            broke_off: false,
            forced: None,
        }
    }

    /// Goes on with other settings. The state and the counts stay; an open breaker keeps the time that it was given.
    pub fn change(&mut self, settings: Settings) {
        self.settings = settings;
        self.window.change(settings.window);
    }

    /// Why an attempt would be refused at this time; `None` if it would be admitted.
    pub fn refuses(&self, now: Instant) -> Option<Barred> {
        match (self.forced(now), self.state) {
            (Some(Forced { closed: true, .. }), _) | (None, State::Closed) => None,
            (
                Some(Forced {
                    closed: false,
                    until,
                }),
                _,
            ) => Some(Barred::Forced(until)),
            (None, State::Open { until }) if until > now => Some(Barred::Open(until)),
            (None, State::Open { .. } | State::HalfOpen) => {
                let needed = self.settings.probe_successes;
                self.probes.awaited(needed, now).map(Barred::Probing)
            }
        }
    }

    /// Whether the breaker has opened and not closed again yet.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether the next attempt would be a probe.
    pub fn would_probe(&self, now: Instant) -> bool {
        self.forced(now).is_none() && self.state != State::Closed && self.refuses(now).is_none()
    }

    /// Admits an attempt.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&mut self, now: Instant) -> Result<Pass, Barred> {
        if let Some(refusal) = self.refuses(now) {
            return Err(refusal);
        }
        let (kind, transition) = match self.would_probe(now) {
            true => self.begin_probe(now),
            false => (Kind::Ordinary, None),
        };
        Ok(self.pass(kind, transition, now))
    }

    /// Admits an attempt although the breaker is open, or half-open with a probe under way.
    ///
    /// # Errors
    /// An operator holds it open.
    pub fn admit_last(&mut self, now: Instant) -> Result<Pass, Barred> {
        match self.refuses(now) {
            None => self.admit(now),
            Some(Barred::Open(_) | Barred::Probing(_)) => {
                let kind = Kind::LastResort(self.probes.next_number());
                Ok(self.pass(kind, None, now))
            }
            Some(forced @ Barred::Forced(_)) => Err(forced),
        }
    }

    fn pass(&self, kind: Kind, transition: Option<Transition>, now: Instant) -> Pass {
        Pass {
            generation: self.generation,
            kind,
            admitted: now,
            counted: Counted::Nothing,
            first_content: None,
            state: self.state(now),
            transition,
        }
    }

    /// Takes in a signal of an attempt.
    pub fn report(
        &mut self,
        pass: &mut Pass,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        if pass.generation != self.generation || self.forced(circumstances.now).is_some() {
            return None;
        }
        match self.state {
            State::Closed => self.count(pass, signal, circumstances),
            State::Open { .. } | State::HalfOpen => self.judge(pass, signal, circumstances),
        }
    }

    /// Its state now, and what it has counted.
    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        let seen = self.window.sums(now);
        Snapshot {
            state: self.state(now),
            since: self.since,
            refuses_until: self.refuses(now).and_then(Barred::until),
            samples: seen.samples,
            failures: seen.failures,
            slow: seen.slow,
            opened_total: self.opened_total,
            forced_until: self.forced(now).and_then(|forced| forced.until),
        }
    }

    fn state(&self, now: Instant) -> BreakerState {
        match (self.forced(now), self.state) {
            (Some(forced), _) => forced.state(),
            (None, State::Closed) => BreakerState::Closed,
            (None, State::Open { .. }) => BreakerState::Open,
            (None, State::HalfOpen) => BreakerState::HalfOpen,
        }
    }

    /// Closes the breaker and forgets its counts.
    fn close(&mut self, now: Instant) {
        self.window = Window::new(self.settings.window, now);
        self.consecutive_failures = 0;
        self.broke_off = false;
        self.generation += 1;
        self.enter(State::Closed, now);
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
        self.cut_short_since = None;
    }
}

#[cfg(test)]
mod tests;
