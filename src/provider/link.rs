//! How a connection to a provider is made: the versions of HTTP, trusted authorities, client certificate and proxy.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// How connections to a provider are made. Providers that agree in all of it may share one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Which versions of HTTP are spoken.
    pub http: Http,
    /// Certificates in DER of the authorities that are trusted besides the system's.
    pub authorities: Vec<Vec<u8>>,
    /// The client certificate for a provider that asks for one.
    pub identity: Option<ClientKeyPair>,
    /// The proxy to connect through, if any.
    pub proxy: Option<ProxyUrl>,
}

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// HTTP/2 if TLS negotiates it, and HTTP/1.1 otherwise.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2. Without TLS the host must be known to speak it.
    Http2,
}

/// A client certificate and its key.
#[derive(Clone)]
pub struct ClientKeyPair {
    /// Our certificate in DER, and those that lead from it to the authority.
    pub chain: Vec<Vec<u8>>,
    /// Its private key in PEM.
    pub key: SecretString,
}

/// A proxy's URL, `http`, `https`, `socks5` or `socks5h`, with our credentials in it if it wants some.
#[derive(Clone)]
pub struct ProxyUrl(pub SecretString);

impl PartialEq for ProxyUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for ProxyUrl {}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyUrl").finish_non_exhaustive()
    }
}

impl PartialEq for ClientKeyPair {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key.expose_secret() == other.key.expose_secret()
    }
}

impl Eq for ClientKeyPair {}

impl fmt::Debug for ClientKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeyPair").finish_non_exhaustive()
    }
}
