//! A TCP proxy that plays network faults, which are switched while it runs.
//!
//! Uses nothing of this crate and nothing that only tests have, so that benchmarks can use it too.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// Pieces that may be under way in one direction of a connection.
const UNDER_WAY: usize = 64;

/// What happens to the bytes of each connection in one direction. The default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// How much later everything arrives.
    pub(crate) latency: Duration,
    /// The most bytes per second.
    pub(crate) bandwidth: Option<NonZeroU64>,
    /// The most bytes per write.
    pub(crate) slice: Option<NonZeroUsize>,
    /// How many bytes of a connection pass, and how it ends then.
    pub(crate) limit: Option<(u64, Cut)>,
    /// How much later the end of the bytes arrives.
    pub(crate) slow_close: Duration,
    /// Nothing arrives, not even an end, until this is switched off again.
    pub(crate) silent: bool,
}

/// Which way bytes go. The client is who connects to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Towards {
    /// Requests.
    Server,
    /// Answers.
    Client,
}

/// How a connection ends on both sides, whatever is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// In good order (FIN).
    Close,
    /// As by a crash (RST).
    Reset,
}

/// A proxy on a port of its own in front of a server. Dropping it closes every connection.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// Bound to the address for as long as the proxy lives and never listening: nobody else can get
    /// the port while the proxy is down, and whoever connects then is refused.
    _reserved: TcpSocket,
    line: Arc<Line>,
    accepting: JoinSet<()>,
    connections: TaskTracker,
}

impl Proxy {
    /// Passes connections on to a server from the loopback interface, without any fault.
    ///
    /// # Errors
    /// There is no free port.
    pub(crate) fn start(server: SocketAddr) -> io::Result<Self> {
        let reserved = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let mut proxy = Self {
            address: reserved.local_addr()?,
            _reserved: reserved,
            line: Arc::new(Line {
                server,
                to_server: watch::Sender::default(),
                to_client: watch::Sender::default(),
                cut: watch::Sender::new(Cut::Close),
            }),
            accepting: JoinSet::new(),
            connections: TaskTracker::new(),
        };
        proxy.up()?;
        Ok(proxy)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what happens to bytes in one direction, on open connections as on new ones. Those that
    /// wait for something that is over go on at once.
    pub(crate) fn set(&self, towards: Towards, faults: Faults) {
        self.line.faults(towards).send_replace(faults);
    }

    /// Ends all faults in both directions.
    pub(crate) fn heal(&self) {
        self.set(Towards::Server, Faults::default());
        self.set(Towards::Client, Faults::default());
    }

    /// Ends every open connection, but accepts new ones.
    pub(crate) fn cut(&self, cut: Cut) {
        self.line.cut.send_replace(cut);
    }

    /// Ends every open connection and refuses new ones until [`Proxy::up`].
    pub(crate) async fn down(&mut self, cut: Cut) {
        self.accepting.shutdown().await;
        self.cut(cut);
        self.connections.close();
        self.connections.wait().await;
    }

    /// Accepts connections, if it does not yet.
    ///
    /// # Errors
    /// The system does not let it listen.
    pub(crate) fn up(&mut self) -> io::Result<()> {
        if !self.accepting.is_empty() {
            return Ok(());
        }
        let listener = bound(self.address)?.listen(1024)?;
        self.connections.reopen();
        let accepting = accept(listener, Arc::clone(&self.line), self.connections.clone());
        self.accepting.spawn(accepting);
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut(Cut::Close);
    }
}

/// A socket that shares its address with the one that reserves it.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, line: Arc<Line>, connections: TaskTracker) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some will be closed.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let cut = line.cut.subscribe();
        connections.spawn(carry(client, Arc::clone(&line), cut));
    }
}

/// What all connections share.
struct Line {
    server: SocketAddr,
    to_server: watch::Sender<Faults>,
    to_client: watch::Sender<Faults>,
    /// Each value ends the connections that there are.
    cut: watch::Sender<Cut>,
}

impl Line {
    fn faults(&self, towards: Towards) -> &watch::Sender<Faults> {
        match towards {
            Towards::Server => &self.to_server,
            Towards::Client => &self.to_client,
        }
    }
}

/// One connection from its beginning to its end.
async fn carry(mut client: TcpStream, line: Arc<Line>, mut cut: watch::Receiver<Cut>) {
    let Ok(mut server) = TcpStream::connect(line.server).await else {
        end(&client, Cut::Reset);
        return;
    };
    for stream in [&client, &server] {
        // If this fails, small writes are only late.
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let requests = pass(from_client, to_server, line.to_server.subscribe());
    let answers = pass(from_server, to_client, line.to_client.subscribe());
    let passed = async { tokio::try_join!(requests, answers) };
    let ending = tokio::select! {
        passed = passed => passed.err(),
        _ = cut.changed() => Some(*cut.borrow()),
    };
    if let Some(ending) = ending {
        end(&client, ending);
        end(&server, ending);
    }
}

/// Makes the connection end like this once it is dropped.
fn end(stream: &TcpStream, cut: Cut) {
    if cut == Cut::Reset {
        // Fails only on a socket that is broken already.
        let _ = stream.set_zero_linger();
    }
}

/// What one side sends to the other.
enum Piece {
    Bytes(Bytes),
    /// No more bytes come (FIN).
    End,
    /// The connection is broken (RST).
    Reset,
}

/// Passes everything on in one direction; an error says how the whole connection ends.
async fn pass(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    faults: watch::Receiver<Faults>,
) -> Result<(), Cut> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let passage = Passage {
        to,
        faults,
        passed: 0,
        busy: None,
    };
    let ((), written) = tokio::join!(read(from, sender), passage.write(receiver));
    written
}

/// Reads to the end, and notes when each piece came.
async fn read(mut from: ReadHalf<'_>, pieces: mpsc::Sender<(Instant, Piece)>) {
    loop {
        let mut buffer = BytesMut::with_capacity(PIECE);
        let piece = tokio::select! {
            read = from.read_buf(&mut buffer) => match read {
                Ok(0) => Piece::End,
                Ok(_) => Piece::Bytes(buffer.freeze()),
                Err(_) => Piece::Reset,
            },
            () = pieces.closed() => return,
        };
        let is_last = !matches!(piece, Piece::Bytes(_));
        let sent = pieces.send((Instant::now(), piece)).await;
        if is_last || sent.is_err() {
            return;
        }
    }
}

/// The far end of one direction.
struct Passage<'a> {
    to: WriteHalf<'a>,
    faults: watch::Receiver<Faults>,
    /// Bytes that have passed.
    passed: u64,
    /// The last write, and of how many bytes.
    busy: Option<(Instant, usize)>,
}

impl Passage<'_> {
    async fn write(mut self, mut pieces: mpsc::Receiver<(Instant, Piece)>) -> Result<(), Cut> {
        while let Some((came, piece)) = pieces.recv().await {
            match piece {
                Piece::Bytes(bytes) => self.write_bytes(came, bytes).await?,
                Piece::End => {
                    self.until(|faults| came + faults.latency + faults.slow_close)
                        .await;
                    return self.to.shutdown().await.map_err(|_| Cut::Reset);
                }
                Piece::Reset => {
                    self.until(|faults| came + faults.latency).await;
                    return Err(Cut::Reset);
                }
            }
        }
        Ok(())
    }

    async fn write_bytes(&mut self, came: Instant, mut bytes: Bytes) -> Result<(), Cut> {
        while !bytes.is_empty() {
            let busy = self.busy;
            let faults = self
                .until(|faults| (came + faults.latency).max(free(busy, faults)))
                .await;
            let slice = bytes.split_to(bytes.len().min(self.most(&faults)));
            self.to.write_all(&slice).await.map_err(|_| Cut::Reset)?;
            self.passed += slice.len() as u64;
            self.busy = Some((Instant::now(), slice.len()));
            if let Some((bytes, cut)) = faults.limit
                && self.passed >= bytes
            {
                return Err(cut);
            }
            if faults.slice.is_some() {
                // The reader gets a chance to see the slice alone.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// How many bytes may be written at once.
    fn most(&self, faults: &Faults) -> usize {
        let mut most = match (faults.slice, faults.bandwidth) {
            (Some(slice), _) => slice.get(),
            // A write for each fiftieth of a second.
            (None, Some(bandwidth)) => {
                usize::try_from(bandwidth.get() / 50 + 1).unwrap_or(usize::MAX)
            }
            (None, None) => usize::MAX,
        };
        if let Some((bytes, _)) = faults.limit {
            let left = bytes.saturating_sub(self.passed);
            most = most.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        most
    }

    /// Waits for a time that depends on the faults, which may change meanwhile.
    async fn until(&mut self, when: impl Fn(&Faults) -> Instant) -> Faults {
        loop {
            let faults = *self.faults.borrow_and_update();
            let time = when(&faults);
            // A timer rings up to a millisecond late, even one whose time has come.
            if !faults.silent && time <= Instant::now() {
                return faults;
            }
            tokio::select! {
                () = sleep_until(time), if !faults.silent => return faults,
                _ = self.faults.changed() => {}
            }
        }
    }
}

/// When the line has room again after the last write.
fn free(busy: Option<(Instant, usize)>, faults: &Faults) -> Instant {
    let (Some((written, size)), Some(bandwidth)) = (busy, faults.bandwidth) else {
        return Instant::now();
    };
    written + Duration::from_secs_f64(size as f64 / bandwidth.get() as f64)
}
