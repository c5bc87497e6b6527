//! The bytes of a connection to a provider: TCP, perhaps TLS to a proxy, perhaps TLS to the provider.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// TCP, or TLS over something. TLS is boxed: its state is some 1.5 KiB, which each future on the way to a
/// connection would hold room for, several times over, whether there is TLS or not.
pub(super) type MaybeTls<S> = Either<Box<TlsStream<S>>, S>;

/// The first hop of a connection: to the provider itself, or to its proxy, perhaps over TLS.
pub(super) type FirstHop = MaybeTls<TcpStream>;

/// A connection that is ready for HTTP.
#[derive(Debug)]
pub(super) struct Stream {
    io: TokioIo<MaybeTls<FirstHop>>,
    is_http2: bool,
    /// Whether something was written since the last byte was read.
    has_written: bool,
    /// Whether the host accepts no more bytes. What is written from then on is discarded, so that an answer that has
    /// already arrived is read before the failure shows.
    is_shut: bool,
}

impl Stream {
    pub(super) fn new(io: MaybeTls<FirstHop>) -> Self {
        let is_http2 = match &io {
            Either::Left(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
            Either::Right(_) => false,
        };
        Self {
            io: TokioIo::new(io),
            is_http2,
            has_written: false,
            is_shut: false,
        }
    }

    /// Whether HTTP/2 was negotiated by TLS.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }
}

impl Stream {
    /// Turns the failure of a write into success if an answer may still be read.
    fn written(
        &mut self,
        length: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Err(error)) if self.has_written && is_shut(error) => {
                self.is_shut = true;
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Ok(count)) => {
                self.has_written |= *count > 0;
                written
            }
            Poll::Ready(Err(_)) | Poll::Pending => written,
        }
    }
}

/// Whether an error means that the peer accepts no more bytes.
fn is_shut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
    )
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if read.is_ready() {
            self.has_written = false;
        }
        read
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_shut {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.written(bytes.len(), written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.io).poll_flush(context).map_ok(|()| 0);
        self.written(0, flushed).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut {
            return Poll::Ready(Ok(()));
        }
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
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.is_shut {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.written(length, written)
    }
}
