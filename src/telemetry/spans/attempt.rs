//! What does the span of an attempt say?

use std::sync::Arc;

use crate::chat::{ChatRequest, FinishReason};
use crate::error::UpstreamError;
use crate::trail::{AttemptRecord, BreakerState, Outcome};

use super::super::names::{self, GenAiNames};
use super::super::protobuf::AttributeValue::{Bool, Double, Int, Text, Texts};
use super::super::span_writer::{SpanHead, SpanKind, SpanWriter};
use super::super::trace_context::{TraceContext, TraceState};
use super::{Recording, count, seconds, write_cost};

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

/// What an attempt asks for, as far as its span says it.
#[derive(Debug)]
pub(super) struct SentParameters {
    stream: bool,
    server: (String, u16),
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    seed: Option<i64>,
}

impl SentParameters {
    pub(super) fn of(attempt: &AttemptDescription<'_>) -> Self {
        let (host, port) = attempt.server;
        let sampling = &attempt.request.sampling;
        Self {
            stream: attempt.stream,
            server: (host.to_owned(), port),
            max_tokens: sampling.max_output_tokens,
            temperature: sampling.temperature,
            top_p: sampling.top_p,
            top_k: sampling.top_k,
            frequency_penalty: sampling.frequency_penalty,
            presence_penalty: sampling.presence_penalty,
            seed: sampling.seed,
        }
    }

    fn write(&self, span: &mut SpanWriter, names: GenAiNames) {
        span.attribute(names::REQUEST_STREAM, Bool(self.stream));
        span.attribute(names::SERVER_ADDRESS, Text(&self.server.0));
        span.attribute(names::SERVER_PORT, Int(i64::from(self.server.1)));
        let top_k = |top_k| match names.has_fractional_top_k() {
            true => Double(f64::from(top_k)),
            false => Int(i64::from(top_k)),
        };
        let whole = |number: u32| Int(i64::from(number));
        for (name, value) in [
            (names::REQUEST_MAX_TOKENS, self.max_tokens.map(whole)),
            (names::REQUEST_TEMPERATURE, self.temperature.map(Double)),
            (names::REQUEST_TOP_P, self.top_p.map(Double)),
            (names::REQUEST_TOP_K, self.top_k.map(top_k)),
            (
                names::REQUEST_FREQUENCY_PENALTY,
                self.frequency_penalty.map(Double),
            ),
            (
                names::REQUEST_PRESENCE_PENALTY,
                self.presence_penalty.map(Double),
            ),
            (names::REQUEST_SEED, self.seed.map(Int)),
        ] {
            if let Some(value) = value {
                span.attribute(name, value);
            }
        }
    }
}

/// The CLIENT span of an attempt.
#[derive(Debug)]
pub struct AttemptSpan {
    pub(super) context: TraceContext,
    /// `None` if it is not recorded.
    pub(super) recorded: Option<Box<AttemptRecording>>,
}

/// What the span of an attempt knows beside its record.
#[derive(Debug)]
pub(super) struct AttemptRecording {
    pub(super) recording: Arc<Recording>,
    pub(super) parent: u64,
    pub(super) state: TraceState,
    pub(super) call_id: String,
    pub(super) conversation_id: String,
    /// The attempt that was late, if this one is its rival.
    pub(super) rival: Option<u64>,
    pub(super) parameters: SentParameters,
}

impl AttemptSpan {
    /// The trace context for a provider that takes part in the trace.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Writes the span of an attempt that has ended.
    pub(in crate::telemetry) fn end(&self, record: &AttemptRecord) {
        let Some(recorded) = &self.recorded else {
            return;
        };
        let names = recorded.recording.names;
        let mut span = SpanWriter::begin(&SpanHead {
            context: self.context,
            state: &recorded.state,
            parent: Some(recorded.parent),
            parent_is_remote: false,
            kind: SpanKind::Client,
            name: ["chat ", &record.model],
            started: record.started,
            took: record.latency,
        });
        span.attribute(names::CALL_ID, Text(&recorded.call_id));
        span.text_unless_empty(names::CONVERSATION_ID, &recorded.conversation_id);
        recorded.parameters.write(&mut span, names);
        let is_stream = recorded.parameters.stream;
        attempt_attributes(&mut span, record, names, is_stream);
        if let Some(rival) = recorded.rival {
            let rival = TraceContext {
                span_id: rival,
                ..self.context
            };
            span.link(rival, names::RIVAL);
        }
        if let Outcome::Failed(error) = &record.outcome {
            error_type(&mut span, error);
            span.fail(error);
        }
        recorded.recording.queue.push(span.finish());
    }
}

fn attempt_attributes(
    span: &mut SpanWriter,
    record: &AttemptRecord,
    names: GenAiNames,
    is_stream: bool,
) {
    span.attribute(names::OPERATION_NAME, Text(names::CHAT));
    span.attribute(names::PROVIDER_NAME, Text(&record.provider));
    span.attribute(names::REQUEST_MODEL, Text(&record.model));
    span.attribute(names::ATTEMPT_TARGET, Text(&record.target));
    span.attribute(names::ATTEMPT_NUMBER, Int(i64::from(record.number)));
    span.attribute(names::ATTEMPT_KIND, Text(record.kind.name()));
    span.attribute(names::ATTEMPT_OUTCOME, Text(record.outcome.name()));
    if let Some(reason) = record.outcome.reason() {
        span.attribute(names::ATTEMPT_REASON, Text(reason.name()));
    }
    let breaker = BreakerState::name(record.breaker);
    span.attribute(names::BREAKER_STATE, Text(breaker));
    for (name, text) in [
        (names::PROVIDER_REQUEST_ID, &record.provider_request_id),
        (names::RESPONSE_ID, &record.response_id),
        (names::RESPONSE_MODEL, &record.response_model),
    ] {
        if let Some(text) = text {
            span.attribute(name, Text(text));
        }
    }
    if let Some(time) = record.first_content.filter(|_| is_stream) {
        span.attribute(names::RESPONSE_TIME_TO_FIRST_CHUNK, seconds(time));
    }
    if let Some(reason) = record.finish {
        let reasons = [finish_name(reason)];
        span.attribute(names::RESPONSE_FINISH_REASONS, Texts(&reasons));
    }
    if let Some(usage) = &record.usage {
        let cached = usage.cache_read_input_tokens;
        let reasoning = usage.reasoning_output_tokens;
        count(span, names::USAGE_INPUT_TOKENS, usage.input_tokens);
        count(span, names::USAGE_OUTPUT_TOKENS, usage.output_tokens);
        count(span, names::USAGE_CACHE_READ, cached);
        for name in names.usage_cache_write() {
            count(span, name, usage.cache_write_input_tokens);
        }
        count(span, names::USAGE_REASONING, reasoning);
    }
    if let Some(cost) = record.cost {
        write_cost(span, cost);
    }
}

/// The `error.type` of a failure. By the conventions it is the HTTP status if that is unsuccessful, else a name.
fn error_type(span: &mut SpanWriter, error: &UpstreamError) {
    match error.status.filter(|status| *status >= 300) {
        Some(status) => span.shown(names::ERROR_TYPE, &status),
        None => {
            let reason = error.kind.verdict().reason.name();
            span.attribute(names::ERROR_TYPE, Text(reason));
        }
    }
}

fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::MaxTokens | FinishReason::CostCap => "length",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Other => "other",
    }
}
