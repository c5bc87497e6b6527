//! How do calls share one provider's scopes? Behind a lock and with a clock; changes go to watchers and the log.

use std::sync::Arc;

use tokio::sync::futures::Notified;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::sync::{AtomicUsize, Mutex, Notify, Ordering, PoisonError, broadcast};

use super::breaker::{Forced, Snapshot, Transition};
use super::ids::ModelId;
use super::lock::LockSnapshot;
use super::scopes::{Change, News, Notice, Scopes, Settings};
use super::transitions::TransitionCounts;

/// The most calls that wait for a model of one provider at a time.
const MAX_WAITING: usize = 64;

/// A provider's health, shared by all its models.
pub struct ProviderGuard {
    name: String,
    scopes: Mutex<Scopes>,
    changes: broadcast::Sender<BreakerChange>,
    transitions: TransitionCounts,
    /// The number of calls that wait until one of its models may be tried again.
    waiting: AtomicUsize,
    /// Wakes the waiting calls when a probe was judged or has ended, and when a breaker, a lock or a throttle has opened or
    /// closed.
    judged: Notify,
}

/// A change of a breaker's state, or of a lock or a throttle beside it, for watchers.
#[derive(Clone, Debug)]
pub struct BreakerChange {
    /// The provider.
    pub provider: String,
    /// Id of the model; `None` for the provider's endpoint.
    pub target: Option<String>,
    /// What changed. If a lock or a throttle changed, the states before and after are the same.
    pub transition: Transition,
}

impl ProviderGuard {
    /// A provider without models, whose health is unknown. Changes go to `changes`.
    pub(super) fn new(
        name: String,
        settings: Settings,
        changes: broadcast::Sender<BreakerChange>,
        transitions: TransitionCounts,
    ) -> Self {
        Self {
            name,
            scopes: Mutex::new(Scopes::new(settings, Instant::now())),
            changes,
            transitions,
            waiting: AtomicUsize::new(0),
            judged: Notify::new(),
        }
    }

    /// The provider's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ids of its models, in their order.
    pub fn models(&self) -> Vec<ModelId> {
        self.read(None, |scopes, _| scopes.models().cloned().collect())
    }

    /// The state of the endpoint's breaker and what it has counted.
    pub fn snapshot(&self) -> Snapshot {
        self.read(None, |scopes, now| scopes.snapshot(None, now))
    }

    /// Lets an operator's decision replace the endpoint's breaker, or lifts it; false if that changes nothing.
    pub fn force(&self, forced: Option<Forced>) -> bool {
        self.force_breaker(None, forced)
    }

    /// Lets an operator's decision replace the breaker of a model, or of the endpoint for `None`.
    pub(super) fn force_breaker(&self, model: Option<&ModelId>, forced: Option<Forced>) -> bool {
        self.act(model, None, |scopes, now| {
            let change = scopes.force(model, forced, now);
            let changed = change.is_some() || scopes.has_notices();
            (changed, change.into_iter().collect())
        })
    }

    /// The lock of the provider's credential, unless it is open.
    pub fn lock(&self) -> Option<LockSnapshot> {
        self.read(None, |scopes, _| scopes.lock())
    }

    /// Goes on with other settings.
    pub(super) fn change(&self, settings: Settings) {
        self.read(None, |scopes, _| scopes.change(settings));
        // Calls that wait may have been let go by the new settings.
        self.wake_waiting();
    }

    /// Forgets what is known of the credential: another key has replaced it.
    pub fn renew_credential(&self) {
        self.read(None, |scopes, _| scopes.renew_credential());
    }

    /// Ends operators' decisions that have expired, and returns when the next one expires.
    pub fn decision_ends(&self) -> Option<Instant> {
        self.act(None, None, |scopes, now| {
            let changes = scopes.end_decisions(now);
            (scopes.decision_ends(), changes)
        })
    }

    /// Asks the scopes about a model, or about the endpoint for `None`.
    pub(super) fn read<T>(
        &self,
        model: Option<&ModelId>,
        ask: impl FnOnce(&mut Scopes, Instant) -> T,
    ) -> T {
        self.act(model, None, |scopes, now| (ask(scopes, now), Vec::new()))
    }

    /// Runs `act`, which may change the breakers of a model and of the endpoint, and reports the changes. Before that,
    /// operators' decisions on these breakers end if they have expired. `call_id` names the call that acts, for the log.
    pub(super) fn act<T>(
        &self,
        model: Option<&ModelId>,
        call_id: Option<&str>,
        act: impl FnOnce(&mut Scopes, Instant) -> (T, Vec<Change>),
    ) -> T {
        let (outcome, changes, ended, notices) = {
            // No statement of the scopes can panic, so they are consistent.
            let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let mut changes: Vec<_> = scopes.end_decision(None, now).into_iter().collect();
            if model.is_some() {
                changes.extend(scopes.end_decision(model, now));
            }
            // No call ends a decision; it only notices that.
            let ended = changes.len();
            let (outcome, further) = act(&mut scopes, now);
            changes.extend(further);
            for Change { model, transition } in &changes {
                let model = model.as_deref().unwrap_or_default();
                self.transitions.count(&self.name, model, *transition);
            }
            self.notify_watchers(&changes);
            let notices = scopes.take_notices();
            for notice in &notices {
                self.notify_watchers_of(notice, &mut scopes, now);
            }
            (outcome, changes, ended, notices)
        };
        if !changes.is_empty() || !notices.is_empty() {
            self.wake_waiting();
        }
        let (ended, caused) = changes.split_at(ended);
        self.log(ended, None);
        self.log(caused, call_id);
        for notice in notices {
            self.log_notice(&notice, call_id);
        }
        outcome
    }

    /// Wakes the calls that wait for one of its models.
    pub(super) fn wake_waiting(&self) {
        self.judged.notify_waiters();
    }

    /// A place among the calls that wait for one of its models; `None` if too many wait.
    pub(super) fn wait(self: &Arc<Self>) -> Option<Waiting> {
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let provider = Arc::clone(self);
        let waiting = Waiting { provider, ahead };
        (ahead < MAX_WAITING).then_some(waiting)
    }

    /// Sends changes to watchers. Called under the lock, so that watchers see changes in order.
    fn notify_watchers(&self, changes: &[Change]) {
        for change in changes {
            let change = BreakerChange {
                provider: self.name.clone(),
                target: change.model.as_deref().map(str::to_owned),
                transition: change.transition,
            };
            // Sending fails if there are no watchers, which is the normal case.
            let _ = self.changes.send(change);
        }
    }

    /// Sends a change of a lock or a throttle to watchers.
    fn notify_watchers_of(&self, notice: &Notice, scopes: &mut Scopes, now: Instant) {
        let model = match notice.news {
            News::Locked(..) | News::Unlocked(_) => None,
            News::Throttled(_) | News::Unthrottled | News::Pardoned => notice.model.clone(),
        };
        let state = scopes.snapshot(model.as_ref(), now).state;
        let transition = Transition {
            from: state,
            to: state,
            cause: notice.news.cause(),
        };
        self.notify_watchers(&[Change { model, transition }]);
    }

    fn log_notice(&self, Notice { model, news }: &Notice, call_id: Option<&str>) {
        let provider = &self.name;
        let model = model.as_deref();
        let cause = news.cause();
        match news {
            News::Locked(_, wait, times) => warn!(
                provider,
                cause,
                model,
                times,
                call_id,
                seconds = wait.as_secs_f64(),
                "credential locked"
            ),
            News::Unlocked(_) => info!(provider, cause, model, call_id, "credential unlocked"),
            News::Throttled(wait) => info!(
                provider,
                cause,
                model,
                call_id,
                seconds = wait.as_secs_f64(),
                "model throttled"
            ),
            News::Unthrottled => info!(provider, cause, model, call_id, "throttle lifted"),
            News::Pardoned => info!(
                provider,
                cause, model, call_id, "model may be tried once more"
            ),
        }
    }

    fn log(&self, changes: &[Change], call_id: Option<&str>) {
        for change in changes {
            info!(
                provider = self.name,
                model = change.model.as_deref().unwrap_or("(endpoint)"),
                from = change.transition.from.name(),
                to = change.transition.to.name(),
                cause = change.transition.cause,
                call_id,
                "breaker changed state"
            );
        }
    }
}

/// A place among the calls that wait for one of a provider's models to be tried again.
pub struct Waiting {
    provider: Arc<ProviderGuard>,
    ahead: usize,
}

impl Waiting {
    /// How many calls were already waiting when this one began.
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// Waits until a probe of the provider has been judged or has ended, or until a breaker, a lock or a throttle has
    /// opened or closed. The future also completes for changes that happen before it is first polled.
    pub fn next_change(&self) -> Notified<'_> {
        self.provider.judged.notified()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.provider.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
