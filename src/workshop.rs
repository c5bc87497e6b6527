//! Where is a large request parsed, checked and encoded? On another thread, so that it delays no other call of its core.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::Error;

/// Work on a larger message takes longer than handing it to another thread, and other calls would wait for it.
const HEAVY_BYTES: usize = 256 * 1024;

/// Runs heavy work on other threads, for all cores. If the call that waits for some work is cancelled, the work still
/// runs to its end; the size of a message bounds how long that takes.
#[derive(Clone)]
pub(crate) struct Workshop(Arc<Semaphore>);

impl Default for Workshop {
    /// Runs as many pieces of work at once as there are processors. More would only compete for them.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Semaphore::new(processors)))
    }
}

impl Workshop {
    /// Whether work on a message of this size is done on another thread.
    pub(crate) fn is_heavy(bytes: usize) -> bool {
        bytes > HEAVY_BYTES
    }

    /// Does work on a message of this size: at once if it is light, on another thread if it is heavy.
    ///
    /// # Errors
    /// [`Error::Internal`] if the work panics; otherwise the error of the work itself.
    pub(crate) async fn work<T, F>(&self, bytes: usize, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Error> + Send + 'static,
    {
        if !Self::is_heavy(bytes) {
            return work();
        }
        // It is never closed.
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let done = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        match done.await {
            Ok(done) => done,
            Err(_) => Err(Error::Internal("the work on a request was broken off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn light_work_is_done_at_once_and_heavy_work_elsewhere() {
        let workshop = Workshop::default();
        let here = thread::current().id();
        let whose = || Ok(thread::current().id());

        assert_eq!(workshop.work(HEAVY_BYTES, whose).await, Ok(here));
        assert_ne!(workshop.work(HEAVY_BYTES + 1, whose).await, Ok(here));
    }

    #[tokio::test]
    async fn so_much_is_done_at_once() {
        let workshop = Workshop(Arc::new(Semaphore::new(2)));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..20).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            workshop.work(usize::MAX, move || {
                let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(at_once, Ordering::SeqCst);
                thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        });

        for done in join_all(works).await {
            done.unwrap();
        }

        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn what_panics_is_told() {
        let work = || -> Result<(), Error> { panic!("a defect") };

        let done = Workshop::default().work(usize::MAX, work).await;

        assert!(matches!(done, Err(Error::Internal(_))));
    }
}
