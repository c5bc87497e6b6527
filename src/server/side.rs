//! How are the listeners for operators and probes served? Each by a thread of its own, so that it answers however busy
//! calls keep the cores, until the process ends.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::join;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::caller::Peer;
use crate::grpc::door::{Answering, GrpcDoor, MAX_HEAD_BYTES, Origin};
use crate::grpc::health::LiveHealth;
use crate::telemetry::repeated::RepeatedWarning;

use super::WARN_EVERY;
use super::census::Census;
use super::connection::DISTRUST_GRACE;
use super::exchange::{Exchange, Timed};
use super::handshake::{Opened, Unopened, open};
use super::listen::{Halves, Listener, Socket};
use super::probe::{self, ProcessHealth};
use super::refused::{RefusedConnections, WhyCutOff};
use super::settings::Settings;
use super::tls::ListenerTls;

/// Connections that one of these listeners may have open. Operators, kubelets and scrapers are few.
pub const MAX_SIDE_CONNECTIONS: usize = 64;

/// How many of them one address may have, so that it cannot keep the others out.
pub const MAX_SIDE_CONNECTIONS_OF_ADDRESS: usize = MAX_SIDE_CONNECTIONS / 2;

/// Streams that one of their connections may have open.
const MAX_STREAMS: u32 = 64;

/// How long after a connection could not be accepted the next one is tried.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How long connections may take to end with the process.
const LAST_GRACE: Duration = Duration::from_millis(200);

/// How long the process waits for the thread of a listener at its end.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is judged whether the process is alive.
const LOOK: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a listener of this kind serves.
pub(super) struct SideServer {
    pub(super) name: &'static str,
    /// What follows the configuration: its connections keep the limits that they began with, requests do not.
    pub(super) rules: Arc<ArcSwap<SideRules>>,
    pub(super) health: Arc<ProcessHealth>,
    /// Counts its connections.
    pub(super) census: Census,
    /// `None`: connections are in plaintext.
    pub(super) tls: Option<Arc<ListenerTls>>,
    pub(super) refused: Arc<RefusedConnections>,
    /// Cancelled when the service drains.
    pub(super) draining: CancellationToken,
}

/// How one of these listeners serves under a configuration.
pub(super) struct SideRules {
    pub(super) door: GrpcDoor,
    pub(super) settings: Settings,
    /// How long a connection may go on once it is so old that it was asked to end.
    pub(super) grace: Duration,
}

/// The listeners for operators and probes, which answer until this is dropped.
#[derive(Default)]
pub struct SideListeners {
    stop: CancellationToken,
    ended: Vec<mpsc::Receiver<()>>,
}

impl SideListeners {
    /// Serves a listener from now on. `live` is told whether the process is alive.
    pub(super) fn serve(
        &mut self,
        listener: Listener,
        server: SideServer,
        live: LiveHealth,
    ) -> io::Result<()> {
        let (ends, ended) = mpsc::channel();
        let stop = self.stop.clone();
        let name = server.name;
        let run = move || {
            let built = Builder::new_current_thread().enable_all().build();
            match built {
                Ok(runtime) => {
                    runtime.block_on(serve(listener, server, live, stop));
                    runtime.shutdown_background();
                }
                Err(error) => warn!(%error, "a listener cannot be served"),
            }
            // The process may no longer wait for it.
            let _ = ends.send(());
        };
        thread::Builder::new().name(name.to_owned()).spawn(run)?;
        self.ended.push(ended);
        Ok(())
    }
}

impl Drop for SideListeners {
    fn drop(&mut self) {
        self.stop.cancel();
        for ended in self.ended.drain(..) {
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}

async fn serve(listener: Listener, server: SideServer, live: LiveHealth, stop: CancellationToken) {
    let listener = match listener.moved_here() {
        Ok(listener) => listener,
        Err(error) => {
            return warn!(%error, listener = server.name, "a listener cannot be served");
        }
    };
    let server = Arc::new(server);
    let census = server.census.clone();
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &server, &census, &mut connections, &stop) => {}
        () = watch(&server.health, live) => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(LAST_GRACE, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

/// Judges again and again whether the process is alive.
async fn watch(health: &ProcessHealth, mut live: LiveHealth) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        live.set(health.is_alive(Instant::now())).await;
    }
}

async fn accept(
    listener: &Listener,
    server: &Arc<SideServer>,
    census: &Census,
    connections: &mut JoinSet<()>,
    stop: &CancellationToken,
) {
    let not_accepted = RepeatedWarning::once_in(WARN_EVERY);
    let turned_away = RepeatedWarning::once_in(WARN_EVERY);
    loop {
        let (socket, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if let Some(repeated) = not_accepted.due(Instant::now()) {
                        warn!(%error, repeated, listener = server.name, "a connection cannot be accepted");
                    }
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let Some(counted) = census.count_in(peer.caller(), Instant::now()) else {
            server.refused.count(WhyCutOff::Total);
            if let Some(repeated) = turned_away.due(Instant::now()) {
                let (limit, of_address) = (MAX_SIDE_CONNECTIONS, MAX_SIDE_CONNECTIONS_OF_ADDRESS);
                let listener = server.name;
                warn!(
                    listener,
                    limit,
                    of_address,
                    repeated,
                    "too many connections: closing this one; others may follow unlogged"
                );
            }
            continue;
        };
        let (server, stop) = (Arc::clone(server), stop.clone());
        connections.spawn(async move {
            counted.is_served(Instant::now());
            Arc::clone(&server).converse(socket, peer, &stop).await;
            drop(counted);
        });
    }
}

impl SideServer {
    /// Serves a connection until it ends.
    async fn converse(self: Arc<Self>, socket: Socket, peer: Peer, stop: &CancellationToken) {
        let accepted = Instant::now();
        let name = self.name;
        let rules = self.rules.load_full();
        let SideRules {
            door,
            settings,
            grace,
        } = &*rules;
        let limit = settings.handshake_timeout;
        let Opened {
            halves: Halves { read, write },
            peer,
            trust,
        } = match open(socket, peer, self.tls.as_deref(), limit).await {
            Ok(opened) => opened,
            Err(Unopened::Failed(error, unread)) => {
                self.refused.count(WhyCutOff::Tls);
                debug!(%error, listener = name, "no TLS connection");
                return unread.close().await;
            }
            Err(Unopened::Late) => {
                self.refused.count(WhyCutOff::Handshake);
                return debug!(?limit, listener = name, "no TLS connection in time");
            }
        };
        let origin = door.origin(peer);
        let used = AtomicBool::new(false);
        let service = service_fn(|request: Request<Incoming>| {
            used.store(true, Ordering::Relaxed);
            let (server, origin) = (Arc::clone(&self), origin.clone());
            async move { server.answer(request, &origin).await }
        });
        let builder = builder(settings);
        // Heads have a limit of their own: only what is written is timed here.
        let exchange = Exchange::default();
        let _underway = exchange.begin();
        let stall = settings.client_stall;
        let io = TokioIo::new(Timed::new(join(read, write), exchange, limit, stall));
        let mut connection = pin!(builder.serve_connection(io, service));
        let first = accepted + settings.first_request_timeout;
        let mut next_stage = pin!(sleep_until(first));
        let (mut is_ending, mut is_stopping) = (false, false);
        let (mut distrusted, mut is_trusted) = (pin!(trust.lost()), true);
        // Those who come while the service drains are answered all the same: probes above all.
        let mut was_draining = self.draining.is_cancelled();
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, listener = name, "connection ended");
                    }
                    return;
                }
                () = distrusted.as_mut(), if is_trusted => {
                    is_trusted = false;
                    connection.as_mut().graceful_shutdown();
                    is_ending = true;
                    next_stage.as_mut().reset(Instant::now() + DISTRUST_GRACE);
                }
                () = self.draining.cancelled(), if !was_draining && !is_ending => {
                    was_draining = true;
                    if !used.load(Ordering::Relaxed) {
                        // Its first request may be on its way.
                        continue;
                    }
                    connection.as_mut().graceful_shutdown();
                    is_ending = true;
                    next_stage.as_mut().reset(Instant::now() + *grace);
                }
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                    is_ending = true;
                    next_stage.as_mut().reset(Instant::now() + LAST_GRACE);
                }
                () = next_stage.as_mut() => {
                    let is_unused = !used.load(Ordering::Relaxed);
                    let age = accepted + settings.connection_age;
                    if is_ending || is_unused {
                        if !is_ending {
                            self.refused.count(WhyCutOff::FirstRequest);
                        }
                        return debug!(listener = name, "connection cut off");
                    }
                    if Instant::now() < age {
                        next_stage.as_mut().reset(age);
                        continue;
                    }
                    connection.as_mut().graceful_shutdown();
                    is_ending = true;
                    next_stage.as_mut().reset(Instant::now() + *grace);
                }
            }
        }
    }

    /// Answers what probes and scrapers ask by HTTP, and hands the rest to the door.
    async fn answer(
        &self,
        request: Request<Incoming>,
        origin: &Origin,
    ) -> Result<
        Response<impl http_body::Body<Data = Bytes, Error: Into<BoxError>> + use<>>,
        Infallible,
    > {
        let rules = self.rules.load();
        let may_scrape = || rules.door.admit_to_metrics(request.headers(), origin);
        if let Some(plain) = probe::answer(&self.health, &request, may_scrape) {
            return Ok(plain.map(|body| Either::Right(Full::new(body))));
        }
        let answering = rules.door.answer(request, origin, false);
        drop(rules);
        Ok(answering.await.map(Either::Left))
    }
}

fn builder(settings: &Settings) -> auto::Builder<Answering> {
    let mut builder = auto::Builder::new(Answering);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.first_request_timeout)
        .max_buf_size(MAX_HEAD_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.keepalive_interval)
        .keep_alive_timeout(settings.keepalive_timeout)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES);
    builder
}
