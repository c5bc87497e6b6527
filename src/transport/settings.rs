//! How connections to providers are made, for all providers alike.

use std::time::Duration;

/// How connections to providers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long TCP and TLS may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How long a connection takes requests, give or take an eighth; those under way go on.
    pub connection_age: Duration,
    /// The most requests at once on a connection of HTTP/2, at least 1; fewer where the host says so.
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
