//! A provider of handwritten HTTP/1.1: its answers end by their own framing or with the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::answer::{Manner, events, word};

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By its own framing; the connection goes on.
    Chunked,
    /// By that of the connection.
    Close,
}

/// The provider. Ends when it is dropped.
pub(crate) struct Http1 {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    frozen: watch::Sender<usize>,
    _serving: JoinSet<()>,
}

#[derive(Clone)]
struct Serving {
    manner: Manner,
    end: End,
    /// How long it waits for the next request, and whether it says so.
    keeps: Option<Duration>,
    requests: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    frozen: watch::Receiver<usize>,
    number: usize,
}

impl Http1 {
    pub(crate) async fn start(manner: Manner, end: End, keeps: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (frozen, sees) = watch::channel(0);
        let mut serving = JoinSet::new();
        let answered = Arc::<AtomicUsize>::default();
        let (made, asked) = (Arc::clone(&connections), Arc::clone(&requests));
        let given = Arc::clone(&answered);
        serving.spawn(async move {
            let mut tasks = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = Serving {
                    manner,
                    end,
                    keeps,
                    requests: Arc::clone(&asked),
                    answered: Arc::clone(&given),
                    frozen: sees.clone(),
                    number: made.fetch_add(1, Ordering::SeqCst) + 1,
                };
                // The client may close the connection for its own reasons.
                tasks.spawn(async { serving.serve(stream).await.unwrap_or_default() });
            }
        });
        Self {
            address,
            connections,
            requests,
            answered,
            frozen,
            _serving: serving,
        }
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How many answers have been sent to their end.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// The present connections stop answering. Later ones are not affected.
    pub(crate) fn freeze(&self) {
        self.frozen.send_replace(self.connections());
    }
}

impl Serving {
    async fn serve(mut self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufStream::new(stream);
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                let read = stream.read_line(&mut line);
                let read = match self.keeps {
                    Some(keeps) => timeout(keeps, read).await.unwrap_or(Ok(0))?,
                    None => read.await?,
                };
                if read == 0 {
                    return Ok(());
                }
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            stream.read_exact(&mut vec![0; length]).await?;
            self.requests.fetch_add(1, Ordering::SeqCst);
            let number = self.number;
            if *self.frozen.borrow() >= number {
                self.frozen.wait_for(|last| *last < number).await.unwrap();
            }
            sleep(self.manner.first).await;
            self.answer(&mut stream).await?;
            self.answered.fetch_add(1, Ordering::SeqCst);
            if self.end == End::Close {
                return Ok(());
            }
        }
    }

    async fn answer(&self, stream: &mut BufStream<TcpStream>) -> std::io::Result<()> {
        let events = events();
        let mut head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n".to_owned();
        if let Some(keeps) = self.keeps {
            head += &format!("keep-alive: timeout={}\r\n", keeps.as_secs());
        }
        if self.end == End::Chunked {
            head += "transfer-encoding: chunked\r\n";
        }
        head += "\r\n";
        if self.manner.words == 0 {
            head += &self.piece(&events);
        }
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        if self.manner.words > 0 {
            let began = Instant::now();
            for nth in 1..=self.manner.words {
                sleep_until(began + self.manner.apart * nth).await;
                stream.write_all(self.piece(&word()).as_bytes()).await?;
                stream.flush().await?;
            }
            stream.write_all(self.piece(&events).as_bytes()).await?;
            stream.flush().await?;
        }
        sleep(self.manner.late_end).await;
        if self.manner.chatter > 0 && self.end == End::Chunked {
            let chatter = ":\n".repeat(self.manner.chatter / 2);
            stream.write_all(self.piece(&chatter).as_bytes()).await?;
        }
        if self.end == End::Chunked {
            stream.write_all(b"0\r\n\r\n").await?;
        }
        stream.flush().await
    }

    /// A piece of the body as it is framed.
    fn piece(&self, body: &str) -> String {
        match self.end {
            End::Chunked => format!("{:x}\r\n{body}\r\n", body.len()),
            End::Close => body.to_owned(),
        }
    }
}
