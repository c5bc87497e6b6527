//! An attacker: connections from their own address, on their own thread.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::frames::{PING, PREFACE, SETTINGS, frame};

/// The address of attackers, unless they have many.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const ACK: u8 = 1;

/// A connection of an attacker. Every method ends with an error once the service has closed it.
pub(crate) struct Line {
    stream: TcpStream,
    /// The beginning of a frame that has not come to its end.
    unread: Vec<u8>,
}

impl Line {
    /// Connects from this address.
    pub(crate) async fn connect(source: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        let unread = Vec::new();
        Ok(Self { stream, unread })
    }

    /// Says what every connection begins with.
    pub(crate) async fn begin(&mut self, settings: &[u8]) -> io::Result<()> {
        let mut beginning = PREFACE.to_vec();
        beginning.extend(frame(SETTINGS, 0, 0, settings));
        self.send(&beginning).await
    }

    /// Sends, and reads nothing.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends, and takes what has come.
    pub(crate) async fn exchange(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(bytes).await?;
        self.take().await
    }

    /// Reads until the connection ends.
    pub(crate) async fn stay(&mut self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            self.take().await?;
        }
    }

    /// Reads what has arrived, and answers pings.
    async fn take(&mut self) -> io::Result<()> {
        let mut scratch = [0; 16 << 10];
        loop {
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.unread.extend(&scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut answer = Vec::new();
        let mut taken = 0;
        while let Some(&[a, b, c, kind, flags, ..]) = self.unread.get(taken..taken + 9) {
            let end = taken + 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = self.unread.get(taken + 9..end) else {
                break;
            };
            if kind == PING && flags & ACK == 0 {
                answer.extend(frame(PING, ACK, 0, payload));
            }
            taken = end;
        }
        self.unread.drain(..taken);
        self.send(&answer).await
    }
}

/// What an attack does with a connection until it ends.
pub(crate) type Assault = fn(Line) -> BoxFuture<'static, io::Result<()>>;

/// What became of the connections of an attack.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Damage {
    pub(crate) opened: usize,
    /// By the service, before the end of the attack.
    pub(crate) closed: usize,
    /// The longest that a connection was open.
    pub(crate) longest: Duration,
}

/// Keeps so many connections from each of these addresses at work until the time is up: one that the service closes
/// is followed by another.
pub(crate) async fn attack(
    address: SocketAddr,
    sources: Vec<Ipv4Addr>,
    connections: usize,
    assault: Assault,
    span: Duration,
) -> Damage {
    let (sender, damage) = oneshot::channel();
    // Attackers have a thread of their own: they must not hold up those that are measured here.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let damage = runtime.block_on(async {
            let until = Instant::now() + span;
            let mut tasks = JoinSet::new();
            for source in sources {
                for _ in 0..connections {
                    tasks.spawn(persist(source, address, assault, until));
                }
            }
            let mut all = Damage::default();
            for damage in tasks.join_all().await {
                all.opened += damage.opened;
                all.closed += damage.closed;
                all.longest = all.longest.max(damage.longest);
            }
            all
        });
        // Nobody may wait for it any more.
        let _ = sender.send(damage);
    });
    let damage = damage.await.unwrap();
    thread.join().unwrap();
    damage
}

async fn persist(
    source: Ipv4Addr,
    address: SocketAddr,
    assault: Assault,
    until: Instant,
) -> Damage {
    let mut damage = Damage::default();
    while Instant::now() < until {
        // Connections without a pause are another attack.
        sleep(Duration::from_millis(10)).await;
        let Ok(Ok(line)) = timeout_at(until, Line::connect(source, address)).await else {
            continue;
        };
        damage.opened += 1;
        let began = Instant::now();
        let ended = timeout_at(until, assault(line)).await;
        damage.closed += usize::from(ended.is_ok());
        damage.longest = damage.longest.max(began.elapsed());
    }
    damage
}
