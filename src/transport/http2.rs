//! A connection of HTTP/2, with a stream for each request.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Builder;
use h2::{Ping, Reason, RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version as HttpVersion};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::{UpstreamError, UpstreamErrorKind};

use super::failure::{classify, unreachable};
use super::observed::Observed;
use super::pool::book::Version;
use super::pool::host::{Lease, PoolEntry};
use super::pool::liveness::Liveness;
use super::pool::liveness::pinger::{PingStep, Pinger};
use super::pool::sender::{Http2Sender, RequestSender};
use super::sent::Sent;
use super::stream::Stream;
use super::upload::Upload;

/// How much of an answer a provider may send before it is read. Much more than a provider sends within one round
/// trip.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;

/// As good as unlimited: unread answers of some streams must not stop the others.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 30;

/// How much of a request waits inside the connection. Little enough that a request whose last piece was handed over
/// is nearly written.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// The size of the pieces in which a request is written.
const PIECE_BYTES: usize = 16 * 1024;

/// The most bytes of an answer's head, each line counting 32 bytes more than its name and value.
const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// Headers that mean something to a connection of HTTP/1.1 only, and must not be sent (RFC 9113, section 8.2.2).
const OF_HTTP1: [&str; 6] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The limit on streams until the host announces one. No host announces so high a limit.
const NOT_ANNOUNCED: usize = usize::MAX / 2;

/// The longest wait for the orderly end of an unused connection.
const CLOSING: Duration = Duration::from_secs(1);

/// The body of an answer, and the part of the request that is not written yet.
#[derive(Debug)]
pub(super) struct Http2Body {
    body: RecvStream,
    rest: Option<Writing>,
    /// Gives the stream back at the end of the body.
    lease: Option<Lease>,
}

/// The part of a request that is not written yet.
#[derive(Debug)]
struct Writing {
    stream: SendStream<Bytes>,
    rest: Bytes,
    upload: Upload,
    liveness: Liveness,
}

/// Runs a connection until it ends.
///
/// # Errors
/// The connection cannot be used.
pub(super) async fn run(stream: Stream, entry: PoolEntry) -> Result<(), UpstreamError> {
    let liveness = Liveness::new(Instant::now());
    let observer = liveness.clone();
    let stream = Observed::new(TokioIo::new(stream), move |read| observer.note_read(read));
    let handshake = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(NOT_ANNOUNCED)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake(stream);
    let (requests, mut connection) = timeout(entry.connect_timeout(), handshake)
        .await
        .map_err(|_| unreachable("no connection"))?
        .map_err(|_| unreachable("no connection"))?;
    let mut pings = connection.ping_pong();
    let sender = Http2Sender {
        requests,
        liveness: liveness.clone(),
    };
    entry.ready(
        Version::Http2,
        RequestSender::Http2(sender),
        liveness.clone(),
    );
    let mut pinger = Pinger::default();
    let mut announced = NOT_ANNOUNCED;
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut connection = pin!(connection);
    let ended = poll_fn(|context| {
        loop {
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            let limit = connection.max_concurrent_send_streams();
            if limit != announced {
                announced = limit;
                entry.set_stream_limit(limit);
            }
            if let Some(pings) = &mut pings
                && pinger.has_pinged()
            {
                // The reader of the connection has noted the pong already, as it notes all bytes.
                let _ = pings.poll_pong(context);
            }
            let now = Instant::now();
            match pinger.next_step(&liveness, now) {
                PingStep::Wait(due) => {
                    if let Some(due) = due
                        && due < alarm.deadline()
                    {
                        alarm.as_mut().reset(due);
                    }
                }
                PingStep::Ping => {
                    if let Some(pings) = &mut pings {
                        // Fails while an earlier ping is unanswered. That one serves the same purpose.
                        let _ = pings.send_ping(Ping::opaque());
                    }
                    continue;
                }
                PingStep::Close => return Poll::Ready(true),
            }
            ready!(alarm.as_mut().poll(context));
            match entry.check(now) {
                Some(at) => alarm.as_mut().reset(at),
                None => return Poll::Ready(false),
            }
        }
    })
    .await;
    if !ended {
        // The sender is gone, so the connection shuts down.
        let _ = timeout(CLOSING, connection).await;
    }
    Ok(())
}

/// Sends a request and waits for the head of the answer.
///
/// # Errors
/// The connection was lost, or the request was not taken up.
pub(super) async fn send(
    sender: Http2Sender,
    lease: Lease,
    url: &Uri,
    mut headers: HeaderMap,
    body: Bytes,
    upload: &Upload,
) -> Result<Sent<Http2Body>, UpstreamError> {
    let Http2Sender {
        mut requests,
        liveness,
    } = sender;
    // A connection that is going away says so here, before anything is sent.
    if poll_fn(|context| requests.poll_ready(context))
        .await
        .is_err()
    {
        lease.retire();
        return Ok(Sent::Untouched(headers, body));
    }
    for name in OF_HTTP1 {
        headers.remove(name);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.clone();
    *request.version_mut() = HttpVersion::HTTP_2;
    *request.headers_mut() = headers;
    let (mut response, stream) = requests
        .send_request(request, body.is_empty())
        .map_err(|error| classify(&error))?;
    drop(requests);
    let mut rest = if body.is_empty() {
        upload.note_end(Instant::now());
        None
    } else {
        Some(Writing {
            stream,
            rest: body,
            upload: upload.clone(),
            liveness: liveness.clone(),
        })
    };
    let head = poll_fn(|context| {
        // An answer may arrive before the request is written, for example if the request is too large.
        poll_rest(&mut rest, context);
        Pin::new(&mut response).poll(context)
    });
    let head = tokio::select! {
        biased;
        head = head => head,
        () = liveness.lost() => {
            let error = UpstreamError::new(UpstreamErrorKind::Disconnected);
            return Err(error.because("the host no longer answers on its HTTP/2 connection"));
        }
    };
    let head = head.map_err(|error| match liveness.refusal() {
        Some((cause, error)) => lease.host().refused(*cause, error.as_str()),
        None => classify(&error),
    })?;
    Ok(Sent::Answered(head.map(|body| Http2Body {
        body,
        rest,
        lease: Some(lease),
    })))
}

impl Http2Body {
    /// The next bytes; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    /// The connection was lost, or the provider gave the stream up.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let Self { body, rest, lease } = self;
        let read = poll_fn(|context| {
            poll_rest(rest, context);
            body.poll_data(context)
        });
        match read.await {
            Some(Ok(bytes)) => {
                // Fails only for a stream that has ended.
                let _ = body.flow_control().release_capacity(bytes.len());
                return Ok(Some(bytes));
            }
            // The answer is complete, and the host does not want the rest of the request (RFC 9113, section 8.1).
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) && error.is_reset() => {}
            Some(Err(error)) => {
                *lease = None;
                return Err(UpstreamError {
                    kind: UpstreamErrorKind::Disconnected,
                    ..classify(&error)
                });
            }
            None => {}
        }
        *lease = None;
        Ok(None)
    }

    /// The lease of its connection, until the end.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }
}

/// Writes as much as the peer allows. If writing fails, reading the answer tells why.
fn poll_rest(rest: &mut Option<Writing>, context: &mut Context<'_>) {
    if let Some(writing) = rest
        && writing.poll(context).is_ready()
    {
        *rest = None;
    }
}

impl Writing {
    /// Ready when everything is written, or when writing has failed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.rest.is_empty() {
            self.stream
                .reserve_capacity(self.rest.len().min(PIECE_BYTES));
            let mut room = self.stream.capacity();
            while room == 0 {
                room = match ready!(self.stream.poll_capacity(context)) {
                    Some(Ok(room)) => room,
                    Some(Err(_)) | None => return Poll::Ready(()),
                };
            }
            let piece = self.rest.split_to(room.min(self.rest.len()));
            let is_last = self.rest.is_empty();
            if self.stream.send_data(piece, is_last).is_err() {
                return Poll::Ready(());
            }
            let now = Instant::now();
            self.upload.note_progress(now);
            self.liveness.note_write(now);
            if is_last {
                self.upload.note_end(now);
            }
        }
        Poll::Ready(())
    }
}
