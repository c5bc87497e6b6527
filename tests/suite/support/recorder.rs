//! Records the spans of a test, and compares them with the requests that reached a provider.

use std::collections::HashMap;
use std::time::Duration;

use modelway::simulator::Received;
use modelway::telemetry;
use opentelemetry::Value;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

use super::crowd::span_of;
use super::subscribe;

/// Spans of everything that runs on this thread, which is all of a test.
pub(crate) struct Recorder {
    exporter: InMemorySpanExporter,
    _tracer: SdkTracerProvider,
    _subscriber: DefaultGuard,
}

impl Recorder {
    pub(crate) fn start() -> Self {
        let exporter = InMemorySpanExporter::default();
        let tracer = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        let subscriber = tracing_subscriber::registry().with(telemetry::traces(&tracer));
        Self {
            exporter,
            _tracer: tracer,
            _subscriber: subscribe(subscriber),
        }
    }

    /// All spans that have ended.
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
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
        let (call, mut spans) = timeout(Duration::from_secs(2), ended).await.unwrap();
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
