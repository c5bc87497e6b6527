//! Records the spans of a test, and compares them with the requests that reached a provider.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use modelway::simulator::Received;
use modelway::telemetry::export::SpanQueue;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue as WrittenKeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind as WrittenKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prost::Message as _;
use tokio::time::timeout;

use super::crowd::span_of;

thread_local! {
    /// Where services that are started on this thread record the spans of their calls.
    static RECORDED: RefCell<Option<Arc<SpanQueue>>> = const { RefCell::new(None) };
}

/// Where a service that is started now records its spans, if a [`Recorder`] waits for them.
pub(crate) fn recorded() -> Option<Arc<SpanQueue>> {
    RECORDED.with_borrow(Clone::clone)
}

/// The spans of the services that this thread starts later.
pub(crate) struct Recorder {
    queue: Arc<SpanQueue>,
    spans: RefCell<Vec<SpanData>>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        RECORDED.take();
    }
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let queue = Arc::<SpanQueue>::default();
        RECORDED.set(Some(Arc::clone(&queue)));
        Self {
            queue,
            spans: RefCell::default(),
        }
    }

    /// All spans that have ended.
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.take_in();
        self.spans.borrow().clone()
    }

    /// Reads the spans that have ended, so that there is room for others in the queue.
    pub(crate) fn take_in(&self) {
        let mut spans = self.spans.borrow_mut();
        while let Some(batch) = self.queue.take() {
            let read = ScopeSpans::decode(batch.bytes.as_slice()).unwrap();
            assert_eq!(read.spans.len() as u64, batch.spans);
            spans.extend(read.spans.into_iter().map(span_data));
        }
    }

    /// The spans of one call, once it has ended: its own, and those of its attempts in order.
    pub(crate) async fn call(&self) -> (SpanData, Vec<SpanData>) {
        let ended = async {
            loop {
                let spans = self.spans();
                let is_call = |span: &SpanData| span.span_kind == SpanKind::Server;
                if let Some(call) = spans.iter().position(is_call) {
                    return (spans[call].clone(), spans);
                }
                tokio::task::yield_now().await;
            }
        };
        let (call, mut spans) = timeout(Duration::from_secs(20), ended).await.unwrap();
        spans.retain(|span| span.span_kind == SpanKind::Client);
        (call, spans)
    }

    /// The spans of all attempts that have ended. Each request of the log belongs to one of them, and
    /// those that did not arrive were cancelled before they could.
    pub(crate) fn attempts(&self, log: &[Received]) -> Vec<SpanData> {
        let mut spans = self.spans();
        spans.retain(|span| span.span_kind == SpanKind::Client);
        let id = |span: &SpanData| span.span_context.span_id().to_string();
        let mut told: HashMap<String, &SpanData> =
            spans.iter().map(|span| (id(span), span)).collect();
        assert_eq!(told.len(), spans.len());
        for request in log {
            let attempt = told.remove(&span_of(request));
            assert!(attempt.is_some(), "no span belongs to {request:?}");
        }
        for attempt in told.values() {
            let outcome = attribute(attempt, "modelway.attempt.outcome").unwrap();
            assert_eq!(outcome.as_str(), "cancelled", "{attempt:?}");
        }
        spans
    }
}

/// An attribute of a span.
pub(crate) fn attribute<'a>(span: &'a SpanData, name: &str) -> Option<&'a Value> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| &attribute.value)
}

/// A span that was read from the wire, as the SDK of OpenTelemetry shows it.
pub(crate) fn span_data(span: Span) -> SpanData {
    let sampled = TraceFlags::new(u8::try_from(span.flags & 0xff).unwrap());
    let state: TraceState = span.trace_state.parse().unwrap();
    let context = |trace_id: &[u8], span_id: &[u8], state| {
        SpanContext::new(
            TraceId::from_bytes(trace_id.try_into().unwrap()),
            SpanId::from_bytes(span_id.try_into().unwrap()),
            sampled,
            false,
            state,
        )
    };
    let mut links = SpanLinks::default();
    links.links = span
        .links
        .iter()
        .map(|link| {
            let other = context(&link.trace_id, &link.span_id, TraceState::default());
            Link::new(other, attributes(link.attributes.clone()), 0)
        })
        .collect();
    let time = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
    let parent = match span.parent_span_id.as_slice() {
        [] => SpanId::INVALID,
        id => SpanId::from_bytes(id.try_into().unwrap()),
    };
    SpanData {
        span_context: context(&span.trace_id, &span.span_id, state),
        parent_span_id: parent,
        parent_span_is_remote: span.flags & 0x200 != 0,
        span_kind: match span.kind() {
            WrittenKind::Server => SpanKind::Server,
            WrittenKind::Client => SpanKind::Client,
            other => panic!("{other:?}"),
        },
        name: Cow::Owned(span.name),
        start_time: time(span.start_time_unix_nano),
        end_time: time(span.end_time_unix_nano),
        attributes: attributes(span.attributes),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: match span.status {
            Some(status) if status.code() == StatusCode::Error => Status::error(status.message),
            Some(status) => panic!("{status:?}"),
            None => Status::Unset,
        },
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn attributes(written: Vec<WrittenKeyValue>) -> Vec<KeyValue> {
    let attributes = written.into_iter();
    attributes
        .map(|attribute| KeyValue::new(attribute.key, value(attribute.value.unwrap())))
        .collect()
}

fn value(written: AnyValue) -> Value {
    use any_value::Value as Written;
    match written.value.unwrap() {
        Written::StringValue(text) => text.into(),
        Written::BoolValue(is_true) => is_true.into(),
        Written::IntValue(number) => number.into(),
        Written::DoubleValue(number) => number.into(),
        Written::ArrayValue(array) => {
            let texts = array.values.into_iter().map(|text| match value(text) {
                Value::String(text) => text,
                other => panic!("{other:?}"),
            });
            Value::Array(Array::String(texts.collect::<Vec<StringValue>>()))
        }
        other => panic!("{other:?}"),
    }
}
