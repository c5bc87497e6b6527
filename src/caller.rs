//! Whose call is it, how did it come in, and how important is it? Until callers are authenticated, a caller is an
//! address.

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

/// Through which protocol a call came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Door {
    /// gRPC over HTTP/2.
    #[default]
    Grpc,
    /// gRPC-Web, from browsers.
    GrpcWeb,
    /// JSON over HTTP.
    Json,
}

impl Door {
    /// Every door, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::GrpcWeb, Self::Json];

    /// Its name in logs, metrics and traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc_web",
            Self::Json => "json",
        }
    }
}

/// Which method a call is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// One message with the whole answer.
    Generate,
    /// A stream of messages.
    StreamGenerate,
}

impl Method {
    /// Every method, in the order of declaration.
    pub const ALL: [Self; 2] = [Self::Generate, Self::StreamGenerate];

    /// Its name in logs, metrics and traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generate => "Generate",
            Self::StreamGenerate => "StreamGenerate",
        }
    }

    /// Its name with that of its service.
    pub fn full_name(self) -> &'static str {
        match self {
            Self::Generate => "modelway.v1.GenerationService/Generate",
            Self::StreamGenerate => "modelway.v1.GenerationService/StreamGenerate",
        }
    }
}

/// How important a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A person waits for the answer, or money depends on it.
    Critical,
    /// The usual importance.
    #[default]
    Default,
    /// The work can be done later.
    Batch,
    /// Test traffic: no one uses the answer.
    Shadow,
}

impl Priority {
    /// Every priority, the most important first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Default, Self::Batch, Self::Shadow];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Default => "default",
            Self::Batch => "batch",
            Self::Shadow => "shadow",
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
