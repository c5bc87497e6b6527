//! Which spans does a call have? One for the call and one for each attempt, linked to the caller's trace.
//!
//! Without an exporter no spans are made, and the ids that callers and providers see are generated here.

use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId,
};
use opentelemetry::{Array, Context, StringValue, Value};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::chat::{ChatRequest, FinishReason};
use crate::error::{Code, UpstreamError};
use crate::trail::{AttemptRecord, BreakerState, Outcome, Trail};

use super::names;
use super::trace_context::{TraceContext, TraceState};

/// The `tracing` target of spans of calls and attempts, by which layers distinguish them from logs.
pub const TARGET: &str = "modelway::trace";

/// The SERVER span of a call. Ends when all its clones are dropped.
#[derive(Clone, Debug)]
pub struct CallSpan {
    span: Span,
    context: TraceContext,
    state: TraceState,
}

impl CallSpan {
    /// Begins the span of a call of `method`, such as `modelway.v1.GenerationService/Generate`.
    pub fn start(method: &'static str, parent: Option<TraceContext>) -> Self {
        Self::start_within(method, parent, TraceState::default())
    }

    /// Like [`CallSpan::start`], with the caller's `tracestate`.
    pub fn start_within(
        method: &'static str,
        parent: Option<TraceContext>,
        state: TraceState,
    ) -> Self {
        let span = info_span!(target: TARGET, "call", otel.name = method, otel.kind = "server");
        if let Some(parent) = parent {
            let parent = remote(parent, &state);
            let _ = span.set_parent(Context::new().with_remote_span_context(parent));
        }
        if !span.is_disabled() {
            span.set_attribute(names::RPC_SYSTEM, "grpc");
            span.set_attribute(names::RPC_METHOD, method);
        }
        let context = context_of(&span).unwrap_or_else(|| TraceContext::child_of(parent));
        // A `tracestate` means nothing without a `traceparent`.
        let state = parent.map(|_| state).unwrap_or_default();
        Self {
            span,
            context,
            state,
        }
    }

    /// The `tracestate` of the call, for providers that take part in the trace.
    pub fn state(&self) -> &TraceState {
        &self.state
    }

    /// Hex id of the call's trace.
    pub fn trace_id(&self) -> String {
        self.context.trace_id_hex()
    }

    /// Adds the ids of the call.
    pub fn describe(&self, call_id: &str, scenario: &str, conversation_id: &str) {
        if self.span.is_disabled() {
            return;
        }
        self.span.set_attribute(names::CALL_ID, call_id.to_owned());
        self.span
            .set_attribute(names::CALL_SCENARIO, scenario.to_owned());
        if !conversation_id.is_empty() {
            self.span
                .set_attribute(names::CONVERSATION_ID, conversation_id.to_owned());
        }
    }

    /// Begins the span of an attempt.
    pub fn attempt(&self, attempt: &AttemptDescription<'_>) -> AttemptSpan {
        let span = info_span!(
            target: TARGET,
            parent: &self.span,
            "attempt",
            otel.name = %format_args!("{} {}", names::CHAT, attempt.record.model),
            otel.kind = "client",
        );
        if !span.is_disabled() {
            attempt.write_to(&span);
        }
        let context =
            context_of(&span).unwrap_or_else(|| TraceContext::child_of(Some(self.context)));
        AttemptSpan { span, context }
    }

    /// Records how the call ended.
    pub fn end(&self, code: Code, trail: &Trail) {
        if self.span.is_disabled() {
            return;
        }
        self.span.set_attribute(names::RPC_STATUS_CODE, code.name());
        self.span
            .set_attribute(names::CALL_ATTEMPTS, trail.sent().count() as i64);
        let skipped: Vec<StringValue> = trail.attempts.iter().filter_map(skipped).collect();
        if !skipped.is_empty() {
            self.span
                .set_attribute(names::CALL_SKIPPED, Value::Array(Array::String(skipped)));
        }
        if code.is_service_fault() {
            self.span.set_attribute(names::ERROR_TYPE, code.name());
            self.span.set_status(Status::error(""));
        }
    }
}

fn skipped(attempt: &AttemptRecord) -> Option<StringValue> {
    let Outcome::Skipped(skip) = &attempt.outcome else {
        return None;
    };
    Some(format!("{}: {}", attempt.target, skip.reason().name()).into())
}

/// What is known of an attempt when it begins.
#[derive(Clone, Copy, Debug)]
pub struct AttemptDescription<'a> {
    /// Its record so far.
    pub record: &'a AttemptRecord,
    /// The request.
    pub request: &'a ChatRequest,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// The provider's host and port.
    pub server: (&'a str, u16),
}

impl AttemptDescription<'_> {
    fn write_to(&self, span: &Span) {
        let Self {
            record,
            request,
            stream,
            server,
        } = self;
        span.set_attribute(names::OPERATION_NAME, names::CHAT);
        span.set_attribute(names::PROVIDER_NAME, record.provider.clone());
        span.set_attribute(names::REQUEST_MODEL, record.model.clone());
        span.set_attribute(names::SERVER_ADDRESS, server.0.to_owned());
        span.set_attribute(names::SERVER_PORT, i64::from(server.1));
        span.set_attribute(names::REQUEST_STREAM, *stream);
        span.set_attribute(names::ATTEMPT_NUMBER, i64::from(record.number));
        span.set_attribute(names::ATTEMPT_KIND, record.kind.name());
        span.set_attribute(names::BREAKER_STATE, BreakerState::name(record.breaker));
        if let Some(tokens) = request.sampling.max_output_tokens {
            span.set_attribute(names::REQUEST_MAX_TOKENS, i64::from(tokens));
        }
        if let Some(temperature) = request.sampling.temperature {
            span.set_attribute(names::REQUEST_TEMPERATURE, temperature);
        }
        if let Some(top_p) = request.sampling.top_p {
            span.set_attribute(names::REQUEST_TOP_P, top_p);
        }
    }
}

/// The CLIENT span of an attempt. Ends when dropped.
#[derive(Debug)]
pub struct AttemptSpan {
    span: Span,
    context: TraceContext,
}

impl AttemptSpan {
    /// The trace context for a provider that takes part in the trace.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Records how the attempt ended.
    pub fn end(&self, record: &AttemptRecord) {
        let span = &self.span;
        if span.is_disabled() {
            return;
        }
        span.set_attribute(names::ATTEMPT_OUTCOME, record.outcome.name());
        if let Outcome::Failed(error) = &record.outcome {
            span.set_attribute(names::ERROR_TYPE, error_type(error));
            span.set_status(Status::error(error.to_string()));
        }
        if let Some(id) = &record.provider_request_id {
            span.set_attribute(names::PROVIDER_REQUEST_ID, id.clone());
        }
        if let Some(id) = &record.response_id {
            span.set_attribute(names::RESPONSE_ID, id.clone());
        }
        if let Some(model) = &record.response_model {
            span.set_attribute(names::RESPONSE_MODEL, model.clone());
        }
        if let Some(time) = record.first_content {
            span.set_attribute(names::RESPONSE_TIME_TO_FIRST_CHUNK, time.as_secs_f64());
        }
        if let Some(reason) = record.finish {
            let reason: StringValue = finish_name(reason).into();
            span.set_attribute(
                names::RESPONSE_FINISH_REASONS,
                Value::Array(Array::String(vec![reason])),
            );
        }
        if let Some(usage) = &record.usage {
            let tokens = |name, tokens: u64| {
                span.set_attribute(name, i64::try_from(tokens).unwrap_or(i64::MAX))
            };
            tokens(names::USAGE_INPUT_TOKENS, usage.input_tokens);
            tokens(names::USAGE_OUTPUT_TOKENS, usage.output_tokens);
            tokens(names::USAGE_CACHE_READ, usage.cache_read_input_tokens);
            tokens(names::USAGE_CACHE_WRITE, usage.cache_write_input_tokens);
            tokens(names::USAGE_REASONING, usage.reasoning_output_tokens);
        }
    }
}

/// The `error.type` of a failure. By the conventions it is the HTTP status if that is unsuccessful, else a name.
fn error_type(error: &UpstreamError) -> String {
    match error.status {
        Some(status) if status >= 300 => status.to_string(),
        Some(_) | None => error.kind.verdict().reason.name().to_owned(),
    }
}

fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::MaxTokens => "length",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Other => "other",
    }
}

fn remote(parent: TraceContext, state: &TraceState) -> SpanContext {
    let flags = if parent.sampled {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::default()
    };
    let trace_id = TraceId::from_bytes(parent.trace_id.to_be_bytes());
    let span_id = SpanId::from_bytes(parent.span_id.to_be_bytes());
    let state = state.header().and_then(|state| state.parse().ok());
    SpanContext::new(trace_id, span_id, flags, true, state.unwrap_or_default())
}

/// The ids of the OpenTelemetry span; `None` if no layer makes one of this span.
fn context_of(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let ids = context.span().span_context().clone();
    ids.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(ids.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(ids.span_id().to_bytes()),
        sampled: ids.is_sampled(),
    })
}
