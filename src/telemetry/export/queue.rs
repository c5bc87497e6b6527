//! Where do spans wait for their export? In a queue that is bounded in bytes, so that no call waits for a collector.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::telemetry::protobuf::length_prefix;

use super::counts::{ExportCounts, SpanFate};

/// The most bytes that wait.
const ROOM: usize = 8 << 20;

/// A batch that has as many bytes is exported at once. Collectors take messages of 4 MiB if nobody changes that.
const BATCH_BYTES: usize = 256 << 10;

/// `ScopeSpans.spans`.
const SPANS: u32 = 2;

/// The most that the tag and the length of a span take.
const PREFIX: usize = 6;

/// The spans of a service that have ended and were not exported yet, each as it goes over the wire.
#[derive(Debug)]
pub struct SpanQueue {
    waiting: Mutex<WaitingSpans>,
    /// Notified when a batch is complete.
    full: Notify,
    counts: Arc<ExportCounts>,
    room: usize,
}

#[derive(Debug, Default)]
struct WaitingSpans {
    batches: VecDeque<SpanBatch>,
    /// Of all batches.
    bytes: usize,
    is_closed: bool,
}

/// Spans that are exported together.
#[derive(Debug, Default)]
pub struct SpanBatch {
    /// The spans, one after the other, each with its tag and length as in `ScopeSpans`.
    pub bytes: Vec<u8>,
    /// How many spans these are.
    pub spans: u64,
    /// What they take of the room.
    size: usize,
}

impl Default for SpanQueue {
    fn default() -> Self {
        Self::with_room(ROOM, Arc::default())
    }
}

impl SpanQueue {
    /// An empty queue, whose losses go into these counters.
    pub fn new(counts: Arc<ExportCounts>) -> Self {
        Self::with_room(ROOM, counts)
    }

    fn with_room(room: usize, counts: Arc<ExportCounts>) -> Self {
        Self {
            waiting: Mutex::default(),
            full: Notify::new(),
            counts,
            room,
        }
    }

    /// Adds a span, encoded. If there is no room it is dropped and counted.
    pub fn push(&self, span: &[u8]) {
        let size = span.len() + PREFIX;
        let mut waiting = self.lock();
        if waiting.is_closed {
            drop(waiting);
            return self.counts.add_spans(SpanFate::Failed, 1);
        }
        if waiting.bytes + size > self.room {
            drop(waiting);
            return self.counts.add_spans(SpanFate::QueueFull, 1);
        }
        waiting.bytes += size;
        let fits = |batch: &SpanBatch| batch.size() + size <= BATCH_BYTES;
        let is_full = match waiting.batches.back_mut().filter(|batch| fits(batch)) {
            Some(batch) => {
                batch.add(span);
                false
            }
            None => {
                let mut batch = SpanBatch::default();
                batch.add(span);
                waiting.batches.push_back(batch);
                waiting.batches.len() > 1
            }
        };
        drop(waiting);
        if is_full {
            self.full.notify_one();
        }
    }

    /// Takes the oldest spans; `None` if none wait.
    pub fn take(&self) -> Option<SpanBatch> {
        let mut waiting = self.lock();
        let batch = waiting.batches.pop_front()?;
        waiting.bytes -= batch.size();
        Some(batch)
    }

    /// Waits until a whole batch waits.
    pub(super) async fn has_batch(&self) {
        self.full.notified().await;
    }

    /// Drops what still waits, and everything that is added from now on. All of it counts as failed.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        let spans = waiting.batches.drain(..).map(|batch| batch.spans).sum();
        waiting.bytes = 0;
        drop(waiting);
        self.counts.add_spans(SpanFate::Failed, spans);
    }

    fn lock(&self) -> MutexGuard<'_, WaitingSpans> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanBatch {
    /// What it takes of the room.
    fn size(&self) -> usize {
        self.size
    }

    fn add(&mut self, span: &[u8]) {
        length_prefix(&mut self.bytes, SPANS, span.len());
        self.size += span.len() + PREFIX;
        self.bytes.extend_from_slice(span);
        self.spans += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_come_out_in_their_order_and_in_batches() {
        let queue = SpanQueue::default();
        let span = |number: u8| vec![number; 100_000];

        for number in 0..5 {
            queue.push(&span(number));
        }

        let mut taken = Vec::new();
        while let Some(batch) = queue.take() {
            assert!(batch.bytes.len() <= BATCH_BYTES);
            assert!(batch.bytes.len() as u64 > batch.spans * 100_000);
            taken.extend(batch.bytes);
        }
        let mut expected = Vec::new();
        for number in 0..5 {
            length_prefix(&mut expected, SPANS, 100_000);
            expected.extend(span(number));
        }
        assert!(taken == expected);
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn a_full_queue_loses_the_newest_spans_and_counts_them() {
        let counts = Arc::<ExportCounts>::default();
        let queue = SpanQueue::with_room(1000, Arc::clone(&counts));

        for _ in 0..15 {
            queue.push(&[0; 100 - PREFIX]);
        }

        assert_eq!(counts.spans(SpanFate::QueueFull), 5);
        assert_eq!(queue.take().map(|batch| batch.spans), Some(10));
        queue.push(&[0; 100]);
        assert_eq!(counts.spans(SpanFate::QueueFull), 5, "there is room again");
    }

    #[test]
    fn a_span_that_is_larger_than_a_batch_is_a_batch_of_its_own() {
        let queue = SpanQueue::default();

        queue.push(&[0; 10]);
        queue.push(&vec![0; BATCH_BYTES + 1]);
        queue.push(&[0; 10]);

        let sizes = std::iter::from_fn(|| queue.take()).map(|batch| batch.bytes.len());
        assert_eq!(sizes.collect::<Vec<_>>(), [12, BATCH_BYTES + 5, 12]);
    }

    #[test]
    fn what_a_closed_queue_holds_or_gets_counts_as_failed() {
        let counts = Arc::<ExportCounts>::default();
        let queue = SpanQueue::new(Arc::clone(&counts));

        queue.push(&[0; 10]);
        queue.close();
        queue.push(&[0; 10]);

        assert_eq!(counts.spans(SpanFate::Failed), 2);
        assert!(queue.take().is_none());
    }
}
