//! What is known of one connection to a host: how busy it is, and until when it takes streams. Pure.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::pool::liveness::Liveness;

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Version {
    Http1,
    Http2,
}

/// The number of a connection, which it has from the moment when it is begun.
pub(in crate::transport::pool) type Id = u64;

/// The order of free connections: streams in use, the number of the last use, and the connection.
pub(super) type FreeRank = (usize, Reverse<u64>, Id);

/// A connection, and what is known of it.
#[derive(Debug)]
pub(super) struct ConnectionState<L> {
    pub(super) link: L,
    pub(super) liveness: Liveness,
    pub(super) streams: usize,
    pub(super) limit: usize,
    pub(super) settled: bool,
    /// Whether it takes no more streams.
    pub(super) retired: bool,
    pub(super) made: Instant,
    /// From when on it is too old for more streams.
    pub(super) retires: Instant,
    /// Since when it is unused, and how long it is kept then.
    pub(super) idle_since: Instant,
    pub(super) kept: Duration,
    pub(super) used: u64,
}

/// A connection that has been made.
pub(in crate::transport::pool) struct NewConnection<L> {
    pub(in crate::transport::pool) version: Version,
    pub(in crate::transport::pool) link: L,
    pub(in crate::transport::pool) liveness: Liveness,
    /// From when on it is too old for more streams.
    pub(in crate::transport::pool) retires: Instant,
}

impl<L> ConnectionState<L> {
    /// From when on it takes no more streams.
    pub(super) fn end(&self) -> Instant {
        if self.streams > 0 {
            self.retires
        } else {
            self.retires.min(self.idle_since + self.kept)
        }
    }

    /// Its position among the free connections, if it is free.
    pub(super) fn place(&self, id: Id) -> Option<FreeRank> {
        let is_free = !self.retired && self.streams < self.limit;
        is_free.then_some((self.streams, Reverse(self.used), id))
    }
}
