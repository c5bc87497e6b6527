//! Which connections are unused, and until when are they kept? Pure.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::Instant;

use super::Book;
use super::connection::{FreeRank, Id};

impl<L, W> Book<L, W> {
    /// Removes all unused connections, which closes them.
    pub(in crate::transport::pool) fn forget_unused(&mut self) {
        let unused = self.connections.iter();
        let unused: Vec<Id> = unused
            .filter_map(|(id, connection)| (connection.streams == 0).then_some(*id))
            .collect();
        for id in unused {
            self.forget(id);
        }
    }

    /// Since when the longest unused connection is unused. `None` if all are in use, or if requests wait for one.
    pub(in crate::transport::pool) fn unused_since(&self) -> Option<Instant> {
        let connection = self.connections.get(&self.longest_unused()?)?;
        Some(connection.idle_since)
    }

    /// Removes the longest unused connection, which closes it. False if there is none.
    pub(in crate::transport::pool) fn close_unused(&mut self) -> bool {
        let Some(id) = self.longest_unused() else {
            return false;
        };
        self.closing.insert(id);
        self.forget(id);
        true
    }

    /// Whether a connection that [`Book::close_unused`] has removed is still open.
    pub(in crate::transport::pool) fn is_closing(&self) -> bool {
        !self.closing.is_empty()
    }

    fn longest_unused(&self) -> Option<Id> {
        if !self.waiting.is_empty() {
            return None;
        }
        let used: FreeRank = (1, Reverse(u64::MAX), 0);
        let (_, _, id) = self.free.range(..used).next_back()?;
        Some(*id)
    }

    /// Removes a connection that is too old or was unused for too long. Otherwise tells when to check again.
    pub(in crate::transport::pool) fn check(&mut self, id: Id, now: Instant) -> Option<Instant> {
        let connection = self.connections.get(&id)?;
        if connection.streams > 0 {
            return Some(now + self.rules.idle);
        }
        let end = connection.end();
        if end > now {
            return Some(end);
        }
        self.forget(id);
        None
    }

    /// The host has announced how long it keeps an unused connection.
    pub(in crate::transport::pool) fn set_keep_alive(&mut self, id: Id, unused: Duration) {
        let most = self.rules.idle;
        self.change(id, |connection| connection.kept = unused.min(most));
    }
}
