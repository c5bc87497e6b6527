//! How is the address of a service written, and where does a listener have to be called?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use http::uri::Authority;

use crate::server::ListenAddress;

/// The address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceAddress {
    pub(super) at: At,
    /// Whether it speaks TLS.
    pub(super) has_tls: bool,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    Host(Authority),
    Unix(PathBuf),
}

/// A text is no address of a service.
#[derive(Debug, thiserror::Error)]
#[error("write HOST:PORT such as 127.0.0.1:50051, https://HOST:PORT, or unix:/PATH")]
pub(super) struct NotAService;

impl FromStr for ServiceAddress {
    type Err = NotAService;

    fn from_str(text: &str) -> Result<Self, NotAService> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.starts_with('/') {
                true => Ok(Self {
                    at: At::Unix(PathBuf::from(path)),
                    has_tls: false,
                }),
                false => Err(NotAService),
            };
        }
        let (has_tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(NotAService),
            None => (false, text),
        };
        let authority: Authority = rest.trim_end_matches('/').parse().or(Err(NotAService))?;
        let is_whole = authority.port_u16().is_some() && !authority.host().is_empty();
        match is_whole && !authority.as_str().contains('@') {
            true => Ok(Self {
                at: At::Host(authority),
                has_tls,
            }),
            false => Err(NotAService),
        }
    }
}

impl std::fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.at {
            At::Unix(path) => write!(f, "unix:{}", path.display()),
            At::Host(host) if self.has_tls => write!(f, "https://{host}"),
            At::Host(host) => write!(f, "{host}"),
        }
    }
}

impl ServiceAddress {
    /// Where a listener is reached from this machine: one that listens everywhere listens on loopback, too.
    pub(super) fn of_listener(listener: &ListenAddress, has_tls: bool) -> Option<Self> {
        let at = match listener {
            ListenAddress::Unix(path) => At::Unix(path.clone()),
            ListenAddress::Tcp(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                    ip => ip,
                };
                At::Host(
                    SocketAddr::new(ip, address.port())
                        .to_string()
                        .parse()
                        .ok()?,
                )
            }
        };
        Some(Self { at, has_tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_a_port_or_a_socket() {
        for (text, shown) in [
            ("127.0.0.1:50051", "127.0.0.1:50051"),
            ("http://gateway.example:50051/", "gateway.example:50051"),
            ("https://[::1]:50051", "https://[::1]:50051"),
            ("unix:/run/modelway", "unix:/run/modelway"),
            ("unix:///run/modelway", "unix:/run/modelway"),
        ] {
            let address: ServiceAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
        }
        for text in [
            "",
            "localhost",
            ":50051",
            "ftp://a:1",
            "unix:run",
            "me:secret@host:1",
            "a b:1",
            "host:99999",
            "host:1/path",
        ] {
            assert!(text.parse::<ServiceAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:1", "https://127.0.0.1:1"),
            ("[::]:1", "https://[::1]:1"),
            ("10.0.0.7:1", "https://10.0.0.7:1"),
        ] {
            let listener = listens.parse().unwrap();
            let address = ServiceAddress::of_listener(&listener, true).unwrap();
            assert_eq!(address.to_string(), reached);
        }
    }
}
