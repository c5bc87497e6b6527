//! How is a call that has ended spelled as a line? Pure: a function of its facts.
//!
//! The fields and their meaning are in `docs/logs.md`.

use std::fmt;
use std::time::Duration;

use crate::caller::Caller;
use crate::chat::FinishReason;
use crate::error::{Blame, Code};
use crate::money::CostSource;
use crate::telemetry::facts::{AskedFor, CallFacts};
use crate::trail::{AttemptRecord, CallEnd, Outcome};

use super::escapes::{MAX_LINE_BYTES, escape_into};
use super::figures::{push_millis, push_number, push_usd};

/// The `tracing` target of the lines of calls.
pub const TARGET: &str = "modelway::call";

/// The field of such an event that spells the rest of the line by itself.
pub(super) const FIELD: &str = "call";

/// The most attempts and skipped targets in `tried`.
const MOST_TRIED: usize = 10;

/// The most bytes of what this spells: the time, the level and the target come before it.
const MAX_BYTES: usize = MAX_LINE_BYTES - 256;

/// The line of a call. As `{:?}` it is for people, as `{:#?}` it is the members of a JSON object, each after a comma.
pub struct CallLine<'a> {
    /// The call.
    pub facts: &'a CallFacts<'a>,
    /// The beginning of the hash of the configuration that runs, if that is known.
    pub config: Option<u32>,
}

/// How grave the end of a call is for whoever runs the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// Nothing to do.
    Info,
    /// A provider failed, a deadline was too short, or the service was full.
    Warn,
    /// A defect.
    Error,
}

/// How grave the end of a call is.
pub fn gravity(facts: &CallFacts<'_>) -> Gravity {
    match (facts.code(), facts.blame) {
        (Code::Internal, _) => Gravity::Error,
        (_, Blame::None | Blame::Caller) => Gravity::Info,
        (_, Blame::Provider | Blame::Deadline | Blame::Gateway) => Gravity::Warn,
    }
}

impl fmt::Debug for CallLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match f.alternate() {
            true => self.json(),
            false => self.text(),
        })
    }
}

impl CallLine<'_> {
    fn json(&self) -> String {
        let facts = self.facts;
        let CallFacts {
            trail,
            caller,
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
        let mut line = Members(String::with_capacity(1024));
        line.text("call_id", &trail.call_id);
        line.text("trace_id", &trail.trace_id);
        line.optional("request_id", *request_id);
        if *caller != Caller::Unknown {
            line.text("caller", &facts.caller_name());
        }
        if let Some(identity) = identity {
            line.optional("team", identity.account.team.as_deref());
            line.optional("organisation", identity.account.organisation.as_deref());
            line.optional("key_id", identity.key_id.as_deref());
        }
        line.text("method", method.name());
        line.text("door", door.name());
        match asked_for {
            AskedFor::Unread => {}
            AskedFor::Scenario => line.text("scenario", &trail.scenario),
            AskedFor::UnknownScenario => line.text("scenario", UNKNOWN),
            AskedFor::Model(id) => line.text("model_asked", id),
            AskedFor::UnknownModel => line.text("model_asked", UNKNOWN),
        }
        line.text("priority", priority.name());
        line.text("code", facts.code().name());
        line.text("reason", end.name());
        line.text("blame", blame.name());
        let decisive = facts.decisive_attempt();
        if let Some(attempt) = decisive {
            line.text("provider", &attempt.provider);
            line.text("model", &attempt.model);
            line.optional("response_model", attempt.response_model.as_deref());
            line.optional("finish_reason", attempt.finish.map(finish_name));
        }
        line.number("attempts", facts.attempts() as u64);
        line.number("skipped", facts.skipped() as u64);
        line.bool("rescued", facts.rescued().is_some());
        let end_of_head = line.0.len();
        if let Some(usage) = facts.usage() {
            for (name, count) in [
                ("input_tokens", usage.input_tokens),
                ("output_tokens", usage.output_tokens),
                ("cached_tokens", usage.cache_read_input_tokens),
                ("reasoning_tokens", usage.reasoning_output_tokens),
            ] {
                if let Some(count) = count {
                    line.number(name, count);
                }
            }
        }
        if decisive.is_some() {
            let unknown = CostSource::Unknown;
            let (nanos, source) = facts
                .cost()
                .map_or((0, unknown), |cost| (cost.nanos(), cost.source()));
            line.usd("cost_usd", nanos);
            line.usd("wasted_usd", facts.wasted().map_or(0, |cost| cost.nanos()));
            line.text("cost_source", source.name());
        }
        let unless_zero = |time: Duration| Some(time).filter(|time| !time.is_zero());
        line.time("first_content_ms", times.first_content);
        line.time("total_ms", Some(times.total));
        line.time("queue_ms", Some(times.queue));
        line.time("upstream_ms", Some(times.upstream));
        line.time("overhead_ms", Some(times.overhead));
        line.time("stalled_ms", unless_zero(times.stalled));
        line.time("paused_ms", unless_zero(times.paused));
        line.time("deadline_ms", times.deadline);
        if let Some(messages) = messages {
            line.number("messages", *messages);
        }
        if *replayed {
            line.bool("replayed", true);
        }
        if let Some(config) = self.config {
            line.text("config", &format!("{config:08x}"));
        }
        let is_plain = *end == CallEnd::Answered && trail.attempts.len() == 1;
        if !trail.attempts.is_empty() && !is_plain {
            // What was tried stands in the middle, but only the length of all the rest shows how much of it fits.
            let left = MAX_BYTES.saturating_sub(line.0.len());
            line.0
                .insert_str(end_of_head, &tried(&trail.attempts, left));
        }
        line.0
    }

    fn text(&self) -> String {
        let facts = self.facts;
        let mut line = String::with_capacity(512);
        line.push_str(facts.end.name());
        let mut word = |word: &str| {
            line.push(' ');
            escape_into(&mut line, word);
        };
        match facts.asked_for {
            AskedFor::Unread => {}
            AskedFor::Scenario => word(&facts.trail.scenario),
            AskedFor::Model(id) => word(id),
            AskedFor::UnknownScenario | AskedFor::UnknownModel => word(UNKNOWN),
        }
        if let Some(attempt) = facts.decisive_attempt() {
            word(&attempt.provider);
            line.push('/');
            escape_into(&mut line, &attempt.model);
        }
        line.push_str(" attempts=");
        push_number(&mut line, facts.attempts() as u64);
        line.push_str(match facts.rescued() {
            Some(_) => " rescued=true",
            None => " rescued=false",
        });
        if let Some(usage) = facts.usage() {
            for (before, count) in [(" tokens=", usage.input_tokens), ("/", usage.output_tokens)] {
                line.push_str(before);
                match count {
                    Some(count) => push_number(&mut line, count),
                    None => line.push('?'),
                }
            }
        }
        if let Some(cost) = facts.cost() {
            line.push_str(" cost=");
            push_usd(&mut line, cost.nanos());
        }
        for (name, time) in [
            (" first=", facts.times.first_content),
            (" total=", Some(facts.times.total)),
            (" own=", Some(facts.times.overhead)),
        ] {
            if let Some(time) = time {
                line.push_str(name);
                push_millis(&mut line, time);
                line.push_str("ms");
            }
        }
        if facts.blame != Blame::None {
            line.push_str(" blame=");
            line.push_str(facts.blame.name());
        }
        if facts.caller != Caller::Unknown {
            line.push_str(" caller=");
            escape_into(&mut line, &facts.caller_name());
        }
        if let Some(id) = facts.request_id {
            line.push_str(" request_id=\"");
            escape_into(&mut line, id);
            line.push('"');
        }
        line.push_str(" call_id=");
        line.push_str(&facts.trail.call_id);
        line.push_str(" trace_id=");
        line.push_str(&facts.trail.trace_id);
        line
    }
}

/// Stands for a name that the configuration does not have: what the caller wrote is not repeated.
const UNKNOWN: &str = "unknown";

/// The member `tried` with as many records as fit, and `cut` if some do not.
fn tried(records: &[AttemptRecord], left: usize) -> String {
    const CUT: &str = ",\"cut\":true";
    let mut list = String::from(",\"tried\":[");
    let mut is_cut = records.len() > MOST_TRIED;
    for (position, record) in records.iter().take(MOST_TRIED).enumerate() {
        let record = one_tried(record);
        if list.len() + record.len() + "],".len() + CUT.len() > left {
            is_cut = true;
            break;
        }
        if position > 0 {
            list.push(',');
        }
        list.push_str(&record);
    }
    list.push(']');
    if is_cut {
        list.push_str(CUT);
    }
    list
}

fn one_tried(record: &AttemptRecord) -> String {
    let mut members = Members(String::new());
    members.text("target", &record.target);
    members.text("kind", record.kind.name());
    members.text("outcome", record.outcome.name());
    members.optional(
        "reason",
        record.outcome.reason().map(|reason| reason.name()),
    );
    let was_sent = !matches!(record.outcome, Outcome::Skipped(_));
    members.time("ms", was_sent.then_some(record.latency));
    members.optional("provider_request_id", record.provider_request_id.as_deref());
    // The first member has no comma before it.
    format!("{{{}}}", &members.0[1..])
}

/// The members of a JSON object, each after a comma.
struct Members(String);

impl Members {
    /// Begins a member; the names of members need no escapes.
    fn begin(&mut self, name: &str) {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.0.push('"');
        escape_into(&mut self.0, value);
        self.0.push('"');
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.begin(name);
        push_number(&mut self.0, value);
    }

    fn bool(&mut self, name: &str, value: bool) {
        self.begin(name);
        self.0.push_str(if value { "true" } else { "false" });
    }

    fn time(&mut self, name: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.begin(name);
            push_millis(&mut self.0, value);
        }
    }

    /// Adds an amount as a text: as a number, a reader could round it.
    fn usd(&mut self, name: &str, nanos: i64) {
        self.begin(name);
        self.0.push('"');
        push_usd(&mut self.0, nanos);
        self.0.push('"');
    }
}

/// Why the model stopped, as GenAI's conventions call it.
fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::MaxTokens | FinishReason::CostCap => "length",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Other => "other",
    }
}

#[cfg(test)]
mod tests;
