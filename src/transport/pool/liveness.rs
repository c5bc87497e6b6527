//! What is known of the life of an HTTP/2 connection's peer: when it was last heard and asked, whether it is doubted or given up.
//!
//! The kernel of a frozen peer still acknowledges what it receives, so only bytes from the peer prove that it lives.

pub(in crate::transport) mod pinger;

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::transport::cause::ConnectCause;
use crate::transport::failure::refused_by_tls;

/// What is known of the peer of a connection. Shared by its task and its requests.
#[derive(Clone, Debug)]
pub(in crate::transport) struct Liveness(Arc<Observations>);

#[derive(Debug)]
struct Observations {
    born: Instant,
    /// Nanoseconds from `born` to the last bytes that came, and to the first request since.
    read: AtomicU64,
    asked: AtomicU64,
    /// The last read before the peer was doubted, and one more; 0 for never.
    doubted: AtomicU64,
    /// Nanoseconds from `born` to the last piece of a request that was written.
    written: AtomicU64,
    /// The last read before the peer was given up, and one more; 0 for never.
    lost: AtomicU64,
    /// Wakes streams that wait for an answer when the peer is given up.
    loss: Notify,
    /// Streams that are open.
    open: AtomicUsize,
    /// The TLS alert with which the peer refused us after the handshake. HTTP libraries drop the cause of a failed
    /// read, so it is kept here.
    refusal: OnceLock<(ConnectCause, String)>,
}

impl Liveness {
    /// The state of a connection whose peer has just sent something.
    pub(in crate::transport) fn new(now: Instant) -> Self {
        Self(Arc::new(Observations {
            born: now,
            read: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            doubted: AtomicU64::new(0),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            loss: Notify::new(),
            open: AtomicUsize::new(0),
            refusal: OnceLock::new(),
        }))
    }

    /// Bytes have arrived.
    pub(super) fn note_bytes(&self, now: Instant) {
        self.0.read.store(self.nanos(now), Ordering::Relaxed);
    }

    /// Notes a read of the connection: bytes of its peer, the end, or a failure.
    pub(in crate::transport) fn note_read(&self, read: Result<&[u8], &io::Error>) {
        match read {
            Ok([]) => {}
            Ok(_) => self.note_bytes(Instant::now()),
            Err(error) => {
                if let Some(cause) = refused_by_tls(error) {
                    let _ = self.0.refusal.set((cause, error.to_string())); // the first one counts
                }
            }
        }
    }

    /// A piece of a request was written.
    pub(in crate::transport) fn note_write(&self, now: Instant) {
        self.0.written.store(self.nanos(now), Ordering::Relaxed);
    }

    /// Waits until the peer is given up: a stream that has received nothing until then will receive nothing. Safe to
    /// cancel.
    pub(in crate::transport) async fn lost(&self) {
        loop {
            let loss = self.0.loss.notified();
            if self.is_lost() {
                return;
            }
            loss.await;
        }
    }

    fn is_lost(&self) -> bool {
        let Observations { read, lost, .. } = &*self.0;
        lost.load(Ordering::Relaxed) > read.load(Ordering::Relaxed)
    }

    fn loses(&self) {
        let read = self.0.read.load(Ordering::Relaxed);
        self.0.lost.store(read + 1, Ordering::Relaxed);
        self.0.loss.notify_waiters();
    }

    /// A request is sent.
    pub(super) fn note_request(&self, now: Instant) {
        let Observations { read, asked, .. } = &*self.0;
        if asked.load(Ordering::Relaxed) <= read.load(Ordering::Relaxed) {
            asked.store(self.nanos(now).max(1), Ordering::Relaxed);
        }
        self.0.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream has ended.
    pub(super) fn note_stream_end(&self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it gets no requests until its peer sends something.
    pub(super) fn is_doubted(&self) -> bool {
        let Observations { read, doubted, .. } = &*self.0;
        doubted.load(Ordering::Relaxed) > read.load(Ordering::Relaxed)
    }

    /// The TLS alert with which the peer refused us after the handshake, if it did.
    pub(in crate::transport) fn refusal(&self) -> Option<&(ConnectCause, String)> {
        self.0.refusal.get()
    }

    fn doubts(&self) {
        let read = self.0.read.load(Ordering::Relaxed);
        self.0.doubted.store(read + 1, Ordering::Relaxed);
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.born).as_nanos();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    fn at(&self, nanos: &AtomicU64) -> Instant {
        self.0.born + Duration::from_nanos(nanos.load(Ordering::Relaxed))
    }
}
