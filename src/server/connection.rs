//! One connection, from its preface to its end.

use std::convert::Infallible;
use std::future::ready;
use std::io::{self, Cursor};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::admission::room::Share;
use crate::caller::Caller;
use crate::error::Error;
use crate::grpc::arrival::{self, Intake};
use crate::grpc::refusals::{self, MAX_METADATA_BYTES};
use crate::grpc::watched::{Answering, WatchedBody};
use crate::grpc::{conversation, status};

use super::Settings;
use super::resets::{Metered, Resets};
use super::turns::InTurns;
use super::warnings::Warnings;

/// What begins every connection of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What lies unread in front of a slow caller, for each stream: back-pressure reaches the provider after it.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;

const MAX_FRAME_BYTES: u32 = 16 * 1024;

/// A head may be somewhat larger than the metadata of a call, so that its caller is told why it is
/// refused. A larger one gets HTTP status 431; one of four times this size ends the connection.
const MAX_HEADER_LIST_BYTES: u32 = 4 * MAX_METADATA_BYTES as u32;

/// Requests are read as they come, so this bounds their speed more than the room they take: a fifth
/// of a second away, 64 KiB would let 4 MiB take 13 seconds.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Whoever asks about health is answered to the end.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// How long a connection that was asked to end without having been used may take for it.
const UNUSED_GRACE: Duration = Duration::from_secs(1);

/// How much longer than the longest call a connection is given to end: one may have begun while it was
/// being asked, and its end takes its time to be told.
const LAST_CALL_GRACE: Duration = Duration::from_secs(5);

/// Share of the age by which connections differ in it.
const AGE_JITTER: f64 = 0.1;

/// What all connections share.
pub(super) struct Host {
    pub(super) settings: Settings,
    pub(super) intake: Intake,
    /// The longest that a call can take.
    pub(super) longest_call: Duration,
    /// Whether new calls are refused.
    pub(super) refusing: AtomicBool,
    /// That connections are cut off because of calls that they take back.
    pub(super) cut_off: Warnings,
    /// Cancelled when connections are to take no more calls and end after those they have.
    pub(super) draining: CancellationToken,
}

impl Host {
    /// Serves a connection to its end, by these routes. It counts as open until what its address has
    /// taken back is made up for.
    pub(super) async fn serve(&self, mut stream: TcpStream, routes: Routes, resets: Arc<Resets>) {
        let accepted = Instant::now();
        // Tokens must not wait for company.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY cannot be set");
        }
        let limit = self.settings.handshake_timeout;
        let preface = timeout(limit, read_preface(&mut stream));
        match self.draining.run_until_cancelled(preface).await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return debug!(%error, "no HTTP/2 connection"),
            Some(Err(_)) => return debug!(?limit, "no HTTP/2 connection in time"),
            None => return,
        }
        let peer = TcpConnectInfo {
            local_addr: None,
            remote_addr: stream.peer_addr().ok(),
        };
        let (rest, write) = stream.into_split();
        let too_many_resets = Arc::new(AtomicBool::new(false));
        let rest = Metered::new(rest, Arc::clone(&resets), Arc::clone(&too_many_resets));
        let io = join(InTurns::new(Cursor::new(PREFACE).chain(rest)), write);
        let address = peer.remote_addr;
        let share = self
            .intake
            .share(Caller::of_peer(address.map(|it| it.ip())));
        self.converse(io, peer, &share, routes, accepted).await;
        if too_many_resets.load(Ordering::Relaxed) && self.cut_off.is_due() {
            let max_resets = self.settings.max_resets;
            warn!(
                peer = address.map(tracing::field::display),
                max_resets,
                "too many calls taken back: this connection is cut off, and more may be"
            );
        }
        // Who leaves and comes back must not find everything forgotten.
        let recovered = sleep(resets.recovers_in());
        self.draining.run_until_cancelled(recovered).await;
    }

    async fn converse(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        peer: TcpConnectInfo,
        share: &Arc<Share>,
        routes: Routes,
        accepted: Instant,
    ) {
        let used = Arc::new(AtomicBool::new(false));
        let service = service_fn(|mut request: http::Request<Incoming>| {
            used.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(peer.clone());
            self.answer(&routes, request, share)
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
                    // The whole service waits for no longer than it may.
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
            // A caller may cancel all its calls at once: the default of 20 ends the whole connection,
            // and with it the calls that go on.
            .max_pending_accept_reset_streams(usize::try_from(settings.max_concurrent_streams).ok())
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(MAX_SEND_BUFFER_BYTES);
        builder
    }

    /// How old a connection becomes.
    fn age(&self) -> Duration {
        let jitter = AGE_JITTER * (2.0 * fastrand::f64() - 1.0);
        self.settings.connection_age.mul_f64(1.0 + jitter)
    }

    fn answer<B>(
        &self,
        routes: &Routes,
        request: http::Request<B>,
        share: &Arc<Share>,
    ) -> impl Future<Output = Result<http::Response<WatchedBody<Body>>, Infallible>> + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<StdError>> + Send + Unpin + 'static,
    {
        if self.refusing.load(Ordering::Relaxed) && request.uri().path() != HEALTH_CHECK {
            let refusal = status::of_error(&Error::Draining).into_http();
            return Either::Left(ready(Ok(WatchedBody::response(refusal))));
        }
        if let Some(refusal) = refusals::of_head(&request) {
            return Either::Left(ready(Ok(WatchedBody::response(refusal))));
        }
        let request = match self.intake.admit(request, share) {
            Ok(request) => request,
            Err(error) => {
                let refusal = arrival::told(status::of_error(&error).into_http());
                return Either::Left(ready(Ok(WatchedBody::response(refusal))));
            }
        };
        let refused = request.body().refused();
        let response = routes.clone().oneshot(request);
        Either::Right(async {
            let response = response.await.map(refusals::explained);
            let response = match refused {
                Some(refused) => response.map(|response| conversation::ending(response, refused)),
                None => response,
            };
            response.map(arrival::told).map(WatchedBody::response)
        })
    }
}

/// What a connection is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For its first request.
    Unused,
    /// To grow old.
    Used,
    /// To end by itself.
    Ending,
}

/// Reads the preface, and nothing behind it.
async fn read_preface(stream: &mut TcpStream) -> io::Result<()> {
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
    use tonic::{Code, Status};
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::admission::room::{Limits, Room};
    use crate::grpc::arrival::Rules;
    use crate::grpc::elements::Contract;

    fn host() -> Host {
        let settings = Settings::default();
        let draining = CancellationToken::new();
        let room = Arc::new(Room::new(Limits {
            requests: 1,
            requests_per_caller: 1,
            unfinished: 1,
        }));
        Host {
            intake: Intake::new(
                settings.receive_timeout,
                Rules {
                    max_message_bytes: settings.max_message_bytes,
                    contract: Arc::new(Contract::default()),
                    elements: Arc::default(),
                },
                room,
                draining.clone(),
            ),
            settings,
            longest_call: Duration::from_secs(1),
            refusing: AtomicBool::new(false),
            cut_off: Warnings::default(),
            draining,
        }
    }

    async fn status_of(host: &Host, path: &str) -> Status {
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .body(Body::default());
        let response = host.answer(
            &Routes::default(),
            request.unwrap(),
            &host.intake.share(Caller::Unknown),
        );
        let response = response.await.unwrap();
        Status::from_header_map(response.headers()).unwrap()
    }

    #[tokio::test]
    async fn a_host_that_goes_down_refuses_all_but_questions_about_health() {
        let host = host();
        let generate = "/modelway.v1.GenerationService/Generate";
        // Nobody answers here, so that what is let through is told apart.
        assert_eq!(status_of(&host, generate).await.code(), Code::Unimplemented);

        host.refusing.store(true, Ordering::Relaxed);

        let refusal = status_of(&host, generate).await;
        assert_eq!(refusal.code(), Code::Unavailable);
        let details = refusal.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "DRAINING");
        let retry_after = details.retry_info().unwrap().retry_delay;
        assert_eq!(retry_after, Some(Duration::ZERO));
        let health = status_of(&host, HEALTH_CHECK).await;
        assert_eq!(health.code(), Code::Unimplemented);
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
