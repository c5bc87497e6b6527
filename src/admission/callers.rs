//! How many calls may one caller have open, and how many may it cancel early, before they are answered?
//!
//! A call that is cancelled before its answer costs its caller nothing, but may cost us money at a provider. So a
//! loop that opens and cancels calls must be bounded. A caller with many calls has reasons to cancel some of
//! them: each answered call and each open call allows one more cancellation. Each scenario
//! is counted separately.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::caller::Caller;
use crate::error::{CallerLimit, Error};

use super::{Phase, Settings};

/// When this many callers are known, those that can be forgotten are removed.
const SWEEP_AT: usize = 1024;

/// When a caller with too many open calls should try again: some of them will have ended by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// All callers that have open calls or have recently cancelled some.
pub(super) struct Callers {
    settings: Settings,
    known: HashMap<Caller, CallerState>,
    sweep_at: usize,
}

#[derive(Default)]
struct CallerState {
    open: usize,
    /// By scenario; empty while cancellations are not limited.
    scenarios: HashMap<Box<str>, Conduct>,
}

/// A caller's calls in one scenario.
#[derive(Default)]
struct Conduct {
    open: usize,
    /// The times of early cancellations that no answer has made up for, oldest first; no more than can matter.
    cancelled: VecDeque<Instant>,
}

/// One open call of a caller; counted out by [`Callers::leave`].
#[derive(Debug)]
pub(super) struct Visit {
    caller: Caller,
    /// Its scenario; `None` while cancellations are not limited.
    scenario: Option<Box<str>>,
}

impl Callers {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            known: HashMap::new(),
            sweep_at: SWEEP_AT,
        }
    }

    /// Goes on with other limits.
    pub(super) fn change(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Counts a call in, unless its caller has reached a limit.
    pub(super) fn enter(
        &mut self,
        caller: Caller,
        scenario: &str,
        now: Instant,
    ) -> Result<Visit, Error> {
        if self.known.len() >= self.sweep_at {
            self.sweep(now);
        }
        let Settings {
            early_cancels,
            early_cancels_window,
            max_inflight_per_caller,
            ..
        } = self.settings;
        let record = self.known.entry(caller).or_default();
        if let Some(conduct) = record.scenarios.get_mut(scenario) {
            conduct.forget(early_cancels_window, now);
            let allowed = early_cancels + conduct.open;
            let beyond = conduct.cancelled.len().checked_sub(allowed);
            if let Some(&oldest) = beyond.and_then(|beyond| conduct.cancelled.get(beyond)) {
                return Err(Error::CallerRateLimited {
                    limit: CallerLimit::EarlyCancellations,
                    retry_after: (oldest + early_cancels_window).saturating_duration_since(now),
                });
            }
        }
        if record.open >= max_inflight_per_caller {
            return Err(Error::CallerRateLimited {
                limit: CallerLimit::OpenCalls,
                retry_after: RETRY_AFTER,
            });
        }
        record.open += 1;
        let limits_cancels = early_cancels > 0;
        let scenario = limits_cancels.then(|| Box::<str>::from(scenario));
        if let Some(scenario) = &scenario {
            record.scenarios.entry(scenario.clone()).or_default().open += 1;
        }
        Ok(Visit { caller, scenario })
    }

    /// Counts a call out that ended in this phase.
    pub(super) fn leave(&mut self, visit: &Visit, phase: Phase, now: Instant) {
        let Entry::Occupied(mut entry) = self.known.entry(visit.caller) else {
            return;
        };
        let record = entry.get_mut();
        record.open = record.open.saturating_sub(1);
        if let Some(scenario) = &visit.scenario
            && let Some(conduct) = record.scenarios.get_mut(scenario)
        {
            conduct.leave(phase, self.settings, now);
            if conduct.open == 0 && conduct.cancelled.is_empty() {
                record.scenarios.remove(scenario);
            }
        }
        if record.open == 0 && record.scenarios.is_empty() {
            entry.remove();
        }
    }

    /// Removes callers that have no open calls and no recent cancellations.
    fn sweep(&mut self, now: Instant) {
        let window = self.settings.early_cancels_window;
        self.known.retain(|_, record| {
            record.scenarios.retain(|_, conduct| {
                conduct.forget(window, now);
                conduct.open > 0 || !conduct.cancelled.is_empty()
            });
            record.open > 0 || !record.scenarios.is_empty()
        });
        self.sweep_at = SWEEP_AT.max(2 * self.known.len());
    }
}

impl Conduct {
    /// Removes cancellations that are older than the window.
    fn forget(&mut self, window: Duration, now: Instant) {
        while let Some(&oldest) = self.cancelled.front()
            && now >= oldest + window
        {
            self.cancelled.pop_front();
        }
    }

    fn leave(&mut self, phase: Phase, settings: Settings, now: Instant) {
        self.open = self.open.saturating_sub(1);
        match phase {
            Phase::Neutral => {}
            Phase::Unanswered => {
                let could_matter = settings.early_cancels + settings.max_inflight_per_caller;
                if self.cancelled.len() >= could_matter {
                    self.cancelled.pop_front();
                }
                self.cancelled.push_back(now);
            }
            Phase::Answered => {
                self.cancelled.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests;
