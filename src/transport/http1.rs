//! A connection of HTTP/1.1: one request after the other.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::{UpstreamError, UpstreamErrorKind};

use super::failure::{classify, refused_by_tls, unreachable};
use super::outgoing::Outgoing;
use super::pool::book::Version;
use super::pool::host::{Lease, PoolEntry};
use super::pool::liveness::Liveness;
use super::pool::sender::{Http1Sender, RequestSender};
use super::sent::Sent;
use super::stream::Stream;
use super::upload::Upload;

/// The largest read buffer of a connection, which is held for as long as the connection is open. hyper's default is
/// about 400 KiB.
const MAX_BUFFER_BYTES: usize = 32 * 1024;

/// The most header lines of an answer.
const MAX_HEADERS: usize = 256;

/// How much earlier than its host has announced a connection is given up, so that no request meets its end.
const MARGIN: Duration = Duration::from_secs(1);

/// The longest wait for the orderly end of an unused connection.
const CLOSING: Duration = Duration::from_secs(1);

/// The longest wait until a request is written whose answer has already arrived. A host that has refused the request
/// may read the rest slowly.
const FINISHING: Duration = Duration::from_secs(1);

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Http1Body {
    body: Incoming,
    /// Goes back into the pool at the end of the body.
    connection: Option<(Http1Sender, Lease)>,
}

/// Runs a connection until it ends.
///
/// # Errors
/// The connection cannot be used.
pub(super) async fn run(stream: Stream, entry: PoolEntry) -> Result<(), UpstreamError> {
    let handshake = http1::Builder::new()
        .max_buf_size(MAX_BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .handshake(stream);
    let (sender, connection) = handshake.await.map_err(|_| unreachable("no connection"))?;
    let now = Instant::now();
    entry.ready(
        Version::Http1,
        RequestSender::Http1(Some(sender)),
        Liveness::new(now),
    );
    let mut connection = pin!(connection);
    let mut alarm = pin!(sleep_until(now));
    loop {
        tokio::select! {
            biased;
            _ = &mut connection => return Ok(()),
            () = &mut alarm => match entry.check(Instant::now()) {
                Some(at) => alarm.as_mut().reset(at),
                None => break,
            },
        }
    }
    // The sender is gone, so the connection shuts down.
    let _ = timeout(CLOSING, connection).await;
    Ok(())
}

/// Sends a request and waits for the head of the answer.
///
/// # Errors
/// The connection was lost.
pub(super) async fn send(
    mut sender: Http1Sender,
    lease: Lease,
    url: &Uri,
    mut headers: HeaderMap,
    body: Bytes,
    upload: &Upload,
) -> Result<Sent<Http1Body>, UpstreamError> {
    headers.insert(HOST, lease.host().authority().clone());
    let path = url.path_and_query().cloned();
    let path = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    if body.is_empty() {
        upload.note_end(Instant::now());
    }
    let body = Outgoing::new(body, upload.clone());
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path;
    *request.headers_mut() = headers;
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut error) => {
            return match error.take_message() {
                Some(request) => {
                    let (head, body) = request.into_parts();
                    Ok(Sent::Untouched(head.headers, body.into_rest()))
                }
                None => Err(match refused_by_tls(error.error()) {
                    Some(cause) => lease.host().refused(cause, error.into_error()),
                    None => classify(error.error()),
                }),
            };
        }
    };
    if let Some(keep) = keep_alive(response.headers()) {
        lease.set_keep_alive(keep.saturating_sub(MARGIN));
    }
    Ok(Sent::Answered(response.map(|body| Http1Body {
        body,
        connection: Some((sender, lease)),
    })))
}

impl Http1Body {
    /// The next bytes; `None` at the end. Safe to cancel.
    ///
    /// # Errors
    /// The connection was lost.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while let Some(frame) = self.body.frame().await {
            let Ok(frame) = frame else {
                self.connection = None;
                return Err(UpstreamError::new(UpstreamErrorKind::Disconnected));
            };
            // Trailers say nothing of an answer.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        if let Some((sender, lease)) = self.connection.take() {
            if sender.is_ready() {
                lease.give_back(sender);
            } else if !sender.is_closed() {
                // The body has ended, but the connection is still writing the request.
                let host = Arc::clone(lease.host());
                host.tasks().0.spawn(give_back_when_ready(sender, lease));
            }
        }
        Ok(None)
    }

    /// The lease of its connection, until the end.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.connection.as_ref().map(|(_, lease)| lease)
    }
}

async fn give_back_when_ready(mut sender: Http1Sender, lease: Lease) {
    if let Ok(Ok(())) = timeout(FINISHING, sender.ready()).await {
        lease.give_back(sender);
    }
}

/// How long a host keeps an unused connection, if it announces that.
fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let written = headers.get("keep-alive")?.to_str().ok()?;
    written.split(',').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let seconds = value.trim().parse().ok()?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        is_timeout.then_some(Duration::from_secs(seconds))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_may_say_how_long_it_keeps_a_connection() {
        let table = [
            ("timeout=5", Some(5)),
            ("max=100, Timeout = 60", Some(60)),
            ("max=100", None),
            ("timeout=soon", None),
            ("", None),
        ];
        for (written, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert("keep-alive", HeaderValue::from_static(written));

            let keep = keep_alive(&headers);

            assert_eq!(keep.map(|keep| keep.as_secs()), expected, "{written}");
        }
    }
}
