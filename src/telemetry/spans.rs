//! Which spans does a call have? One for the call and one for each attempt, within the caller's trace.
//!
//! A span is written when it ends, from the facts of its call or attempt. Before that only its ids and what its
//! beginning knows are kept; if it is not recorded, only its ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::caller::Door;
use crate::chat::{ChatRequest, FinishReason};
use crate::error::UpstreamError;
use crate::money::Cost;
use crate::trail::{AttemptRecord, BreakerState, Outcome};

use super::export::SpanQueue;
use super::facts::{AskedFor, CallFacts};
use super::names::{self, GenAiNames};
use super::protobuf::AttributeValue::{self, Bool, Double, Int, Text, Texts};
use super::span_writer::{SpanHead, SpanKind, SpanWriter};
use super::trace_context::{TraceContext, TraceState};

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
        let share = || f64::from_bits(recording.share.load(Ordering::Relaxed));
        span.context.sampled = match parent {
            Some(parent) => parent.sampled,
            None => span.context.is_among(share()),
        };
        if span.context.sampled {
            span.recorded = Some(Box::new(RecordedCall {
                recording: Arc::clone(recording),
                parent: parent.map(|parent| parent.span_id),
                started: SystemTime::now(),
                began: Instant::now(),
                call_id: String::new(),
                conversation_id: String::new(),
                original: None,
                latest_attempt: AtomicU64::new(0),
            }));
        }
        span
    }
}

/// The SERVER span of a call.
#[derive(Debug)]
pub struct CallSpan {
    context: TraceContext,
    state: TraceState,
    /// `None` if it is not recorded.
    recorded: Option<Box<RecordedCall>>,
}

/// What the span of a call knows beside the facts.
#[derive(Debug)]
struct RecordedCall {
    recording: Arc<Recording>,
    parent: Option<u64>,
    started: SystemTime,
    began: Instant,
    call_id: String,
    conversation_id: String,
    /// The call whose answer is given again.
    original: Option<TraceContext>,
    /// The span of the attempt that began last; 0 before the first. Its rival is linked to it.
    latest_attempt: AtomicU64,
}

impl Default for CallSpan {
    /// A span of a trace of its own, which is not recorded.
    fn default() -> Self {
        Self::unrecorded(None, TraceState::default())
    }
}

impl CallSpan {
    /// A span that is not recorded. It has ids all the same, for the answer and for providers.
    pub fn unrecorded(parent: Option<TraceContext>, state: TraceState) -> Self {
        Self {
            context: TraceContext::child_of(parent),
            // A `tracestate` means nothing without a `traceparent`.
            state: parent.map(|_| state).unwrap_or_default(),
            recorded: None,
        }
    }

    /// Its ids.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// The `tracestate` of the call, for providers that take part in the trace.
    pub fn state(&self) -> &TraceState {
        &self.state
    }

    /// Hex id of the call's trace.
    pub fn trace_id(&self) -> String {
        self.context.trace_id_hex()
    }

    /// Adds the ids of the call, which the spans of its attempts have, too.
    pub fn describe(&mut self, call_id: &str, conversation_id: &str) {
        if let Some(recorded) = &mut self.recorded {
            call_id.clone_into(&mut recorded.call_id);
            conversation_id.clone_into(&mut recorded.conversation_id);
        }
    }

    /// Links the call to the one whose answer is given again.
    pub fn repeats(&mut self, original: TraceContext) {
        if let Some(recorded) = &mut self.recorded {
            recorded.original = Some(original);
        }
    }

    /// Begins the span of an attempt.
    pub fn attempt(&self, attempt: &AttemptDescription<'_>) -> AttemptSpan {
        let context = TraceContext::child_of(Some(self.context));
        let recorded = self.recorded.as_ref().map(|call| {
            let latest = call.latest_attempt.swap(context.span_id, Ordering::Relaxed);
            let is_rival = attempt.record.kind == crate::trail::AttemptKind::Hedge;
            Box::new(RecordedAttempt {
                recording: Arc::clone(&call.recording),
                parent: self.context.span_id,
                state: self.state.clone(),
                call_id: call.call_id.clone(),
                conversation_id: call.conversation_id.clone(),
                rival: (is_rival && latest != 0).then_some(latest),
                asked: Asked::of(attempt),
            })
        });
        AttemptSpan { context, recorded }
    }

    /// Writes the span of a call that has ended.
    pub(super) fn end(&self, facts: &CallFacts<'_>) {
        let Some(recorded) = &self.recorded else {
            return;
        };
        let mut span = SpanWriter::begin(&SpanHead {
            context: self.context,
            state: &self.state,
            parent: recorded.parent,
            parent_is_remote: true,
            kind: SpanKind::Server,
            name: [facts.method.full_name(), ""],
            started: recorded.started,
            took: recorded.began.elapsed(),
        });
        call_attributes(&mut span, facts);
        span.text_unless_empty(names::CONVERSATION_ID, &recorded.conversation_id);
        if let Some(original) = recorded.original {
            span.link(original, names::ORIGINAL);
        }
        let code = facts.code();
        if code.is_service_fault() {
            span.attribute(names::ERROR_TYPE, Text(code.name()));
            span.fail(&"");
        }
        recorded.recording.queue.push(span.finish());
    }
}

fn call_attributes(span: &mut SpanWriter, facts: &CallFacts<'_>) {
    let CallFacts {
        trail,
        caller: _,
        identity,
        labels: _,
        request_id,
        method,
        door,
        asked_for,
        priority,
        end,
        blame,
        messages,
        replayed,
        times,
    } = facts;
    match door {
        Door::Grpc | Door::GrpcWeb => span.attribute(names::RPC_SYSTEM, Text("grpc")),
        Door::Json => {}
    }
    span.attribute(names::RPC_METHOD, Text(method.full_name()));
    span.attribute(names::RPC_STATUS_CODE, Text(facts.code().name()));
    span.attribute(names::CALL_ID, Text(&trail.call_id));
    span.text_unless_empty(names::CALL_SCENARIO, &trail.scenario);
    match asked_for {
        AskedFor::Model(model) => span.attribute(names::CALL_MODEL, Text(model)),
        AskedFor::Unread
        | AskedFor::Scenario
        | AskedFor::UnknownScenario
        | AskedFor::UnknownModel => {}
    }
    span.text_unless_empty(names::CALL_CALLER, &facts.caller_name());
    if let Some(identity) = identity {
        let (account, key_id) = (&identity.account, &identity.key_id);
        for (name, text) in [
            (names::CALL_TEAM, &account.team),
            (names::CALL_ORGANISATION, &account.organisation),
            (names::CALL_KEY_ID, key_id),
        ] {
            span.text_unless_empty(name, text.as_deref().unwrap_or_default());
        }
    }
    span.text_unless_empty(names::CALL_REQUEST_ID, request_id.unwrap_or_default());
    span.attribute(names::CALL_DOOR, Text(door.name()));
    span.attribute(names::CALL_PRIORITY, Text(priority.name()));
    span.attribute(names::CALL_REASON, Text(end.name()));
    span.attribute(names::CALL_BLAME, Text(blame.name()));
    span.attribute(names::CALL_ATTEMPTS, number(facts.attempts() as u64));
    if let Some(attempt) = facts.decisive_attempt() {
        span.attribute(names::CALL_TARGET, Text(&attempt.target));
    }
    let skipped: Vec<String> = trail.attempts.iter().filter_map(skipped).collect();
    if !skipped.is_empty() {
        let skipped: Vec<&str> = skipped.iter().map(String::as_str).collect();
        span.attribute(names::CALL_SKIPPED, Texts(&skipped));
    }
    if let Some(kind) = facts.rescued() {
        span.attribute(names::CALL_RESCUED_BY, Text(kind.name()));
    }
    if *replayed {
        span.attribute(names::CALL_REPLAYED, Bool(true));
    }
    if let Some(messages) = messages {
        span.attribute(names::CALL_MESSAGES, number(*messages));
    }
    if let Some(usage) = facts.usage() {
        count(span, names::CALL_INPUT_TOKENS, usage.input_tokens);
        count(span, names::CALL_OUTPUT_TOKENS, usage.output_tokens);
        let cached = usage.cache_read_input_tokens;
        count(span, names::CALL_CACHED_TOKENS, cached);
        let reasoning = usage.reasoning_output_tokens;
        count(span, names::CALL_REASONING_TOKENS, reasoning);
    }
    if let Some(cost) = facts.cost() {
        write_cost(span, cost);
        let wasted = facts.wasted().map_or(0.0, usd);
        span.attribute(names::COST_WASTED, Double(wasted));
    }
    for (name, time) in [
        (names::TIME_QUEUE, Some(times.queue)),
        (names::TIME_UPSTREAM, Some(times.upstream)),
        (names::TIME_OVERHEAD, Some(times.overhead)),
        (names::TIME_FIRST_CONTENT, times.first_content),
        (names::TIME_DEADLINE, times.deadline),
    ] {
        if let Some(time) = time {
            span.attribute(name, seconds(time));
        }
    }
}

fn skipped(attempt: &AttemptRecord) -> Option<String> {
    let Outcome::Skipped(skip) = &attempt.outcome else {
        return None;
    };
    Some(format!("{}: {}", attempt.target, skip.reason().name()))
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

/// What an attempt asks for, as far as its span says it.
#[derive(Debug)]
struct Asked {
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

impl Asked {
    fn of(attempt: &AttemptDescription<'_>) -> Self {
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
    context: TraceContext,
    /// `None` if it is not recorded.
    recorded: Option<Box<RecordedAttempt>>,
}

/// What the span of an attempt knows beside its record.
#[derive(Debug)]
struct RecordedAttempt {
    recording: Arc<Recording>,
    parent: u64,
    state: TraceState,
    call_id: String,
    conversation_id: String,
    /// The attempt that was late, if this one is its rival.
    rival: Option<u64>,
    asked: Asked,
}

impl AttemptSpan {
    /// The trace context for a provider that takes part in the trace.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Writes the span of an attempt that has ended.
    pub(super) fn end(&self, record: &AttemptRecord) {
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
        recorded.asked.write(&mut span, names);
        let is_stream = recorded.asked.stream;
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
