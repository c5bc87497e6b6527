//! Whether a target may be tried: a circuit breaker as a pure state machine.
//!
//! Closed, it counts; open, it refuses; half-open, it lets one probe through at a time. Every
//! admission is a [`Ticket`] that carries the generation it was given in: what an attempt reports
//! after the breaker has changed its state decides nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

/// When a breaker opens and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Length of the sliding window of samples.
    pub window: Duration,
    /// Samples that the window must hold before a ratio counts.
    pub min_samples: u32,
    /// Share of failures in the window that opens the breaker, above 0 up to 1.
    pub failure_ratio: f64,
    /// Failures in a row that open it while the window holds fewer than `min_samples`.
    pub consecutive_failures: u32,
    /// Failures in a row that open it when the window holds `min_samples` or more.
    pub consecutive_failures_busy: u32,
    /// How long it stays open the first time; doubles with each failed recovery, ±20 %.
    pub open_base: Duration,
    /// The longest it stays open by itself.
    pub open_max: Duration,
    /// The longest that a provider's `Retry-After` can keep it open.
    pub retry_after_max: Duration,
    /// Probes in a row that must succeed to close it.
    pub probe_successes: u32,
    /// How long a probe may take before another is let through.
    pub probe_lease: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(20),
            min_samples: 20,
            failure_ratio: 0.5,
            consecutive_failures: 5,
            consecutive_failures_busy: 15,
            open_base: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            retry_after_max: Duration::from_secs(120),
            probe_successes: 3,
            probe_lease: Duration::from_secs(25),
        }
    }
}

/// A breaker that was healthy for this long forgets one of its failed recoveries.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// The breaker of one target.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    state: State,
    since: Instant,
    /// Counts the state changes; a ticket of another generation decides nothing.
    generation: u64,
    window: Window,
    consecutive_failures: u32,
    /// How often in a row recovery has failed, which doubles the open time.
    severity: u32,
    opened_total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        probe_lease: Option<Instant>,
        successes: u32,
    },
}

/// The right to try a target once. Give every ticket back with [`Breaker::report`].
#[derive(Debug)]
pub struct Ticket {
    generation: u64,
    probe: bool,
    /// What this attempt has already added to the window.
    counted: Counted,
}

impl Ticket {
    /// Whether the attempt tests if a failing target has recovered.
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Counted {
    Nothing,
    Success {
        /// Failures in a row that the success ended.
        ended: u32,
    },
    Failure,
}

/// What an attempt tells the breaker on its way; [`Signal::Released`] at the latest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// Nothing has come for suspiciously long; the attempt goes on.
    Stalled,
    /// The first content has come, or the provider refused for reasons of the request.
    Succeeded,
    /// The attempt failed, be it before or after its first content.
    Failed {
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The provider limits our rate: no failure, but no successful probe either.
    Throttled {
        /// How long the provider asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The attempt has ended without telling anything more, such as by the caller's cancellation.
    Released,
}

/// A change of state, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state after.
    pub to: BreakerState,
    /// Why.
    pub cause: &'static str,
}

/// What a breaker would answer now, and what it has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot {
    /// Its state.
    pub state: BreakerState,
    /// When it came into this state.
    pub since: Instant,
    /// When it lets the next probe through; `None` if it would let an attempt through now.
    pub refuses_until: Option<Instant>,
    /// Samples in the window.
    pub samples: u32,
    /// Failures among them.
    pub failures: u32,
    /// How often it has opened.
    pub opened_total: u64,
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
            consecutive_failures: 0,
            severity: 0,
            opened_total: 0,
        }
    }

    /// Admits an attempt, or says until when there is no use in asking.
    ///
    /// # Errors
    /// The time at which the breaker lets the next attempt through.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Instant> {
        if let Some(until) = self.refuses_until(now) {
            return Err(until);
        }
        if let State::Open { .. } = self.state {
            self.enter(
                State::HalfOpen {
                    probe_lease: None,
                    successes: 0,
                },
                now,
            );
        }
        let probe = if let State::HalfOpen { probe_lease, .. } = &mut self.state {
            if probe_lease
                .replace(now + self.settings.probe_lease)
                .is_some()
            {
                self.generation += 1; // the probe before has outlived its lease and decides nothing any more
            }
            true
        } else {
            false
        };
        Ok(Ticket {
            generation: self.generation,
            probe,
            counted: Counted::Nothing,
        })
    }

    /// Takes in what an attempt has to tell. `jitter`, 0 to 1, spreads the open times.
    pub fn report(
        &mut self,
        ticket: &mut Ticket,
        signal: Signal,
        now: Instant,
        jitter: f64,
    ) -> Option<Transition> {
        if ticket.generation != self.generation {
            return None;
        }
        match self.state {
            State::Closed => self.count(ticket, signal, now, jitter),
            State::HalfOpen { successes, .. } => self.judge(ticket, signal, successes, now, jitter),
            State::Open { .. } => None, // no ticket is given while open
        }
    }

    /// What it would answer now, and what it has seen.
    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        let (samples, failures) = self.window.sums(now);
        Snapshot {
            state: self.state(),
            since: self.since,
            refuses_until: self.refuses_until(now),
            samples,
            failures,
            opened_total: self.opened_total,
        }
    }

    fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn refuses_until(&self, now: Instant) -> Option<Instant> {
        let until = match self.state {
            State::Closed => None,
            State::Open { until } => Some(until),
            State::HalfOpen { probe_lease, .. } => probe_lease,
        };
        until.filter(|until| *until > now)
    }

    /// Closed: adds at most one sample and one failure for each attempt, and opens if they are too many.
    fn count(
        &mut self,
        ticket: &mut Ticket,
        signal: Signal,
        now: Instant,
        jitter: f64,
    ) -> Option<Transition> {
        match signal {
            Signal::Succeeded => {
                let ended = std::mem::take(&mut self.consecutive_failures);
                if ticket.counted == Counted::Nothing {
                    self.window.add(1, 0, now);
                    ticket.counted = Counted::Success { ended };
                }
                None
            }
            Signal::Stalled | Signal::Failed { .. } => {
                match ticket.counted {
                    Counted::Nothing => self.window.add(1, 1, now),
                    Counted::Success { ended } => {
                        self.window.add(0, 1, now);
                        // An answer that breaks off has ended no row of failures.
                        self.consecutive_failures = self.consecutive_failures.max(ended);
                    }
                    Counted::Failure => return None,
                }
                ticket.counted = Counted::Failure;
                self.consecutive_failures += 1;
                let cause = self.trip_cause(now)?;
                let retry_after = match signal {
                    Signal::Failed { retry_after } => retry_after,
                    Signal::Stalled
                    | Signal::Succeeded
                    | Signal::Throttled { .. }
                    | Signal::Released => None,
                };
                Some(self.open(cause, retry_after, now, jitter))
            }
            Signal::Throttled { .. } | Signal::Released => None,
        }
    }

    /// Half-open: the probe decides, at its first content and not at its end.
    fn judge(
        &mut self,
        ticket: &mut Ticket,
        signal: Signal,
        successes: u32,
        now: Instant,
        jitter: f64,
    ) -> Option<Transition> {
        match signal {
            Signal::Succeeded if ticket.counted == Counted::Nothing => {
                ticket.counted = Counted::Success { ended: 0 };
                let successes = successes + 1;
                if successes < self.settings.probe_successes {
                    self.state = State::HalfOpen {
                        probe_lease: None,
                        successes,
                    };
                    return None;
                }
                let from = self.state();
                self.window = Window::new(self.settings.window, now);
                self.consecutive_failures = 0;
                self.enter(State::Closed, now);
                Some(Transition {
                    from,
                    to: BreakerState::Closed,
                    cause: "probes_succeeded",
                })
            }
            Signal::Succeeded => None,
            Signal::Stalled => Some(self.open("probe_stalled", None, now, jitter)),
            Signal::Failed { retry_after } => {
                Some(self.open("probe_failed", retry_after, now, jitter))
            }
            Signal::Throttled { retry_after } => {
                Some(self.open("probe_throttled", retry_after, now, jitter))
            }
            Signal::Released => {
                // A probe that has already succeeded gave its place back then; the place may be another's.
                if ticket.counted == Counted::Nothing {
                    self.state = State::HalfOpen {
                        probe_lease: None,
                        successes,
                    };
                }
                None
            }
        }
    }

    fn trip_cause(&mut self, now: Instant) -> Option<&'static str> {
        let (samples, failures) = self.window.sums(now);
        let busy = samples >= self.settings.min_samples;
        let in_a_row = if busy {
            self.settings.consecutive_failures_busy
        } else {
            self.settings.consecutive_failures
        };
        if self.consecutive_failures >= in_a_row {
            return Some("consecutive_failures");
        }
        if busy && f64::from(failures) >= self.settings.failure_ratio * f64::from(samples) {
            return Some("failure_ratio");
        }
        None
    }

    fn open(
        &mut self,
        cause: &'static str,
        retry_after: Option<Duration>,
        now: Instant,
        jitter: f64,
    ) -> Transition {
        let from = self.state();
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
            .mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
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
        self.generation += 1;
    }
}

const BUCKETS: u32 = 10;

/// Samples of the last while, in buckets that are emptied as time goes on.
#[derive(Debug)]
struct Window {
    buckets: [(u32, u32); BUCKETS as usize],
    bucket_length: Duration,
    newest: usize,
    newest_began: Instant,
}

impl Window {
    fn new(length: Duration, now: Instant) -> Self {
        let bucket_length = (length / BUCKETS).max(Duration::from_millis(1));
        Self {
            buckets: Default::default(),
            bucket_length,
            newest: 0,
            newest_began: now,
        }
    }

    fn add(&mut self, samples: u32, failures: u32, now: Instant) {
        self.advance(now);
        let bucket = &mut self.buckets[self.newest];
        bucket.0 = bucket.0.saturating_add(samples);
        bucket.1 = bucket.1.saturating_add(failures);
    }

    /// Samples and failures. A failure may be found later than its attempt was counted, in a newer
    /// bucket, so there are never taken to be more failures than samples.
    fn sums(&mut self, now: Instant) -> (u32, u32) {
        self.advance(now);
        let sum = |sums: (u32, u32), bucket: &(u32, u32)| {
            (
                sums.0.saturating_add(bucket.0),
                sums.1.saturating_add(bucket.1),
            )
        };
        let (samples, failures) = self.buckets.iter().fold((0, 0), sum);
        (samples, failures.min(samples))
    }

    fn advance(&mut self, now: Instant) {
        let mut steps = 0;
        while now.saturating_duration_since(self.newest_began) >= self.bucket_length {
            if steps == BUCKETS {
                self.newest_began = now;
                return;
            }
            self.newest = (self.newest + 1) % BUCKETS as usize;
            self.buckets[self.newest] = (0, 0);
            self.newest_began += self.bucket_length;
            steps += 1;
        }
    }
}

#[cfg(test)]
mod tests;
