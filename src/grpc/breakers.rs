//! How do operators see and set breakers?

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tracing::info;

use crate::dispatch::dispatcher::Dispatcher;
use crate::error::{Error, Violation};
use crate::health::breaker::{Forced, Snapshot};
use crate::health::guard::{BreakerChange, Guard, ProviderGuard};
use crate::health::lock::{self, Cause};

use super::time_of_day::time_of_day;
use super::{answer, v1};

/// The most names of providers in an error message.
const MOST_NAMES: usize = 50;

/// After changes were sent, further ones are collected for this long, so that a breaker that flaps costs each
/// watcher little.
const GATHERED: Duration = Duration::from_millis(50);

/// Up to this many collected changes are sent one by one; of more, only the latest of each breaker.
const MOST_WAITING: usize = 32;

/// The longest comment on an operator's decision.
const MAX_COMMENT: usize = 256;

/// The longest time for which an operator can decide.
const MAX_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// The breakers of a provider, or of all providers if it is empty: each endpoint, then its models.
pub fn list(dispatcher: &Dispatcher, provider: &str) -> Vec<v1::Breaker> {
    let mut breakers = Vec::new();
    for guard in dispatcher
        .providers()
        .filter(|guard| provider.is_empty() || guard.name() == provider)
    {
        breakers.push(of_endpoint(guard));
        let models = guard.targets().iter();
        breakers.extend(models.filter_map(|id| dispatcher.guard(id)).map(of_model));
    }
    breakers
}

/// Checks the name of a provider in a request to list or watch; empty for all.
///
/// # Errors
/// [`Error::InvalidRequest`] with the names of the providers, if there is none of this name.
pub fn check_provider(dispatcher: &Dispatcher, provider: &str) -> Result<(), Error> {
    match provider.is_empty() || dispatcher.provider(provider).is_some() {
        true => Ok(()),
        false => Err(Error::invalid(
            "provider",
            format!(
                "must be the name of a provider, or empty for all; {}",
                names(dispatcher)
            ),
        )),
    }
}

/// The names of the providers for an error message.
fn names(dispatcher: &Dispatcher) -> String {
    let mut names = dispatcher.providers().map(|guard| guard.name());
    let told: Vec<_> = names.by_ref().take(MOST_NAMES).collect();
    let told = told.join(", ");
    match names.count() {
        0 => format!("there are {told}"),
        more => format!("there are {told} and {more} more"),
    }
}

/// A snapshot of the breakers, then their changes, until the stream is dropped.
pub fn watch(
    dispatcher: Arc<Dispatcher>,
    provider: String,
) -> Pin<Box<dyn Stream<Item = Result<v1::WatchBreakersResponse, Status>> + Send>> {
    let changes = dispatcher.watch_breakers(); // before the snapshot, so that no change is lost
    let watcher = Watcher {
        dispatcher,
        provider,
        changes,
        waiting: VecDeque::new(),
        gathers_until: None,
        snapshot_due: true,
    };
    Box::pin(unfold(watcher, |mut watcher| async {
        let update = watcher.next().await?;
        Some((
            Ok(v1::WatchBreakersResponse {
                update: Some(update),
            }),
            watcher,
        ))
    }))
}

struct Watcher {
    dispatcher: Arc<Dispatcher>,
    provider: String,
    changes: broadcast::Receiver<BreakerChange>,
    /// Changes that have not been sent yet.
    waiting: VecDeque<BreakerChange>,
    /// Changes are collected until then.
    gathers_until: Option<Instant>,
    snapshot_due: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<v1::watch_breakers_response::Update> {
        use v1::watch_breakers_response::Update;
        loop {
            if std::mem::take(&mut self.snapshot_due) {
                let breakers = list(&self.dispatcher, &self.provider);
                return Some(Update::Snapshot(v1::BreakerSnapshot { breakers }));
            }
            if let Some(change) = self.waiting.pop_front() {
                return Some(Update::Transition(self.transition(change)));
            }
            if let Some(time) = self.gathers_until.take() {
                sleep_until(time).await;
            }
            // An expired override is noticed only when the breaker is touched, so wake up at its end.
            let end = self.dispatcher.decision_ends();
            let change = tokio::select! {
                biased;
                change = self.changes.recv() => change,
                () = reached(end) => continue,
            };
            match change {
                Ok(change) => self.gather(change),
                Err(RecvError::Lagged(_)) => self.snapshot_due = true,
                Err(RecvError::Closed) => return None,
            }
            self.gathers_until = Some(Instant::now() + GATHERED);
        }
    }

    /// Queues a change and all that have come since.
    fn gather(&mut self, first: BreakerChange) {
        let is_told_each = self.changes.len() < MOST_WAITING;
        self.take(first, is_told_each);
        loop {
            match self.changes.try_recv() {
                Ok(change) => self.take(change, is_told_each),
                Err(TryRecvError::Lagged(_)) => {
                    self.waiting.clear();
                    self.snapshot_due = true;
                    return;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Queues a change, by itself or merged into a queued one of the same breaker.
    fn take(&mut self, change: BreakerChange, by_itself: bool) {
        if !self.provider.is_empty() && change.provider != self.provider {
            return;
        }
        let is_of_same = |waiting: &&mut BreakerChange| {
            waiting.provider == change.provider && waiting.target == change.target
        };
        match self.waiting.iter_mut().find(is_of_same) {
            Some(waiting) if !by_itself => {
                waiting.transition.to = change.transition.to;
                waiting.transition.cause = change.transition.cause;
            }
            Some(_) | None => self.waiting.push_back(change),
        }
    }

    fn transition(&self, change: BreakerChange) -> v1::BreakerTransition {
        let BreakerChange {
            provider,
            target,
            transition,
        } = change;
        let present = match &target {
            Some(target) => self.dispatcher.guard(target).map(of_model),
            None => self
                .dispatcher
                .provider(&provider)
                .map(|guard| of_endpoint(guard)),
        };
        // The breaker's present data, but the state of this change: it may have changed again since.
        let state = answer::breaker_state(transition.to).into();
        let breaker = present.map(|breaker| v1::Breaker { state, ..breaker });
        v1::BreakerTransition {
            breaker,
            previous_state: answer::breaker_state(transition.from).into(),
            cause: transition.cause.to_owned(),
        }
    }
}

/// Waits until a time; for ever if there is none.
async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Overrides a breaker as an operator at this address decides, or lifts the override.
///
/// # Errors
/// [`Error::InvalidRequest`] with every violation.
pub fn set(
    dispatcher: &Dispatcher,
    request: v1::SetBreakerRequest,
    peer: Option<SocketAddr>,
) -> Result<v1::Breaker, Error> {
    let v1::SetBreakerRequest {
        provider,
        model,
        state,
        ttl,
        comment,
    } = request;
    let mut faults = Vec::new();
    let mut fault = |field: &str, what: &str| {
        faults.push(Violation {
            field: field.to_owned(),
            what: what.to_owned(),
        });
    };
    let of_provider = dispatcher.provider(&provider);
    if of_provider.is_none() {
        fault(
            "provider",
            &format!("must be the name of a provider; {}", names(dispatcher)),
        );
    }
    let of_target = dispatcher
        .guard(&model)
        .filter(|guard| guard.target.provider.name == provider);
    if !model.is_empty() && of_target.is_none() {
        fault(
            "model",
            "must be the id of a model of this provider, or empty for the provider's endpoint",
        );
    }
    let ttl = ttl.map(Duration::try_from);
    if ttl
        .as_ref()
        .is_some_and(|ttl| !matches!(ttl, Ok(ttl) if !ttl.is_zero() && *ttl <= MAX_TTL))
    {
        fault(
            "ttl",
            "must be more than 0 seconds and at most 365 days; leave it out for a decision without an end",
        );
    }
    if ttl.is_some() && state == v1::BreakerState::Unspecified as i32 {
        fault(
            "ttl",
            "leave it out: a decision is lifted for good; or set `state` to one that holds for this time",
        );
    }
    let ttl = ttl.and_then(Result::ok);
    let until = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
    let forced = match v1::BreakerState::try_from(state) {
        Ok(v1::BreakerState::ForcedOpen) => Some(Forced {
            closed: false,
            until,
        }),
        Ok(v1::BreakerState::ForcedClosed) => Some(Forced {
            closed: true,
            until,
        }),
        Ok(v1::BreakerState::Unspecified) => None,
        Ok(v1::BreakerState::Closed | v1::BreakerState::Open | v1::BreakerState::HalfOpen)
        | Err(_) => {
            fault(
                "state",
                "use BREAKER_STATE_FORCED_OPEN or BREAKER_STATE_FORCED_CLOSED, or leave it out to lift the decision",
            );
            None
        }
    };
    if comment.chars().count() > MAX_COMMENT || comment.chars().any(char::is_control) {
        fault(
            "comment",
            "use at most 256 characters and no control characters",
        );
    }
    let Some(of_provider) = of_provider.filter(|_| faults.is_empty()) else {
        return Err(Error::InvalidRequest(faults));
    };
    let decision = match forced {
        Some(Forced { closed: true, .. }) => "forced_closed",
        Some(Forced { closed: false, .. }) => "forced_open",
        None => "lifted",
    };
    let (changed, breaker) = match of_target {
        Some(guard) => (guard.force(forced), of_model(guard)),
        None => (of_provider.force(forced), of_endpoint(of_provider)),
    };
    if changed {
        info!(
            provider,
            model,
            decision,
            ttl = ttl.map(tracing::field::debug),
            peer = peer.map(tracing::field::display),
            comment,
            "an operator sets a breaker"
        );
    }
    Ok(breaker)
}

fn of_endpoint(guard: &ProviderGuard) -> v1::Breaker {
    v1::Breaker {
        provider: guard.name().to_owned(),
        credential_lock: guard.lock().map(credential_lock),
        ..of_snapshot(guard.snapshot())
    }
}

fn of_model(guard: &Arc<Guard>) -> v1::Breaker {
    let (in_flight, limit) = guard.concurrency();
    v1::Breaker {
        provider: guard.target.provider.name.clone(),
        model: guard.target.id.clone(),
        in_flight: i64::from(in_flight),
        concurrency_limit: i64::from(limit),
        throttled_until_time: guard.throttled_until().map(time_of_day),
        ..of_snapshot(guard.snapshot())
    }
}

fn credential_lock(lock: lock::Snapshot) -> v1::CredentialLock {
    let lock::Snapshot {
        cause,
        since,
        until,
        refusals,
        proven,
    } = lock;
    let reason = match cause {
        Cause::Refused => v1::ErrorReason::ProviderAuthFailed,
        Cause::QuotaExhausted => v1::ErrorReason::ProviderQuotaExhausted,
    };
    v1::CredentialLock {
        reason: reason.into(),
        locked_since: Some(time_of_day(since)),
        next_probe_time: Some(time_of_day(until)),
        refusals: i64::from(refusals),
        all_models: proven,
    }
}

fn of_snapshot(snapshot: Snapshot) -> v1::Breaker {
    let Snapshot {
        state,
        since,
        refuses_until,
        samples,
        failures,
        slow,
        opened_total,
        forced_until,
    } = snapshot;
    v1::Breaker {
        state: answer::breaker_state(state).into(),
        state_since: Some(time_of_day(since)),
        next_probe_time: refuses_until.map(time_of_day),
        window_calls: i64::from(samples),
        window_failures: i64::from(failures),
        window_slow_calls: i64::from(slow),
        opened_total: i64::try_from(opened_total).unwrap_or(i64::MAX),
        override_expire_time: forced_until.map(time_of_day),
        ..v1::Breaker::default()
    }
}
