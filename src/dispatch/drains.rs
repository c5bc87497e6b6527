//! Which tasks read answers on after their calls have ended, and when do they end?

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the answer of a call that has ended is read on.
pub(super) const READ_ON_FOR: Duration = Duration::from_secs(30);

/// The most calls whose answers are read on at once. Those of further ones are given up, so that callers that leave
/// early cannot have any number of answers produced.
const MOST_DRAINS: usize = 1_000;

/// How long the end of the service waits for tasks that were told to stop. Each stops at its next step.
const PATIENCE: Duration = Duration::from_secs(1);

/// The tasks that read answers on. They end by themselves, or with [`Drains::finish`].
#[derive(Clone, Debug, Default)]
pub struct Drains(Arc<DrainTasks>);

#[derive(Debug, Default)]
struct DrainTasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Drains {
    /// How many calls have ended whose answers are read on.
    pub fn under_way(&self) -> usize {
        self.0.tracker.len()
    }

    /// Ends all tasks: what was read until now counts. From now on no answer is read on.
    pub async fn finish(&self) {
        self.0.stop.cancel();
        self.0.tracker.close();
        // A task that is left behind ends with its runtime, and reports its call then.
        let _ = timeout(PATIENCE, self.0.tracker.wait()).await;
    }

    /// Whether the answers of another call may be read on.
    pub(super) fn have_room(&self) -> bool {
        !self.0.stop.is_cancelled() && self.under_way() < MOST_DRAINS
    }

    /// Runs a task that reads answers on until it ends or its token is cancelled. Without a runtime it is dropped.
    pub(super) fn run<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        // The tracker follows the task, and ends it.
        drop(self.0.tracker.spawn_on(task(self.0.stop.clone()), &runtime));
    }
}
