//! Proxies (CONNECT and SOCKS 5) that connect every client to one server, refuse it, or say nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How a proxy behaves.
#[derive(Clone, Default)]
pub(crate) struct Manners {
    /// User and password that it wants.
    pub(crate) credentials: Option<(&'static str, &'static str)>,
    /// The HTTP status, or the reply of SOCKS, with which it refuses everything.
    pub(crate) refuses: Option<u16>,
    /// Never answers a request.
    pub(crate) is_silent: bool,
    /// How it speaks TLS itself.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// A proxy that connects to one server, whatever host it is asked for. Ends when it is dropped.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

#[derive(Clone, Copy)]
enum Speech {
    Connect,
    Socks,
}

impl Proxy {
    /// One that is asked by CONNECT.
    pub(crate) async fn http(server: SocketAddr, manners: Manners) -> Self {
        Self::start(Speech::Connect, server, manners).await
    }

    /// One that is asked by SOCKS 5.
    pub(crate) async fn socks(server: SocketAddr, manners: Manners) -> Self {
        Self::start(Speech::Socks, server, manners).await
    }

    /// Every host and port that it was asked for, as written, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn start(speech: Speech, server: SocketAddr, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&asked);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let (manners, noted) = (manners.clone(), Arc::clone(&noted));
                connections.spawn(async move {
                    match &manners.tls {
                        Some(tls) => {
                            let tls = TlsAcceptor::from(Arc::clone(tls));
                            if let Ok(connection) = tls.accept(connection).await {
                                lead(speech, connection, server, &manners, &noted).await;
                            }
                        }
                        None => lead(speech, connection, server, &manners, &noted).await,
                    };
                });
            }
        });
        Self {
            address,
            asked,
            _serving: serving,
        }
    }
}

/// Connects a client to the server, if its request is right.
async fn lead<S: AsyncRead + AsyncWrite + Unpin>(
    speech: Speech,
    mut client: S,
    server: SocketAddr,
    manners: &Manners,
    asked: &Mutex<Vec<String>>,
) {
    if manners.is_silent {
        let _ = client.read_to_end(&mut Vec::new()).await;
        return;
    }
    let led = match speech {
        Speech::Connect => connect(&mut client, manners).await,
        Speech::Socks => socks(&mut client, manners).await,
    };
    let Some(host) = led else { return };
    asked.lock().unwrap().push(host);
    let mut server = TcpStream::connect(server).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Answers CONNECT. Returns the host if the client is to be connected.
async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut S,
    manners: &Manners,
) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let wanted = manners.credentials.map(|(user, password)| {
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        format!("proxy-authorization: basic {}", pair.to_lowercase())
    });
    let may = wanted.is_none_or(|wanted| head.to_lowercase().contains(&wanted));
    let status = match manners.refuses {
        _ if !may => 407,
        Some(status) => status,
        None => 200,
    };
    let answer = format!("HTTP/1.1 {status} Whatever\r\nvia: 1.1 a-proxy\r\n\r\n");
    client.write_all(answer.as_bytes()).await.ok()?;
    if status != 200 {
        let _ = client.shutdown().await;
        return None;
    }
    let line = head.lines().next().unwrap();
    let host = line.strip_prefix("CONNECT ").unwrap().split(' ').next();
    Some(host.unwrap().to_owned())
}

/// Answers SOCKS 5 (RFC 1928 and 1929). Returns the host if the client is to be connected.
async fn socks<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut S,
    manners: &Manners,
) -> Option<String> {
    if client_u8(client).await? != 5 {
        return None; // another protocol
    }
    let length = client_u8(client).await?;
    let methods = read(client, length.into()).await?;
    let wanted = if manners.credentials.is_some() { 2 } else { 0 };
    let method = if methods.contains(&wanted) {
        wanted
    } else {
        0xff
    };
    client.write_all(&[5, method]).await.ok()?;
    if method == 0xff {
        return None;
    }
    if let Some((user, password)) = manners.credentials {
        client_u8(client).await?;
        let length = client_u8(client).await?;
        let told_user = read(client, length.into()).await?;
        let length = client_u8(client).await?;
        let told_password = read(client, length.into()).await?;
        let may = told_user == user.as_bytes() && told_password == password.as_bytes();
        client.write_all(&[1, u8::from(!may)]).await.ok()?;
        if !may {
            return None;
        }
    }
    let [_version, _command, _, kind] = read(client, 4).await?[..] else {
        return None;
    };
    let host = match kind {
        1 => {
            let address: [u8; 4] = read(client, 4).await?.try_into().ok()?;
            std::net::Ipv4Addr::from(address).to_string()
        }
        3 => {
            let length = client_u8(client).await?;
            String::from_utf8(read(client, length.into()).await?).ok()?
        }
        _ => {
            let address: [u8; 16] = read(client, 16).await?.try_into().ok()?;
            format!("[{}]", std::net::Ipv6Addr::from(address))
        }
    };
    let port = client.read_u16().await.ok()?;
    let reply = manners.refuses.map_or(0, |reply| reply.to_be_bytes()[1]);
    let answer = [5, reply, 0, 1, 127, 0, 0, 1, 0, 0];
    client.write_all(&answer).await.ok()?;
    (reply == 0).then(|| format!("{host}:{port}"))
}

async fn client_u8<S: AsyncRead + Unpin>(client: &mut S) -> Option<u8> {
    client.read_u8().await.ok()
}

async fn read<S: AsyncRead + Unpin>(client: &mut S, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}
