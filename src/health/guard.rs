//! A target behind its provider's scopes: their locked, clocked and logged shell.

use std::sync::Arc;

use tokio::sync::futures::Notified;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::UpstreamError;
use crate::sync::{AtomicUsize, Mutex, Notify, Ordering, PoisonError, broadcast};
use crate::trail::{BreakerState, ClosedOff, Skip};

use super::breaker::{Circumstances, Forced, Snapshot, Transition};
use super::lock::{self, Cause};
use super::scopes::{Change, News, Notice, Refusal, Scopes, Settings, Ticket};
use crate::dispatch::target::Target;

/// A target is healthier than another if it fails at most this many times as often.
const HEALTHIER: f64 = 0.5;

/// The most calls that wait for a model of one provider at a time.
const MAX_WAITING: usize = 64;

/// Changes that a slow watcher may lie behind before it has to begin anew.
const WATCHED_CHANGES: usize = 256;

/// A provider's health, shared by all its targets.
pub struct ProviderGuard {
    name: String,
    /// Ids of its targets, by their position in the scopes.
    targets: Vec<String>,
    scopes: Mutex<Scopes>,
    changes: broadcast::Sender<BreakerChange>,
    /// Calls that wait for one of its models to be tried again.
    waiting: AtomicUsize,
    /// Wakes them when a probe was judged or has ended, and when anything has opened or closed.
    judged: Notify,
}

/// A change of a breaker's state, or of a lock or a throttle beside it, for those who watch.
#[derive(Clone, Debug)]
pub struct BreakerChange {
    /// The provider.
    pub provider: String,
    /// Id of the model; `None` for the provider's endpoint.
    pub target: Option<String>,
    /// What changed. The state before and after are the same where a lock or a throttle did.
    pub transition: Transition,
}

/// Where every change of a breaker is told.
pub(crate) fn changes() -> broadcast::Sender<BreakerChange> {
    broadcast::channel(WATCHED_CHANGES).0
}

impl ProviderGuard {
    /// A provider with these targets, of whose health nothing is known.
    pub(crate) fn new(
        name: String,
        targets: Vec<String>,
        settings: Settings,
        changes: broadcast::Sender<BreakerChange>,
    ) -> Self {
        let scopes = Mutex::new(Scopes::new(settings, targets.len(), Instant::now()));
        Self {
            name,
            targets,
            scopes,
            changes,
            waiting: AtomicUsize::new(0),
            judged: Notify::new(),
        }
    }

    /// The provider's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ids of its targets, in their order.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// What the endpoint's breaker would answer now.
    pub fn snapshot(&self) -> Snapshot {
        self.with_scopes(|scopes, now| scopes.snapshot(None, now))
    }

    /// Puts an operator's decision in the place of the endpoint's breaker, or lifts it; false if that
    /// changes nothing.
    pub fn force(&self, forced: Option<Forced>) -> bool {
        self.force_breaker(None, forced)
    }

    fn force_breaker(&self, model: Option<usize>, forced: Option<Forced>) -> bool {
        self.act_on_scopes(|scopes, now| {
            let change = scopes.force(model, forced, now);
            let changed = change.is_some() || scopes.has_notices();
            (changed, change.into_iter().collect())
        })
    }

    /// The lock of the provider's credential, unless it is open.
    pub fn lock(&self) -> Option<lock::Snapshot> {
        self.with_scopes(|scopes, _| scopes.lock())
    }

    /// Another key is in the place of the one that was used: what was learnt of that is forgotten.
    pub fn renew_credential(&self) {
        self.with_scopes(|scopes, _| scopes.renew_credential());
    }

    /// Ends the operators' decisions whose time is over, and tells when the next one ends.
    pub fn decision_ends(&self) -> Option<Instant> {
        self.with_scopes(|scopes, _| scopes.decision_ends())
    }

    fn with_scopes<T>(&self, act: impl FnOnce(&mut Scopes, Instant) -> T) -> T {
        self.act_on_scopes(|scopes, now| (act(scopes, now), Vec::new()))
    }

    /// Does what may change breakers.
    fn change_scopes(&self, act: impl FnOnce(&mut Scopes, Instant) -> Vec<Change>) {
        self.act_on_scopes(|scopes, now| ((), act(scopes, now)));
    }

    /// Acts on the scopes once all decisions whose time is over have ended.
    fn act_on_scopes<T>(&self, act: impl FnOnce(&mut Scopes, Instant) -> (T, Vec<Change>)) -> T {
        let (outcome, changes, notices) = {
            // The scopes are consistent between any two of their own statements that could panic: none can.
            let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let mut changes = scopes.end_decisions(now);
            let (outcome, further) = act(&mut scopes, now);
            changes.extend(further);
            self.tell(&changes);
            let notices = scopes.take_notices();
            for notice in &notices {
                self.tell_of(*notice, &mut scopes, now);
            }
            (outcome, changes, notices)
        };
        if !changes.is_empty() || !notices.is_empty() {
            self.judged.notify_waiters();
        }
        self.log(&changes);
        for notice in notices {
            self.log_notice(notice);
        }
        outcome
    }

    /// Tells those who watch; under the lock, so that they hear of changes in their order.
    fn tell(&self, changes: &[Change]) {
        for change in changes {
            let change = BreakerChange {
                provider: self.name.clone(),
                target: self.target(change).cloned(),
                transition: change.transition,
            };
            // Nobody watching is the normal case.
            let _ = self.changes.send(change);
        }
    }

    /// Tells those who watch of what changed beside a breaker.
    fn tell_of(&self, notice: Notice, scopes: &mut Scopes, now: Instant) {
        let model = match notice.news {
            News::Locked(..) | News::Unlocked(_) => None,
            News::Throttled(_) | News::Unthrottled | News::Pardoned => notice.model,
        };
        let state = scopes.snapshot(model, now).state;
        let transition = Transition {
            from: state,
            to: state,
            cause: notice.news.cause(),
        };
        self.tell(&[Change { model, transition }]);
    }

    fn log_notice(&self, Notice { model, news }: Notice) {
        let provider = &self.name;
        let model = model.and_then(|model| self.targets.get(model));
        let cause = news.cause();
        match news {
            News::Locked(_, wait, times) => warn!(
                provider,
                cause,
                model,
                times,
                seconds = wait.as_secs_f64(),
                "credential locked"
            ),
            News::Unlocked(_) => info!(provider, cause, model, "credential unlocked"),
            News::Throttled(wait) => info!(
                provider,
                cause,
                model,
                seconds = wait.as_secs_f64(),
                "model throttled"
            ),
            News::Unthrottled => info!(provider, cause, model, "throttle lifted"),
            News::Pardoned => info!(provider, cause, model, "model may be asked once more"),
        }
    }

    fn log(&self, changes: &[Change]) {
        for change in changes {
            info!(
                provider = self.name,
                model = self.target(change).map_or("(endpoint)", String::as_str),
                from = change.transition.from.name(),
                to = change.transition.to.name(),
                cause = change.transition.cause,
                "breaker changed its state"
            );
        }
    }

    /// Id of the target whose breaker has changed; `None` for the endpoint's.
    fn target(&self, change: &Change) -> Option<&String> {
        self.targets.get(change.model?)
    }
}

/// A target and what guards it, shared by every scenario that lists it.
pub struct Guard {
    /// The target.
    pub target: Arc<Target>,
    /// Its provider's health.
    pub(crate) provider: Arc<ProviderGuard>,
    position: usize,
}

impl Guard {
    /// The target at this position of its provider.
    pub(crate) fn new(target: Arc<Target>, provider: Arc<ProviderGuard>, position: usize) -> Self {
        Self {
            target,
            provider,
            position,
        }
    }

    /// Admits an attempt. `retry_ratio` is how many attempts its scenario may add for each successful call.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(self: &Arc<Self>, retry_ratio: f64) -> Result<Permit, Refusal> {
        let admit = |scopes: &mut Scopes, now| match scopes.admit(self.position, now) {
            Ok(mut ticket) => {
                let changes = ticket.take_changes();
                (Ok(ticket), changes)
            }
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        let ticket = self.provider.act_on_scopes(admit)?;
        Ok(Permit {
            guard: Arc::clone(self),
            retry_ratio,
            ticket: Some(ticket),
        })
    }

    /// Admits an attempt in spite of an open breaker, with the probability that it is answered.
    pub(crate) fn admit_last(self: &Arc<Self>, retry_ratio: f64, draw: f64) -> Option<Permit> {
        let ticket = self
            .provider
            .with_scopes(|scopes, now| scopes.admit_last(self.position, draw, now))?;
        Some(Permit {
            guard: Arc::clone(self),
            retry_ratio,
            ticket: Some(ticket),
        })
    }

    /// The share of last attempts that would be rejected here.
    pub(crate) fn rejection(&self) -> f64 {
        self.provider
            .with_scopes(|scopes, now| scopes.rejection(self.position, now))
    }

    /// Why an attempt would be refused at this time.
    pub fn refuses(&self) -> Option<Refusal> {
        self.provider
            .with_scopes(|scopes, now| scopes.refuses(self.position, now))
    }

    /// What the next attempt would be.
    ///
    /// # Errors
    /// Why it would be refused at this time.
    pub(crate) fn outlook(&self) -> Result<Outlook, Refusal> {
        self.provider
            .with_scopes(|scopes, now| match scopes.refuses(self.position, now) {
                Some(refusal) => Err(refusal),
                None if scopes.would_probe(self.position, now) => Ok(Outlook::Probe),
                None => Ok(Outlook::Ordinary),
            })
    }

    /// What the model's breaker would answer now; admits nothing.
    pub fn snapshot(&self) -> Snapshot {
        self.provider
            .with_scopes(|scopes, now| scopes.snapshot(Some(self.position), now))
    }

    /// A place among the calls that wait for a model of this provider, unless too many do.
    pub(crate) fn wait(&self) -> Option<Waiting> {
        let provider = Arc::clone(&self.provider);
        let ahead = provider.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting { provider, ahead };
        (ahead < MAX_WAITING).then_some(waiting)
    }

    /// Until when the provider's rate limit closes the model off, if it does.
    pub fn throttled_until(&self) -> Option<Instant> {
        self.provider
            .with_scopes(|scopes, now| scopes.throttled_until(self.position, now))
    }

    /// Attempts under way, and how many may be.
    pub fn concurrency(&self) -> (u32, u32) {
        self.provider
            .with_scopes(|scopes, _| scopes.concurrency(self.position))
    }

    /// Puts an operator's decision in the place of the model's breaker, or lifts it; false if that
    /// changes nothing.
    pub fn force(&self, forced: Option<Forced>) -> bool {
        self.provider.force_breaker(Some(self.position), forced)
    }

    /// Whether it could be tried now and fails clearly less often than a target in this state. One
    /// that has not failed is taken for healthy, however little has been seen of it.
    pub(crate) fn is_healthier_than(&self, ill: &Snapshot) -> bool {
        let (refusal, own) = self.provider.with_scopes(|scopes, now| {
            (
                scopes.refuses(self.position, now),
                scopes.snapshot(Some(self.position), now),
            )
        });
        refusal.is_none()
            && own.state == BreakerState::Closed
            && (own.failures == 0 || worst_share(&own) <= HEALTHIER * share(ill))
    }
}

/// A place among the calls that wait for one of a provider's models to be tried again.
pub(crate) struct Waiting {
    pub(crate) provider: Arc<ProviderGuard>,
    ahead: usize,
}

impl Waiting {
    /// How many calls waited already when this one began.
    pub(crate) fn ahead(&self) -> usize {
        self.ahead
    }

    /// Ends when a probe of the provider has been judged or has ended, or anything has opened or closed. What
    /// happens from this call on is noticed.
    pub(crate) fn next_verdict(&self) -> Notified<'_> {
        self.provider.judged.notified()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.provider.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What an attempt would be that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// One like any other.
    Ordinary,
    /// A test whether a failing target has recovered.
    Probe,
}

/// The right to try a target once. Dropped without a verdict, it says nothing about the target.
pub(crate) struct Permit {
    guard: Arc<Guard>,
    /// Of the call's scenario.
    retry_ratio: f64,
    /// `None` once it has been given back.
    ticket: Option<Ticket>,
}

impl Permit {
    /// The target.
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.guard.target
    }

    /// The target and what guards it.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Whether the attempt tests if a failing target has recovered.
    pub(crate) fn is_probe(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::is_probe)
    }

    /// The breaker's state at admission.
    pub(crate) fn breaker_state(&self) -> BreakerState {
        self.ticket
            .as_ref()
            .map_or(BreakerState::Closed, Ticket::state)
    }

    /// Nothing has arrived for suspiciously long.
    pub(crate) fn stalled(&mut self, healthier_alternative: bool) {
        self.report(healthier_alternative, Scopes::stalled);
    }

    /// Nothing has arrived since then, which is longer than its caller or the call's deadline allows.
    pub(crate) fn cut_short(&mut self, since: Instant, healthier_alternative: bool) {
        self.report(healthier_alternative, |scopes, ticket, circumstances| {
            scopes.cut_short(ticket, since, circumstances)
        });
    }

    /// The head of an answer has come.
    pub(crate) fn reached(&mut self) {
        // The first content tells as much a little later; do not lock for each call.
        if self
            .ticket
            .as_ref()
            .is_some_and(Ticket::tells_recovery_of_endpoint)
        {
            self.report(false, Scopes::reached);
        }
    }

    /// Further content has come.
    pub(crate) fn progressed(&mut self) {
        if self
            .ticket
            .as_ref()
            .is_some_and(Ticket::tells_recovery_of_model)
        {
            self.report(false, Scopes::progressed);
        }
    }

    /// The first content has arrived.
    pub(crate) fn committed(&mut self, slow: bool, healthier_alternative: bool) {
        self.report(healthier_alternative, |scopes, ticket, circumstances| {
            scopes.committed(ticket, slow, circumstances)
        });
    }

    /// The answer is complete.
    pub(crate) fn completed(&mut self) {
        // It matters to few attempts; do not lock for each call.
        if self
            .ticket
            .as_ref()
            .is_some_and(Ticket::tells_recovery_of_model)
        {
            self.report(false, Scopes::completed);
        }
    }

    /// The attempt failed.
    pub(crate) fn failed(&mut self, error: &UpstreamError, healthier_alternative: bool) {
        self.report(healthier_alternative, |scopes, ticket, circumstances| {
            scopes.failed(ticket, error, circumstances)
        });
    }

    fn report(
        &mut self,
        healthier_alternative: bool,
        act: impl FnOnce(&mut Scopes, &mut Ticket, Circumstances) -> Vec<Change>,
    ) {
        let Some(ticket) = &mut self.ticket else {
            return;
        };
        let retry_ratio = self.retry_ratio;
        self.guard.provider.change_scopes(|scopes, now| {
            let circumstances = Circumstances {
                now,
                jitter: fastrand::f64(),
                healthier_alternative,
                retry_ratio,
            };
            act(scopes, ticket, circumstances)
        });
        if ticket.is_probe() {
            self.guard.provider.judged.notify_waiters();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let was_probe = ticket.is_probe();
        self.guard.provider.with_scopes(|scopes, now| {
            let circumstances = Circumstances {
                now,
                jitter: 0.5,
                healthier_alternative: false,
                retry_ratio: 0.0,
            };
            scopes.release(ticket, circumstances);
        });
        if was_probe {
            self.guard.provider.judged.notify_waiters();
        }
    }
}

fn share(seen: &Snapshot) -> f64 {
    f64::from(seen.failures) / f64::from(seen.samples.max(1))
}

/// The largest share of failures that is still likely, given the few that were seen: about the 95 %
/// bound of a Poisson distribution. Chance alone must not make one of two equals the healthier.
fn worst_share(seen: &Snapshot) -> f64 {
    (f64::from(seen.failures).sqrt() + 1.0).powi(2) / f64::from(seen.samples.max(1))
}

/// A refusal as the trail tells it.
pub(crate) fn skip(refusal: Refusal) -> Skip {
    let by = match refusal {
        Refusal::Model(_) => ClosedOff::Model,
        Refusal::Endpoint(_) => ClosedOff::Endpoint,
        Refusal::Credential(_, Cause::Refused) => ClosedOff::Credential,
        Refusal::Credential(_, Cause::QuotaExhausted) => ClosedOff::Quota,
        Refusal::Rate(_) => ClosedOff::Rate,
        Refusal::Probing => ClosedOff::Probing,
        Refusal::Busy => ClosedOff::Busy,
        Refusal::Operator(_) => ClosedOff::Operator,
    };
    Skip::ClosedOff(
        by,
        refusal
            .until()
            .map(|until| until.saturating_duration_since(Instant::now())),
    )
}

#[cfg(test)]
mod tests;
