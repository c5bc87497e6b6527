//! What does the span of a call say?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::caller::Door;
use crate::trail::{AttemptKind, AttemptRecord, Outcome};

use super::super::facts::{AskedFor, CallFacts};
use super::super::names;
use super::super::protobuf::AttributeValue::{Bool, Double, Text, Texts};
use super::super::span_writer::{SpanHead, SpanKind, SpanWriter};
use super::super::trace_context::{TraceContext, TraceState};
use super::attempt::{AttemptDescription, AttemptRecording, AttemptSpan, SentParameters};
use super::{Recording, count, number, seconds, usd, write_cost};

/// The SERVER span of a call.
#[derive(Debug)]
pub struct CallSpan {
    context: TraceContext,
    state: TraceState,
    /// `None` if it is not recorded.
    recorded: Option<Box<CallRecording>>,
}

/// What the span of a call knows beside the facts.
#[derive(Debug)]
struct CallRecording {
    recording: Arc<Recording>,
    parent: Option<u64>,
    started: SystemTime,
    began: Instant,
    /// How long the call took, if it ended before its span is written.
    took: Option<Duration>,
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

    /// Has it recorded, if its trace is sampled. `share` of the calls are, where no caller's trace decides it.
    pub(super) fn record(
        &mut self,
        recording: &Arc<Recording>,
        parent: Option<TraceContext>,
        share: f64,
    ) {
        self.context.sampled = match parent {
            Some(parent) => parent.sampled,
            None => self.context.is_among(share),
        };
        if self.context.sampled {
            self.recorded = Some(Box::new(CallRecording {
                recording: Arc::clone(recording),
                parent: parent.map(|parent| parent.span_id),
                started: SystemTime::now(),
                began: Instant::now(),
                took: None,
                call_id: String::new(),
                conversation_id: String::new(),
                original: None,
                latest_attempt: AtomicU64::new(0),
            }));
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
            let is_rival = attempt.record.kind == AttemptKind::Hedge;
            Box::new(AttemptRecording {
                recording: Arc::clone(&call.recording),
                parent: self.context.span_id,
                state: self.state.clone(),
                call_id: call.call_id.clone(),
                conversation_id: call.conversation_id.clone(),
                rival: (is_rival && latest != 0).then_some(latest),
                parameters: SentParameters::of(attempt),
            })
        });
        AttemptSpan { context, recorded }
    }

    /// Notes that the call ends now, although its span is written later.
    pub(in crate::telemetry) fn stop(&mut self) {
        if let Some(recorded) = &mut self.recorded {
            recorded.took = Some(recorded.began.elapsed());
        }
    }

    /// Writes the span of a call that has ended.
    pub(in crate::telemetry) fn end(&self, facts: &CallFacts<'_>) {
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
            took: recorded.took.unwrap_or_else(|| recorded.began.elapsed()),
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
