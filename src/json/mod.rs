//! A door: how do calls come in as JSON over HTTP, and how are their answers and failures spelled in it?
//!
//! [`form`] goes between JSON and the encoding of the contract's messages; what they mean is read and said in `grpc`.
//! [`door`] takes requests, `body` reads them, `events` sends a stream, [`refusal`] spells a failure.

mod body;
pub mod door;
mod events;
pub mod form;
pub mod refusal;

use std::time::Duration;

/// How a stream is kept alive that has nothing to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long the head of a streamed answer waits for the first content. A failure until then is an HTTP status.
    pub open_after: Duration,
    /// How long a stream may be silent before a comment shows proxies that it lives.
    pub keepalive: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            open_after: Duration::from_secs(10),
            keepalive: Duration::from_secs(15),
        }
    }
}
