//! Is a service ready, as it says itself? For probes of containers, whose image has no shell and no other program.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long to wait for the connection, and then for each part of the answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// More than the answer to such a question can have.
const LARGEST: u64 = 4096;

/// What a service says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It takes calls.
    Ready,
    /// It does not: it starts or stops.
    NotReady,
}

/// Asks the listener for probes, or the one for operators where that is plaintext, by `GET /readyz`.
///
/// # Errors
/// Nothing answers within a second, or what answers does not speak HTTP.
pub(super) fn readiness(address: SocketAddr) -> io::Result<Readiness> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    match status(&answer) {
        Some(200) => Ok(Readiness::Ready),
        Some(_) => Ok(Readiness::NotReady),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is not HTTP/1.1; is TLS spoken there?",
        )),
    }
}

/// The status of an answer in HTTP/1.
fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let (_, rest) = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split_once(' '))?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Asks a peer that reads the question and then writes these bytes.
    fn asked(answer: &'static [u8]) -> io::Result<Readiness> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 512];
            let count = stream.read(&mut question).unwrap();
            assert!(question[..count].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer).unwrap();
        });
        let readiness = readiness(address);
        peer.join().unwrap();
        readiness
    }

    #[test]
    fn the_status_says_whether_it_is_ready() {
        let ready = asked(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n");
        let stopping = asked(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");

        assert_eq!(ready.unwrap(), Readiness::Ready);
        assert_eq!(stopping.unwrap(), Readiness::NotReady);
    }

    #[test]
    fn what_does_not_speak_http_is_no_answer() {
        for answer in [&b""[..], b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/1.1\r\n"] {
            assert!(asked(answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn where_nobody_listens_there_is_no_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);

        assert!(readiness(address).is_err());
    }
}
