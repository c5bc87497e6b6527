//! How does a command reach a running service? One connection, made at once, so that its failure can be named.

use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Args;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use secrecy::SecretString;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::body::Body;
use tower::Service;

use crate::config::listens::{Listens, Where};
use crate::config::reading;
use crate::provider::link::{ClientKeyPair, Link};
use crate::transport::dial::dial;
use crate::transport::tls;

use super::address::{At, ServiceAddress};
use super::console::{BROKEN, SILENT, print_error};
use super::environment::environment;

/// How long the connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The variable that names the service for callers; our examples of clients read it as well.
const ADDRESS: &str = "MODELWAY_ADDRESS";

/// Where the service is and how its certificate is checked.
#[derive(Clone, Debug, Args)]
pub(super) struct ServiceArguments {
    /// The service: HOST:PORT, https://HOST:PORT or unix:/PATH. Default: what the environment or the configuration says.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<ServiceAddress>,
    /// The configuration to read the address from. Default: MODELWAY_CONFIG.
    #[arg(short, long, value_name = "FILE", conflicts_with = "address")]
    config: Option<PathBuf>,
    /// Speak TLS, and trust the authorities in this file (PEM) besides the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name in the service's certificate, if it is not the host of the address.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Our certificate (PEM), for a service that asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of our certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// Which listener of the service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// The one for callers.
    Calls,
    /// The one for operators, or else the one for callers.
    Operations,
    /// The one for probes, or else one of the others.
    Health,
}

/// Why the service cannot be called.
#[derive(Debug)]
pub(super) enum NoService {
    /// The command line, a file or the environment is at fault.
    Usage(String),
    /// Nothing answers.
    Unreachable(String),
}

impl NoService {
    /// Says why on standard error; the exit code that goes with it.
    pub(super) fn report(self) -> ExitCode {
        let (why, code) = match self {
            Self::Usage(why) => (why, BROKEN),
            Self::Unreachable(why) => (why, SILENT),
        };
        print_error(why);
        ExitCode::from(code)
    }
}

impl ServiceArguments {
    /// The service at this address. The authorities in the file `ca` are trusted besides the system's.
    pub(super) fn at(address: ServiceAddress, ca: Option<PathBuf>) -> Self {
        Self {
            address: Some(address),
            config: None,
            ca,
            server_name: None,
            cert: None,
            key: None,
        }
    }

    /// The same, with this name in the service's certificate if it is not the host of the address.
    pub(super) fn named(self, server_name: Option<String>) -> Self {
        Self {
            server_name,
            ..self
        }
    }

    /// The same, with our certificate and its key.
    pub(super) fn with_certificate(self, cert: Option<PathBuf>, key: Option<PathBuf>) -> Self {
        Self { cert, key, ..self }
    }

    /// Where the service is.
    ///
    /// # Errors
    /// What the environment says cannot be understood.
    pub(super) fn address(&self, purpose: For) -> Result<ServiceAddress, NoService> {
        let mut address = match &self.address {
            Some(address) => address.clone(),
            None => self.surrounding(purpose)?,
        };
        address.has_tls |= self.ca.is_some() && matches!(address.at, At::Host(_));
        Ok(address)
    }

    /// The address that the environment or the configuration says.
    fn surrounding(&self, purpose: For) -> Result<ServiceAddress, NoService> {
        if purpose == For::Calls
            && self.config.is_none()
            && let Ok(text) = std::env::var(ADDRESS)
            && !text.is_empty()
        {
            return text
                .parse()
                .map_err(|error| NoService::Usage(format!("{ADDRESS} is no address: {error}")));
        }
        let mut overrides = environment();
        overrides.config = self.config.clone().or(overrides.config);
        let listens = Listens::of(&overrides).map_err(NoService::Usage)?;
        let listener = match purpose {
            For::Calls => Some(&listens.server),
            For::Operations => listens.admin.as_ref().or(Some(&listens.server)),
            For::Health => (listens.probes.as_ref())
                .or(listens.admin.as_ref())
                .or(Some(&listens.server)),
        };
        let address = listener
            .and_then(|Where { address, has_tls }| ServiceAddress::of_listener(address, *has_tls));
        address.ok_or_else(|| NoService::Usage("name the service with --address".to_owned()))
    }

    /// Connects to the service.
    ///
    /// # Errors
    /// [`NoService`].
    pub(super) async fn connect(&self, address: &ServiceAddress) -> Result<Connection, NoService> {
        let host = match &address.at {
            At::Unix(path) => {
                let connecting = tokio::time::timeout(CONNECT_LIMIT, UnixStream::connect(path));
                let stream = connecting
                    .await
                    .unwrap_or_else(|late| Err(late.into()))
                    .map_err(|error| match error.kind() {
                        ErrorKind::NotFound => unreachable(address, "there is no such socket"),
                        kind => unreachable(address, kind),
                    })?;
                return over(
                    TokioIo::new(stream),
                    address,
                    Uri::from_static("http://localhost"),
                )
                .await;
            }
            At::Host(host) => host,
        };
        let link = self.link().map_err(NoService::Usage)?;
        let name = match &self.server_name {
            Some(name) => match host.port_u16() {
                Some(port) => format!("{name}:{port}"),
                None => name.clone(),
            },
            None => host.to_string(),
        };
        let scheme = if address.has_tls { "https" } else { "http" };
        let url: Uri = format!("{scheme}://{name}")
            .parse()
            .map_err(|error| NoService::Usage(format!("--server-name: {error}")))?;
        let at = host.host().trim_start_matches('[').trim_end_matches(']');
        let stream = dial(&link, &url, at, CONNECT_LIMIT).await;
        let stream = stream.map_err(|error| unreachable(address, error))?;
        over(stream, address, url).await
    }

    fn link(&self) -> Result<Link, String> {
        let mut link = Link::default();
        if let Some(path) = &self.ca {
            link.authorities = tls::authorities(&read(path)?)
                .map_err(|error| format!("`{}` cannot be used: {error}", path.display()))?;
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            let chain = tls::certificates(&read(cert)?)
                .map_err(|error| format!("`{}` cannot be used: {error}", cert.display()))?;
            let key_text = SecretString::from(read(key)?);
            let identity = ClientKeyPair {
                chain,
                key: key_text,
            };
            tls::check_identity(&identity)
                .map_err(|error| format!("`{}` cannot be used: {error}", key.display()))?;
            link.identity = Some(identity);
        }
        Ok(link)
    }
}

fn read(path: &Path) -> Result<String, String> {
    reading::named(path).map_err(|error| {
        format!(
            "`{}` cannot be read: {}",
            path.display(),
            reading::why(&error)
        )
    })
}

fn unreachable(address: &ServiceAddress, why: impl std::fmt::Display) -> NoService {
    NoService::Unreachable(format!("{address} does not answer: {why}"))
}

/// Speaks HTTP/2 over a stream.
async fn over(
    stream: impl Read + Write + Send + Unpin + 'static,
    address: &ServiceAddress,
    origin: Uri,
) -> Result<Connection, NoService> {
    let (sender, connection) = handshake(TokioExecutor::new(), stream)
        .await
        .map_err(|error| unreachable(address, error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async {
        // Its end is seen by the request that it carries.
        let _ = connection.await;
    });
    Ok(Connection {
        sender,
        origin,
        _driver: driver,
    })
}

/// A connection to the service. It is closed when this is dropped.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    origin: Uri,
    _driver: JoinSet<()>,
}

impl Connection {
    /// The scheme and the host of its requests.
    pub(super) fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send + 'static>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
