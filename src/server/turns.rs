//! How much of a connection is read before other tasks have their turn?
//!
//! hyper reads a connection for as long as there is something to read. A connection that sends without pause
//! would keep its task busy for milliseconds, tens of thousands of frames, and every other call would wait for
//! that several times.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// The bytes that are read in one turn, give or take a buffer: some hundred of the smallest frames.
const TURN_BYTES: usize = 2 * 1024;

/// Reads a connection in turns.
pub(super) struct InTurns<R> {
    connection: R,
    /// Bytes that may still be read in this turn.
    left: usize,
}

impl<R> InTurns<R> {
    pub(super) fn new(connection: R) -> Self {
        Self {
            connection,
            left: TURN_BYTES,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for InTurns<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            self.left = TURN_BYTES;
            // A task that wakes itself runs after those that are already waiting.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.connection).poll_read(context, buffer);
        if polled.is_pending() {
            self.left = TURN_BYTES;
        }
        ready!(polled)?;
        let read = buffer.filled().len() - before;
        self.left = self.left.saturating_sub(read);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, repeat};
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn others_have_their_turn_while_a_connection_is_flooded() {
        let turns = Cell::new(0);
        let mut flood = InTurns::new(repeat(7).take(64 << 10));
        let read = async {
            let mut all = Vec::new();
            flood.read_to_end(&mut all).await.unwrap();
            all.len()
        };
        let others = async {
            loop {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
        };

        let read = tokio::select! {
            biased;
            read = read => read,
            () = others => unreachable!(),
        };

        assert_eq!(read, 64 << 10);
        assert!(turns.get() >= 3, "{turns:?}");
    }

    #[tokio::test]
    async fn a_connection_that_pauses_has_a_whole_turn_afterwards() {
        let (mut here, there) = duplex(TURN_BYTES);
        let mut reader = InTurns::new(there);
        let mut buffer = vec![0; TURN_BYTES];
        for _ in 0..3 {
            here.write_all(&buffer[1..]).await.unwrap();

            let read = reader.read(&mut buffer).now_or_never();
            assert_eq!(read.unwrap().unwrap(), TURN_BYTES - 1);
            assert!(reader.read(&mut buffer).now_or_never().is_none());
        }
    }
}
