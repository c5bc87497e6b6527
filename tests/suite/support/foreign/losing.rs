//! A network that loses packets: the packets after a lost one wait until it has been sent again.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// As many bytes as TCP puts into a packet on an ordinary network.
const PACKET_BYTES: usize = 1400;

/// A sender takes a packet for lost once this many later ones have arrived (RFC 5681, section 3.2).
const FOLLOWERS: u32 = 3;

/// How a line loses packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Losses {
    /// The share of packets that are lost.
    pub(crate) share: f64,
    /// How long it takes after the third later packet until the lost one has come again.
    pub(crate) round_trip: Duration,
    /// How long it takes after the lost packet itself at most: the retransmission timeout.
    pub(crate) timeout: Duration,
    /// Equal seeds lose the same packets of a connection.
    pub(crate) seed: u64,
}

/// Stands between a client and a server, and loses packets on their way to the client. Ends when it is dropped.
pub(crate) struct Losing {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Losing {
    pub(crate) async fn before(server: SocketAddr, losses: Losses) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (client, _) = listener.accept().await.unwrap();
                let line = Line::new(losses, number);
                // Either side may close the connection for its own reasons.
                connections.spawn(async move {
                    relay(client, server, line).await.unwrap_or_default();
                });
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }
}

async fn relay(client: TcpStream, server: SocketAddr, line: Line) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    for side in [&client, &server] {
        side.set_nodelay(true)?;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let down = async {
        let mut line = line;
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let due = line.due();
            let arrives = sleep_until(due.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                () = arrives, if due.is_some() => {
                    to_client.write_all(&line.arrived(Instant::now())).await?;
                }
                read = from_server.read(&mut bytes) => match read? {
                    0 => break,
                    read => line.send(&bytes[..read], Instant::now()),
                },
            }
        }
        while let Some(due) = line.due() {
            sleep_until(due).await;
            to_client.write_all(&line.arrived(Instant::now())).await?;
        }
        to_client.shutdown().await
    };
    tokio::try_join!(up, down).map(|_| ())
}

/// The packets of one connection that have been sent and not been read.
pub(crate) struct Line {
    losses: Losses,
    draw: fastrand::Rng,
    packets: VecDeque<Packet>,
}

struct Packet {
    bytes: Vec<u8>,
    arrives: Instant,
    /// How many have been sent after it, if it is lost and its sender does not know that yet.
    followers: Option<u32>,
}

impl Line {
    pub(crate) fn new(losses: Losses, connection: u64) -> Self {
        Self {
            losses,
            draw: fastrand::Rng::with_seed(losses.seed ^ (connection << 32)),
            packets: VecDeque::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8], now: Instant) {
        for bytes in bytes.chunks(PACKET_BYTES) {
            for packet in &mut self.packets {
                let Some(followers) = packet.followers.as_mut() else {
                    continue;
                };
                *followers += 1;
                if *followers == FOLLOWERS {
                    packet.followers = None;
                    packet.arrives = packet.arrives.min(now + self.losses.round_trip);
                }
            }
            let is_lost = self.draw.f64() < self.losses.share;
            let delay = if is_lost {
                self.losses.timeout
            } else {
                Duration::ZERO
            };
            self.packets.push_back(Packet {
                bytes: bytes.to_vec(),
                arrives: now + delay,
                followers: is_lost.then_some(0),
            });
        }
    }

    /// When the first packet arrives; none before it can be read.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.packets.front().map(|packet| packet.arrives)
    }

    /// Everything that can be read.
    pub(crate) fn arrived(&mut self, now: Instant) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.due().is_some_and(|due| due <= now) {
            bytes.extend(self.packets.pop_front().unwrap().bytes);
        }
        bytes
    }
}

#[test]
fn what_follows_a_lost_packet_waits_for_it() {
    let ms = Duration::from_millis;
    let losses = |share| Losses {
        share,
        round_trip: ms(40),
        timeout: ms(200),
        seed: 1,
    };
    let now = Instant::now();
    let mut line = Line::new(losses(1.0), 0);
    line.send(b"a", now);
    assert_eq!(line.due(), Some(now + ms(200)));

    line.losses = losses(0.0);
    for later in [b"b", b"c"] {
        line.send(later, now + ms(10));
    }
    assert_eq!(line.due(), Some(now + ms(200)), "too few to tell");
    line.send(b"d", now + ms(20));
    assert_eq!(line.due(), Some(now + ms(60)));
    assert_eq!(line.arrived(now + ms(59)), b"");
    assert_eq!(line.arrived(now + ms(60)), b"abcd");
    assert_eq!(line.due(), None);
}
