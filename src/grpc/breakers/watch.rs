//! How does an operator watch breakers? By a snapshot and the changes after it.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use crate::dispatch::dispatcher::Dispatcher;
use crate::health::provider::BreakerChange;

use super::super::{answer, v1};
use super::listing::{list, of_endpoint, of_model};

/// After changes were sent, further changes are collected for this long, so that a breaker that changes often does not
/// flood watchers.
const GATHERED: Duration = Duration::from_millis(50);

/// Up to this many collected changes are sent one by one. Beyond it, only the latest change of each breaker is kept.
const MOST_WAITING: usize = 32;

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
    /// Until when changes are collected.
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
            // An expired decision is noticed only when its breaker is asked, so wake up at its end.
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
        let routes = self.dispatcher.routes();
        let present = match &target {
            Some(target) => routes.target(target).map(of_model),
            None => routes.provider(&provider).map(|guard| of_endpoint(guard)),
        };
        // The current data of the breaker with the state of this change: the breaker may have changed again since.
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
