//! How connections to providers are made, for all providers alike.

use std::time::Duration;

/// How connections to providers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The time limit for name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// The age up to which a connection gets new requests, varied by up to an eighth. Open requests go on.
    pub connection_age: Duration,
    /// The most concurrent requests on an HTTP/2 connection, at least 1. A host may allow fewer.
    pub max_streams: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(90),
            connection_age: Duration::from_secs(5 * 60),
            max_streams: 64,
        }
    }
}
