//! How are log lines written without making a call wait? A thread writes them out of a bounded buffer.
//!
//! The reader of standard error may be slow or may have stopped, and then a write to the full pipe blocks. Lines that
//! do not fit into the buffer are dropped; their number is logged as soon as there is room.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::error;
use tracing_subscriber::fmt::MakeWriter;

use super::logging::call_log::LogCounters;
use super::urls::without_credentials;

/// The size of the buffer, in bytes. As many bytes again may be in the write that is under way.
const ROOM: usize = 8 << 20;

/// The pause after a non-blocking write that found no room.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes log lines from any thread. Clones share the buffer.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when there is something to write, and when everything was written.
    changed: Condvar,
    counters: Arc<LogCounters>,
}

#[derive(Default)]
struct State {
    /// Whole lines that wait to be written.
    waiting: Vec<u8>,
    /// How many lines were dropped because of a full buffer or a failed write.
    lost: u64,
    is_writing: bool,
}

impl LogWriter {
    /// Writes to `output` in a thread that ends with the process.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        counters: Arc<LogCounters>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            counters,
        });
        let writing = Arc::clone(&shared);
        thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || writing.write_out(output))?;
        Ok(Self(shared))
    }

    /// Waits until everything has been written, but no longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        let is_unwritten = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        let state = self.0.lock();
        // The result makes no difference: nothing more can be done for lines that were not written.
        let _ = self
            .0
            .changed
            .wait_timeout_while(state, patience, is_unwritten);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > ROOM {
            state.lost += 1;
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let is_first = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        // Otherwise the thread has been woken already, or is writing and looks again by itself.
        if is_first {
            self.changed.notify_all();
        }
    }

    fn write_out(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        let mut fails = false;
        loop {
            batch.clear();
            let lost = {
                let nothing = |state: &mut State| state.waiting.is_empty();
                let waited = self.changed.wait_while(self.lock(), nothing);
                let mut state = waited.unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut state.waiting, &mut batch);
                state.is_writing = true;
                // A line about a failed write would fail as well, and so on for ever.
                match fails {
                    true => 0,
                    false => std::mem::take(&mut state.lost),
                }
            };
            if lost > 0 {
                // This line stands where the dropped lines would have been: after those that filled the buffer.
                error!(
                    lines = lost,
                    "log lines were lost: standard error was not read in time"
                );
            }
            let unwritten = write_all(&mut output, &batch).err().map(lines);
            fails = unwritten.is_some();
            let unwritten = unwritten.unwrap_or(0);
            let LogCounters { written, lost, .. } = &*self.counters;
            written.fetch_add(lines(&batch) - unwritten, Ordering::Relaxed);
            lost.fetch_add(unwritten, Ordering::Relaxed);
            let mut state = self.lock();
            state.lost += unwritten;
            state.is_writing = false;
            self.changed.notify_all();
        }
    }
}

/// Writes everything. The error holds what could not be written.
fn write_all<'a>(output: &mut impl Write, mut bytes: &'a [u8]) -> Result<(), &'a [u8]> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(bytes),
            Ok(written) => bytes = &bytes[written..],
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock => thread::park_timeout(PAUSE),
                _ => return Err(bytes),
            },
        }
    }
    Ok(())
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// A line that is being formatted; it goes into the buffer when it is complete.
pub(super) struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) => self.0.push(without_credentials(text).as_bytes()),
            Err(_) => self.0.push(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Gives each write to whoever has the other end, and waits until it was taken.
    struct Slow(mpsc::SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let closed = |_| io::Error::from(ErrorKind::BrokenPipe);
            self.0.send(bytes.to_vec()).map_err(closed)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(writer: &LogWriter, line: &str) {
        writer
            .make_writer()
            .write_all(line.as_bytes())
            .expect("it never fails");
    }

    #[test]
    fn lines_are_written_in_their_order_and_waited_for_at_the_end() {
        let (output, written) = mpsc::sync_channel(100);
        let writer = LogWriter::start(Slow(output), Arc::default()).expect("a thread");

        for number in 0..50 {
            log(&writer, &format!("{number}\n"));
        }
        writer.flush(LONG);

        let text = written.try_iter().flatten().collect::<Vec<u8>>();
        let expected: String = (0..50).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(text), Ok(expected));
    }

    #[test]
    fn whoever_logs_waits_for_nobody_and_what_finds_no_room_is_counted() {
        let (output, written) = mpsc::sync_channel(0);
        let writer = LogWriter::start(Slow(output), Arc::default()).expect("a thread");
        let line = format!("{}\n", "x".repeat(1023));

        log(&writer, &line);
        while !writer.0.lock().is_writing {
            thread::yield_now();
        }
        for _ in 1..10_000 {
            log(&writer, &line);
        }
        writer.flush(Duration::from_millis(1));

        // One line is on its way, and the buffer is full.
        let lost = writer.0.lock().lost;
        assert_eq!(lost, 10_000 - 1 - (ROOM / line.len()) as u64);
        let mut taken = 0;
        while taken + lost < 10_000 {
            taken += lines(&written.recv().expect("the rest"));
        }
        writer.flush(LONG);
        assert_eq!(writer.0.lock().lost, 0, "they have been told");
    }

    #[test]
    fn a_closed_output_stops_nothing() {
        let (output, written) = mpsc::sync_channel(0);
        drop(written);
        let writer = LogWriter::start(Slow(output), Arc::default()).expect("a thread");

        for lost in 1..=3 {
            log(&writer, "line\n");
            writer.flush(LONG);
            assert_eq!(writer.0.lock().lost, lost);
        }
    }

    #[test]
    fn an_output_that_takes_nothing_at_the_moment_is_tried_again() {
        struct Busy(u32, mpsc::Sender<u8>);
        impl Write for Busy {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 % 2 == 1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                self.1.send(bytes[0]).expect("somebody listens");
                Ok(1)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (output, written) = mpsc::channel();
        let writer = LogWriter::start(Busy(0, output), Arc::default()).expect("a thread");

        log(&writer, "two\n");
        writer.flush(LONG);

        assert_eq!(written.try_iter().collect::<Vec<u8>>(), b"two\n");
    }
}
