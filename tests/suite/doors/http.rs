//! A caller that speaks HTTP/1.1 byte by byte, for tests that no client library can make.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(120);

/// A connection.
pub(crate) struct Http1 {
    stream: TcpStream,
    /// Bytes that were read and not used yet.
    read: Vec<u8>,
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) lines: Vec<(String, String)>,
}

impl Head {
    /// The value of a header; an empty text without it.
    pub(crate) fn get(&self, name: &str) -> &str {
        let line = self.lines.iter().find(|(of, _)| of == name);
        line.map_or("", |(_, value)| value)
    }
}

/// A request with this body.
pub(crate) fn post(path: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{lines}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A request with a body in JSON.
pub(crate) fn post_json(path: &str, lines: &str, body: &str) -> Vec<u8> {
    let lines = format!("content-type: application/json\r\n{lines}");
    post(path, &lines, body.as_bytes())
}

impl Http1 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            read: Vec::new(),
        }
    }

    /// A connection whose own buffer for what it is sent is small.
    pub(crate) async fn with_little_room(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self {
            stream: socket.connect(address).await.unwrap(),
            read: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Closes the half that sends.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let reading = self.stream.read_buf(&mut self.read);
        let read = timeout(PROMPTLY, reading)
            .await
            .expect("it answers in time");
        read.unwrap_or(0) > 0
    }

    async fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            let found = self
                .read
                .windows(mark.len())
                .position(|window| window == mark);
            if let Some(found) = found {
                let rest = self.read.split_off(found + mark.len());
                return std::mem::replace(&mut self.read, rest);
            }
            assert!(
                self.more().await,
                "{:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    /// The head of the next response.
    pub(crate) async fn head(&mut self) -> Head {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .unwrap();
        let lines = lines.filter_map(|line| line.split_once(": "));
        Head {
            status: status.parse().unwrap(),
            lines: lines
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
        }
    }

    /// The next piece of a chunked body; empty at its end.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let size = String::from_utf8(self.until(b"\r\n").await).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        while self.read.len() < size + 2 {
            assert!(self.more().await);
        }
        let rest = self.read.split_off(size + 2);
        let mut chunk = std::mem::replace(&mut self.read, rest);
        chunk.truncate(size);
        chunk
    }

    /// The whole body of a response with this head.
    pub(crate) async fn body(&mut self, head: &Head) -> Vec<u8> {
        let mut body = Vec::new();
        if head.get("transfer-encoding") == "chunked" {
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    return body;
                }
                body.extend(chunk);
            }
        }
        let length: usize = head.get("content-length").parse().unwrap_or(0);
        while self.read.len() < length {
            assert!(self.more().await);
        }
        let rest = self.read.split_off(length);
        body.extend(std::mem::replace(&mut self.read, rest));
        body
    }

    /// Forgets what was read.
    pub(crate) fn drop_read(&mut self) {
        self.read.clear();
    }

    /// Whether the other side has closed the connection, and sent nothing more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    /// Sends a request; head and body of its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> (Head, Vec<u8>) {
        self.send(request).await;
        let head = self.head().await;
        let body = self.body(&head).await;
        (head, body)
    }

    /// Sends a request; head and body of its answer in JSON.
    pub(crate) async fn ask_json(&mut self, request: &[u8]) -> (Head, Value) {
        let (head, body) = self.ask(request).await;
        let json = serde_json::from_slice(&body);
        (
            head,
            json.unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&body))),
        )
    }
}

/// A server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SentEvent {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

/// The events in a text, and the number of comments between them.
pub(crate) fn events(text: &[u8]) -> (Vec<SentEvent>, usize) {
    let text = std::str::from_utf8(text).unwrap();
    let mut comments = 0;
    let mut events = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.is_empty()) {
        if block.starts_with(':') {
            comments += 1;
            continue;
        }
        let field = |name: &str| {
            let lines = block.lines().filter_map(|line| line.split_once(": "));
            lines
                .into_iter()
                .find(|(of, _)| *of == name)
                .map_or("", |(_, value)| value)
        };
        events.push(SentEvent {
            name: field("event").to_owned(),
            id: field("id").to_owned(),
            data: serde_json::from_str(field("data")).unwrap(),
        });
    }
    (events, comments)
}
