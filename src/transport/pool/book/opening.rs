//! When is another connection to a host opened, and how many at once? Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Id, Version};
use super::{AGAIN, Book};

/// The most connections to one host that are being made at the same time.
pub(super) const MAX_CONNECTING: usize = 64;

/// If making a connection takes longer than this, another attempt starts beside it.
pub(super) const SLOW: Duration = Duration::from_millis(500);

/// If less than one connection divided by this is free while others are in use, one more is opened in advance.
const RESERVE: usize = 4;

impl<L, W> Book<L, W> {
    /// The numbers of the connections that are to be made now. They count as begun.
    pub(in crate::transport::pool) fn begin(&mut self, now: Instant) -> Vec<Id> {
        let wanted = self
            .wanted(now)
            .min(MAX_CONNECTING.saturating_sub(self.connecting.len()));
        if wanted > 0 {
            self.last_begun = Some(now);
        }
        let mut begun = Vec::with_capacity(wanted);
        for _ in 0..wanted {
            let id = self.number();
            self.connecting.insert(id, now);
            begun.push(id);
        }
        begun
    }

    fn wanted(&self, now: Instant) -> usize {
        if self.closed {
            return 0;
        }
        let waiting = self.waiting.len();
        let is_slow = || {
            let enough = |begun| now.saturating_duration_since(begun) >= SLOW;
            waiting > 0 && self.last_begun.is_none_or(enough)
        };
        match self.speaks {
            // The first connection tells the version, and so whether one is enough for all requests.
            None => usize::from(waiting > 0 && (self.connecting.is_empty() || is_slow())),
            Some(Version::Http1) => waiting.saturating_sub(self.connecting.len()),
            Some(Version::Http2) => {
                let coming =
                    self.expected * self.connecting.len() + (self.expected - 1) * self.unsettled;
                if waiting == 0 {
                    let ago = |failed| now.saturating_duration_since(failed);
                    let may_succeed = self.last_failed.is_none_or(|failed| ago(failed) >= AGAIN);
                    let is_scarce = self.room() + coming < self.expected / RESERVE;
                    // An unused host needs no spare connection.
                    return usize::from(may_succeed && is_scarce && self.is_in_use());
                }
                let short = waiting.saturating_sub(coming);
                short.div_ceil(self.expected).max(usize::from(is_slow()))
            }
        }
    }

    fn is_in_use(&self) -> bool {
        let mut connections = self.connections.values();
        connections.any(|connection| connection.streams > 0)
    }

    /// Streams that can be taken at once.
    fn room(&self) -> usize {
        let mut room = 0;
        for (streams, _, id) in &self.free {
            if let Some(connection) = self.connections.get(id)
                && !connection.liveness.is_doubted()
            {
                room += connection.limit - streams;
            }
        }
        room
    }
}
