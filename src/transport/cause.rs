//! Why a connection could not be made. Each cause has words of its own, for callers and for the log.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError};

use crate::error::{UpstreamError, UpstreamErrorKind};

/// The longest chain of causes that is logged, in characters.
const MAX_CHAIN: usize = 600;

/// The cause of a failed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectCause {
    /// The name has no address.
    Name,
    /// There is no listener at the address.
    Refused,
    /// There is no route to the address.
    NoWay,
    /// TCP took too long.
    TcpTimeout,
    /// TLS took too long.
    TlsTimeout,
    /// TCP failed otherwise.
    Tcp,
    /// The certificate is from an authority that is not trusted.
    UnknownIssuer,
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for another host.
    OtherName,
    /// The certificate is not acceptable for another reason.
    Certificate,
    /// The host requires a client certificate.
    ClientCertificateWanted,
    /// The host does not accept the client certificate.
    ClientCertificateRefused,
    /// TLS failed otherwise.
    Tls,
    /// This process or the whole system has as many files open as it may.
    Files,
    /// The system has no more ports, buffers or memory for a socket.
    Shortage,
}

/// Where a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectFailure {
    /// Between us and the host, or beyond a proxy.
    Host(ConnectCause),
    /// Between us and the proxy.
    Proxy(ConnectCause),
    /// The proxy did not answer in time.
    ProxyTimeout,
    /// The proxy did not accept our credentials.
    ProxyCredentials,
    /// The proxy refused to connect us; the HTTP status if it speaks HTTP.
    ProxyRefused(Option<u16>),
    /// The proxy speaks another protocol, or closed the connection.
    ProxyLost,
}

/// A connection could not be made. Cheap to clone, because many requests may have waited for it.
#[derive(Clone, Debug)]
pub(super) struct ConnectError {
    failure: ConnectFailure,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl ConnectError {
    pub(super) fn new(
        failure: ConnectFailure,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            failure,
            source: Some(Arc::from(source.into())),
        }
    }

    /// A failure without a source.
    pub(super) fn plain(failure: ConnectFailure) -> Self {
        Self {
            failure,
            source: None,
        }
    }

    /// Where it failed and why.
    pub(super) fn failure(&self) -> ConnectFailure {
        self.failure
    }

    /// Whether it failed because no more files can be opened, so that closing one would have helped.
    pub(super) fn lacks_files(&self) -> bool {
        matches!(
            self.failure,
            ConnectFailure::Host(ConnectCause::Files) | ConnectFailure::Proxy(ConnectCause::Files)
        )
    }

    /// Whether it failed before the proxy was asked for a tunnel to the host.
    pub(super) fn is_before_tunnel(&self) -> bool {
        match self.failure {
            ConnectFailure::Proxy(_) | ConnectFailure::ProxyCredentials => true,
            ConnectFailure::Host(_)
            | ConnectFailure::ProxyTimeout
            | ConnectFailure::ProxyRefused(_)
            | ConnectFailure::ProxyLost => false,
        }
    }

    /// The failure of the requests that waited for the connection.
    pub(super) fn upstream(&self) -> UpstreamError {
        let kind = match self.failure {
            ConnectFailure::Host(ConnectCause::Files | ConnectCause::Shortage)
            | ConnectFailure::Proxy(ConnectCause::Files | ConnectCause::Shortage) => {
                UpstreamErrorKind::Shortage
            }
            _ => UpstreamErrorKind::Unreachable,
        };
        UpstreamError::new(kind).because(self.failure.words())
    }

    /// The chain of its sources, in one line.
    pub(super) fn chain(&self) -> String {
        let mut chain = String::new();
        let mut next: Option<&(dyn Error + 'static)> = match &self.source {
            Some(source) => Some(&**source),
            None => None,
        };
        while let Some(error) = next {
            let words = error.to_string();
            // Wrappers often repeat the text of their source.
            if !chain.ends_with(&words) && chain.len() < MAX_CHAIN {
                let separator = if chain.is_empty() { "" } else { ": " };
                // Writing to a String cannot fail.
                let _ = write!(chain, "{separator}{}", words.escape_debug());
            }
            next = beneath(error);
        }
        chain.chars().take(MAX_CHAIN).collect()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.failure.words())
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

impl ConnectFailure {
    /// The words for callers.
    pub(super) fn words(self) -> Cow<'static, str> {
        match self {
            Self::Host(cause) => cause.words().into(),
            Self::Proxy(cause) => format!("its proxy cannot be reached: {}", cause.words()).into(),
            Self::ProxyTimeout => "its proxy does not connect within `connect_timeout`".into(),
            Self::ProxyCredentials => "its proxy does not accept our credentials".into(),
            Self::ProxyRefused(Some(status)) => {
                format!("its proxy refuses the connection (HTTP {status})").into()
            }
            Self::ProxyRefused(None) => "its proxy refuses the connection".into(),
            Self::ProxyLost => "its proxy speaks another protocol or hangs up".into(),
        }
    }
}

impl ConnectCause {
    fn words(self) -> &'static str {
        match self {
            Self::Name => "the host's name is not found in DNS",
            Self::Refused => "the host refuses the connection",
            Self::NoWay => "there is no route to the host",
            Self::TcpTimeout => "no connection within `connect_timeout`",
            Self::TlsTimeout => "no TLS within `connect_timeout`",
            Self::Tcp => "the connection fails",
            Self::UnknownIssuer => "the certificate is from an authority that is not trusted here",
            Self::Expired => "the certificate has expired",
            Self::NotYetValid => "the certificate is not valid yet",
            Self::OtherName => "the certificate is for another host",
            Self::Certificate => "the certificate is not acceptable",
            Self::ClientCertificateWanted => "the host wants a client certificate",
            Self::ClientCertificateRefused => "the host does not accept our client certificate",
            Self::Tls => "TLS fails",
            Self::Files | Self::Shortage => "no further connection can be opened here",
        }
    }

    /// What a system call's failure means.
    pub(super) fn of_io(error: &io::Error) -> Self {
        if let Some(shortage) = shortage(error) {
            return shortage;
        }
        if let Some(cause) = of_tls(error) {
            return cause;
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::TcpTimeout,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Self::NoWay,
            _ => Self::Tcp,
        }
    }
}

/// The resource that our own system lacks, if that is why a system call failed.
fn shortage(error: &io::Error) -> Option<ConnectCause> {
    use rustix::io::Errno;

    match Errno::from_raw_os_error(error.raw_os_error()?) {
        Errno::MFILE | Errno::NFILE => Some(ConnectCause::Files),
        Errno::ADDRNOTAVAIL | Errno::NOBUFS | Errno::NOMEM => Some(ConnectCause::Shortage),
        _ => None,
    }
}

/// The cause of a TLS failure, if the chain of errors contains one.
pub(super) fn of_tls(error: &(dyn Error + 'static)) -> Option<ConnectCause> {
    use rustls::Error::{AlertReceived, InvalidCertificate};

    let error = find::<rustls::Error>(error)?;
    Some(match error {
        InvalidCertificate(flaw) => match flaw {
            // An authority with the same name as a trusted one, but with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                ConnectCause::UnknownIssuer
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ConnectCause::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ConnectCause::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ConnectCause::OtherName
            }
            _ => ConnectCause::Certificate,
        },
        AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => ConnectCause::ClientCertificateWanted,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => ConnectCause::ClientCertificateRefused,
            _ => ConnectCause::Tls,
        },
        _ => ConnectCause::Tls,
    })
}

/// The first error of this type in a chain.
pub(super) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = beneath(error);
    }
    None
}

/// The source of an error. [`io::Error`] skips the error that it wraps, so that is returned first.
fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
