//! A client of raw HTTP/2 frames, for tests that no ordinary client can make (RFC 9113, section 6).

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const CANCEL: [u8; 4] = [0, 0, 0, 8];

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A gRPC message without a byte in it.
pub(crate) const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection that sends only what a test tells it to.
pub(crate) struct Wire(TcpStream);

impl Wire {
    /// Connects and says nothing.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Connects from this address and says nothing.
    pub(crate) async fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source, 0)).unwrap();
        Self(socket.connect(address).await.unwrap())
    }

    /// Connects and says what every connection begins with.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut wire = Self::connect(address).await;
        wire.begin().await;
        wire
    }

    /// Says what every connection begins with, as far as it goes.
    pub(crate) async fn begin(&mut self) {
        let mut beginning = PREFACE.to_vec();
        beginning.extend(frame(SETTINGS, 0, 0, &[]));
        // The other side may have closed already; the next read shows it.
        let _ = self.0.write_all(&beginning).await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends the same bytes again and again until the connection has ended.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) {
        while self.0.write_all(bytes).await.is_ok() {}
    }

    /// The next frame; `None` once the connection has ended.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let mut prefix = [0; 9];
        self.0.read_exact(&mut prefix).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = prefix;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes(stream);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// The next frame of this type.
    pub(crate) async fn next(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.frame().await.expect("the connection goes on");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The frame that ends a stream, or the connection before that.
    pub(crate) async fn end_of(&mut self, stream: u32) -> Frame {
        loop {
            let frame = self.frame().await.expect("the connection goes on");
            let ends_stream = matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0;
            let is_last = ends_stream || frame.kind == RST_STREAM;
            if frame.kind == GOAWAY || (is_last && frame.stream == stream) {
                return frame;
            }
        }
    }

    /// Waits for the end of the connection.
    pub(crate) async fn closed(&mut self) {
        while self.frame().await.is_some() {}
    }
}

/// A frame in bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a call, each field as a literal of its own (RFC 7541, section 6.2.2).
pub(crate) fn head(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}
