//! May a target be tried? A circuit breaker as a pure state machine.
//!
//! Closed, it counts; open, it refuses; half-open, it lets probes through: one at a time until one has
//! succeeded, then as many at a time as must still succeed. A probe that takes longer than its lease does
//! not keep the next one waiting, but its outcome still counts. A last resort is sent although the breaker is
//! open; its outcome counts like that of a probe.
//!
//! Every admission is a [`Pass`] of the generation it was given in. A new generation begins when the
//! breaker opens, closes or is forced; from then on passes of older generations decide nothing.

mod recovery;
mod settings;
mod terms;

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::window::Window;

use self::recovery::Probes;

pub use self::settings::Settings;
pub use self::terms::{Barred, Circumstances, Forced, Signal, Snapshot, Transition};

/// A breaker that stays closed for this long forgets one failed recovery.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// Open times vary by up to this share, so that instances do not probe together.
const SPREAD: f64 = 0.2;

/// The fewest failures in a row that open a breaker sooner because a healthier alternative exists: fewer may be chance.
const FEWEST_WITH_ALTERNATIVE: u32 = 3;

/// How long attempts that callers' limits cut short are not held against a target, if none succeeds meanwhile.
const DOUBT: Duration = Duration::from_secs(4);

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
    /// When the first of the attempts was cut short that no success has followed.
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

/// The right to try a target once. Give every pass back with [`Breaker::report`].
#[derive(Debug)]
pub struct Pass {
    generation: u64,
    kind: Kind,
    admitted: Instant,
    /// How the attempt has already been counted.
    counted: Counted,
    /// When the first content came.
    committed: Option<Instant>,
    /// The breaker's state at admission.
    state: BreakerState,
    /// What the admission changed.
    transition: Option<Transition>,
}

/// What an attempt is to the breaker that admits it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// The breaker was closed, or forced closed.
    Ordinary,
    /// A test whether a failing target has recovered, with its number.
    Probe(u64),
    /// Sent although the breaker is open, with its number among the probes.
    LastResort(u64),
}

impl Kind {
    /// The number that orders probes and last resorts; 0 for an ordinary attempt.
    fn number(self) -> u64 {
        match self {
            Self::Ordinary => 0,
            Self::Probe(number) | Self::LastResort(number) => number,
        }
    }
}

impl Pass {
    /// Whether the attempt was let through to test if a failing target has recovered.
    pub fn is_probe(&self) -> bool {
        matches!(self.kind, Kind::Probe(_))
    }

    /// Whether the outcome of the attempt shows if a failing target has recovered, as for a probe or a last resort.
    pub fn tells_recovery(&self) -> bool {
        self.kind != Kind::Ordinary
    }

    /// The breaker's state at admission.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// What the admission changed. Only the first call returns it.
    pub fn take_transition(&mut self) -> Option<Transition> {
        self.transition.take()
    }

    /// Whether content has been coming for this long.
    fn has_lasted(&self, long: Duration, now: Instant) -> bool {
        let began = self.committed;
        began.is_some_and(|began| now.duration_since(began) >= long)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Counted {
    Nothing,
    Success {
        /// Failures in a row that the success ended.
        ended: u32,
        /// The number of successes so far, with this one.
        nth: u64,
    },
    Failure,
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
            committed: None,
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

    /// Opens the breaker for a reason from outside, unless it is open or forced.
    pub fn trip(
        &mut self,
        cause: &'static str,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let closed = self.forced(circumstances.now).is_none() && self.state == State::Closed;
        closed.then(|| self.open(cause, None, Duration::ZERO, circumstances))
    }

    /// Replaces the breaker's own decision by an operator's, or lifts that. Either way the counts are forgotten and the
    /// breaker closes; lifting changes nothing if the breaker is closed and not forced.
    pub fn force(&mut self, forced: Option<Forced>, now: Instant) -> Option<Transition> {
        let from = self.state(now);
        if forced.is_none() && from == BreakerState::Closed {
            return None;
        }
        self.forced = forced;
        self.severity = 0;
        self.close(now);
        Some(Transition {
            from,
            // Even if the decision has already expired: its end is reported afterwards.
            to: forced.map_or(BreakerState::Closed, Forced::state),
            cause: "operator",
        })
    }

    /// When the operator's decision ends, if there is one that has an end.
    pub fn decision_ends(&self) -> Option<Instant> {
        self.forced.and_then(|forced| forced.until)
    }

    /// Ends the operator's decision if it has expired.
    pub fn end_decision(&mut self, now: Instant) -> Option<Transition> {
        let end = self.decision_ends().filter(|end| *end <= now)?;
        let from = self.forced.take()?.state();
        self.since = end;
        Some(Transition {
            from,
            to: self.state(now),
            cause: "decision_ended",
        })
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

    fn forced(&self, now: Instant) -> Option<Forced> {
        self.forced
            .filter(|forced| forced.until.is_none_or(|until| until > now))
    }

    fn state(&self, now: Instant) -> BreakerState {
        match (self.forced(now), self.state) {
            (Some(forced), _) => forced.state(),
            (None, State::Closed) => BreakerState::Closed,
            (None, State::Open { .. }) => BreakerState::Open,
            (None, State::HalfOpen) => BreakerState::HalfOpen,
        }
    }

    /// Counts a signal while closed: at most one sample and one failure for each attempt. Opens if there are too many
    /// failures.
    fn count(
        &mut self,
        pass: &mut Pass,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let now = circumstances.now;
        match signal {
            Signal::CutShort { since } if !self.is_in_doubt(since, now) => None,
            Signal::Committed { .. } | Signal::Answered => {
                let ended = std::mem::take(&mut self.consecutive_failures);
                self.cut_short_since = None;
                self.successes += 1;
                let seen = self.window.newest(now);
                if pass.counted == Counted::Nothing {
                    seen.samples += 1;
                    let nth = self.successes;
                    pass.counted = Counted::Success { ended, nth };
                }
                if let Signal::Committed { slow } = signal {
                    pass.committed = Some(now);
                    seen.commits += 1;
                    seen.slow += u32::from(slow);
                }
                self.trip_if_slow(circumstances)
            }
            Signal::Stalled | Signal::CutShort { .. } | Signal::Failed { .. } => {
                let seen = self.window.newest(now);
                let broke = pass.committed.is_some() && matches!(signal, Signal::Failed { .. });
                seen.breaks += u32::from(broke);
                match pass.counted {
                    Counted::Nothing => {
                        seen.samples += 1;
                        seen.failures += 1;
                    }
                    Counted::Success { ended, nth } => {
                        seen.failures += 1;
                        // The answer broke off, so it is no success: its beginning did not end the row of failures.
                        if nth == self.successes {
                            self.consecutive_failures += ended;
                        }
                    }
                    Counted::Failure => return None,
                }
                pass.counted = Counted::Failure;
                self.consecutive_failures += 1;
                let cause = self.trip_cause(circumstances)?;
                let seen = self.window.sums(now);
                self.broke_off = pass.committed.is_some()
                    || share(seen.breaks, seen.commits) >= self.settings.break_ratio;
                let retry_after = match signal {
                    Signal::Failed { retry_after } => retry_after,
                    Signal::Stalled
                    | Signal::CutShort { .. }
                    | Signal::Committed { .. }
                    | Signal::Progressed
                    | Signal::Answered
                    | Signal::Completed
                    | Signal::Throttled { .. }
                    | Signal::Released => None,
                };
                Some(self.open(cause, retry_after, Duration::ZERO, circumstances))
            }
            Signal::Progressed
            | Signal::Completed
            | Signal::Throttled { .. }
            | Signal::Released => None,
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

    /// Whether attempts have been cut short for so long, without a success, that it may be the target's fault and not
    /// only the hurry of callers.
    fn is_in_doubt(&mut self, silent: Instant, now: Instant) -> bool {
        let since = *self.cut_short_since.get_or_insert(silent);
        now.duration_since(since) >= DOUBT
    }

    fn trip_cause(&mut self, circumstances: Circumstances) -> Option<&'static str> {
        let Settings {
            min_samples,
            min_commits,
            break_ratio,
            ..
        } = self.settings;
        let seen = self.window.sums(circumstances.now);
        let busy = seen.samples >= min_samples;
        if self.consecutive_failures
            >= self.failures_in_a_row(busy, circumstances.healthier_alternative)
        {
            return Some("consecutive_failures");
        }
        if busy && share(seen.failures, seen.samples) >= self.settings.failure_ratio {
            return Some("failure_ratio");
        }
        let affordable = circumstances.healthier_alternative && circumstances.retry_ratio > 0.0;
        if busy && affordable && share(seen.failures, seen.samples) >= circumstances.retry_ratio {
            return Some("retry_ratio");
        }
        if seen.commits >= min_commits && share(seen.breaks, seen.commits) >= break_ratio {
            return Some("stream_breaks");
        }
        None
    }

    fn trip_if_slow(&mut self, circumstances: Circumstances) -> Option<Transition> {
        let seen = self.window.sums(circumstances.now);
        let slow = seen.samples >= self.settings.min_samples
            && share(seen.slow, seen.samples) >= self.settings.slow_ratio
            && circumstances.healthier_alternative;
        slow.then(|| self.open("slow_first_content", None, Duration::ZERO, circumstances))
    }

    fn failures_in_a_row(&self, busy: bool, alternative: bool) -> u32 {
        let alone = match busy {
            true => self.settings.consecutive_failures_busy,
            false => self.settings.consecutive_failures,
        };
        match alternative {
            true => (alone / 3).max(FEWEST_WITH_ALTERNATIVE).min(alone),
            false => alone,
        }
    }

    fn open(
        &mut self,
        cause: &'static str,
        retry_after: Option<Duration>,
        took: Duration,
        circumstances: Circumstances,
    ) -> Transition {
        let Circumstances { now, jitter, .. } = circumstances;
        let from = self.state(now);
        if from == BreakerState::Closed {
            let forgiven = now.duration_since(self.since).as_secs() / FORGIVEN_AFTER.as_secs();
            self.severity = self
                .severity
                .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
            self.probes = Probes::default();
            self.generation += 1;
        }
        let doubled = self
            .settings
            .open_base
            .saturating_mul(1 << self.severity.min(16));
        let spread = doubled
            .min(self.settings.open_max.div_f64(1.0 + SPREAD))
            .mul_f64(1.0 - SPREAD + 2.0 * SPREAD * jitter.clamp(0.0, 1.0));
        // The open time counts from the sending of the probe that failed, up to half of it.
        let spread = spread - took.min(spread / 2);
        let asked = retry_after
            .unwrap_or_default()
            .min(self.settings.retry_after_max);
        self.severity = self.severity.saturating_add(1);
        self.opened_total += 1;
        self.enter(
            State::Open {
                until: now + spread.max(asked),
            },
            now,
        );
        Transition {
            from,
            to: BreakerState::Open,
            cause,
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
        self.cut_short_since = None;
    }
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

#[cfg(test)]
mod tests;
