//! How is one connection served, from its preface to its end?

use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::grpc::door::{Answering, GrpcDoor, MAX_HEAD_BYTES, Origin};

use super::Settings;
use super::listen::Halves;
use super::resets::{Metered, Resets};
use super::turns::InTurns;
use super::warnings::Warnings;

/// The first bytes of every HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that are buffered for a slow caller, for each stream. Beyond them, back-pressure reaches the provider.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;

const MAX_FRAME_BYTES: u32 = 16 * 1024;

/// Requests are read as they arrive, so this bounds their speed more than their memory: with a round trip of 200
/// ms, 64 KiB would let 4 MiB take 13 seconds.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// How long a connection that was never used may take to end.
const UNUSED_GRACE: Duration = Duration::from_secs(1);

/// A connection has this much longer to end than the longest call takes: a call may begin while the connection is
/// being closed, and its status takes time to be sent.
pub(super) const LAST_CALL_GRACE: Duration = Duration::from_secs(5);

/// The age limits of connections differ by up to this share, so that they do not end together.
const AGE_JITTER: f64 = 0.1;

/// What all connections share.
pub(super) struct ConnectionServer {
    pub(super) settings: Settings,
    /// The longest that a call can take.
    pub(super) longest_call: Duration,
    /// Whether new calls are refused.
    pub(super) refusing: AtomicBool,
    /// Limits the warnings about connections that cancel too many calls.
    pub(super) cut_off: Warnings,
    /// Cancelled when connections must take no more calls and end after those that they have.
    pub(super) draining: CancellationToken,
}

impl ConnectionServer {
    /// Serves a connection with this door until it ends. The connection then still counts as open until the caller may
    /// again cancel as many calls as at first.
    pub(super) async fn serve(
        &self,
        halves: Halves,
        peer: Option<SocketAddr>,
        door: &GrpcDoor,
        resets: Arc<Resets>,
    ) {
        let accepted = Instant::now();
        let Halves { mut read, write } = halves;
        let limit = self.settings.handshake_timeout;
        let preface = timeout(limit, read_preface(&mut read));
        match self.draining.run_until_cancelled(preface).await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return debug!(%error, "no HTTP/2 connection"),
            Some(Err(_)) => return debug!(?limit, "no HTTP/2 connection in time"),
            None => return,
        }
        let too_many_resets = Arc::new(AtomicBool::new(false));
        let rest = Metered::new(read, Arc::clone(&resets), Arc::clone(&too_many_resets));
        let io = join(InTurns::new(Cursor::new(PREFACE).chain(rest)), write);
        self.converse(io, door, &door.origin(peer), accepted).await;
        if too_many_resets.load(Ordering::Relaxed) && self.cut_off.is_due() {
            let max_resets = self.settings.max_resets;
            warn!(
                peer = peer.map(tracing::field::display),
                max_resets,
                "the caller cancelled too many calls: closing its connection; others may follow unlogged"
            );
        }
        // A caller that reconnects must not start with a clean count.
        let recovered = sleep(resets.recovers_in());
        self.draining.run_until_cancelled(recovered).await;
    }

    async fn converse(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        door: &GrpcDoor,
        origin: &Origin,
        accepted: Instant,
    ) {
        let used = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: http::Request<Incoming>| {
            used.store(true, Ordering::Relaxed);
            door.answer(request, origin, self.refusing.load(Ordering::Relaxed))
        });
        let mut connection = pin!(self.builder().serve_connection(TokioIo::new(io), service));
        let mut stage = Stage::Unused;
        let mut next_stage = pin!(sleep_until(accepted + self.settings.first_request_timeout));
        let mut draining = pin!(self.draining.cancelled());
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "connection ended");
                    }
                    return;
                }
                () = draining.as_mut(), if stage != Stage::Ending => {
                    connection.as_mut().graceful_shutdown();
                    stage = Stage::Ending;
                    // The server itself bounds how long it waits for all connections.
                    let longest = self.longest_call + LAST_CALL_GRACE;
                    next_stage.as_mut().reset(Instant::now() + longest);
                }
                () = next_stage.as_mut() => {
                    let grace = match stage {
                        Stage::Unused if used.load(Ordering::Relaxed) => {
                            stage = Stage::Used;
                            next_stage.as_mut().reset(accepted + self.age());
                            continue;
                        }
                        Stage::Unused => UNUSED_GRACE,
                        Stage::Used => self.longest_call + LAST_CALL_GRACE,
                        Stage::Ending => return debug!("connection cut off"),
                    };
                    connection.as_mut().graceful_shutdown();
                    stage = Stage::Ending;
                    next_stage.as_mut().reset(Instant::now() + grace);
                }
            }
        }
    }

    fn builder(&self) -> http2::Builder<Answering> {
        let settings = &self.settings;
        let mut builder = http2::Builder::new(Answering);
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(settings.keepalive_interval)
            .keep_alive_timeout(settings.keepalive_timeout)
            .max_concurrent_streams(settings.max_concurrent_streams)
            // A caller may cancel all its calls at once. The default of 20 would end the connection, and with it
            // the calls that go on.
            .max_pending_accept_reset_streams(usize::try_from(settings.max_concurrent_streams).ok())
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEAD_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES);
        builder
    }

    /// The age at which a connection is asked to end.
    fn age(&self) -> Duration {
        let jitter = AGE_JITTER * (2.0 * fastrand::f64() - 1.0);
        self.settings.connection_age.mul_f64(1.0 + jitter)
    }
}

/// How far a connection has come: what it waits for next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has had no request; it waits for the first one.
    Unused,
    /// It has had a request; it waits for its age limit.
    Used,
    /// It was asked to end; it waits for its last calls.
    Ending,
}

/// Reads the preface, and nothing behind it.
async fn read_preface(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    if preface == PREFACE {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "not HTTP/2"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> ConnectionServer {
        ConnectionServer {
            settings: Settings::default(),
            longest_call: Duration::from_secs(1),
            refusing: AtomicBool::new(false),
            cut_off: Warnings::default(),
            draining: CancellationToken::new(),
        }
    }

    #[test]
    fn connections_do_not_grow_old_all_at_once() {
        let host = host();

        for _ in 0..1000 {
            let age = host.age().as_secs_f64();
            assert!((540.0..=660.0).contains(&age), "{age}");
        }
    }
}
