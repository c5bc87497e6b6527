//! How many connections are open, from where, and which worker serves them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::resets::Resets;

/// A worker that has not begun to serve a connection for so long gets no more of them while others do.
const STUCK_AFTER: Duration = Duration::from_millis(100);

/// Counts connections: all of them, by address and by worker.
#[derive(Clone)]
pub(super) struct Census {
    most: usize,
    most_per_ip: usize,
    max_resets: u32,
    counts: Arc<Mutex<Counts>>,
}

struct Counts {
    all: usize,
    by_worker: Vec<Load>,
    by_ip: HashMap<IpAddr, Address>,
}

/// What a worker has to do.
#[derive(Clone, Copy, Default)]
struct Load {
    connections: usize,
    /// Connections that it was given and has not begun to serve.
    waiting: usize,
    /// Since when there have been such, or since it began to serve the last one.
    since: Option<Instant>,
}

impl Load {
    /// Whether it is in the middle of a long step: whatever it is given waits for the end of that.
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
    /// Allows this many connections, and this many from one address, to so many workers. An address
    /// may take back this many calls.
    pub(super) fn new(most: usize, most_per_ip: usize, max_resets: u32, workers: usize) -> Self {
        Self {
            most,
            most_per_ip,
            max_resets,
            counts: Arc::new(Mutex::new(Counts {
                all: 0,
                by_worker: vec![Load::default(); workers],
                by_ip: HashMap::new(),
            })),
        }
    }

    /// A seat for a connection from this address, if there is one, with the worker that has the fewest of
    /// those that are not stuck.
    pub(super) fn seat(&self, ip: IpAddr, now: Instant) -> Option<Seat> {
        let ip = whose(ip);
        let mut counts = self.counts();
        let of_ip = counts.by_ip.get(&ip);
        let of_ip = of_ip.map_or(0, |address| address.connections);
        if counts.all >= self.most || of_ip >= self.most_per_ip {
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
        counts.all += 1;
        let address = counts.by_ip.entry(ip).or_insert_with(|| Address {
            connections: 0,
            resets: Arc::new(Resets::new(self.max_resets, now)),
        });
        address.connections += 1;
        Some(Seat {
            census: self.clone(),
            ip,
            resets: Arc::clone(&address.resets),
            worker,
            is_taken: AtomicBool::new(false),
        })
    }

    /// How many connections are open.
    pub(super) fn count(&self) -> usize {
        self.counts().all
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The seat of an open connection, given up when it is dropped.
pub(super) struct Seat {
    census: Census,
    ip: IpAddr,
    /// What all connections of its address may take back.
    pub(super) resets: Arc<Resets>,
    /// The position of who serves it.
    pub(super) worker: usize,
    is_taken: AtomicBool,
}

impl Seat {
    /// Its worker has begun to serve it.
    pub(super) fn is_taken(&self, now: Instant) {
        if !self.is_taken.swap(true, Ordering::Relaxed) {
            let mut counts = self.census.counts();
            let load = &mut counts.by_worker[self.worker];
            load.waiting -= 1;
            load.since = Some(now);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.census.counts();
        counts.all -= 1;
        let load = &mut counts.by_worker[self.worker];
        load.connections -= 1;
        load.waiting -= usize::from(!self.is_taken.load(Ordering::Relaxed));
        if let Some(address) = counts.by_ip.get_mut(&self.ip) {
            address.connections -= 1;
            if address.connections == 0 {
                counts.by_ip.remove(&self.ip);
            }
        }
    }
}

/// The address that counts: whoever has one of IPv6 has the 64 bits behind it, too.
fn whose(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let network = ip.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seat(census: &Census, ip: IpAddr) -> Option<Seat> {
        census.seat(ip, Instant::now())
    }

    #[test]
    fn an_address_has_so_many_seats_and_gives_them_back() {
        let census = Census::new(10, 2, 1, 1);
        let here = ip("192.0.2.1");
        let first = seat(&census, here);
        let second = seat(&census, ip("::ffff:192.0.2.1"));

        assert!(first.is_some() && second.is_some());
        assert!(seat(&census, here).is_none());
        assert!(seat(&census, ip("192.0.2.2")).is_some());

        drop(first);
        assert!(seat(&census, here).is_some());
    }

    #[test]
    fn all_addresses_together_have_so_many_seats() {
        let census = Census::new(2, 2, 1, 1);
        let _first = seat(&census, ip("192.0.2.1"));
        let second = seat(&census, ip("192.0.2.2"));

        assert!(seat(&census, ip("192.0.2.3")).is_none());

        drop(second);
        assert_eq!(census.count(), 1);
        assert!(seat(&census, ip("192.0.2.3")).is_some());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let census = Census::new(10, 1, 1, 1);
        let _seat = seat(&census, ip("2001:db8::1"));

        assert!(seat(&census, ip("2001:db8::2:1")).is_none());
        assert!(seat(&census, ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn a_connection_goes_to_the_worker_that_has_the_fewest() {
        let census = Census::new(10, 10, 1, 3);
        let mut seats = Vec::new();
        for _ in 0..6 {
            seats.extend(seat(&census, ip("192.0.2.1")));
        }
        let workers: Vec<_> = seats.iter().map(|seat| seat.worker).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1, 2]);

        drop(seats.remove(4));

        assert_eq!(seat(&census, ip("192.0.2.1")).unwrap().worker, 1);
    }

    #[test]
    fn a_worker_that_is_stuck_gets_no_connections_while_others_are_not() {
        let census = Census::new(10, 10, 1, 2);
        let here = ip("192.0.2.1");
        let start = Instant::now();
        let seat = |now| census.seat(here, now).unwrap();
        let stuck = seat(start);
        let mut served = Vec::new();
        let late = start + 2 * STUCK_AFTER;
        for _ in 0..4 {
            let seat = seat(late);
            assert_eq!(seat.worker, 1);
            seat.is_taken(late);
            served.push(seat);
        }

        stuck.is_taken(late);
        assert_eq!(seat(late).worker, 0);
        drop((stuck, served));
        let _both_stuck = [seat(late), seat(late)];
        let worker = seat(late + 2 * STUCK_AFTER).worker;
        assert_eq!(worker, 0, "one of them gets it all the same");
    }

    #[test]
    fn nothing_is_kept_of_those_that_left() {
        let census = Census::new(10, 10, 1, 1);
        drop(seat(&census, ip("192.0.2.1")));

        assert_eq!(census.count(), 0);
        assert!(census.counts().by_ip.is_empty());
    }
}
