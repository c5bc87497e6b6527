//! What do all commands share: exit codes, lines on standard streams, times, a runtime.

use std::borrow::Cow;
use std::future::Future;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime;

use crate::config::parse_duration;
use crate::terminal;

/// Exit code for a configuration or a command line that cannot be used.
pub(super) const BROKEN: u8 = 2;

/// Exit code for a service that does not answer.
pub(super) const SILENT: u8 = 3;

/// At the end of the program: the longest wait for threads, and for a standard stream that takes no more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does asynchronous work on a runtime of its own.
///
/// # Errors
/// Those of the work, and the runtime cannot be started.
pub(super) fn in_runtime(
    work: impl Future<Output = Result<ExitCode, String>>,
) -> Result<ExitCode, String> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let result = runtime.block_on(work);
    // Do not wait for a stuck thread or for a file that is still being read.
    runtime.shutdown_timeout(PATIENCE);
    result
}

/// Standard output that cannot be written, such as a file on a full disk. A reader that closes the pipe early is no
/// failure.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written: {error}{note}")]
pub(super) struct Unwritten {
    error: io::Error,
    /// What must be known all the same.
    note: &'static str,
}

impl From<Unwritten> for String {
    fn from(unwritten: Unwritten) -> Self {
        unwritten.to_string()
    }
}

/// Writes all of this to standard output.
///
/// # Errors
/// It cannot be written.
pub(super) fn written(all: &[u8]) -> Result<ExitCode, String> {
    put(all, "")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a line to standard output.
///
/// # Errors
/// It cannot be written.
pub(super) fn print(text: String) -> Result<(), Unwritten> {
    put((text + "\n").as_bytes(), "")
}

/// Writes a line to standard output that tells of a change. The change stays if the line cannot be written.
///
/// # Errors
/// It cannot be written, which is told together with the fact that the change is made.
pub(super) fn print_change(text: String) -> Result<(), Unwritten> {
    put(
        (text + "\n").as_bytes(),
        "; the change is made all the same",
    )
}

/// Writes to standard output what the reader of the command line tells in place of a command: help, or the version.
///
/// # Errors
/// It cannot be written.
pub(super) fn print_help(help: &clap::Error) -> Result<(), Unwritten> {
    judged(help.print().and_then(|()| io::stdout().flush()), "")
}

fn put(all: &[u8], note: &'static str) -> Result<(), Unwritten> {
    let mut out = io::stdout();
    judged(out.write_all(all).and_then(|()| out.flush()), note)
}

fn judged(written: io::Result<()>, note: &'static str) -> Result<(), Unwritten> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Unwritten { error, note }),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// Writes a line to standard output on behalf of a service, which serves whether it can be read or not.
pub(super) fn announce(text: String) {
    print_to(io::stdout(), text);
}

/// Writes a line to standard error.
pub(super) fn print_error(text: String) {
    print_to(io::stderr(), text);
}

/// Writes a line to a standard stream. If the stream is closed, or full and not read, the program goes on all the
/// same.
fn print_to(mut stream: impl Write + Send + 'static, text: String) {
    let (done, written) = mpsc::channel();
    let write = move || {
        let _ = writeln!(stream, "{text}").and_then(|()| stream.flush());
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = written.recv_timeout(PATIENCE);
    }
}

/// Why a file that must be new cannot be made, and what to do.
pub(super) fn unmade(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::AlreadyExists => {
            format!(
                "`{path}` cannot be made: it is there already; name a file that does not exist yet"
            )
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => format!(
            "`{path}` cannot be made: its directory is not there; make that first, or name a file in another one"
        ),
        _ => format!(
            "`{path}` cannot be made: {error}; name a file in a directory in which this user may make one"
        ),
    }
}

/// Reads a time such as `30s`.
///
/// # Errors
/// It is none.
pub(super) fn parse_time(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("write a number and a unit, such as 500ms, 30s or 2m")
}

/// A text of others for a terminal: control characters other than line feed and tab are shown, not obeyed.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    terminal::shown(text, &['\n', '\t'])
}
