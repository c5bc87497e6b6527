//! How sending a request on a connection ended.

use bytes::Bytes;
use http::HeaderMap;

/// How sending a request ended; `B` is the body of its answer.
pub(super) enum Sent<B> {
    /// The head of its answer has arrived.
    Answered(http::Response<B>),
    /// The connection had ended before anything was written. These are the request's headers and body, for
    /// another connection.
    Untouched(HeaderMap, Bytes),
}
