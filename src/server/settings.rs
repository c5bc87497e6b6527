//! Where does the listener listen, and what does it allow?

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use crate::grpc::access::TrustedConnections;
use crate::grpc::elements::ElementLimits;
use crate::json;

use super::cors;

use super::listen::ListenAddress;
use super::tls::TlsSettings;

/// What the listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where callers connect.
    pub listen: ListenAddress,
    /// Runtimes of one thread each, at most [`MAX_RUNTIMES`]; each keeps the connections that it is given. 0: the
    /// runtime in which the service is started serves all.
    pub runtimes: usize,
    /// The largest message, in bytes.
    pub max_message_bytes: usize,
    /// How many elements a request may have.
    pub requests: ElementLimits,
    /// Bytes that incomplete messages may take up together; one caller has three quarters of them.
    pub max_unfinished_bytes: usize,
    /// Connections that may be open.
    pub max_connections: usize,
    /// Connections that one address may have open; a network of 64 bits counts as one in IPv6.
    pub max_connections_per_ip: usize,
    /// Streams that one connection may have open.
    pub max_concurrent_streams: u32,
    /// Calls that one caller may cancel in ten seconds, beyond one for each call that it does not cancel, and
    /// never fewer than it may have open. A connection that exceeds it is ended.
    pub max_resets: u32,
    /// How long a new connection may take to send its preface.
    pub handshake_timeout: Duration,
    /// How long a new connection may take to send its first request.
    pub first_request_timeout: Duration,
    /// How long a request may take from its head to its end.
    pub receive_timeout: Duration,
    /// The interval of keep-alive pings.
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take.
    pub keepalive_timeout: Duration,
    /// The age, give or take a tenth, at which a connection is asked to end, so that callers spread over
    /// instances again.
    pub connection_age: Duration,
    /// How long a caller may leave its answer unread.
    pub client_stall: Duration,
    /// Which web pages may call.
    pub cors: cors::Settings,
    /// How streams to browsers and in JSON are kept alive.
    pub json: json::Settings,
    /// Whether server reflection is served.
    pub reflection: bool,
    /// Whether operators are served there, too.
    pub admin: PublicAdmin,
    /// Whether callers on other machines may connect in plaintext, since a proxy or a mesh encrypts.
    pub behind_proxy: bool,
    /// The files of its TLS; `None`: plaintext.
    pub tls: Option<TlsSettings>,
    /// How long the service goes on as before after it was told to stop, except that it reports itself unhealthy:
    /// as long as load balancers take to notice. May be zero.
    pub predrain: Duration,
    /// How long open calls may go on after that.
    pub drain_timeout: Duration,
}

/// The most runtimes. Each opens files and sets up clients of its own before the service starts.
pub const MAX_RUNTIMES: usize = 256;

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50051)).into(),
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
            cors: cors::Settings::default(),
            json: json::Settings::default(),
            reflection: true,
            admin: PublicAdmin::default(),
            behind_proxy: false,
            tls: None,
            predrain: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(60),
        }
    }
}

/// Whether OperationsService is served by the listener for callers, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PublicAdmin {
    /// As long as only this machine can reach it.
    #[default]
    Loopback,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl PublicAdmin {
    /// Whether that holds for a listener at this address.
    pub fn holds(self, address: &ListenAddress) -> bool {
        match self {
            Self::Loopback => address.is_local(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// The listener for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where operators connect; `None`: nowhere.
    pub listen: Option<ListenAddress>,
    /// Whether server reflection is served there.
    pub reflection: bool,
    /// The files of its TLS; `None`: plaintext.
    pub tls: Option<TlsSettings>,
    /// Whether a proxy or a mesh is in front that encrypts what is sent. Then others than this machine connect, whatever
    /// the address.
    pub behind_proxy: bool,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 50052)).into()),
            reflection: true,
            tls: None,
            behind_proxy: false,
        }
    }
}

impl AdminSettings {
    /// Whose connections are proof enough to operate, without a credential in each request.
    pub fn trusted(&self) -> TrustedConnections {
        let is_local = |address: &ListenAddress| address.is_local();
        match self.listen.as_ref().is_none_or(is_local) && !self.behind_proxy {
            true => TrustedConnections::All,
            false => TrustedConnections::Certified,
        }
    }

    /// Whether nobody connects without a certificate of an authority that is believed.
    pub fn asks_for_proof(&self) -> bool {
        self.tls.as_ref().is_some_and(TlsSettings::asks_for_proof)
    }
}

/// The listener for probes and scrapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbesSettings {
    /// Where they connect; `None`: nowhere.
    pub listen: Option<ListenAddress>,
}
