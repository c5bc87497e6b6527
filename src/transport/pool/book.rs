//! Which connection of a host does the next request take, and when is another one opened? Pure.
//!
//! HTTP/1.1 is the case of one stream per connection.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::liveness::Liveness;

/// Connections to one host that may be under way at once.
const MAX_CONNECTING: usize = 64;

/// A connection that takes longer than this gets company, in case that it hangs.
const SLOW: Duration = Duration::from_millis(500);

/// After a failure no connection is opened ahead of need for so long. One that ends sooner than this after
/// it was made has failed, too.
const AGAIN: Duration = Duration::from_secs(1);

/// While less than this share of a connection is free, and others are in use, one more is opened ahead of need.
const RESERVE: usize = 4;

/// What holds for all connections to a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// The most streams on one connection, at least 1.
    pub(super) streams: usize,
    /// How long an unused connection is kept.
    pub(super) idle: Duration,
}

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Version {
    Http1,
    Http2,
}

/// A connection of a book, or one that is being made.
pub(super) type Id = u64;

/// The connections to one host and who waits for them. `L` is what a connection is used by, `W` who waits.
#[derive(Debug)]
pub(super) struct Book<L, W> {
    rules: ConnectionLimits,
    /// What the newest connection speaks.
    speaks: Option<Version>,
    /// Streams that a further connection is expected to take.
    expected: usize,
    connections: HashMap<Id, Connection<L>>,
    /// Connections that take streams: the least busy first, of those the last used.
    free: BTreeSet<FreeRank>,
    /// Unused connections that were forgotten for the sake of their files and have not ended yet.
    closing: HashSet<Id>,
    /// HTTP/2 connections whose limit the host has not told yet.
    unsettled: usize,
    /// Connections under way, and when they began.
    connecting: BTreeMap<Id, Instant>,
    last_begun: Option<Instant>,
    last_made: Option<Instant>,
    last_failed: Option<Instant>,
    /// In the order of arrival.
    waiting: BTreeMap<u64, (Instant, W)>,
    numbers: u64,
    /// No connections are made any more.
    closed: bool,
}

/// Streams in use, when it was last used, and which.
type FreeRank = (usize, Reverse<u64>, Id);

#[derive(Debug)]
struct Connection<L> {
    link: L,
    liveness: Liveness,
    streams: usize,
    limit: usize,
    settled: bool,
    /// Takes no more streams.
    retired: bool,
    made: Instant,
    /// When it is too old for more streams.
    retires: Instant,
    /// Since when nobody uses it, and how long it is kept then.
    idle_since: Instant,
    kept: Duration,
    used: u64,
}

/// A connection that has been made.
pub(super) struct NewConnection<L> {
    pub(super) version: Version,
    pub(super) link: L,
    pub(super) liveness: Liveness,
    /// When it is too old for more streams.
    pub(super) retires: Instant,
}

impl<L, W> Book<L, W> {
    /// No connections to a host. What it speaks may be known beforehand.
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

    /// Takes a stream of a connection; none if there is none free, or others wait.
    pub(super) fn take(&mut self, now: Instant) -> Option<Id> {
        if self.waiting.is_empty() {
            self.occupy(now)
        } else {
            None
        }
    }

    /// Waits for a stream, behind all others.
    pub(super) fn wait(&mut self, who: W, now: Instant) -> u64 {
        let number = self.number();
        self.waiting.insert(number, (now, who));
        number
    }

    /// Waits no longer.
    pub(super) fn withdraw(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Those who have waited long enough: each has got a stream of a connection.
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

    /// Begins to make as many connections as are wanted, and gives their numbers.
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
            // The first connection tells whether one is enough for all.
            None => usize::from(waiting > 0 && (self.connecting.is_empty() || is_slow())),
            Some(Version::Http1) => waiting.saturating_sub(self.connecting.len()),
            Some(Version::Http2) => {
                let coming =
                    self.expected * self.connecting.len() + (self.expected - 1) * self.unsettled;
                if waiting == 0 {
                    let ago = |failed| now.saturating_duration_since(failed);
                    let may_succeed = self.last_failed.is_none_or(|failed| ago(failed) >= AGAIN);
                    let is_scarce = self.room() + coming < self.expected / RESERVE;
                    // Nobody needs a connection to a host that nobody asks any more.
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
            // What HTTP/2 allows is known when the host has said it. It takes one stream in any case.
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

    /// A connection could not be made: gives those who have waited for it.
    ///
    /// While others succeed it takes one with it, as if that one had made it for itself; otherwise all that
    /// have been waiting for as long.
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

    /// The host allows so many streams on a connection. Gives those who wait in vain: a host that takes
    /// none on a new connection would take none on the next.
    pub(super) fn allows(&mut self, id: Id, streams: usize) -> Vec<W> {
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

    /// What a connection is used by.
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
            connection.liveness.ends();
            connection.idle_since = now;
            connection.retired |= now >= connection.retires;
        });
    }

    /// A connection takes no more streams; it is forgotten once it has none.
    pub(super) fn retire(&mut self, id: Id) {
        self.change(id, |connection| connection.retired = true);
    }

    /// Forgets the connections that nobody uses.
    pub(super) fn forget_unused(&mut self) {
        let unused = self.connections.iter();
        let unused: Vec<Id> = unused
            .filter_map(|(id, connection)| (connection.streams == 0).then_some(*id))
            .collect();
        for id in unused {
            self.forget(id);
        }
    }

    /// Since when the connection is unused that has been so for the longest time; `None` if all are used or
    /// waited for.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let connection = self.connections.get(&self.longest_unused()?)?;
        Some(connection.idle_since)
    }

    /// Forgets the connection that has been unused for the longest time; false if there is none.
    pub(super) fn close_unused(&mut self) -> bool {
        let Some(id) = self.longest_unused() else {
            return false;
        };
        self.closing.insert(id);
        self.forget(id);
        true
    }

    /// Whether a connection that was forgotten by [`Book::close_unused`] has not ended yet.
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

    /// Takes no more streams anywhere, makes no more connections, and nobody waits any longer.
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

    /// Nobody is to use a connection again.
    pub(super) fn forget(&mut self, id: Id) {
        if let Some(connection) = self.connections.remove(&id) {
            self.unsettled -= usize::from(!connection.settled);
            if let Some(place) = connection.place(id) {
                self.free.remove(&place);
            }
        }
    }

    /// Forgets a connection that has been unused for too long or is too old; when to look again otherwise.
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

    /// The host keeps a connection that is not used for so long, at most.
    pub(super) fn keeps(&mut self, id: Id, unused: Duration) {
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
            connection.liveness.asks(now);
        });
        found
    }

    /// Changes a connection and where it stands among the free ones.
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
    /// When it takes no more streams, if none is begun before.
    fn end(&self) -> Instant {
        if self.streams > 0 {
            self.retires
        } else {
            self.retires.min(self.idle_since + self.kept)
        }
    }

    /// Where it stands among the free ones, if it is one.
    fn place(&self, id: Id) -> Option<FreeRank> {
        let is_free = !self.retired && self.streams < self.limit;
        is_free.then_some((self.streams, Reverse(self.used), id))
    }
}

#[cfg(test)]
mod tests;
