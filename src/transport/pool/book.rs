//! Which connection to a host does the next request use, and when is another one opened? Pure.
//!
//! A connection of HTTP/1.1 is one with a single stream.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::liveness::Liveness;

/// The most connections to one host that are being made at the same time.
const MAX_CONNECTING: usize = 64;

/// If making a connection takes longer than this, another attempt starts beside it.
const SLOW: Duration = Duration::from_millis(500);

/// How long after a failure no connection is opened in advance. A connection that ends sooner than this after it
/// was made counts as a failure, too.
const AGAIN: Duration = Duration::from_secs(1);

/// If less than one connection divided by this is free while others are in use, one more is opened in advance.
const RESERVE: usize = 4;

/// What holds for all connections to a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// The most streams on one connection, at least 1.
    pub(super) streams: usize,
    /// How long an unused connection is kept, at most.
    pub(super) idle: Duration,
}

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Version {
    Http1,
    Http2,
}

/// The number of a connection, which it has from the moment when it is begun.
pub(super) type Id = u64;

/// The connections to one host, and the requests that wait for one. `L` is the handle through which requests are sent
/// on a connection, `W` is a waiting request.
#[derive(Debug)]
pub(super) struct Book<L, W> {
    rules: ConnectionLimits,
    /// The version that the newest connection speaks.
    speaks: Option<Version>,
    /// Streams that a further connection is expected to take.
    expected: usize,
    connections: HashMap<Id, Connection<L>>,
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

/// The order of free connections: streams in use, the number of the last use, and the connection.
type FreeRank = (usize, Reverse<u64>, Id);

#[derive(Debug)]
struct Connection<L> {
    link: L,
    liveness: Liveness,
    streams: usize,
    limit: usize,
    settled: bool,
    /// Whether it takes no more streams.
    retired: bool,
    made: Instant,
    /// From when on it is too old for more streams.
    retires: Instant,
    /// Since when it is unused, and how long it is kept then.
    idle_since: Instant,
    kept: Duration,
    used: u64,
}

/// A connection that has been made.
pub(super) struct NewConnection<L> {
    pub(super) version: Version,
    pub(super) link: L,
    pub(super) liveness: Liveness,
    /// From when on it is too old for more streams.
    pub(super) retires: Instant,
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

    /// The numbers of the connections that are to be made now. They count as begun.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Id> {
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
        let connection = Connection {
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

    /// Removes all unused connections, which closes them.
    pub(super) fn forget_unused(&mut self) {
        let unused = self.connections.iter();
        let unused: Vec<Id> = unused
            .filter_map(|(id, connection)| (connection.streams == 0).then_some(*id))
            .collect();
        for id in unused {
            self.forget(id);
        }
    }

    /// Since when the longest unused connection is unused. `None` if all are in use, or if requests wait for one.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let connection = self.connections.get(&self.longest_unused()?)?;
        Some(connection.idle_since)
    }

    /// Removes the longest unused connection, which closes it. False if there is none.
    pub(super) fn close_unused(&mut self) -> bool {
        let Some(id) = self.longest_unused() else {
            return false;
        };
        self.closing.insert(id);
        self.forget(id);
        true
    }

    /// Whether a connection that [`Book::close_unused`] has removed is still open.
    pub(super) fn is_closing(&self) -> bool {
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

    /// Removes a connection that is too old or was unused for too long. Otherwise tells when to check again.
    pub(super) fn check(&mut self, id: Id, now: Instant) -> Option<Instant> {
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
    pub(super) fn set_keep_alive(&mut self, id: Id, unused: Duration) {
        let most = self.rules.idle;
        self.change(id, |connection| connection.kept = unused.min(most));
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
    fn change(&mut self, id: Id, change: impl FnOnce(&mut Connection<L>)) {
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

impl<L> Connection<L> {
    /// From when on it takes no more streams.
    fn end(&self) -> Instant {
        if self.streams > 0 {
            self.retires
        } else {
            self.retires.min(self.idle_since + self.kept)
        }
    }

    /// Its position among the free connections, if it is free.
    fn place(&self, id: Id) -> Option<FreeRank> {
        let is_free = !self.retired && self.streams < self.limit;
        is_free.then_some((self.streams, Reverse(self.used), id))
    }
}

#[cfg(test)]
mod tests;
