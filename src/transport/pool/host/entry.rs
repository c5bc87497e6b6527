//! What does the task of a connection tell the pool?

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::failure::unreachable;

use super::super::book::{Id, NewConnection, Version};
use super::super::liveness::Liveness;
use super::super::sender::RequestSender;
use super::Host;

/// The most by which the age limit of a connection varies, as a share of it: 1/8. Otherwise connections that were
/// made together would be replaced together.
const AGE_JITTER: f64 = 0.125;

/// The place of a connection in the pool, held by the task of the connection. Dropping it removes the connection.
#[derive(Debug)]
pub(in crate::transport) struct PoolEntry {
    pub(super) host: Arc<Host>,
    pub(super) id: Id,
}

impl PoolEntry {
    /// Adds the connection, which is ready for requests, to the pool.
    pub(in crate::transport) fn ready(
        &self,
        version: Version,
        link: RequestSender,
        liveness: Liveness,
    ) {
        let now = Instant::now();
        let jitter = 1.0 + AGE_JITTER * (2.0 * fastrand::f64() - 1.0);
        let made = NewConnection {
            version,
            link,
            liveness,
            retires: now + self.host.settings.connection_age.mul_f64(jitter),
        };
        self.host.book().made(self.id, made, now);
        self.host.serve();
    }

    /// The host has announced how many streams it allows on the connection.
    pub(in crate::transport) fn set_stream_limit(&self, streams: usize) {
        let failed = self.host.book().set_stream_limit(self.id, streams);
        for who in failed {
            // Fails if the request was cancelled meanwhile.
            let _ = who.send(Err(unreachable("the host takes no requests")));
        }
        self.host.serve();
    }

    /// When to check again; `None` if the connection is to be closed, because it is too old or was unused for too
    /// long.
    pub(in crate::transport) fn check(&self, now: Instant) -> Option<Instant> {
        self.host.book().check(self.id, now)
    }

    /// The time limit for making a connection.
    pub(in crate::transport) fn connect_timeout(&self) -> Duration {
        self.host.settings.connect_timeout
    }
}

impl Drop for PoolEntry {
    fn drop(&mut self) {
        self.host.book().ended(self.id, Instant::now());
        self.host.unused.closed();
        self.host.serve();
    }
}
