//! Reads files within bounds of size and time, be they regular files, pipes or devices.

use std::fs::{self, File, Metadata};
use std::io::{self, Error, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The largest configuration.
pub const MAX_CONFIGURATION_BYTES: u64 = 16 << 20;

/// The largest file that the configuration names: a key, or certificates.
const MAX_NAMED_BYTES: u64 = 1 << 20;

/// How long reading may take. A pipe may never be written to, and a file may lie on another machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the text of a configuration from a file or a pipe.
///
/// # Errors
/// Why it cannot be read.
pub fn configuration(path: &Path) -> io::Result<String> {
    text(path, MAX_CONFIGURATION_BYTES)
}

/// Reads a configuration as TOML, without any judgement of what it says: its text and its table.
///
/// # Errors
/// Why it cannot be read, with the name of the file.
pub fn table(path: &Path) -> Result<(String, toml::Table), String> {
    let name = path.display();
    let text =
        configuration(path).map_err(|error| format!("`{name}` cannot be read: {}", why(&error)))?;
    let parsed = text.parse::<toml::Table>();
    let table = parsed.map_err(|error| format!("`{name}` is not TOML: {}", error.message()))?;
    Ok((text, table))
}

/// Reads the text of a configuration from standard input, within the same bounds.
///
/// # Errors
/// Why it cannot be read.
pub fn standard_input() -> io::Result<String> {
    timely(|| bounded(io::stdin().lock(), MAX_CONFIGURATION_BYTES))
}

/// Reads the text of a configuration that was read before. A pipe cannot be read again.
///
/// # Errors
/// Why it cannot be read.
pub fn configuration_again(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    configuration(path)
}

/// Reads the text of a file or pipe that the configuration names.
///
/// # Errors
/// Why it cannot be read.
pub fn named(path: &Path) -> io::Result<String> {
    text(path, MAX_NAMED_BYTES)
}

/// Reads a file that was read before. A pipe cannot be read again.
///
/// # Errors
/// Why it cannot be read.
pub fn again(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    named(path)
}

/// Reads the bytes of a file that was read before, be it a configuration or a file that one names.
///
/// # Errors
/// Why it cannot be read.
pub fn bytes_again(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    bytes(path, MAX_CONFIGURATION_BYTES)
}

/// The reason of a failure, without the path.
pub fn why(error: &Error) -> String {
    match (error.get_ref(), error.kind()) {
        (Some(own), _) => own.to_string(),
        (None, ErrorKind::NotFound) => "there is no such file".to_owned(),
        (None, kind) => kind.to_string(),
    }
}

/// Reads in a thread of its own. If that takes too long the thread is left behind, because a system call cannot be
/// interrupted.
fn timely(read: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static) -> io::Result<String> {
    let (done, result) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || done.send(read()))?;
    let bytes = result.recv_timeout(PATIENCE).map_err(|_| {
        let seconds = PATIENCE.as_secs();
        Error::new(
            ErrorKind::TimedOut,
            format!("reading did not finish within {seconds} s"),
        )
    })??;
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn text(path: &Path, max_bytes: u64) -> io::Result<String> {
    let path = path.to_owned();
    timely(move || bytes(&path, max_bytes))
}

fn bytes(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    check(&fs::metadata(path)?, max_bytes)?;
    let file = File::open(path)?;
    check(&file.metadata()?, max_bytes)?;
    bounded(file, max_bytes)
}

/// All of it, if it is not too much.
fn bounded(source: impl Read, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_large(max_bytes));
    }
    Ok(bytes)
}

/// Checks that the file can be read to its end; a device has none.
fn check(found: &Metadata, max_bytes: u64) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "it is a directory"));
    }
    if !kind.is_file() && !kind.is_fifo() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "it is neither a file nor a pipe",
        ));
    }
    if found.len() > max_bytes {
        return Err(too_large(max_bytes));
    }
    Ok(())
}

fn too_large(max_bytes: u64) -> Error {
    let mebibytes = max_bytes >> 20;
    Error::new(
        ErrorKind::FileTooLarge,
        format!("it is larger than {mebibytes} MiB"),
    )
}
