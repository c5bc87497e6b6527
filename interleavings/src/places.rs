//! Does admission give each place to one call at a time, and none away for ever?

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use tokio::time::Instant;

use crate::admission::{Admission, Settings};
use crate::caller::{Caller, Priority};

const PLACES: usize = 1;
const LONG: Duration = Duration::from_secs(3600);

/// Calls of several priorities come, wait or give up, and go. That one waits for ever is found by the
/// scheduler.
pub fn are_given_once() {
    let settings = Settings {
        max_inflight: PLACES,
        queue: 2,
        max_wait: LONG,
        max_wait_overloaded: LONG,
        ..Settings::default()
    };
    let admission = Arc::new(Admission::new(settings));
    let inside = Arc::new(AtomicUsize::new(0));

    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (admission, inside) = (Arc::clone(&admission), Arc::clone(&inside));
            thread::spawn(move || call(&admission, &inside, number))
        })
        .collect();
    for thread in threads {
        thread.join().expect("it does not panic");
    }

    assert_eq!((admission.inflight(), admission.waiting()), (0, 0));
}

fn call(admission: &Arc<Admission>, inside: &AtomicUsize, number: usize) {
    let deadline = Instant::now() + 2 * LONG;
    let priority = Priority::ALL[number % 2];
    let entering = Impatient {
        future: Box::pin(admission.admit(Caller::Unknown, "", priority, deadline)),
        patience: Some(thread_rng().gen_range(0..3)).filter(|_| number >= 2),
    };
    let Some(Ok(_permit)) = block_on(entering) else {
        return;
    };
    assert!(inside.fetch_add(1, Ordering::Relaxed) < PLACES);
    thread::yield_now();
    inside.fetch_sub(1, Ordering::Relaxed);
}

/// Gives up after it was looked at so many times; never, if `patience` is `None`.
struct Impatient<F> {
    future: Pin<Box<F>>,
    patience: Option<u32>,
}

impl<F: Future> Future for Impatient<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        match &mut self.patience {
            None => Poll::Pending,
            Some(0) => Poll::Ready(None),
            Some(patience) => {
                *patience -= 1;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
