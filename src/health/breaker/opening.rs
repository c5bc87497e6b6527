//! When does a closed breaker open, and for how long? It counts what attempts report.

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::pass::{Counted, Pass};
use super::recovery::Probes;
use super::{Breaker, Circumstances, Settings, Signal, State, Transition};

/// A breaker that stays closed for this long forgets one failed recovery.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// Open times vary by up to this share, so that instances do not probe together.
const SPREAD: f64 = 0.2;

/// The fewest failures in a row that open a breaker sooner because a healthier alternative exists: fewer may be chance.
const FEWEST_WITH_ALTERNATIVE: u32 = 3;

/// Attempts that callers' limits cut short count as failures once none has succeeded for this long.
const DOUBT: Duration = Duration::from_secs(4);

impl Breaker {
    /// Opens the breaker for a reason from outside, unless it is open or forced.
    pub fn trip(
        &mut self,
        cause: &'static str,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let closed = self.forced(circumstances.now).is_none() && self.state == State::Closed;
        closed.then(|| self.open(cause, None, Duration::ZERO, circumstances))
    }

    /// Counts a signal while closed: at most one sample and one failure for each attempt. Opens if there are too many
    /// failures.
    pub(super) fn count(
        &mut self,
        pass: &mut Pass,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let now = circumstances.now;
        match signal {
            Signal::CutShort { since } if !self.is_in_doubt(since, now) => None,
            Signal::FirstContent { .. } | Signal::Answered => {
                let ended = std::mem::take(&mut self.consecutive_failures);
                self.cut_short_since = None;
                self.successes += 1;
                let seen = self.window.newest(now);
                if pass.counted == Counted::Nothing {
                    seen.samples += 1;
                    let nth = self.successes;
                    pass.counted = Counted::Success { ended, nth };
                }
                if let Signal::FirstContent { slow } = signal {
                    pass.first_content = Some(now);
                    seen.begun += 1;
                    seen.slow += u32::from(slow);
                }
                self.trip_if_slow(circumstances)
            }
            Signal::Stalled | Signal::CutShort { .. } | Signal::Failed { .. } => {
                let seen = self.window.newest(now);
                let broke = pass.first_content.is_some() && matches!(signal, Signal::Failed { .. });
                seen.breaks += u32::from(broke);
                match pass.counted {
                    Counted::Nothing => {
                        seen.samples += 1;
                        seen.failures += 1;
                    }
                    Counted::Success { ended, nth } => {
                        seen.failures += 1;
                        // The answer broke off, so its beginning was no success after all and must not have ended the failures in a
                        // row.
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
                self.broke_off = pass.first_content.is_some()
                    || share(seen.breaks, seen.begun) >= self.settings.break_ratio;
                let retry_after = match signal {
                    Signal::Failed { retry_after } => retry_after,
                    Signal::Stalled
                    | Signal::CutShort { .. }
                    | Signal::FirstContent { .. }
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

    /// Whether attempts have been cut short for [`DOUBT`] without a success: then it may be the target's fault, and not
    /// only the hurry of callers.
    pub(super) fn is_in_doubt(&mut self, silent: Instant, now: Instant) -> bool {
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
        if seen.begun >= min_commits && share(seen.breaks, seen.begun) >= break_ratio {
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

    pub(super) fn failures_in_a_row(&self, busy: bool, alternative: bool) -> u32 {
        let alone = match busy {
            true => self.settings.consecutive_failures_busy,
            false => self.settings.consecutive_failures,
        };
        match alternative {
            true => (alone / 3).max(FEWEST_WITH_ALTERNATIVE).min(alone),
            false => alone,
        }
    }

    pub(super) fn open(
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
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}
