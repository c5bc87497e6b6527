//! Work on large requests: done where it holds up no other call of the core, so many at a time.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::Error;

/// Work on a message that is larger takes longer than to hand it over, and others would wait for it.
const HEAVY_BYTES: usize = 256 * 1024;

/// Where heavy work is done, shared by all cores. Whoever has it done waits for it; what nobody waits for
/// any longer comes to its end, which is bounded by the size of a message.
#[derive(Clone)]
pub(crate) struct Workshop(Arc<Semaphore>);

impl Default for Workshop {
    /// As much is done at once as there are processors: more would only take them from each other.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Semaphore::new(processors)))
    }
}

impl Workshop {
    /// Whether work on a message of so many bytes is done elsewhere.
    pub(crate) fn is_heavy(bytes: usize) -> bool {
        bytes > HEAVY_BYTES
    }

    /// Does work on a message of so many bytes: at once if it is light, elsewhere if it is heavy.
    ///
    /// # Errors
    /// [`Error::Internal`] if the work panics, and what it ends with itself.
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
