//! How long may a caller take in HTTP/1.1, which has no PINGs? For the head of a request, and to read its answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Whether a request of the connection is being served.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange(Arc<AtomicBool>);

impl Exchange {
    fn is_underway(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The head of a request has come. Until the returned value is dropped, what follows is not another head.
    pub(super) fn begin(&self) -> ServedRequest {
        self.0.store(true, Ordering::Relaxed);
        ServedRequest(self.clone())
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct ServedRequest(Exchange);

impl Drop for ServedRequest {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// The body of a response: the request is served until it ends.
pub(super) struct ServedBody<B> {
    pub(super) body: B,
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) underway: ServedRequest,
}

impl<B: Body + Unpin> Body for ServedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that fails when its caller takes too long.
pub(super) struct Timed<S> {
    connection: S,
    exchange: Exchange,
    head_within: Duration,
    taken_within: Duration,
    /// Runs from the first byte of a head to its end.
    head: Option<Pin<Box<Sleep>>>,
    /// Runs while the caller takes nothing.
    unread: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    /// The caller has `head_within` for the head of each request, from its first byte on, and may leave what is sent
    /// to it unread for `taken_within`.
    pub(super) fn new(
        connection: S,
        exchange: Exchange,
        head_within: Duration,
        taken_within: Duration,
    ) -> Self {
        Self {
            connection,
            exchange,
            head_within,
            taken_within,
            head: None,
            unread: None,
        }
    }

    fn write<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        if let Poll::Ready(written) = write(Pin::new(&mut self.connection), context) {
            self.unread = None;
            return Poll::Ready(written);
        }
        let limit = self.taken_within;
        let unread = self.unread.get_or_insert_with(|| Box::pin(sleep(limit)));
        unread
            .as_mut()
            .poll(context)
            .map(|()| Err(late("the caller does not read")))
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.exchange.is_underway() {
            this.head = None;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.connection).poll_read(context, buffer);
        let has_read = buffer.filled().len() > before;
        if has_read && !this.exchange.is_underway() && this.head.is_none() {
            this.head = Some(Box::pin(sleep(this.head_within)));
        }
        match (polled, &mut this.head) {
            (Poll::Pending, Some(head)) => head
                .as_mut()
                .poll(context)
                .map(|()| Err(late("the head of a request takes too long"))),
            (polled, _) => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(context, |connection, context| {
            connection.poll_write(context, bytes)
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write(context, |connection, context| {
            connection.poll_write_vectored(context, slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().write(context, |connection, context| {
            connection.poll_flush(context)
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().write(context, |connection, context| {
            connection.poll_shutdown(context)
        })
    }
}
