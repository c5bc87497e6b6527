//! Where can a listener listen, and what does it accept? A TCP address or a Unix socket.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use tracing::debug;

use crate::caller::{Peer, PeerProcess};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// The owner and the group may connect to a Unix socket.
const SOCKET_MODE: u32 = 0o660;

/// Connections that may wait to be accepted on a Unix socket, as many as on a TCP address.
const BACKLOG: u32 = 1024;

/// The longest path of a Unix socket, in bytes (`sockaddr_un` on Linux, without the final zero).
const MAX_PATH_BYTES: usize = 107;

/// The address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port. Port 0 means any free port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only programs on this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether the system chooses the port.
    pub fn is_any_port(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.port() == 0)
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// A text is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an IP address with a port, such as 127.0.0.1:50051 or [::1]:50051, and not unix:/PATH"
)]
pub struct NotAnAddress;

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        match text.strip_prefix(UNIX) {
            Some(path) if is_socket_path(path) => Ok(Self::Unix(PathBuf::from(path))),
            Some(_) => Err(NotAnAddress),
            None => text.parse().map(Self::Tcp).or(Err(NotAnAddress)),
        }
    }
}

/// Whether this is the absolute path of a file, as short as the system demands.
fn is_socket_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.ends_with('/')
        && !path.contains('\0')
        && path.len() <= MAX_PATH_BYTES
}

/// A socket that listens. A Unix socket's file is removed with it.
pub struct Listener {
    socket: ListenSocket,
    address: ListenAddress,
}

enum ListenSocket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// An accepted connection, not yet served.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What carries a TLS connection.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The two directions of a connection, whatever carries it.
pub(super) struct Halves {
    pub(super) read: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) write: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Listener {
    /// Listens on this address. A Unix socket whose process no longer answers is replaced.
    ///
    /// # Errors
    /// The address is in use, or the process may not listen there.
    pub async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = ListenAddress::Tcp(listener.local_addr()?);
                Ok(Self {
                    socket: ListenSocket::Tcp(listener),
                    address,
                })
            }
            ListenAddress::Unix(path) => {
                let (listener, file) = bind_unix(path).await?;
                Ok(Self {
                    socket: ListenSocket::Unix(listener, file),
                    address: address.clone(),
                })
            }
        }
    }

    /// Where it listens; the port is the one that the system chose.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The same listener, served by the current runtime from now on.
    pub(super) fn moved_here(self) -> io::Result<Self> {
        let socket = match self.socket {
            ListenSocket::Tcp(listener) => {
                ListenSocket::Tcp(TcpListener::from_std(listener.into_std()?)?)
            }
            ListenSocket::Unix(listener, file) => {
                ListenSocket::Unix(UnixListener::from_std(listener.into_std()?)?, file)
            }
        };
        Ok(Self {
            socket,
            address: self.address,
        })
    }

    /// The next connection, and who stands at its other end. Safe to cancel.
    pub(super) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.socket {
            ListenSocket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Peer::at(Some(peer))))
            }
            ListenSocket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let process = stream.peer_cred().ok().map(|process| PeerProcess {
                    uid: process.uid(),
                    pid: process.pid(),
                });
                let peer = Peer {
                    process,
                    ..Peer::default()
                };
                Ok((Socket::Unix(stream), peer))
            }
        }
    }
}

impl Socket {
    /// The same connection, served by the current runtime from now on.
    pub(super) fn moved_here(self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream
                .into_std()
                .and_then(TcpStream::from_std)
                .map(Self::Tcp),
            Self::Unix(stream) => stream
                .into_std()
                .and_then(UnixStream::from_std)
                .map(Self::Unix),
        }
    }

    /// Sends small events at once, without Nagle's delay.
    fn hurry(&self) {
        if let Self::Tcp(stream) = self
            && let Err(error) = stream.set_nodelay(true)
        {
            debug!(%error, "TCP_NODELAY cannot be set");
        }
    }

    /// Both directions in one, for TLS.
    pub(super) fn into_io(self) -> Box<dyn Io> {
        self.hurry();
        match self {
            Self::Tcp(stream) => Box::new(stream),
            Self::Unix(stream) => Box::new(stream),
        }
    }

    /// Its two directions.
    pub(super) fn into_halves(self) -> Halves {
        self.hurry();
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                Halves {
                    read: Box::new(read),
                    write: Box::new(write),
                }
            }
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                Halves {
                    read: Box::new(read),
                    write: Box::new(write),
                }
            }
        }
    }
}

/// The file of a Unix socket, removed when this is dropped, unless another process has put its own in its place.
struct SocketFile {
    path: PathBuf,
    /// Device and number of the file that was made.
    made: Option<(u64, u64)>,
}

impl SocketFile {
    fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            made: identity_of(path),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.made.is_some() && identity_of(&self.path) == self.made {
            // The folder may have become read-only; the next start finds that nobody answers.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

async fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Ok(file) = std::fs::symlink_metadata(path) {
        if !file.file_type().is_socket() {
            let what = "there is a file that is no socket: remove it, or choose another path";
            return Err(io::Error::new(ErrorKind::AlreadyExists, what));
        }
        if is_answered(path).await? {
            let what = "another process answers on this socket";
            return Err(io::Error::new(ErrorKind::AddrInUse, what));
        }
        std::fs::remove_file(path)?;
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::of(path);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    // Nobody can connect before this, so nobody can before the mode is set.
    let listener = socket.listen(BACKLOG)?;
    Ok((listener, file))
}

/// Whether a process accepts connections on this socket.
async fn is_answered(path: &Path) -> io::Result<bool> {
    match UnixStream::connect(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(false),
        // Its queue is full, so there is somebody.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("mw-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn unix(path: &Path) -> ListenAddress {
        format!("unix:{}", path.display()).parse().unwrap()
    }

    #[test]
    fn an_address_is_read_and_written_alike() {
        for text in ["127.0.0.1:50051", "[::1]:0", "unix:/run/modelway.sock"] {
            let address: ListenAddress = text.parse().unwrap();

            assert_eq!(address.to_string(), text);
        }
        let long = format!("unix:/{}", "a".repeat(MAX_PATH_BYTES));
        for text in [
            "",
            "localhost:1",
            "127.0.0.1",
            "unix:",
            "unix:a",
            "unix:/a/",
            &long,
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(NotAnAddress), "{text}");
        }
    }

    #[test]
    fn only_this_machine_reaches_a_loopback_address_or_a_unix_socket() {
        let table = [
            ("127.0.0.1:50051", true),
            ("127.9.9.9:1", true),
            ("[::1]:50051", true),
            ("[::ffff:127.0.0.1]:50051", true),
            ("unix:/run/modelway.sock", true),
            ("0.0.0.0:50051", false),
            ("[::]:50051", false),
            ("10.0.0.1:50051", false),
        ];
        for (text, is_local) in table {
            let address: ListenAddress = text.parse().unwrap();

            assert_eq!(address.is_local(), is_local, "{text}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_for_owner_and_group_and_goes_with_its_listener() {
        let path = folder("mode").join("socket");

        let listener = Listener::bind(&unix(&path)).await.unwrap();

        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_is_replaced_only_if_nobody_answers() {
        let path = folder("stale").join("socket");
        let first = Listener::bind(&unix(&path)).await.unwrap();

        let refused = Listener::bind(&unix(&path)).await.err().unwrap();

        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
        drop(first);
        // std leaves the file behind, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let again = Listener::bind(&unix(&path)).await.unwrap();
        UnixStream::connect(&path).await.unwrap();
        drop(again);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_stays() {
        let path = folder("file").join("precious");
        std::fs::write(&path, "text").unwrap();

        let refused = Listener::bind(&unix(&path)).await.err().unwrap();

        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
    }
}
