//! The handle through which requests are sent on a connection of either HTTP version.

use bytes::Bytes;
use hyper::client::conn::http1;

use crate::transport::outgoing::Outgoing;

use super::liveness::Liveness;

/// The handle through which requests are sent on a connection.
#[derive(Debug)]
pub(in crate::transport) enum RequestSender {
    /// `None` while a request uses it.
    Http1(Option<Http1Sender>),
    Http2(Http2Sender),
}

/// The handle of a connection of HTTP/1.1.
pub(in crate::transport) type Http1Sender = http1::SendRequest<Outgoing>;

/// The handle of a connection of HTTP/2.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Http2Sender {
    pub(in crate::transport) requests: h2::client::SendRequest<Bytes>,
    pub(in crate::transport) liveness: Liveness,
}
