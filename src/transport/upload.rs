//! How much of a request is written? The transport notes it; the attempt that waits for the answer reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The progress of a request, shared by the connection that writes it and the attempt that waits for the answer.
///
/// A provider's time to answer starts when the request is written, so the attempt looks at [`Upload::stage`] whenever
/// a timer fires. A request never goes back to an earlier stage.
#[derive(Clone, Debug)]
pub struct Upload(Arc<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    /// One more than the nanoseconds from `began` to the last progress, and to the end of the request; 0
    /// for not yet.
    moved: AtomicU64,
    written: AtomicU64,
    overdue: AtomicBool,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is written. The request waits for a connection, or for a stream of one.
    Waiting,
    /// A part is written.
    Writing {
        /// When the last piece was written.
        moved: Instant,
    },
    /// All of it is written.
    Written {
        /// Since when.
        at: Instant,
    },
}

impl Upload {
    /// A request of which nothing is written.
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(State {
            began: now,
            moved: AtomicU64::new(0),
            written: AtomicU64::new(0),
            overdue: AtomicBool::new(false),
        }))
    }

    /// Where the request is.
    pub fn stage(&self) -> Stage {
        let State {
            began,
            moved,
            written,
            overdue: _,
        } = &*self.0;
        let at = |nanos| *began + Duration::from_nanos(nanos - 1);
        match (
            moved.load(Ordering::Relaxed),
            written.load(Ordering::Relaxed),
        ) {
            (0, 0) => Stage::Waiting,
            (moved, 0) => Stage::Writing { moved: at(moved) },
            (_, written) => Stage::Written { at: at(written) },
        }
    }

    /// When all of the request was written; `None` before that.
    pub fn written(&self) -> Option<Instant> {
        match self.stage() {
            Stage::Waiting | Stage::Writing { .. } => None,
            Stage::Written { at } => Some(at),
        }
    }

    /// A piece of the request was written, or its connection was found.
    pub(crate) fn note_progress(&self, now: Instant) {
        self.0.moved.store(self.nanos(now), Ordering::Relaxed);
    }

    /// All of the request was written.
    pub(crate) fn note_end(&self, now: Instant) {
        self.0.written.store(self.nanos(now), Ordering::Relaxed);
    }

    /// Notes that the provider has been silent for too long. Its connection then gets no other requests.
    pub fn note_overdue(&self) {
        self.0.overdue.store(true, Ordering::Relaxed);
    }

    /// Whether the provider has been silent for too long.
    pub(super) fn is_overdue(&self) -> bool {
        self.0.overdue.load(Ordering::Relaxed)
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.began).as_nanos();
        u64::try_from(since).map_or(u64::MAX, |since| since.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_and_is_written_piece_by_piece_until_its_end() {
        let began = Instant::now();
        let second = |second| began + Duration::from_secs(second);
        let upload = Upload::new(began);
        assert_eq!(upload.stage(), Stage::Waiting);

        for moved in [3, 4] {
            upload.note_progress(second(moved));
            let moved = second(moved);
            assert_eq!(upload.stage(), Stage::Writing { moved });
            assert_eq!(upload.written(), None);
        }

        upload.note_end(second(5));
        assert_eq!(upload.stage(), Stage::Written { at: second(5) });
        assert_eq!(upload.written(), Some(second(5)));
    }

    #[test]
    fn what_is_written_at_once_is_written() {
        let began = Instant::now();
        let upload = Upload::new(began);

        upload.note_end(began);

        assert_eq!(upload.stage(), Stage::Written { at: began });
    }
}
