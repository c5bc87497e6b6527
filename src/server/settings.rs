//! What the listener allows.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use crate::grpc::elements::ElementLimits;

/// What the listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// Runtimes of one thread each, of which each keeps the connections that it is given, at most
    /// [`MAX_RUNTIMES`]. None: the runtime that the service is started in serves all.
    pub runtimes: usize,
    /// Largest message, in bytes, that is read.
    pub max_message_bytes: usize,
    /// How many elements a request may have.
    pub requests: ElementLimits,
    /// Bytes that messages may take up together until they are complete; one caller has three quarters.
    pub max_unfinished_bytes: usize,
    /// Connections that may be open.
    pub max_connections: usize,
    /// Connections that one address may have open; a network of 64 bits counts as one in IPv6.
    pub max_connections_per_ip: usize,
    /// Streams that one connection may have open.
    pub max_concurrent_streams: u32,
    /// Calls that one address may take back in ten seconds, beyond the number of those that it does
    /// not, and never fewer than a caller may have open; the connection that goes on is ended.
    pub max_resets: u32,
    /// How long a new connection may take to its preface.
    pub handshake_timeout: Duration,
    /// How long a new connection may take to its first request.
    pub first_request_timeout: Duration,
    /// How long a request may take from its head to its end.
    pub receive_timeout: Duration,
    /// How long after a sign of life the other side is asked for another.
    pub keepalive_interval: Duration,
    /// How long the other side may take to give it.
    pub keepalive_timeout: Duration,
    /// When a connection is asked to end, give or take a tenth: callers spread over instances anew.
    pub connection_age: Duration,
    /// How long a caller may leave its answer unread.
    pub client_stall: Duration,
    /// Whether server reflection is served.
    pub reflection: bool,
    /// How long the service goes on as before when it was told to stop, but for its health: until
    /// all who look at that have looked. May be zero.
    pub predrain: Duration,
    /// How long open calls may go on after that.
    pub drain_timeout: Duration,
}

/// The most runtimes. Each opens files and sets up clients of its own before the service starts.
pub const MAX_RUNTIMES: usize = 256;

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)),
            runtimes: thread::available_parallelism()
                .map_or(1, NonZero::get)
                .min(MAX_RUNTIMES),
            max_message_bytes: 32 << 20,
            requests: ElementLimits::default(),
            max_unfinished_bytes: 512 << 20,
            max_connections: 4096,
            max_connections_per_ip: 256,
            max_concurrent_streams: 1024,
            max_resets: 1024,
            handshake_timeout: Duration::from_secs(5),
            first_request_timeout: Duration::from_secs(10),
            receive_timeout: Duration::from_secs(15),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            connection_age: Duration::from_secs(600),
            client_stall: Duration::from_secs(30),
            reflection: true,
            predrain: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(60),
        }
    }
}

/// What there is to fear of an address to listen on: anybody who reaches it is a caller, and an operator.
pub fn exposure(address: SocketAddr) -> Option<String> {
    let is_loopback = address.ip().to_canonical().is_loopback();
    (!is_loopback).then(|| {
        format!(
            "whoever reaches {address} can use every scenario and set breakers: nobody is authenticated, and \
             nothing is encrypted; listen on a loopback address, or let a proxy or the network keep strangers out"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_can_reach_is_told() {
        let table = [
            ("127.0.0.1:50051", false),
            ("127.9.9.9:1", false),
            ("[::1]:50051", false),
            ("[::ffff:127.0.0.1]:50051", false),
            ("0.0.0.0:50051", true),
            ("[::]:50051", true),
            ("10.0.0.1:50051", true),
        ];
        for (address, is_exposed) in table {
            let warning = exposure(address.parse().expect("an address"));

            assert_eq!(warning.is_some(), is_exposed, "{address}");
        }
    }
}
