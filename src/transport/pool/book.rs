//! Which connection to a host does the next request use? Pure.
//!
//! A connection of HTTP/1.1 is one with a single stream.

mod connection;
mod opening;
mod unused;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

pub(in crate::transport) use self::connection::Version;
pub(super) use self::connection::{Id, NewConnection};

use self::connection::{ConnectionState, FreeRank};

/// How long after a failure no connection is opened in advance. A connection that ends sooner than this after it
/// was made counts as a failure, too.
const AGAIN: Duration = Duration::from_secs(1);

/// What holds for all connections to a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// The most streams on one connection, at least 1.
    pub(super) streams: usize,
    /// How long an unused connection is kept, at most.
    pub(super) idle: Duration,
}

/// The connections to one host, and the requests that wait for one. `L` is the handle through which requests are sent
/// on a connection, `W` is a waiting request.
#[derive(Debug)]
pub(super) struct Book<L, W> {
    rules: ConnectionLimits,
    /// The version that the newest connection speaks.
    speaks: Option<Version>,
    /// Streams that a further connection is expected to take.
    expected: usize,
    connections: HashMap<Id, ConnectionState<L>>,
    /// Connections with a free stream: the least busy first, and among equals the one that was used last.
    free: BTreeSet<FreeRank>,
    /// Connections that were given up to free their files and have not ended yet.
    closing: HashSet<Id>,
    /// How many HTTP/2 connections wait for the host to announce its limit.
    unsettled: usize,
    /// Connections that are being made, and since when.
    connecting: BTreeMap<Id, Instant>,
    last_begun: Option<Instant>,
    last_made: Option<Instant>,
    last_failed: Option<Instant>,
    /// In the order of arrival.
    waiting: BTreeMap<u64, (Instant, W)>,
    numbers: u64,
    /// Whether the pool is closed: no more connections are made.
    closed: bool,
}

impl<L, W> Book<L, W> {
    /// A host without connections. `speaks` is its version if that is known beforehand.
    pub(super) fn new(rules: ConnectionLimits, speaks: Option<Version>) -> Self {
        Self {
            rules,
            speaks,
            expected: rules.streams,
            connections: HashMap::new(),
            free: BTreeSet::new(),
            closing: HashSet::new(),
            unsettled: 0,
            connecting: BTreeMap::new(),
            last_begun: None,
            last_made: None,
            last_failed: None,
            waiting: BTreeMap::new(),
            numbers: 0,
            closed: false,
        }
    }

    /// Takes a free stream. `None` if there is none, or if other requests wait already.
    pub(super) fn take(&mut self, now: Instant) -> Option<Id> {
        if self.waiting.is_empty() {
            self.occupy(now)
        } else {
            None
        }
    }

    /// Adds a request to the end of the queue; the number is for [`Book::withdraw`].
    pub(super) fn wait(&mut self, who: W, now: Instant) -> u64 {
        let number = self.number();
        self.waiting.insert(number, (now, who));
        number
    }

    /// Removes a request from the queue.
    pub(super) fn withdraw(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Gives free streams to the first requests of the queue, and takes them from it.
    pub(super) fn grants(&mut self, now: Instant) -> Vec<(W, Id)> {
        let mut grants = Vec::new();
        while !self.waiting.is_empty()
            && let Some(id) = self.occupy(now)
            && let Some((_, (_, who))) = self.waiting.pop_first()
        {
            grants.push((who, id));
        }
        grants
    }

    /// A connection has been made.
    pub(super) fn made(&mut self, id: Id, made: NewConnection<L>, now: Instant) {
        let NewConnection {
            version,
            link,
            liveness,
            retires,
        } = made;
        self.connecting.remove(&id);
        self.last_made = Some(now);
        self.speaks = Some(version);
        let settled = version == Version::Http1;
        self.unsettled += usize::from(!settled);
        let connection = ConnectionState {
            link,
            liveness,
            streams: 0,
            // An HTTP/2 host announces its limit a little later. One stream is always allowed.
            limit: 1,
            settled,
            retired: self.closed,
            made: now,
            retires,
            idle_since: now,
            kept: self.rules.idle,
            used: self.number(),
        };
        self.connections.insert(id, connection);
        self.change(id, |_| {});
    }

    /// A connection could not be made. Gives the waiting requests that fail with it.
    ///
    /// If other connections succeed, one request fails, as if it had connected for itself. Otherwise all requests
    /// fail that have waited for as long as the connection took.
    pub(super) fn failed(&mut self, id: Id, now: Instant) -> Vec<W> {
        self.last_failed = Some(now);
        let Some(begun) = self.connecting.remove(&id) else {
            return Vec::new();
        };
        let others_succeed =
            !self.connections.is_empty() || self.last_made.is_some_and(|made| made >= begun);
        let mut failed = Vec::new();
        while let Some(first) = self.waiting.first_entry()
            && first.get().0 <= begun
        {
            failed.push(first.remove().1);
            if others_succeed {
                break;
            }
        }
        failed
    }

    /// The host has announced how many streams it allows on a connection. If a new connection allows none, the next
    /// one would not either: all waiting requests are returned, to fail.
    pub(super) fn set_stream_limit(&mut self, id: Id, streams: usize) -> Vec<W> {
        let limit = streams.min(self.rules.streams);
        let mut was_settled = true;
        self.change(id, |connection| {
            was_settled = connection.settled;
            connection.limit = limit;
            connection.settled = true;
        });
        self.unsettled -= usize::from(!was_settled);
        if limit > 0 {
            self.expected = limit;
            return Vec::new();
        }
        if was_settled {
            return Vec::new();
        }
        self.retire(id);
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_values().map(|(_, who)| who).collect()
    }

    /// What requests on a connection are given to.
    pub(super) fn link(&mut self, id: Id) -> Option<&mut L> {
        let connection = self.connections.get_mut(&id)?;
        Some(&mut connection.link)
    }

    /// When a connection was made.
    pub(super) fn made_at(&self, id: Id) -> Option<Instant> {
        self.connections.get(&id).map(|connection| connection.made)
    }

    /// A stream of a connection has ended.
    pub(super) fn release(&mut self, id: Id, now: Instant) {
        self.change(id, |connection| {
            connection.streams = connection.streams.saturating_sub(1);
            connection.liveness.note_stream_end();
            connection.idle_since = now;
            connection.retired |= now >= connection.retires;
        });
    }

    /// A connection takes no more streams. It is removed when its last stream ends.
    pub(super) fn retire(&mut self, id: Id) {
        self.change(id, |connection| connection.retired = true);
    }

    /// Closes the host: no more streams, no more connections, and an empty queue.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
        let all: Vec<Id> = self.connections.keys().copied().collect();
        for id in all {
            self.retire(id);
        }
    }

    /// A connection has ended.
    pub(super) fn ended(&mut self, id: Id, now: Instant) {
        let connection = self.connections.get(&id);
        if connection.is_some_and(|it| now.saturating_duration_since(it.made) < AGAIN) {
            self.last_failed = Some(now);
        }
        self.closing.remove(&id);
        self.forget(id);
    }

    /// Removes a connection at once.
    pub(super) fn forget(&mut self, id: Id) {
        if let Some(connection) = self.connections.remove(&id) {
            self.unsettled -= usize::from(!connection.settled);
            if let Some(place) = connection.place(id) {
                self.free.remove(&place);
            }
        }
    }

    fn occupy(&mut self, now: Instant) -> Option<Id> {
        let mut old = Vec::new();
        let mut found = None;
        for (_, _, id) in &self.free {
            let Some(connection) = self.connections.get(id) else {
                continue;
            };
            if now >= connection.end() {
                old.push(*id);
            } else if !connection.liveness.is_doubted() {
                found = Some(*id);
                break;
            }
        }
        for id in old {
            self.retire(id);
        }
        let number = self.number();
        self.change(found?, |connection| {
            connection.streams += 1;
            connection.used = number;
            connection.liveness.note_request(now);
        });
        found
    }

    /// Changes a connection and its position among the free ones.
    fn change(&mut self, id: Id, change: impl FnOnce(&mut ConnectionState<L>)) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if let Some(place) = connection.place(id) {
            self.free.remove(&place);
        }
        change(connection);
        if let Some(place) = connection.place(id) {
            self.free.insert(place);
        }
        if connection.retired && connection.streams == 0 {
            self.forget(id);
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

#[cfg(test)]
mod tests;
