//! What does a call do if every target that could answer is closed off? It waits for one that may soon be tried again.
//!
//! An open breaker, a rate limit and a short lock end by themselves, and a probe that is under way soon shows whether
//! its target has recovered. A call that has started no attempt, or only a last resort, waits for that, no longer than
//! it would wait to try a failed target again. The number of waiting calls is limited, and they hold no permit. After
//! the wait, a call goes through its plan once more. One of the waiting calls becomes the probe; the others wait for
//! its outcome.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::dispatch::tokens::TokenHold;
use crate::error::Error;
use crate::health::guard::Guard;
use crate::health::provider::Waiting;
use crate::health::scopes::Refusal;
use crate::telemetry::observe::{CallWait, ObservedCall};

use super::{Admitted, Plan};

/// The least pause of a call before it looks at its targets again, so that it never spins.
const LEAST: Duration = Duration::from_millis(1);

/// Calls that wait for the same provider go on this far apart.
const SPACING: Duration = Duration::from_millis(10);

/// A call's wait for closed targets.
struct Wait {
    /// When the call gives up.
    limit: Instant,
    /// Records in the trail before the wait.
    records: usize,
    /// Whether it has given up, and looks at its targets for the last time.
    is_over: bool,
}

/// When a closed target may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Now,
    /// Then, unless something changes before.
    At(Instant),
    /// Once a probe has been judged.
    AfterProbe,
}

impl Plan {
    /// Finds the next target that may be tried, and waits for one if all are closed off.
    ///
    /// # Errors
    /// The call's error: its time is up, or no target is left.
    pub(in crate::dispatch) async fn find_target(
        &mut self,
        tokens: &mut TokenHold,
        call: &mut ObservedCall,
    ) -> Result<Admitted, Error> {
        match self.next_target(tokens) {
            // Boxed, since it is rare, and every call would hold the memory for it.
            Err(error) => {
                call.waits_for(CallWait::Pause);
                let found = Box::pin(self.wait_for_target(tokens, error)).await;
                call.goes_on();
                found
            }
            admitted => admitted,
        }
    }

    /// Waits for a closed target until one is admitted or the call has waited long enough.
    ///
    /// # Errors
    /// `error` if there is nothing to wait for, else the error after the wait.
    async fn wait_for_target(
        &mut self,
        tokens: &mut TokenHold,
        mut error: Error,
    ) -> Result<Admitted, Error> {
        let now = Instant::now();
        let may_wait = self.cursor.failures().next().is_none() || self.cursor.is_at_last_resort();
        if !may_wait || !self.has_room(now) {
            return Err(error);
        }
        let mut wait = Wait {
            limit: now + self.longest_wait(now),
            records: self.trail.attempts.len(),
            is_over: false,
        };
        let Some((_, first)) = self.first_due(wait.limit) else {
            return Err(error);
        };
        let Some(waiting) = first.wait() else {
            return Err(error);
        };
        // After a last resort, the next attempt takes a token. A call that gets none must not wait for nothing.
        if self.cursor.started() > 0 && !tokens.hold(1) {
            return Err(error);
        }
        while !wait.is_over && self.first_due(wait.limit).is_some() {
            wait.is_over = !self.is_due_in_time(&waiting, wait.limit).await;
            // Records of targets that were made during the wait are out of date.
            self.trail.attempts.truncate(wait.records);
            self.cursor.rewind();
            match self.next_target(tokens) {
                Ok(admitted) => return Ok(admitted),
                Err(later) => error = later,
            }
        }
        Err(error)
    }

    /// Waits until a target can probably be tried; false if that lasts beyond `limit`.
    async fn is_due_in_time(&self, waiting: &Waiting, limit: Instant) -> bool {
        let pause = pause_behind(waiting.ahead(), fastrand::f64());
        let mut has_paused = false;
        while Instant::now() < limit {
            let verdict = waiting.next_change();
            let Some((due, _)) = self.first_due(limit) else {
                return false;
            };
            match due {
                Due::Now if has_paused => return true,
                Due::Now => {
                    sleep_until(limit.min(Instant::now() + pause)).await;
                    has_paused = true;
                }
                Due::At(then) => {
                    has_paused = false;
                    // Look at the targets again, whether the time or a verdict ended the wait.
                    let _ = timeout_at(then, verdict).await;
                }
                Due::AfterProbe => {
                    has_paused = false;
                    let _ = timeout_at(limit, verdict).await;
                }
            }
        }
        false
    }

    /// How long the call waits: as long as before it tries a failed target again.
    fn longest_wait(&self, now: Instant) -> Duration {
        let time = &self.limits.time;
        let usual = time.longest_wait(now);
        match self.route.scenario.retry_first {
            Some(policy) => usual.max(policy.longest_wait.min(time.half_of_what_is_left(now))),
            None => usual,
        }
    }

    /// Which target may be tried first, and when. Targets that need more than time or a probe are left out.
    fn first_due(&self, limit: Instant) -> Option<(Due, &Guard)> {
        let due = |guard: &Guard| match guard.refuses() {
            None => Some(Due::Now),
            Some(Refusal::Probing) => Some(Due::AfterProbe),
            Some(
                Refusal::Model(until)
                | Refusal::Endpoint(until)
                | Refusal::Rate(until)
                | Refusal::Credential(Some(until), _),
            ) => (until < limit).then_some(Due::At(until)),
            // It is not known when attempts end, when an operator decides, or what the probe of a key will show.
            Some(Refusal::Busy | Refusal::Credential(None, _) | Refusal::Operator(_)) => None,
        };
        let targets = self.route.targets.iter().enumerate();
        // No wait makes a target cheaper.
        let able = targets.filter(|(position, guarded)| {
            !self.spending.cannot_afford(*position) && self.could_answer(&guarded.target)
        });
        let due = able.filter_map(|(_, guarded)| Some((due(&guarded.health)?, &*guarded.health)));
        due.min_by_key(|(due, _)| *due)
    }
}

/// How long a call pauses before it looks at a target that may be tried again, so that the calls `ahead` of it look
/// first. `draw` is drawn from 0 to 1.
fn pause_behind(ahead: usize, draw: f64) -> Duration {
    SPACING.mul_f64(ahead as f64 * (0.5 + draw)).max(LEAST)
}

#[cfg(test)]
mod tests;
