//! What became of the spans, and how many exports failed? Counters for metrics and for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use super::settings::OtlpSignal;

/// What became of a span that has ended and was to be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpanFate {
    /// The collector has taken it.
    Exported,
    /// There was no room for it in the queue: the collector is away or too slow.
    QueueFull,
    /// The collector has refused it.
    Refused,
    /// It could not be sent, or the service ended before it was.
    Failed,
}

impl SpanFate {
    /// Every fate, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Exported, Self::QueueFull, Self::Refused, Self::Failed];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::QueueFull => "queue_full",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The counters of one service. Every span that ends is counted under one fate sooner or later.
#[derive(Debug, Default)]
pub struct ExportCounts {
    spans: [AtomicU64; SpanFate::ALL.len()],
    failures: [AtomicU64; OtlpSignal::ALL.len()],
}

impl ExportCounts {
    /// How many spans had this fate.
    pub fn spans(&self, fate: SpanFate) -> u64 {
        self.spans[fate as usize].load(Ordering::Relaxed)
    }

    /// How many exports of this kind have failed. One that is repeated counts each time.
    pub fn failures(&self, signal: OtlpSignal) -> u64 {
        self.failures[signal as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add_spans(&self, fate: SpanFate, spans: u64) {
        self.spans[fate as usize].fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn add_failure(&self, signal: OtlpSignal) {
        self.failures[signal as usize].fetch_add(1, Ordering::Relaxed);
    }
}
