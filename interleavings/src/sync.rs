//! The same names as in `src/sync.rs`, but where threads meet the scheduler chooses who goes on.

pub(crate) use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use shuttle::sync::{Mutex, MutexGuard, PoisonError};

// Nobody waits here: that nobody is woken too late is for others to test.
pub(crate) use tokio::sync::Notify;

// The scheduler sees nothing of tokio's channels: it is asked before each sending.

pub(crate) mod broadcast {
    use shuttle::thread::yield_now;
    use tokio::sync::broadcast::{self, error::SendError};

    pub(crate) use tokio::sync::broadcast::Receiver;

    pub(crate) struct Sender<T>(broadcast::Sender<T>);

    pub(crate) fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = broadcast::channel(capacity);
        (Sender(sender), receiver)
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, value: T) -> Result<usize, SendError<T>> {
            yield_now();
            self.0.send(value)
        }

        pub(crate) fn subscribe(&self) -> Receiver<T> {
            self.0.subscribe()
        }
    }
}

pub(crate) mod oneshot {
    use shuttle::thread::yield_now;
    use tokio::sync::oneshot::{self, Receiver};

    pub(crate) struct Sender<T>(oneshot::Sender<T>);

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Sender(sender), receiver)
    }

    impl<T> Sender<T> {
        pub(crate) fn send(self, value: T) -> Result<(), T> {
            yield_now();
            self.0.send(value)
        }
    }
}
