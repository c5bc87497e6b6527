//! How many connections are open, whose are they, and which worker serves each?

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::caller::Caller;

use super::refused::{RefusedConnections, WhyCutOff};
use super::resets::Resets;

/// A worker that does not begin to serve a new connection within this time is stuck. It gets no further
/// connections while another worker is not stuck.
const STUCK_AFTER: Duration = Duration::from_millis(100);

/// Counts connections by worker and by caller.
#[derive(Clone)]
pub(super) struct Census {
    counts: Arc<Mutex<CensusCounts>>,
    refused: Arc<RefusedConnections>,
}

/// The limits for new connections.
#[derive(Clone, Copy)]
struct CensusLimits {
    most: usize,
    most_per_ip: usize,
    max_resets: u32,
}

struct CensusCounts {
    limits: CensusLimits,
    by_worker: Vec<Load>,
    by_caller: HashMap<Caller, Address>,
}

impl CensusCounts {
    fn all(&self) -> usize {
        self.by_worker.iter().map(|load| load.connections).sum()
    }
}

/// The connections of a worker.
#[derive(Clone, Copy, Default)]
struct Load {
    connections: usize,
    /// Connections that the worker was given and has not begun to serve.
    waiting: usize,
    /// When the first of those came, or when the worker last began to serve one.
    since: Option<Instant>,
}

impl Load {
    /// Whether the worker has left a connection unserved for too long.
    fn is_stuck(self, now: Instant) -> bool {
        let since = self.since.filter(|_| self.waiting > 0);
        since.is_some_and(|since| now.saturating_duration_since(since) > STUCK_AFTER)
    }
}

struct Address {
    connections: usize,
    resets: Arc<Resets>,
}

impl Census {
    /// Allows at most `most` connections, `most_per_ip` of them from one caller. All connections of a caller together
    /// may cancel `max_resets` calls.
    pub(super) fn new(most: usize, most_per_ip: usize, max_resets: u32, workers: usize) -> Self {
        Self {
            counts: Arc::new(Mutex::new(CensusCounts {
                limits: CensusLimits {
                    most,
                    most_per_ip,
                    max_resets,
                },
                by_worker: vec![Load::default(); workers],
                by_caller: HashMap::new(),
            })),
            refused: Arc::default(),
        }
    }

    /// Counts the connections that it refuses here.
    pub(super) fn refusing_into(self, refused: Arc<RefusedConnections>) -> Self {
        Self { refused, ..self }
    }

    /// Goes on with other limits. Connections that are open stay open, and what a caller may cancel changes once it has
    /// none.
    pub(super) fn change(&self, most: usize, most_per_ip: usize, max_resets: u32) {
        self.counts().limits = CensusLimits {
            most,
            most_per_ip,
            max_resets,
        };
    }

    /// Counts a new connection; `None` if there are too many, in all or from this caller. It goes to the worker that
    /// has the fewest, among those that are not stuck.
    pub(super) fn count_in(&self, caller: Caller, now: Instant) -> Option<CountedConnection> {
        let mut counts = self.counts();
        let of_caller = counts.by_caller.get(&caller);
        let of_caller = of_caller.map_or(0, |address| address.connections);
        let CensusLimits {
            most,
            most_per_ip,
            max_resets,
        } = counts.limits;
        if counts.all() >= most {
            self.refused.count(WhyCutOff::Total);
            return None;
        }
        if of_caller >= most_per_ip {
            self.refused.count(WhyCutOff::PerIp);
            return None;
        }
        let by_worker = counts.by_worker.iter_mut().enumerate();
        let (worker, load) =
            by_worker.min_by_key(|(_, load)| (load.is_stuck(now), load.connections))?;
        load.connections += 1;
        load.waiting += 1;
        if load.waiting == 1 {
            load.since = Some(now);
        }
        let address = counts.by_caller.entry(caller).or_insert_with(|| Address {
            connections: 0,
            resets: Arc::new(Resets::new(max_resets, now)),
        });
        address.connections += 1;
        Some(CountedConnection {
            census: self.clone(),
            caller,
            resets: Arc::clone(&address.resets),
            worker,
            is_served: AtomicBool::new(false),
        })
    }

    /// How many connections are open.
    pub(super) fn count(&self) -> usize {
        self.counts().all()
    }

    fn counts(&self) -> MutexGuard<'_, CensusCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection. Dropping this counts it out.
pub(super) struct CountedConnection {
    census: Census,
    caller: Caller,
    /// Counts the calls that all connections of its caller cancel.
    pub(super) resets: Arc<Resets>,
    /// The position of the worker that serves it.
    pub(super) worker: usize,
    is_served: AtomicBool,
}

impl CountedConnection {
    /// Notes that its worker begins to serve it.
    pub(super) fn is_served(&self, now: Instant) {
        if !self.is_served.swap(true, Ordering::Relaxed) {
            let mut counts = self.census.counts();
            let load = &mut counts.by_worker[self.worker];
            load.waiting -= 1;
            load.since = Some(now);
        }
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut counts = self.census.counts();
        let load = &mut counts.by_worker[self.worker];
        load.connections -= 1;
        load.waiting -= usize::from(!self.is_served.load(Ordering::Relaxed));
        if let Some(address) = counts.by_caller.get_mut(&self.caller) {
            address.connections -= 1;
            if address.connections == 0 {
                counts.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn count_in(census: &Census, ip: IpAddr) -> Option<CountedConnection> {
        census.count_in(Caller::of_peer(Some(ip)), Instant::now())
    }

    #[test]
    fn an_address_has_so_many_connections_and_gives_them_back() {
        let census = Census::new(10, 2, 1, 1);
        let here = ip("192.0.2.1");
        let first = count_in(&census, here);
        let second = count_in(&census, ip("::ffff:192.0.2.1"));

        assert!(first.is_some() && second.is_some());
        assert!(count_in(&census, here).is_none());
        assert!(count_in(&census, ip("192.0.2.2")).is_some());

        drop(first);
        assert!(count_in(&census, here).is_some());
    }

    #[test]
    fn all_addresses_together_have_so_many_connections() {
        let census = Census::new(2, 2, 1, 1);
        let _first = count_in(&census, ip("192.0.2.1"));
        let second = count_in(&census, ip("192.0.2.2"));

        assert!(count_in(&census, ip("192.0.2.3")).is_none());

        drop(second);
        assert_eq!(census.count(), 1);
        assert!(count_in(&census, ip("192.0.2.3")).is_some());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let census = Census::new(10, 1, 1, 1);
        let _counted = count_in(&census, ip("2001:db8::1"));

        assert!(count_in(&census, ip("2001:db8::2:1")).is_none());
        assert!(count_in(&census, ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn a_connection_goes_to_the_worker_that_has_the_fewest() {
        let census = Census::new(10, 10, 1, 3);
        let mut connections = Vec::new();
        for _ in 0..6 {
            connections.extend(count_in(&census, ip("192.0.2.1")));
        }
        let workers: Vec<_> = connections.iter().map(|counted| counted.worker).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1, 2]);

        drop(connections.remove(4));

        assert_eq!(count_in(&census, ip("192.0.2.1")).unwrap().worker, 1);
    }

    #[test]
    fn a_worker_that_is_stuck_gets_no_connections_while_others_are_not() {
        let census = Census::new(10, 10, 1, 2);
        let here = ip("192.0.2.1");
        let start = Instant::now();
        let counted = |now| census.count_in(Caller::of_peer(Some(here)), now).unwrap();
        let stuck = counted(start);
        let mut served = Vec::new();
        let late = start + 2 * STUCK_AFTER;
        for _ in 0..4 {
            let connection = counted(late);
            assert_eq!(connection.worker, 1);
            connection.is_served(late);
            served.push(connection);
        }

        stuck.is_served(late);
        assert_eq!(counted(late).worker, 0);
        drop((stuck, served));
        let _both_stuck = [counted(late), counted(late)];
        let worker = counted(late + 2 * STUCK_AFTER).worker;
        assert_eq!(worker, 0, "one of them gets it all the same");
    }

    #[test]
    fn nothing_is_kept_of_those_that_left() {
        let census = Census::new(10, 10, 1, 1);
        drop(count_in(&census, ip("192.0.2.1")));

        assert_eq!(census.count(), 0);
        assert!(census.counts().by_caller.is_empty());
    }
}
