//! What became of a request that was given to a connection.

use bytes::Bytes;
use http::HeaderMap;

/// What became of a request; `B` is the body of its answer.
pub(super) enum Sent<B> {
    /// The head of its answer has arrived.
    Answered(http::Response<B>),
    /// The connection had ended before anything was written. These are the request's headers and body, for
    /// another connection.
    Untouched(HeaderMap, Bytes),
}
