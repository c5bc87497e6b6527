//! Accepts connections and takes each request through the simulator.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::log::{Ending, Log, Received};
use super::plan::Opening;
use super::play::Play;
use super::request::Memory;
use super::script::Scripts;
use super::socket::Socket;

/// The longest request that is read, in bytes.
const LONGEST_BODY: usize = 64 * 1024 * 1024;

/// The pause after a connection that could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// What all requests share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) scripts: Scripts,
    pub(super) log: Arc<Log>,
    pub(super) memory: Memory,
}

/// Everything that runs while connections are accepted.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    /// Accepts connections until stopped.
    pub(super) fn start(listener: TcpListener, state: Arc<State>) -> Self {
        let running = Self::default();
        let accepting = running.clone().accept(listener, state);
        running.execute(accepting);
        running
    }

    /// Breaks off every connection and stops accepting.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// Waits until nothing is left after a stop.
    pub(super) async fn stopped(&self) {
        self.tasks.wait().await;
    }

    async fn accept(self, listener: TcpListener, state: Arc<State>) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // If this fails, small writes are only late.
                    let _ = stream.set_nodelay(true);
                    let reset = Arc::new(AtomicBool::new(false));
                    let socket = Socket::new(stream, Arc::clone(&reset));
                    self.serve(socket, reset, Arc::clone(&state));
                }
                // Out of file descriptors, most likely: some will be closed.
                Err(_) => sleep(ACCEPT_AGAIN).await,
            }
        }
    }

    /// Serves a connection, which resets itself instead of closing in order once `reset` is set.
    pub(super) fn serve<C>(&self, connection: C, reset: Arc<AtomicBool>, state: Arc<State>)
    where
        C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service =
            service_fn(move |request| respond(Arc::clone(&state), Arc::clone(&reset), request));
        let server = auto::Builder::new(self.clone());
        self.execute(async move {
            // The log records how each request of a connection ends.
            let _ = server
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

impl<F> Executor<F> for Running
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let stop = self.stop.clone();
        self.tasks.spawn(stop.run_until_cancelled_owned(future));
    }
}

async fn respond(
    state: Arc<State>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> io::Result<Response<Play>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_BODY).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    let read = state.memory.read(&head, &body);
    let (behaviour, fault) = match read.mistake {
        None => state.scripts.next(&read.asked.model, &read.named),
        Some(_) => (Arc::clone(read.named.first()), None),
    };
    let plan = read.plan(&behaviour, fault);
    let mut request = state.log.open(|number| Received {
        number,
        wire: read.wire,
        model: read.asked.model.clone(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        stream: read.asked.is_streamed(),
        headers: head.headers,
        body,
        behaviour,
        faulty: plan.faulty,
        counted: plan.counted,
        ending: None,
    });
    if !plan.delay.is_zero() {
        sleep(plan.delay).await;
    }
    match plan.opening {
        Opening::Head => {}
        Opening::Hang => pending().await,
        Opening::Reset => {
            request.ends(Ending::Faulted);
            reset.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
    let number = request.number();
    let mut response = Response::new(Play::new(Arc::clone(&plan), request, reset));
    *response.status_mut() = plan.status;
    *response.headers_mut() = plan.headers.clone();
    let id_header = read
        .wire
        .and_then(|wire| wire.dialect().request_id_header());
    if let Some(name) = id_header
        && let Ok(id) = HeaderValue::try_from(format!("req_{number:012}"))
    {
        response.headers_mut().insert(name, id);
    }
    Ok(response)
}
