//! The runtimes that serve: some with a thread each, or the one that the service was started in.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// Runtimes that run until this is dropped. Nothing is left of them then.
pub(super) struct Runtimes {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<Option<Runtime>>>,
    stop: CancellationToken,
}

impl Runtimes {
    /// So many runtimes with a thread each; the current one stands for none.
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
            // Built in its thread: a runtime must not be dropped here if there is no thread for it.
            let thread = thread::Builder::new()
                .name(format!("core-{number}"))
                .spawn(move || serve(&started, &stop))?;
            runtimes.threads.push(thread);
            let handle = handle.recv().map_err(io::Error::other)??;
            runtimes.handles.push(handle);
        }
        Ok(runtimes)
    }

    /// Where things can be run.
    pub(super) fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        self.stop.cancel();
        // A repeated call waits for the first one's timers, which may be another runtime's: all stand
        // still before one goes.
        let mut stopped = Vec::new();
        for thread in self.threads.drain(..) {
            stopped.extend(thread.join().ok().flatten());
        }
        for runtime in stopped {
            // Does not wait for a name server that does not answer.
            runtime.shutdown_background();
        }
    }
}

/// Runs a runtime until it is to stop, and gives it back.
fn serve(started: &mpsc::Sender<io::Result<Handle>>, stop: &CancellationToken) -> Option<Runtime> {
    let built = Builder::new_current_thread().enable_all().build();
    let (handle, runtime) = match built {
        Ok(runtime) => (Ok(runtime.handle().clone()), Some(runtime)),
        Err(error) => (Err(error), None),
    };
    // Whoever waits for it waits until it has come.
    let _ = started.send(handle);
    let runtime = runtime?;
    runtime.block_on(stop.cancelled());
    Some(runtime)
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
