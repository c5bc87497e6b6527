//! Whose call is it? Until callers are authenticated, a caller is an address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Who makes a call. Limits and idempotency keys belong to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// All connections from this address; for IPv6, from this /64 network.
    Peer(IpAddr),
    /// All connections whose address is not known, together.
    Unknown,
}

impl Caller {
    /// The caller behind a connection from this address.
    pub fn of_peer(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(address)) => Self::Peer(address.into()),
            // An IPv6 host can choose its address from a whole /64 network.
            Some(IpAddr::V6(address)) => {
                let network = address.to_bits() & (u128::MAX << 64);
                Self::Peer(Ipv6Addr::from_bits(network).into())
            }
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(address @ IpAddr::V4(_)) => write!(f, "{address}"),
            Self::Peer(network @ IpAddr::V6(_)) => write!(f, "{network}/64"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_host_are_one_caller() {
        let caller = |address: &str| Caller::of_peer(Some(address.parse().unwrap()));

        assert_eq!(caller("10.0.0.1"), caller("::ffff:10.0.0.1"));
        assert_eq!(caller("2001:db8::1"), caller("2001:db8::2:3"));
        assert_ne!(caller("10.0.0.1"), caller("10.0.0.2"));
        assert_ne!(caller("2001:db8::1"), caller("2001:db8:0:1::1"));
        assert_eq!(Caller::of_peer(None), Caller::Unknown);
    }
}
