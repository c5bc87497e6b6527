//! The listener: accepts connections, bounds what they may do, drains at the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What the listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Largest message, in bytes, that is read.
    pub max_message_bytes: usize,
    /// Streams that one connection may have open.
    pub max_concurrent_streams: u32,
    /// Whether server reflection is served.
    pub reflection: bool,
    /// How long open calls may go on after the service was told to stop.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            max_message_bytes: 32 * 1024 * 1024,
            max_concurrent_streams: 1024,
            reflection: true,
            drain_timeout: Duration::from_secs(60),
        }
    }
}
