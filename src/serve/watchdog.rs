//! Ends the process if its shutdown takes longer than it may, whatever is stuck.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::server;

/// More than everything after the drain can take: the last statuses, closing connections, stopping threads, exporting
/// spans.
pub(super) const LAST_STEPS: Duration = Duration::from_secs(20);

/// The longest time from the first signal to the end of the service, if nothing is stuck. It follows the configuration.
#[derive(Clone, Debug, Default)]
pub struct LongestEnd(Arc<AtomicU64>);

impl LongestEnd {
    /// The time under the configuration that runs.
    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// From now on a server with these settings ends.
    pub(super) fn set(&self, server: &server::Settings) {
        let longest = server.predrain + server.drain_timeout + LAST_STEPS;
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis, Ordering::Relaxed);
    }
}

/// A thread that acts when a time limit is over. It goes on when this handle is dropped, because the last steps of the
/// process, which cannot be awaited, may be stuck, too.
pub struct Watchdog(mpsc::Sender<Duration>);

impl Watchdog {
    /// Calls `overdue`, in a separate thread, unless the process has ended within `limit`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(limit: Duration, overdue: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (sender, shorter) = mpsc::channel();
        let keeps_open = sender.clone();
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                wait(limit, &shorter);
                drop(keeps_open);
                overdue();
            })?;
        Ok(Self(sender))
    }

    /// Shortens the time: from now on the shutdown may take at most this long.
    pub fn shorten(&self, limit: Duration) {
        // If this fails, the time is over already.
        let _ = self.0.send(limit);
    }
}

fn wait(limit: Duration, shorter: &mpsc::Receiver<Duration>) {
    let mut until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match shorter.recv_timeout(left) {
            Ok(limit) => until = until.min(Instant::now() + limit),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(50);

    fn started(limit: Duration) -> (Watchdog, mpsc::Receiver<Instant>) {
        let (sender, overdue) = mpsc::channel();
        let watchdog = Watchdog::start(limit, move || sender.send(Instant::now()).unwrap());
        (watchdog.unwrap(), overdue)
    }

    #[test]
    fn it_acts_when_the_time_is_over_and_not_before() {
        let before = Instant::now();
        let (_watchdog, overdue) = started(SHORT);

        assert!(overdue.recv().unwrap() >= before + SHORT);
    }

    #[test]
    fn its_time_can_be_shortened_and_not_prolonged() {
        let (watchdog, overdue) = started(LONG);
        watchdog.shorten(SHORT);
        watchdog.shorten(LONG);

        overdue.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn it_goes_on_without_anybody() {
        let (watchdog, overdue) = started(SHORT);
        drop(watchdog);

        overdue.recv_timeout(LONG).unwrap();
    }
}
