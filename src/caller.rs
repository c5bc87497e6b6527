//! Whose call is it, how did it come in, and how important is it?

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The most characters that are shown of the name of a certificate.
const MOST_SHOWN: usize = 100;

/// Who makes a call. Limits and idempotency keys belong to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// The account with this number, which has proved who it is, from wherever it calls.
    Account(u32),
    /// Calls without a credential: all connections from this address; for IPv6, from this /64 network.
    Peer(IpAddr),
    /// Calls without a credential: all connections whose address is not known, together.
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
            Self::Account(number) => write!(f, "account {number}"),
            Self::Peer(address @ IpAddr::V4(_)) => write!(f, "{address}"),
            Self::Peer(network @ IpAddr::V6(_)) => write!(f, "{network}/64"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Who stands at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its network address, unless it connects through a Unix socket.
    pub address: Option<SocketAddr>,
    /// The process that connects through a Unix socket.
    pub process: Option<PeerProcess>,
    /// What the client's certificate says, if it has shown one that is believed.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// A process of this machine, as the system knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProcess {
    /// Its user.
    pub uid: u32,
    /// Its number; a process of another container may have none.
    pub pid: Option<i32>,
}

/// The names in a client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// URIs among the alternative names, such as `spiffe://prod/ns/search/sa/api`.
    pub uris: Vec<String>,
    /// DNS names among the alternative names.
    pub dns_names: Vec<String>,
    /// Whether there are alternative names of other kinds.
    pub has_others: bool,
    /// The common name of the subject.
    pub common_name: Option<String>,
}

impl ClientCertificate {
    /// The name of the client: its first URI, else its first DNS name, else its common name if it has no alternative
    /// name of any kind (RFC 6125, section 6.4.4).
    pub fn name(&self) -> Option<&str> {
        let alternative = self.uris.first().or(self.dns_names.first());
        match alternative {
            Some(name) => Some(name),
            None if self.has_others => None,
            None => self.common_name.as_deref(),
        }
    }
}

impl Peer {
    /// The peer that connects from this address.
    pub fn at(address: Option<SocketAddr>) -> Self {
        Self {
            address,
            ..Self::default()
        }
    }

    /// The caller that it is.
    pub fn caller(&self) -> Caller {
        Caller::of_peer(self.address.map(|address| address.ip()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.process) {
            (Some(address), _) => write!(f, "{address}")?,
            (None, Some(PeerProcess { uid, pid: None })) => write!(f, "unix:uid={uid}")?,
            (
                None,
                Some(PeerProcess {
                    uid,
                    pid: Some(pid),
                }),
            ) => {
                write!(f, "unix:uid={uid},pid={pid}")?;
            }
            (None, None) => f.write_str("unknown")?,
        }
        match self
            .certificate
            .as_deref()
            .and_then(ClientCertificate::name)
        {
            // A certificate may hold any text, of any length.
            Some(name) => {
                let shown = name.chars().take(MOST_SHOWN).flat_map(char::escape_debug);
                write!(f, " ({})", shown.collect::<String>())
            }
            None => Ok(()),
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

    #[test]
    fn a_client_has_the_first_of_its_alternative_names_and_a_common_name_only_without_any() {
        let mut certificate = ClientCertificate {
            common_name: Some("search".to_owned()),
            ..ClientCertificate::default()
        };
        assert_eq!(certificate.name(), Some("search"));

        certificate.has_others = true;
        assert_eq!(certificate.name(), None);

        certificate.dns_names = vec!["search.test".to_owned()];
        assert_eq!(certificate.name(), Some("search.test"));

        certificate.uris = vec!["spiffe://test/search".to_owned()];
        assert_eq!(certificate.name(), Some("spiffe://test/search"));
    }

    #[test]
    fn a_peer_is_shown_by_its_address_or_process_and_its_name() {
        let address = "192.0.2.1:7".parse().unwrap();
        let mut peer = Peer::at(Some(address));
        assert_eq!(peer.to_string(), "192.0.2.1:7");

        peer.certificate = Some(Arc::new(ClientCertificate {
            common_name: Some("a\nb".to_owned()),
            ..ClientCertificate::default()
        }));
        assert_eq!(peer.to_string(), "192.0.2.1:7 (a\\nb)");

        let uid = 7;
        peer = Peer::default();
        peer.process = Some(PeerProcess { uid, pid: Some(9) });
        assert_eq!(peer.to_string(), "unix:uid=7,pid=9");
        assert_eq!(peer.caller(), Caller::Unknown);
    }
}
