//! How many connections are open, from where, and which worker serves them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::resets::Resets;

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
    by_worker: Vec<usize>,
    by_ip: HashMap<IpAddr, Address>,
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
                by_worker: vec![0; workers],
                by_ip: HashMap::new(),
            })),
        }
    }

    /// A seat for a connection from this address, if there is one, with the worker that has the fewest.
    pub(super) fn seat(&self, ip: IpAddr) -> Option<Seat> {
        let ip = whose(ip);
        let mut counts = self.counts();
        let of_ip = counts.by_ip.get(&ip);
        let of_ip = of_ip.map_or(0, |address| address.connections);
        if counts.all >= self.most || of_ip >= self.most_per_ip {
            return None;
        }
        let by_worker = counts.by_worker.iter_mut().enumerate();
        let (worker, of_worker) = by_worker.min_by_key(|(_, of_worker)| **of_worker)?;
        *of_worker += 1;
        counts.all += 1;
        let address = counts.by_ip.entry(ip).or_insert_with(|| Address {
            connections: 0,
            resets: Arc::new(Resets::new(self.max_resets, Instant::now())),
        });
        address.connections += 1;
        Some(Seat {
            census: self.clone(),
            ip,
            resets: Arc::clone(&address.resets),
            worker,
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
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.census.counts();
        counts.all -= 1;
        counts.by_worker[self.worker] -= 1;
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

    #[test]
    fn an_address_has_so_many_seats_and_gives_them_back() {
        let census = Census::new(10, 2, 1, 1);
        let here = ip("192.0.2.1");
        let first = census.seat(here);
        let second = census.seat(ip("::ffff:192.0.2.1"));

        assert!(first.is_some() && second.is_some());
        assert!(census.seat(here).is_none());
        assert!(census.seat(ip("192.0.2.2")).is_some());

        drop(first);
        assert!(census.seat(here).is_some());
    }

    #[test]
    fn all_addresses_together_have_so_many_seats() {
        let census = Census::new(2, 2, 1, 1);
        let _first = census.seat(ip("192.0.2.1"));
        let second = census.seat(ip("192.0.2.2"));

        assert!(census.seat(ip("192.0.2.3")).is_none());

        drop(second);
        assert_eq!(census.count(), 1);
        assert!(census.seat(ip("192.0.2.3")).is_some());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let census = Census::new(10, 1, 1, 1);
        let _seat = census.seat(ip("2001:db8::1"));

        assert!(census.seat(ip("2001:db8::2:1")).is_none());
        assert!(census.seat(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn a_connection_goes_to_the_worker_that_has_the_fewest() {
        let census = Census::new(10, 10, 1, 3);
        let mut seats = Vec::new();
        for _ in 0..6 {
            seats.extend(census.seat(ip("192.0.2.1")));
        }
        let workers: Vec<_> = seats.iter().map(|seat| seat.worker).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1, 2]);

        drop(seats.remove(4));

        assert_eq!(census.seat(ip("192.0.2.1")).unwrap().worker, 1);
    }

    #[test]
    fn nothing_is_kept_of_those_that_left() {
        let census = Census::new(10, 10, 1, 1);
        drop(census.seat(ip("192.0.2.1")));

        assert_eq!(census.count(), 0);
        assert!(census.counts().by_ip.is_empty());
    }
}
