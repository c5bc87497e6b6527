//! How are log lines written without making a call wait? A thread writes them out of a bounded buffer.
//!
//! The reader of standard error may be slow or may have stopped, and then a write to the full pipe blocks. Lines that
//! do not fit into the buffer are dropped; their number is logged as soon as there is room.
//!
//! Waking the thread and writing cost more than the line of a call does otherwise. So a line that comes alone is
//! written at once, and those that follow it closely are gathered and written together: see [`GATHERING`].

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

/// With so many bytes in the buffer, the thread writes without waiting for more.
const PLENTY: usize = ROOM / 4;

/// For this long after a write the thread gathers lines before it writes again. Nothing needs to wake it meanwhile.
const GATHERING: Duration = Duration::from_millis(10);

/// The pause after a non-blocking write that found no room.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes log lines from any thread. Clones share the buffer.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Wakes the thread that writes.
    to_write: Condvar,
    /// Notified when everything was written that somebody waits for.
    written: Condvar,
    counters: Arc<LogCounters>,
}

#[derive(Default)]
struct State {
    /// Whole lines that wait to be written.
    waiting: Vec<u8>,
    /// How many lines were dropped because of a full buffer or a failed write.
    lost: u64,
    thread: Thread,
    /// Whether somebody waits until everything has been written.
    is_awaited: bool,
}

/// What the thread that writes does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thread {
    /// It sleeps until a line comes.
    #[default]
    Asleep,
    /// It looks for lines again soon.
    Gathering,
    /// It writes, and looks for lines after that.
    Writing,
}

/// What became of a new line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NewLine {
    /// The thread finds it by itself.
    Quietly,
    /// The thread must be woken.
    Waking,
    /// There is no room for it.
    Lost,
}

impl State {
    /// Adds a line to those that wait.
    fn add(&mut self, line: &[u8]) -> NewLine {
        let before = self.waiting.len();
        let after = before + line.len();
        if after > ROOM {
            self.lost += 1;
            return NewLine::Lost;
        }
        self.waiting.extend_from_slice(line);
        let is_due = match self.thread {
            // The first line has woken it.
            Thread::Asleep => before == 0,
            Thread::Gathering => before < PLENTY && after >= PLENTY,
            Thread::Writing => false,
        };
        match is_due {
            true => NewLine::Waking,
            false => NewLine::Quietly,
        }
    }

    /// Whether the thread may go on gathering.
    fn can_gather(&self) -> bool {
        !self.is_awaited && self.waiting.len() < PLENTY
    }

    /// Whether there is a line that has not been written.
    fn is_unwritten(&self) -> bool {
        self.thread == Thread::Writing || !self.waiting.is_empty()
    }
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
            to_write: Condvar::new(),
            written: Condvar::new(),
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
        let mut state = self.0.lock();
        state.is_awaited = true;
        self.0.to_write.notify_one();
        let unwritten = |state: &mut State| state.is_unwritten();
        // The result makes no difference: nothing more can be done for lines that were not written.
        let _ = self
            .0
            .written
            .wait_timeout_while(state, patience, unwritten);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let added = self.lock().add(line);
        match added {
            NewLine::Quietly => {}
            NewLine::Waking => self.to_write.notify_one(),
            NewLine::Lost => _ = self.counters.lost.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn write_out(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        let mut fails = false;
        loop {
            batch.clear();
            let lost = {
                let mut state = self.wait_for_lines();
                std::mem::swap(&mut state.waiting, &mut batch);
                state.thread = Thread::Writing;
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
            state.thread = Thread::Gathering;
        }
    }

    /// Returns when lines are to be written. A thread that has just written gathers first.
    fn wait_for_lines(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if state.thread == Thread::Gathering {
            let gathering = |state: &mut State| state.can_gather();
            let waited = self
                .to_write
                .wait_timeout_while(state, GATHERING, gathering);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        while state.waiting.is_empty() {
            state.thread = Thread::Asleep;
            if std::mem::take(&mut state.is_awaited) {
                self.written.notify_all();
            }
            let woken = self.to_write.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state
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
    fn the_thread_is_woken_only_from_its_sleep_or_by_a_buffer_that_fills() {
        use NewLine::{Lost, Quietly, Waking};
        let (some, plenty, full) = (100, PLENTY, ROOM);
        let table = [
            (Thread::Asleep, 0, some, Waking),
            (Thread::Asleep, some, some, Quietly),
            (Thread::Gathering, 0, some, Quietly),
            (Thread::Gathering, some, some, Quietly),
            (Thread::Gathering, plenty - 1, 1, Waking),
            (Thread::Gathering, plenty, 1, Quietly),
            (Thread::Writing, 0, some, Quietly),
            (Thread::Writing, plenty - 1, 1, Quietly),
            (Thread::Writing, full - some, some, Quietly),
            (Thread::Writing, full, 1, Lost),
            (Thread::Asleep, full - some, some + 1, Lost),
        ];
        for (thread, waiting, line, expected) in table {
            let mut state = State {
                waiting: vec![b'x'; waiting],
                thread,
                ..State::default()
            };

            let added = state.add(&vec![b'x'; line]);

            let is_lost = expected == Lost;
            let case = (thread, waiting, line);
            assert_eq!(added, expected, "{case:?}");
            assert_eq!(state.lost, u64::from(is_lost), "{case:?}");
            let kept = if is_lost { 0 } else { line };
            assert_eq!(state.waiting.len(), waiting + kept, "{case:?}");
        }
    }

    #[test]
    fn a_line_that_comes_alone_is_written_at_once_and_what_follows_closely_together() {
        let (output, written) = mpsc::sync_channel(10_000);
        let writer = LogWriter::start(Slow(output), Arc::default()).expect("a thread");

        log(&writer, "first\n");
        let first = written.recv_timeout(LONG).expect("the first line");
        assert_eq!(first, b"first\n");
        let began = tokio::time::Instant::now();
        for number in 0..5_000 {
            log(&writer, &format!("{number}\n"));
        }
        // Nobody has to wait until the gathering is over.
        writer.flush(LONG);
        let took = began.elapsed();

        let writes: Vec<_> = written.try_iter().collect();
        // One more at each end: the gathering began before, and the flush ends it.
        let most = 2 + took.as_millis() / GATHERING.as_millis();
        assert!(writes.len() as u128 <= most, "{} in {took:?}", writes.len());
        let text = writes.concat();
        let expected: String = (0..5_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(text), Ok(expected));
    }

    #[test]
    fn whoever_logs_waits_for_nobody_and_what_finds_no_room_is_counted() {
        let (output, written) = mpsc::sync_channel(0);
        let writer = LogWriter::start(Slow(output), Arc::default()).expect("a thread");
        let line = format!("{}\n", "x".repeat(1023));

        log(&writer, &line);
        while writer.0.lock().thread != Thread::Writing {
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
