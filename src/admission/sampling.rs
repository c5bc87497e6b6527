//! How does the service notice that the processors do not keep up? By a ticker on each runtime, while there are calls.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::sync::{AtomicU64, Ordering, PoisonError};

use super::Admission;
use super::congestion::Congestion;

/// After this time without a call, the scheduling delay is not sampled any more.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// Sampling interval of the scheduling delay.
const TICK: Duration = Duration::from_millis(10);

impl Admission {
    /// Samples the scheduling delay until the service ends, and sleeps while there are no calls. Each runtime
    /// that serves calls runs it as one of its tasks.
    pub async fn watch(&self) {
        let wait = Arc::new(AtomicU64::new(0));
        self.cpu_waits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&wait));
        loop {
            let seen = self.watch_while_called(&wait).await;
            wait.store(0, Ordering::Relaxed);
            self.next_call(seen).await;
        }
    }

    /// Samples until there have been no calls for a while; returns how many had come by then. `wait` shows the mean delay
    /// of the last period, in nanoseconds.
    async fn watch_while_called(&self, wait: &AtomicU64) -> u64 {
        let mut congestion = Congestion::new(self.max_cpu_wait());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut seen_at) = (None, Instant::now());
        loop {
            let due = ticks.tick().await;
            let now = Instant::now();
            congestion.change(self.max_cpu_wait());
            let changed = congestion.observe(now - due, now);
            let mean = u64::try_from(congestion.mean().as_nanos()).unwrap_or(u64::MAX);
            wait.store(mean, Ordering::Relaxed);
            match changed {
                Some(true) => {
                    self.lock().congested += 1;
                    warn!("the processor does not keep up: batch and shadow calls are refused");
                }
                Some(false) => {
                    self.lock().congested -= 1;
                    info!("the processor keeps up again");
                }
                None => {}
            }
            if congestion.lasts() || now < seen_at + IDLE_AFTER {
                continue;
            }
            let state = self.lock();
            let is_idle = state.limiter.running() == 0 && state.limiter.waiting() == 0;
            if is_idle && seen == Some(state.arrivals) {
                return state.arrivals;
            }
            (seen, seen_at) = (Some(state.arrivals), now);
        }
    }

    /// Waits until more calls than these have come.
    async fn next_call(&self, seen: u64) {
        let mut called = pin!(self.called.notified());
        called.as_mut().enable();
        {
            let mut state = self.lock();
            if state.arrivals != seen {
                return;
            }
            state.asleep = true;
        }
        called.await;
    }
}
