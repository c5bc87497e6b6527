//! A stream of bytes whose reads are observed; what is written passes through.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream each of whose reads is shown to an observer: the bytes, none at the end, or the failure.
pub(super) struct Observed<S, F> {
    stream: S,
    observe: F,
}

impl<S, F: FnMut(Result<&[u8], &io::Error>)> Observed<S, F> {
    pub(super) fn new(stream: S, observe: F) -> Self {
        Self { stream, observe }
    }

    /// The stream without its observer.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S, F> AsyncRead for Observed<S, F>
where
    S: AsyncRead + Unpin,
    F: FnMut(Result<&[u8], &io::Error>) + Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        match &read {
            Ok(()) => (self.observe)(Ok(&buffer.filled()[before..])),
            Err(error) => (self.observe)(Err(error)),
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin, F: Unpin> AsyncWrite for Observed<S, F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}
