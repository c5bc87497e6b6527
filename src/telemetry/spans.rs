//! Which spans does a call have? One for the call and one for each attempt, within the caller's trace.
//!
//! A span is written when it ends, from the facts of its call or attempt. Before that only its ids and what its
//! beginning knows are kept; if it is not recorded, only its ids.

mod attempt;
mod call;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::money::Cost;

use super::export::SpanQueue;
use super::names::{self, GenAiNames};
use super::protobuf::AttributeValue::{self, Double, Int, Text};
use super::span_writer::SpanWriter;
use super::trace_context::{TraceContext, TraceState};

pub use self::attempt::{AttemptDescription, AttemptSpan};
pub use self::call::CallSpan;

/// Decides which calls are recorded, and takes their spans. The default records nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Recording>>);

/// Where spans go, and what they say.
#[derive(Debug)]
struct Recording {
    queue: Arc<SpanQueue>,
    /// The share of calls that are recorded, as the bits of a number from 0 to 1, where no caller's trace decides it.
    share: AtomicU64,
    names: GenAiNames,
}

impl Tracer {
    /// Records into a queue. `share` of the calls are recorded, from 0 to 1, where no caller's trace decides it.
    pub fn new(queue: Arc<SpanQueue>, share: f64, names: GenAiNames) -> Self {
        Self(Some(Arc::new(Recording {
            queue,
            share: AtomicU64::new(share.to_bits()),
            names,
        })))
    }

    /// Exchanges the share of recorded calls, for those that begin later.
    pub fn set_share(&self, share: f64) {
        if let Some(recording) = &self.0 {
            recording.share.store(share.to_bits(), Ordering::Relaxed);
        }
    }

    /// Begins the span of a call in the trace of its caller, if that sent one, with its `tracestate`.
    pub fn call(&self, parent: Option<TraceContext>, state: TraceState) -> CallSpan {
        let mut span = CallSpan::unrecorded(parent, state);
        let Some(recording) = &self.0 else {
            return span;
        };
        let share = f64::from_bits(recording.share.load(Ordering::Relaxed));
        span.record(recording, parent, share);
        span
    }
}

fn write_cost(span: &mut SpanWriter, cost: Cost) {
    span.attribute(names::COST_USD, Double(usd(cost)));
    span.attribute(names::COST_SOURCE, Text(cost.source().name()));
}

/// Exact to the nano-USD up to some millions.
fn usd(cost: Cost) -> f64 {
    cost.nanos() as f64 / 1e9
}

/// Writes a count, if the provider told one.
fn count(span: &mut SpanWriter, name: &'static str, count: Option<u64>) {
    if let Some(count) = count {
        span.attribute(name, number(count));
    }
}

fn number(number: u64) -> AttributeValue<'static> {
    Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn seconds(time: Duration) -> AttributeValue<'static> {
    Double(time.as_secs_f64())
}
