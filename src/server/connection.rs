//! How is one connection served, from its preface to its end?

use std::convert::Infallible;
use std::io::{self, Cursor};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::caller::Peer;
use crate::grpc::door::{Answering, MAX_HEAD_BYTES, Origin};
use crate::grpc::watched::cut_off_with;
use crate::telemetry::repeated::RepeatedWarning;

use super::Settings;
use super::WARN_EVERY;
use super::doors::Doors;
use super::exchange::{Exchange, ServedBody, Timed};
use super::handshake::{Opened, Trust, Unopened, open};
use super::listen::{Halves, Socket};
use super::refused::{RefusedConnections, WhyCutOff};
use super::resets::{Metered, Resets};
use super::tls::ListenerTls;
use super::turns::InTurns;
use super::unread::RestOfRequest;

/// The first bytes of every HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that are buffered for a slow caller, for each stream. Beyond them, back-pressure reaches the provider.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;

const MAX_FRAME_BYTES: u32 = 16 * 1024;

/// Requests are read as they arrive, so this bounds their speed more than their memory: with a round trip of 200
/// ms, 64 KiB would let 4 MiB take 13 seconds.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// The most lines of a head that are read at all. One with fewer that has too many is refused with the reason; one with
/// more gets only its status.
const MOST_LINES: usize = 256;

/// A caller in HTTP/1.1 that reads nothing has this much longer than its calls have.
const STALLED_GRACE: Duration = Duration::from_secs(1);
/// How long the calls of a client may go on whose authority is no longer believed.
pub(super) const DISTRUST_GRACE: Duration = Duration::from_secs(3);

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
    /// What stays the same when the settings change.
    pub(super) shared: Arc<SharedByConnections>,
}

/// What all connections share, whenever they were accepted.
pub(super) struct SharedByConnections {
    /// The longest that a call can take, in milliseconds.
    pub(super) longest_call: AtomicU64,
    /// Whether new calls are refused.
    pub(super) refusing: AtomicBool,
    /// Limits the warnings about connections that cancel too many calls.
    pub(super) cut_off: RepeatedWarning,
    /// Counts the connections that do not get far.
    pub(super) refused: Arc<RefusedConnections>,
    /// `None`: connections are in plaintext.
    pub(super) tls: Option<Arc<ListenerTls>>,
    /// Cancelled when connections must take no more calls and end after those that they have.
    pub(super) draining: CancellationToken,
}

impl SharedByConnections {
    /// No call takes longer than `longest_call`.
    pub(super) fn new(
        longest_call: Duration,
        draining: CancellationToken,
        refused: Arc<RefusedConnections>,
        tls: Option<Arc<ListenerTls>>,
    ) -> Self {
        let shared = Self {
            longest_call: AtomicU64::default(),
            refusing: AtomicBool::new(false),
            cut_off: RepeatedWarning::once_in(WARN_EVERY),
            refused,
            tls,
            draining,
        };
        shared.set_longest_call(longest_call);
        shared
    }

    /// From now on no call takes longer than this.
    pub(super) fn set_longest_call(&self, longest: Duration) {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.longest_call.store(millis, Ordering::Relaxed);
    }

    fn longest_call(&self) -> Duration {
        Duration::from_millis(self.longest_call.load(Ordering::Relaxed))
    }
}

impl ConnectionServer {
    /// Serves a connection with this door until it ends. The connection then still counts as open until the caller may
    /// again cancel as many calls as at first.
    pub(super) async fn serve(
        self: &Arc<Self>,
        socket: Socket,
        peer: Peer,
        doors: &Arc<ArcSwap<Doors>>,
        resets: Arc<Resets>,
    ) {
        let accepted = Instant::now();
        let limit = self.settings.handshake_timeout;
        let opening = open(socket, peer.clone(), self.shared.tls.as_deref(), limit);
        let Opened {
            halves: Halves { mut read, write },
            peer,
            trust,
        } = match self.shared.draining.run_until_cancelled(opening).await {
            Some(Ok(opened)) => opened,
            Some(Err(Unopened::Failed(error, unread))) => {
                self.shared.refused.count(WhyCutOff::Tls);
                debug!(%error, %peer, "no TLS connection");
                return unread.close().await;
            }
            Some(Err(Unopened::Late)) => {
                self.shared.refused.count(WhyCutOff::Handshake);
                return debug!(?limit, "no TLS connection in time");
            }
            None => return,
        };
        let beginning = timeout_at(accepted + limit, FirstBytes::read(&mut read));
        let beginning = match self.shared.draining.run_until_cancelled(beginning).await {
            Some(Ok(Ok(beginning))) => beginning,
            Some(Ok(Err(error))) => {
                self.shared.refused.count(WhyCutOff::Handshake);
                return debug!(%error, "a connection without a request");
            }
            Some(Err(_)) => {
                self.shared.refused.count(WhyCutOff::Handshake);
                return debug!(?limit, "no request in time");
            }
            None => return,
        };
        let origin = doors.load().origin(peer.clone());
        let too_many_resets = Arc::new(AtomicBool::new(false));
        match beginning {
            FirstBytes::Http2 => {
                let rest = Metered::new(read, Arc::clone(&resets), Arc::clone(&too_many_resets));
                let io = join(InTurns::new(Cursor::new(PREFACE).chain(rest)), write);
                self.converse_in_http2(io, doors, &origin, trust, accepted)
                    .await;
            }
            FirstBytes::Http1(begun) => {
                let io = join(InTurns::new(Cursor::new(begun).chain(read)), write);
                let (host, doors) = (Arc::clone(self), Arc::clone(doors));
                cut_off_with(async move {
                    host.converse_in_http1(io, doors, origin, trust, accepted)
                        .await;
                })
                .await;
            }
        }
        let is_cut_off = too_many_resets.load(Ordering::Relaxed);
        if is_cut_off {
            self.shared.refused.count(WhyCutOff::Resets);
        }
        if is_cut_off && let Some(repeated) = self.shared.cut_off.due(Instant::now()) {
            let max_resets = self.settings.max_resets;
            warn!(
                %peer,
                max_resets,
                repeated,
                "the caller cancelled too many calls: closing its connection; others may follow unlogged"
            );
        }
        // A caller that reconnects must not start with a clean count.
        let recovered = sleep(resets.recovers_in());
        self.shared.draining.run_until_cancelled(recovered).await;
    }

    async fn converse_in_http2(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        doors: &ArcSwap<Doors>,
        origin: &Origin,
        trust: Trust,
        accepted: Instant,
    ) {
        let used = AtomicBool::new(false);
        let service = service_fn(|request: http::Request<Incoming>| {
            used.store(true, Ordering::Relaxed);
            let answering = doors.load().answer(request, origin, self.is_refusing());
            async { Ok::<_, Infallible>(answering.await) }
        });
        let connection = self.http2().serve_connection(TokioIo::new(io), service);
        let close =
            |connection: Pin<&mut http2::Connection<_, _, _>>| connection.graceful_shutdown();
        self.lead(connection, close, &used, trust, accepted).await;
    }

    /// One request at a time: another one that comes meanwhile waits in the buffer.
    async fn converse_in_http1(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        doors: Arc<ArcSwap<Doors>>,
        origin: Origin,
        trust: Trust,
        accepted: Instant,
    ) {
        let settings = &self.settings;
        let exchange = Exchange::default();
        // The sweep over open calls ends those that are not read; this is for what it does not see.
        let taken_within = 2 * settings.client_stall + STALLED_GRACE;
        let io = Timed::new(
            io,
            exchange.clone(),
            settings.handshake_timeout,
            taken_within,
        );
        // In JSON, bytes take a third more.
        let most_unread = settings.max_message_bytes.saturating_mul(2);
        let used = AtomicBool::new(false);
        let service = service_fn(|request: http::Request<Incoming>| {
            used.store(true, Ordering::Relaxed);
            let underway = exchange.begin();
            let (rest, request) = RestOfRequest::lend(request);
            let answering = doors.load().answer(request, &origin, self.is_refusing());
            async move {
                let response = answering.await;
                rest.read_on(most_unread).await;
                Ok::<_, Infallible>(response.map(|body| ServedBody { body, underway }))
            }
        });
        let connection = self.http1().serve_connection(TokioIo::new(io), service);
        let close = |connection: Pin<&mut http1::Connection<_, _>>| connection.graceful_shutdown();
        self.lead(connection, close, &used, trust, accepted).await;
    }

    fn is_refusing(&self) -> bool {
        self.shared.refusing.load(Ordering::Relaxed)
    }

    /// Runs a connection until it ends; `close` lets it take no more requests.
    async fn lead<C>(
        &self,
        connection: C,
        close: impl Fn(Pin<&mut C>),
        used: &AtomicBool,
        trust: Trust,
        accepted: Instant,
    ) where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        let mut stage = ConnectionStage::Unused;
        let mut next_stage = pin!(sleep_until(accepted + self.settings.first_request_timeout));
        let mut draining = pin!(self.shared.draining.cancelled());
        let (mut distrusted, mut is_trusted) = (pin!(trust.lost()), true);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "connection ended");
                    }
                    return;
                }
                () = draining.as_mut(), if stage != ConnectionStage::Ending => {
                    close(connection.as_mut());
                    stage = ConnectionStage::Ending;
                    // The server itself bounds how long it waits for all connections.
                    let longest = self.shared.longest_call() + LAST_CALL_GRACE;
                    next_stage.as_mut().reset(Instant::now() + longest);
                }
                () = distrusted.as_mut(), if is_trusted => {
                    is_trusted = false;
                    close(connection.as_mut());
                    stage = ConnectionStage::Ending;
                    next_stage.as_mut().reset(Instant::now() + DISTRUST_GRACE);
                }
                () = next_stage.as_mut() => {
                    let grace = match stage {
                        ConnectionStage::Unused if used.load(Ordering::Relaxed) => {
                            stage = ConnectionStage::Used;
                            next_stage.as_mut().reset(accepted + self.age());
                            continue;
                        }
                        ConnectionStage::Unused => {
                            self.shared.refused.count(WhyCutOff::FirstRequest);
                            UNUSED_GRACE
                        }
                        ConnectionStage::Used => self.shared.longest_call() + LAST_CALL_GRACE,
                        ConnectionStage::Ending => return debug!("connection cut off"),
                    };
                    close(connection.as_mut());
                    stage = ConnectionStage::Ending;
                    next_stage.as_mut().reset(Instant::now() + grace);
                }
            }
        }
    }

    fn http1(&self) -> http1::Builder {
        let settings = &self.settings;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // A caller that closes its half has gone away, as far as can be told while its answer is on its way.
            .half_close(false)
            // From the end of a response to the end of the next head.
            .header_read_timeout(settings.keepalive_interval + settings.keepalive_timeout)
            .max_headers(MOST_LINES)
            .max_buf_size(MAX_SEND_BUFFER_BYTES);
        builder
    }

    fn http2(&self) -> http2::Builder<Answering> {
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
enum ConnectionStage {
    /// It has had no request; it waits for the first one.
    Unused,
    /// It has had a request; it waits for its age limit.
    Used,
    /// It was asked to end; it waits for its last calls.
    Ending,
}

/// How a connection begins.
enum FirstBytes {
    /// With the preface of HTTP/2, and nothing behind it has been read.
    Http2,
    /// With these bytes, which are HTTP/1.1 or nothing that is known.
    Http1(Vec<u8>),
}

impl FirstBytes {
    /// Reads until it is clear which protocol the caller speaks.
    async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut read = [0; PREFACE.len()];
        let mut count = 0;
        while count < PREFACE.len() {
            match stream.read(&mut read[count..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => count += more,
            }
            if !PREFACE.starts_with(&read[..count]) {
                return Ok(Self::Http1(read[..count].to_vec()));
            }
        }
        Ok(Self::Http2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> ConnectionServer {
        ConnectionServer {
            settings: Settings::default(),
            shared: Arc::new(SharedByConnections::new(
                Duration::from_secs(1),
                CancellationToken::new(),
                Arc::default(),
                None,
            )),
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
