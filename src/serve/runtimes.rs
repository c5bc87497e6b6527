//! The runtimes that serve calls: one for each thread, or the runtime that the service was started in.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How long to wait for the threads to stop. A thread in a long step notices only at its end, and the service must
/// end before that.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a runtime keeps a thread for blocking work that has nothing to do. The allocator gives back what a large
/// request took there only once the thread works again or ends.
const HELPER_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Runtimes that run until this is dropped. A runtime whose thread is stuck runs on until its thread notices or the
/// process ends.
pub(super) struct Runtimes {
    handles: Vec<Handle>,
    threads: Vec<mpsc::Receiver<Runtime>>,
    stop: CancellationToken,
}

impl Runtimes {
    /// Starts this many runtimes, each with a thread. With 0, the current runtime is used.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let mut runtimes = Self {
            handles: Vec::new(),
            threads: Vec::new(),
            stop: CancellationToken::new(),
        };
        if count == 0 {
            runtimes.handles.push(Handle::current());
            return Ok(runtimes);
        }
        for number in 0..count {
            let stop = runtimes.stop.clone();
            let (started, handle) = mpsc::channel();
            let (stopped, runtime) = mpsc::channel();
            // Built in its own thread, because a runtime must not be dropped in an async context if starting the
            // thread fails.
            thread::Builder::new()
                .name(format!("core-{number}"))
                .spawn(move || serve(&started, &stop, &stopped))?;
            runtimes.threads.push(runtime);
            let handle = handle.recv().map_err(io::Error::other)??;
            runtimes.handles.push(handle);
        }
        Ok(runtimes)
    }

    /// The handle of each runtime.
    pub(super) fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        self.stop.cancel();
        // A repeated call may wait for timers of another runtime. So all runtimes stop before one is dropped.
        let until = Instant::now() + PATIENCE;
        let mut stopped = Vec::new();
        let mut stuck = 0;
        for thread in self.threads.drain(..) {
            let patience = until.saturating_duration_since(Instant::now());
            match thread.recv_timeout(patience) {
                Ok(runtime) => stopped.push(runtime),
                Err(mpsc::RecvTimeoutError::Timeout) => stuck += 1,
                // Its runtime could not be built.
                Err(mpsc::RecvTimeoutError::Disconnected) => {}
            }
        }
        if stuck > 0 {
            warn!(stuck, "threads that do not stop are left behind");
        }
        for runtime in stopped {
            // Does not wait for blocking tasks, such as the look-up of a name.
            runtime.shutdown_background();
        }
    }
}

/// Runs a runtime until it is told to stop, and sends it back.
fn serve(
    started: &mpsc::Sender<io::Result<Handle>>,
    stop: &CancellationToken,
    stopped: &mpsc::Sender<Runtime>,
) {
    let built = Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(HELPER_KEEP_ALIVE)
        .build();
    let (handle, runtime) = match built {
        Ok(runtime) => (Ok(runtime.handle().clone()), Some(runtime)),
        Err(error) => (Err(error), None),
    };
    // The receiver waits for this message, so it cannot be gone.
    let _ = started.send(handle);
    let Some(runtime) = runtime else {
        return;
    };
    runtime.block_on(stop.cancelled());
    if let Err(mpsc::SendError(runtime)) = stopped.send(runtime) {
        // The service has stopped waiting for this thread.
        runtime.shutdown_background();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn each_has_a_thread_and_the_current_one_stands_for_none() {
        let here = thread::current().id();
        for (count, handles, own_threads) in [(0, 1, 0), (1, 1, 1), (3, 3, 3)] {
            let runtimes = Runtimes::start(count).unwrap();
            let mut threads = Vec::new();
            for handle in runtimes.handles() {
                let thread = handle.spawn(async { thread::current().id() });
                threads.push(thread.await.unwrap());
            }

            assert_eq!(threads.len(), handles);
            threads.retain(|thread| *thread != here);
            threads.dedup();
            assert_eq!(threads.len(), own_threads);
        }
    }

    #[tokio::test]
    async fn a_thread_that_is_stuck_is_not_waited_for() {
        let runtimes = Runtimes::start(2).unwrap();
        let (release, released) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn_on(
            async move {
                begun.send(()).unwrap();
                // A step that does not end by itself.
                let _ = released.recv();
            },
            &runtimes.handles()[0],
        );
        tasks.spawn_on(pending::<()>(), &runtimes.handles()[1]);
        has_begun.recv().unwrap();
        let before = Instant::now();

        drop(runtimes);

        assert!(before.elapsed() < 2 * PATIENCE, "{:?}", before.elapsed());
        let other = tasks.join_next().await.unwrap();
        assert!(other.unwrap_err().is_cancelled());
        drop(release);
        tasks.join_next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_runs_ends_with_them() {
        let runtimes = Runtimes::start(2).unwrap();
        let mut tasks = JoinSet::new();
        for handle in runtimes.handles() {
            tasks.spawn_on(pending::<()>(), handle);
        }

        drop(runtimes);

        while let Some(ended) = tasks.join_next().await {
            assert!(ended.unwrap_err().is_cancelled());
        }
    }
}
