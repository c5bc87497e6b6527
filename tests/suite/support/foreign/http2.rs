//! A provider that speaks HTTP/2 as hosts on the internet do: with a limit of streams, GOAWAY, silence.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Ping, Reason, RecvStream};
use http::{Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;

use super::answer::{Manner, TOO_LARGE, events, word};

/// The provider. Ends when it is dropped.
pub(crate) struct Http2 {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

/// What was seen of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Requests that were taken up.
    pub(crate) requests: usize,
    /// The most that were open at once.
    pub(crate) most_open: usize,
    /// Streams that are open.
    pub(crate) open: usize,
    /// Streams that the client has reset, by the reason.
    pub(crate) resets: usize,
    /// Whether it has ended, or its client knows that it takes no more requests.
    pub(crate) has_left: bool,
}

struct State {
    /// The most streams of a connection, if there is a limit.
    limit: Option<u32>,
    manner: watch::Sender<Manner>,
    seen: Mutex<BTreeMap<usize, Seen>>,
    /// Connections up to this one neither read nor write.
    frozen: watch::Sender<usize>,
    /// Connections up to this one take no more requests.
    leaving: watch::Sender<usize>,
    /// Whether answers wait.
    held: watch::Sender<bool>,
    /// Streams that are refused before others are taken.
    refuses: AtomicUsize,
}

impl Http2 {
    /// Without TLS if `tls` is none.
    pub(crate) async fn start(limit: Option<u32>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            limit,
            manner: watch::Sender::default(),
            seen: Mutex::default(),
            frozen: watch::Sender::new(0),
            leaving: watch::Sender::new(0),
            held: watch::Sender::new(false),
            refuses: AtomicUsize::new(0),
        });
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                shared.seen.lock().unwrap().insert(number, Seen::default());
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, number, state).await,
                        Some(tls) => {
                            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                                serve(stream, number, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            state,
            _serving: serving,
        }
    }

    /// How requests are answered from here on.
    pub(crate) fn set(&self, manner: Manner) {
        self.state.manner.send_replace(manner);
    }

    /// Keeps all answers back, or lets them go.
    pub(crate) fn hold(&self, hold: bool) {
        self.state.held.send_replace(hold);
    }

    /// Refuses this many of the next streams.
    pub(crate) fn refuse(&self, streams: usize) {
        self.state.refuses.store(streams, Ordering::SeqCst);
    }

    /// What was seen of each connection.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().values().copied().collect()
    }

    /// The present connections fall silent; their kernel still acknowledges bytes. Later ones are not affected.
    pub(crate) fn freeze(&self) {
        self.state.frozen.send_replace(self.seen().len());
    }

    /// The present connections take no more requests, and say so.
    pub(crate) fn go_away(&self) {
        self.state.leaving.send_replace(self.seen().len());
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, number: usize, state: Arc<State>) {
    let mut builder = server::Builder::new();
    if let Some(limit) = state.limit {
        builder.max_concurrent_streams(limit);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let mut frozen = state.frozen.subscribe();
    let mut leaving = state.leaving.subscribe();
    let mut pings = connection.ping_pong().unwrap();
    let mut answers = JoinSet::new();
    let mut has_left = false;
    loop {
        tokio::select! {
            biased;
            () = reaches(&mut frozen, number) => pending().await,
            () = reaches(&mut leaving, number), if !has_left => {
                has_left = true;
                connection.graceful_shutdown();
                // An answer proves that everything before it was read.
                pings.send_ping(Ping::opaque()).unwrap();
            }
            Ok(_) = poll_fn(|context| pings.poll_pong(context)) => {
                state.note(number, |seen| seen.has_left = true);
            }
            accepted = connection.accept() => {
                let Some(Ok((request, mut respond))) = accepted else {
                    state.note(number, |seen| seen.has_left = true);
                    return;
                };
                let refuses = |left: usize| left.checked_sub(1);
                let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
                if state.refuses.fetch_update(set, fetch, refuses).is_ok() {
                    respond.send_reset(Reason::REFUSED_STREAM);
                    continue;
                }
                answers.spawn(answer(request, respond, number, Arc::clone(&state)));
            }
        }
    }
}

/// Waits until it is this connection's turn.
async fn reaches(last: &mut watch::Receiver<usize>, number: usize) {
    last.wait_for(|last| *last >= number).await.unwrap();
}

impl State {
    fn note(&self, number: usize, note: impl FnOnce(&mut Seen)) {
        note(self.seen.lock().unwrap().entry(number).or_default());
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    number: usize,
    state: Arc<State>,
) {
    state.note(number, |seen| {
        seen.requests += 1;
        seen.open += 1;
        seen.most_open = seen.most_open.max(seen.open);
    });
    let is_reset = answered(request, &mut respond, &state).await.is_err();
    state.note(number, |seen| {
        seen.open -= 1;
        seen.resets += usize::from(is_reset);
    });
}

async fn answered(
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
    state: &State,
) -> Result<(), Reason> {
    let manner = *state.manner.borrow();
    let mut body = request.into_body();
    let mut taken = 0;
    while let Some(piece) = body.data().await {
        let Ok(piece) = piece else {
            return Err(Reason::CANCEL);
        };
        taken += piece.len();
        if manner.refuses_after.is_some_and(|most| taken >= most) {
            let head = Response::builder().status(413).body(()).unwrap();
            let told = respond.send_response(head, false);
            let told = told.and_then(|mut stream| stream.send_data(TOO_LARGE.into(), true));
            // The rest of the request is not wanted (RFC 9113, section 8.1).
            return told.map_err(|_| Reason::CANCEL);
        }
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let mut held = state.held.subscribe();
    let head = Response::builder().header("content-type", "text/event-stream");
    let ready = async {
        held.wait_for(|held| !held).await.unwrap();
        sleep(manner.first).await;
    };
    tokio::select! {
        biased;
        reason = poll_fn(|context| respond.poll_reset(context)) => {
            return Err(reason.unwrap_or(Reason::CANCEL));
        }
        () = ready => {}
    }
    let or_reset = |_| Reason::CANCEL;
    let mut stream = respond
        .send_response(head.body(()).unwrap(), false)
        .map_err(or_reset)?;
    let began = Instant::now();
    for nth in 1..=manner.words {
        sleep_until(began + manner.apart * nth).await;
        stream.send_data(word().into(), false).map_err(or_reset)?;
    }
    stream
        .send_data(Bytes::from(events()), false)
        .map_err(or_reset)?;
    tokio::select! {
        biased;
        reason = poll_fn(|context| stream.poll_reset(context)) => {
            return Err(reason.unwrap_or(Reason::CANCEL));
        }
        () = sleep(manner.late_end) => {}
    }
    let chatter = Bytes::from(":\n".repeat(manner.chatter / 2));
    stream.send_data(chatter, true).map_err(or_reset)
}
