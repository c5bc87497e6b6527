//! Whether a target may be tried: a circuit breaker as a pure state machine.
//!
//! Closed, it counts; open, it refuses; half-open, it lets one probe through at a time. Every
//! admission is a [`Ticket`] that carries the generation it was given in: what an attempt reports
//! after the breaker has changed its state decides nothing.

mod settings;
mod terms;

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::window::Window;

pub use self::settings::Settings;
pub use self::terms::{Circumstances, Forced, Refusal, Signal, Snapshot, Transition};

/// A breaker that was healthy for this long forgets one of its failed recoveries.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// How long a target is given the benefit of the doubt while limits of callers cut attempts short.
const DOUBT: Duration = Duration::from_secs(4);

/// The breaker of one target or one endpoint.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    state: State,
    since: Instant,
    /// Counts the state changes; a ticket of another generation decides nothing.
    generation: u64,
    window: Window,
    successes: u64,
    consecutive_failures: u32,
    /// Since when attempts are cut short that are followed by no success.
    cut_short_since: Option<Instant>,
    /// How often in a row recovery has failed, which doubles the open time.
    severity: u32,
    opened_total: u64,
    /// Whether it opened when an answer broke off: the first content of a probe proves nothing then.
    broke_off: bool,
    forced: Option<Forced>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        probe: Option<Probe>,
        successes: u32,
    },
}

/// A probe that has not been judged yet.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Probe {
    /// When another is let through.
    lease: Instant,
    /// Whether its first content has come.
    begun: bool,
}

/// The right to try a target once. Give every ticket back with [`Breaker::report`].
#[derive(Debug)]
pub struct Ticket {
    generation: u64,
    /// What this attempt has already added to the window.
    counted: Counted,
    committed: bool,
    /// The state that it was given in.
    state: BreakerState,
    /// What its admission changed.
    transition: Option<Transition>,
}

impl Ticket {
    /// Whether the attempt tests if a failing target has recovered.
    pub fn is_probe(&self) -> bool {
        self.state == BreakerState::HalfOpen
    }

    /// The state that it was given in.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// What its admission changed, once.
    pub fn take_transition(&mut self) -> Option<Transition> {
        self.transition.take()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Counted {
    Nothing,
    Success {
        /// Failures in a row that the success ended.
        ended: u32,
        /// How many successes there were with it.
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
    pub fn refuses(&self, now: Instant) -> Option<Refusal> {
        match (self.forced(now), self.state) {
            (Some(Forced { closed: true, .. }), _) | (None, State::Closed) => None,
            (
                Some(Forced {
                    closed: false,
                    until,
                }),
                _,
            ) => Some(Refusal::Forced(until)),
            (None, State::Open { until }) => (until > now).then_some(Refusal::Open(until)),
            (None, State::HalfOpen { probe, .. }) => {
                let lease = probe?.lease;
                (lease > now).then_some(Refusal::Probing(lease))
            }
        }
    }

    /// Whether it has opened and not yet closed again.
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
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Refusal> {
        if let Some(refusal) = self.refuses(now) {
            return Err(refusal);
        }
        let transition = match self.would_probe(now) {
            true => self.begin_probe(now),
            false => None,
        };
        Ok(Ticket {
            generation: self.generation,
            counted: Counted::Nothing,
            committed: false,
            state: self.state(now),
            transition,
        })
    }

    fn begin_probe(&mut self, now: Instant) -> Option<Transition> {
        let lease = now + self.settings.probe_lease;
        let begun = false;
        let own = Probe { lease, begun };
        if let State::HalfOpen { probe, successes } = &mut self.state {
            if let Some(before) = probe.replace(own) {
                // It has outlived its lease and decides nothing any more.
                *successes += u32::from(before.begun);
                self.generation += 1;
            }
            return None;
        }
        let from = self.state(now);
        self.enter(
            State::HalfOpen {
                probe: Some(own),
                successes: 0,
            },
            now,
        );
        Some(Transition {
            from,
            to: BreakerState::HalfOpen,
            cause: "probe_due",
        })
    }

    /// Takes in what an attempt has to tell.
    pub fn report(
        &mut self,
        ticket: &mut Ticket,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        if ticket.generation != self.generation || self.forced(circumstances.now).is_some() {
            return None;
        }
        match self.state {
            State::Closed => self.count(ticket, signal, circumstances),
            State::HalfOpen { successes, .. } => {
                self.judge(ticket, signal, successes, circumstances)
            }
            State::Open { .. } => None, // no ticket is given while open
        }
    }

    /// Opens it for reasons that lie outside of it, unless it is open already.
    pub fn trip(
        &mut self,
        cause: &'static str,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let closed = self.forced(circumstances.now).is_none() && self.state == State::Closed;
        closed.then(|| self.open(cause, None, circumstances))
    }

    /// Puts an operator's decision in the place of its own, or lifts it. What it has seen is
    /// forgotten, unless it was to be left to itself, was so already, and is closed.
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
            // Though it may be over already, its end is told after it.
            to: forced.map_or(BreakerState::Closed, Forced::state),
            cause: "operator",
        })
    }

    /// When the operator's decision ends, where there is one with an end.
    pub fn decision_ends(&self) -> Option<Instant> {
        self.forced.and_then(|forced| forced.until)
    }

    /// Ends the operator's decision if its time is over.
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

    /// What it would answer now, and what it has seen.
    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        let seen = self.window.sums(now);
        Snapshot {
            state: self.state(now),
            since: self.since,
            refuses_until: self.refuses(now).and_then(Refusal::until),
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
            (None, State::HalfOpen { .. }) => BreakerState::HalfOpen,
        }
    }

    /// Closed: adds at most one sample and one failure for each attempt, and opens if they are too many.
    fn count(
        &mut self,
        ticket: &mut Ticket,
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
                if ticket.counted == Counted::Nothing {
                    seen.samples += 1;
                    let nth = self.successes;
                    ticket.counted = Counted::Success { ended, nth };
                }
                if let Signal::Committed { slow } = signal {
                    ticket.committed = true;
                    seen.commits += 1;
                    seen.slow += u32::from(slow);
                }
                self.trip_if_slow(circumstances)
            }
            Signal::Stalled | Signal::CutShort { .. } | Signal::Failed { .. } => {
                let seen = self.window.newest(now);
                let broke = ticket.committed && matches!(signal, Signal::Failed { .. });
                seen.breaks += u32::from(broke);
                match ticket.counted {
                    Counted::Nothing => {
                        seen.samples += 1;
                        seen.failures += 1;
                    }
                    Counted::Success { ended, nth } => {
                        seen.failures += 1;
                        // An answer that breaks off has ended no row of failures, unless others did.
                        if nth == self.successes {
                            self.consecutive_failures += ended;
                        }
                    }
                    Counted::Failure => return None,
                }
                ticket.counted = Counted::Failure;
                self.consecutive_failures += 1;
                let cause = self.trip_cause(circumstances)?;
                let seen = self.window.sums(now);
                self.broke_off = ticket.committed
                    || share(seen.breaks, seen.commits) >= self.settings.break_ratio;
                let retry_after = match signal {
                    Signal::Failed { retry_after } => retry_after,
                    Signal::Stalled
                    | Signal::CutShort { .. }
                    | Signal::Committed { .. }
                    | Signal::Answered
                    | Signal::Completed
                    | Signal::Throttled { .. }
                    | Signal::Released => None,
                };
                Some(self.open(cause, retry_after, circumstances))
            }
            Signal::Completed | Signal::Throttled { .. } | Signal::Released => None,
        }
    }

    /// Half-open: the probe decides, at its first content and not at its end, unless it is the end
    /// that answers did not come to.
    fn judge(
        &mut self,
        ticket: &mut Ticket,
        signal: Signal,
        successes: u32,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let judged = ticket.counted != Counted::Nothing;
        ticket.committed |= matches!(signal, Signal::Committed { .. });
        match signal {
            Signal::Committed { .. } | Signal::Answered | Signal::Completed if judged => None,
            Signal::Committed { .. } if self.broke_off => {
                if let State::HalfOpen {
                    probe: Some(probe), ..
                } = &mut self.state
                {
                    probe.begun = true;
                }
                // Those before may have been enough.
                self.close_after(successes, circumstances.now)
            }
            // A refusal tells nothing of answers that break off.
            Signal::Answered if self.broke_off => None,
            Signal::Committed { .. } | Signal::Answered | Signal::Completed => {
                ticket.counted = Counted::Success { ended: 0, nth: 0 };
                self.cut_short_since = None;
                self.await_probe(successes + 1);
                self.close_after(successes + 1, circumstances.now)
            }
            Signal::Stalled => Some(self.open("probe_stalled", None, circumstances)),
            Signal::CutShort { since } => self
                .is_in_doubt(since, circumstances.now)
                .then(|| self.open("probe_cut_short", None, circumstances)),
            Signal::Failed { retry_after } => {
                self.broke_off |= ticket.committed;
                Some(self.open("probe_failed", retry_after, circumstances))
            }
            Signal::Throttled { retry_after } => {
                Some(self.open("probe_throttled", retry_after, circumstances))
            }
            Signal::Released => {
                // A probe that has already succeeded gave its place back then; the place may be another's.
                if !judged {
                    self.await_probe(successes);
                }
                None
            }
        }
    }

    /// Half-open: lets the next probe through.
    fn await_probe(&mut self, successes: u32) {
        self.state = State::HalfOpen {
            probe: None,
            successes,
        };
    }

    /// Half-open: closes if so many probes that have succeeded are enough.
    fn close_after(&mut self, successes: u32, now: Instant) -> Option<Transition> {
        if successes < self.settings.probe_successes {
            return None;
        }
        let from = self.state(now);
        self.close(now);
        Some(Transition {
            from,
            to: BreakerState::Closed,
            cause: "probes_succeeded",
        })
    }

    /// Closes it, and forgets what it has seen.
    fn close(&mut self, now: Instant) {
        self.window = Window::new(self.settings.window, now);
        self.consecutive_failures = 0;
        self.broke_off = false;
        self.enter(State::Closed, now);
    }

    /// Whether attempts have been cut short for so long without a success that it may be the target's
    /// fault: that a caller is in a hurry says nothing about a target.
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
        slow.then(|| self.open("slow_first_content", None, circumstances))
    }

    fn failures_in_a_row(&self, busy: bool, alternative: bool) -> u32 {
        match (busy, alternative) {
            (false, false) => self.settings.consecutive_failures,
            (true, false) => self.settings.consecutive_failures_busy,
            (false, true) => self.settings.consecutive_failures_with_alternative,
            (true, true) => self.settings.consecutive_failures_busy_with_alternative,
        }
    }

    fn open(
        &mut self,
        cause: &'static str,
        retry_after: Option<Duration>,
        circumstances: Circumstances,
    ) -> Transition {
        let Circumstances { now, jitter, .. } = circumstances;
        let from = self.state(now);
        if from == BreakerState::Closed {
            let forgiven = now.duration_since(self.since).as_secs() / FORGIVEN_AFTER.as_secs();
            self.severity = self
                .severity
                .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        }
        let doubled = self
            .settings
            .open_base
            .saturating_mul(1 << self.severity.min(16));
        let spread = doubled
            .min(self.settings.open_max)
            .mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
            .min(self.settings.open_max);
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
        self.generation += 1;
    }
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

#[cfg(test)]
mod tests;
