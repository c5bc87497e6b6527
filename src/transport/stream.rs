//! The bytes of a connection to a provider: TCP, perhaps TLS to a proxy, perhaps TLS to the provider.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// TCP, or TLS over something.
pub(super) type MaybeTls<S> = Either<TlsStream<S>, S>;

/// What leads to a provider or to its proxy: the latter may be spoken to by TLS.
pub(super) type Lead = MaybeTls<TcpStream>;

/// A connection that is ready for HTTP.
#[derive(Debug)]
pub(super) struct Stream {
    io: TokioIo<MaybeTls<Lead>>,
    is_http2: bool,
}

impl Stream {
    pub(super) fn new(io: MaybeTls<Lead>) -> Self {
        let is_http2 = match &io {
            Either::Left(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
            Either::Right(_) => false,
        };
        Self {
            io: TokioIo::new(io),
            is_http2,
        }
    }

    /// Whether TLS has found out that the host speaks HTTP/2 to us.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
