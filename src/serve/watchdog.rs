//! Ends the process if its end takes longer than it may, whatever is stuck.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// A thread that waits for nothing but its time. It goes on when this is dropped: what comes after the
/// last that can be waited for may be stuck, too.
pub struct Watchdog(mpsc::Sender<Duration>);

impl Watchdog {
    /// Does this, in a thread of its own, when the process has not ended after this time.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(limit: Duration, overdue: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (sender, shorter) = mpsc::channel();
        let nobody = sender.clone();
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                wait(limit, &shorter);
                drop(nobody);
                overdue();
            })?;
        Ok(Self(sender))
    }

    /// From now on it may take this long at most.
    pub fn shorten(&self, limit: Duration) {
        // It is overdue already, otherwise.
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
