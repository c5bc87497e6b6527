//! A provider of handwritten HTTP/2 that lowers the limit on streams of an open connection.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::answer::events;
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, frame,
};

const ACK: u8 = 1;

/// `:status 200` and `content-type: text/event-stream` (RFC 7541, section 6).
const HEAD: &[u8] = b"\x88\x0f\x10\x11text/event-stream";

/// The provider. Ends when it is dropped.
pub(crate) struct Lowering {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The streams that a connection may have.
    limit: watch::Sender<u32>,
    /// Whether answers wait.
    held: watch::Sender<bool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

/// What was seen of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Requests that have come.
    pub(crate) requests: usize,
    /// The last limit that its client has confirmed.
    pub(crate) limit: u32,
    /// The most streams that were open when a request came after that.
    pub(crate) most_open: usize,
}

impl Lowering {
    pub(crate) async fn start(limit: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (limit, held) = (watch::Sender::new(limit), watch::Sender::new(false));
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let mut serving = JoinSet::new();
        let (limits, holds, notes) = (limit.subscribe(), held.subscribe(), Arc::clone(&seen));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                notes.lock().unwrap().push(Seen::default());
                let connection = Connection {
                    number,
                    open: BTreeSet::new(),
                    unanswered: Vec::new(),
                    unconfirmed: VecDeque::new(),
                    seen: Arc::clone(&notes),
                };
                let (limits, holds) = (limits.clone(), holds.clone());
                // The client may close the connection for its own reasons.
                connections.spawn(async {
                    connection
                        .serve(stream, limits, holds)
                        .await
                        .unwrap_or_default()
                });
            }
        });
        Self {
            address,
            limit,
            held,
            seen,
            _serving: serving,
        }
    }

    /// From now on each connection may have this many streams; open ones go on.
    pub(crate) fn allow(&self, streams: u32) {
        self.limit.send_replace(streams);
    }

    /// Keeps all answers back, or lets them go.
    pub(crate) fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    /// What was seen of each connection.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

struct Connection {
    number: usize,
    open: BTreeSet<u32>,
    /// Requests that have come whole.
    unanswered: Vec<u32>,
    /// Limits that were sent and not confirmed yet.
    unconfirmed: VecDeque<u32>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Connection {
    async fn serve(
        mut self,
        stream: TcpStream,
        mut limits: watch::Receiver<u32>,
        mut holds: watch::Receiver<bool>,
    ) -> std::io::Result<()> {
        let (mut read, mut write) = stream.into_split();
        read.read_exact(&mut vec![0; PREFACE.len()]).await?;
        // Whole frames only: a read must not be given up in the middle of one.
        let (frames, mut come) = tokio::sync::mpsc::channel(64);
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            loop {
                let mut prefix = [0; 9];
                if read.read_exact(&mut prefix).await.is_err() {
                    return;
                }
                let [a, b, c, kind, flags, stream @ ..] = prefix;
                let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
                if read.read_exact(&mut payload).await.is_err() {
                    return;
                }
                let frame = (kind, flags, u32::from_be_bytes(stream), payload);
                if frames.send(frame).await.is_err() {
                    return;
                }
            }
        });
        limits.mark_changed();
        loop {
            tokio::select! {
                biased;
                changed = limits.changed() => {
                    if changed.is_err() { return Ok(()); }
                    let limit = *limits.borrow_and_update();
                    let mut payload = vec![0, 3]; // SETTINGS_MAX_CONCURRENT_STREAMS
                    payload.extend(limit.to_be_bytes());
                    self.unconfirmed.push_back(limit);
                    write.write_all(&frame(SETTINGS, 0, 0, &payload)).await?;
                }
                changed = holds.changed() => {
                    if changed.is_err() { return Ok(()); }
                }
                Some((kind, flags, stream, payload)) = come.recv() => {
                    match kind {
                        SETTINGS if flags & ACK != 0 => {
                            let limit = self.unconfirmed.pop_front().unwrap();
                            self.note(|seen| (seen.limit, seen.most_open) = (limit, 0));
                        }
                        SETTINGS => write.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
                        PING if flags & ACK == 0 => write.write_all(&frame(PING, ACK, 0, &payload)).await?,
                        HEADERS => {
                            self.open.insert(stream);
                            let open = self.open.len();
                            self.note(|seen| {
                                seen.requests += 1;
                                seen.most_open = seen.most_open.max(open);
                            });
                        }
                        DATA => {
                            let taken = u32::try_from(payload.len()).unwrap();
                            if taken > 0 {
                                write.write_all(&frame(WINDOW_UPDATE, 0, 0, &taken.to_be_bytes())).await?;
                            }
                        }
                        _ => {}
                    }
                    if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                        self.unanswered.push(stream);
                    }
                }
                else => return Ok(()),
            }
            if !*holds.borrow_and_update() {
                for stream in std::mem::take(&mut self.unanswered) {
                    let mut answer = frame(HEADERS, END_HEADERS, stream, HEAD);
                    answer.extend(frame(DATA, END_STREAM, stream, events().as_bytes()));
                    self.open.remove(&stream);
                    write.write_all(&answer).await?;
                }
            }
        }
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap()[self.number]);
    }
}
