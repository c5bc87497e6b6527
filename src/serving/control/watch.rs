//! How does an operator watch breakers? By a snapshot and the changes after it.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::ready;
use futures_util::stream::{once, unfold};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until};

use crate::caller::Caller;
use crate::dispatch::dispatcher::Dispatcher;
use crate::error::Error;
use crate::health::provider::BreakerChange;
use crate::trail::BreakerState;

use super::Control;
use super::breakers::{BreakerView, check_provider, list, of_endpoint, of_model};

/// After changes were sent, further changes are collected for this long, so that a breaker that changes often does not
/// flood watchers.
const GATHERED: Duration = Duration::from_millis(50);

/// Up to this many collected changes are sent one by one. Beyond it, only the latest change of each breaker is kept.
const MOST_WAITING: usize = 32;

/// What a watcher of breakers receives.
pub enum BreakerUpdate {
    /// All breakers: at the beginning, and when the watcher was too slow to get every change.
    Snapshot(Vec<BreakerView>),
    /// A breaker has changed.
    Transition {
        /// The breaker after the change; `None` if it is no longer there.
        breaker: Option<BreakerView>,
        /// The state before.
        from: BreakerState,
        /// Why it changed.
        cause: &'static str,
    },
}

impl Control {
    /// A snapshot of the breakers of a provider, or of all if it is empty, then their changes. The stream ends with an
    /// error when the service goes down.
    ///
    /// # Errors
    /// There is no provider of this name, or too many streams watch already.
    pub fn watch_breakers(
        &self,
        caller: Caller,
        provider: String,
    ) -> Result<impl Stream<Item = Result<BreakerUpdate, Error>> + Send + use<>, Error> {
        check_provider(&self.dispatcher, &provider)?;
        let watching = self.watchers.begin(caller)?;
        let watcher = Watcher {
            changes: self.dispatcher.watch_breakers(), // before the snapshot, so that no change is lost
            dispatcher: Arc::clone(&self.dispatcher),
            provider,
            waiting: VecDeque::new(),
            gathers_until: None,
            snapshot_due: true,
        };
        let updates = unfold(watcher, |mut watcher| async {
            let update = watcher.next().await?;
            Some((Ok(update), watcher))
        });
        let draining = self.draining.clone().cancelled_owned();
        let last = once(ready(Err(Error::Draining)));
        let updates = updates.take_until(draining).chain(last).inspect(move |_| {
            // Moved in, so that the stream counts until it is dropped.
            let _ = &watching;
        });
        Ok(updates)
    }
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
    async fn next(&mut self) -> Option<BreakerUpdate> {
        loop {
            if std::mem::take(&mut self.snapshot_due) {
                let breakers = list(&self.dispatcher, &self.provider);
                return Some(BreakerUpdate::Snapshot(breakers));
            }
            if let Some(change) = self.waiting.pop_front() {
                return Some(self.transition(change));
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

    fn transition(&self, change: BreakerChange) -> BreakerUpdate {
        let BreakerChange {
            provider,
            target,
            transition,
        } = change;
        let routes = self.dispatcher.routes();
        let mut breaker = match &target {
            Some(target) => routes.target(target).map(|guarded| of_model(guarded)),
            None => routes
                .provider(&provider)
                .map(|guard| of_endpoint(&routes, guard)),
        };
        if let Some(breaker) = &mut breaker {
            // The other data is current: the breaker may have changed again since.
            breaker.snapshot.state = transition.to;
        }
        BreakerUpdate::Transition {
            breaker,
            from: transition.from,
            cause: transition.cause,
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
