//! What do content blocks, stop reasons and token counts say, in streamed and whole answers alike?

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::cited::citations;
use super::opaque::Opaque;
use super::provided::Provided;
use crate::chat::{ChatEvent, Citation, FinishReason, ProviderToolUsage, ServedTier, ServiceTier};
use crate::error::UpstreamError;
use crate::wire::json::{Count, MaybeAbsent, Text, compact, object, object_text};
use crate::wire::reported::{self, check_call, given_up};
use crate::wire::tally::Tally;
use crate::wire::{Frame, failure};

object! {
    /// A content block, whole or at its start.
    pub(super) struct Block<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        thinking: Text<'a> = "thinking",
        signature: Text<'a> = "signature",
        data: Text<'a> = "data",
        id: Text<'a> = "id",
        name: Text<'a> = "name",
        input: Option<&'a RawValue> = "input",
        citations: Option<&'a RawValue> = "citations",
        caller: Option<&'a RawValue> = "caller",
    }
}

object! {
    struct Caller<'a> {
        kind: Text<'a> = "type",
    }
}

object! {
    /// Token counts as the provider writes them.
    #[derive(Clone, Copy)]
    pub(super) struct Tokens {
        input_tokens: Count = "input_tokens",
        output_tokens: Count = "output_tokens",
        cache_creation_input_tokens: Count = "cache_creation_input_tokens",
        cache_read_input_tokens: Count = "cache_read_input_tokens",
        output_tokens_details: Option<OutputDetails> = "output_tokens_details",
        cache_creation: Option<CacheCreation> = "cache_creation",
        server_tool_use: Option<ServerTools> = "server_tool_use",
        service_tier: Tier = "service_tier",
    }
}

object! {
    #[derive(Clone, Copy)]
    struct CacheCreation {
        long: Count = "ephemeral_1h_input_tokens",
    }
}

object! {
    #[derive(Clone, Copy)]
    struct ServerTools {
        web_searches: Count = "web_search_requests",
        web_fetches: Count = "web_fetch_requests",
    }
}

/// The tier that was used; `None` for a word that says nothing.
#[derive(Clone, Copy, Default)]
struct Tier(Option<ServedTier>);

impl MaybeAbsent for Tier {
    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Text::deserialize(deserializer)?;
        Ok(Self(Some(match &*name.0 {
            "" | "null" => return Ok(Self(None)),
            // Hosts of other families speak this format, too.
            "standard" | "default" | "auto" | "on_demand" => {
                ServedTier::Known(ServiceTier::Standard)
            }
            "priority" => ServedTier::Known(ServiceTier::Priority),
            "flex" => ServedTier::Known(ServiceTier::Flex),
            "batch" => ServedTier::Known(ServiceTier::Batch),
            _ => ServedTier::Other,
        })))
    }
}

object! {
    #[derive(Clone, Copy)]
    struct OutputDetails {
        thinking_tokens: Count = "thinking_tokens",
    }
}

/// What kind of block has begun.
pub(super) enum Begun<'a> {
    Text {
        citations: Vec<Citation>,
    },
    Reasoning,
    ToolCall {
        /// A JSON text.
        input: Cow<'a, str>,
    },
    /// What only the provider understands.
    Provider(Provided),
    /// It has no type.
    Nothing,
}

/// Appends the content of a block: all of it in a whole answer, usually nothing at its start in a stream. Runs of code
/// are counted.
///
/// # Errors
/// `Malformed` for a tool call whose id or name is too long, and for a text with too many sources.
pub(super) fn begin<'a>(
    written: &'a RawValue,
    code_runs: &mut u32,
    events: &mut Vec<ChatEvent>,
) -> Result<Begun<'a>, UpstreamError> {
    let block: Block<'a> = serde_json::from_str(written.get()).unwrap_or_default();
    let kind = match block.kind.is_absent() && !block.text.is_absent() {
        true => "text",
        false => &*block.kind.0,
    };
    Ok(match kind {
        "text" => {
            let citations = citations(block.citations)?;
            text(block.text, events);
            Begun::Text { citations }
        }
        "thinking" => {
            reasoning(block.thinking, events);
            signature(block.signature, events);
            Begun::Reasoning
        }
        "redacted_thinking" => {
            if !block.data.is_absent() {
                let opaque = Opaque::Redacted(&block.data.0).to_bytes();
                events.push(ChatEvent::ReasoningSignature(opaque));
            }
            Begun::Reasoning
        }
        "tool_use" => {
            check_call(&block.id.0, &block.name.0)?;
            events.push(ChatEvent::ToolCall {
                id: block.id.0.into_owned(),
                name: block.name.0.into_owned(),
                signature: block.caller.map_or_else(Bytes::new, caller),
            });
            Begun::ToolCall {
                input: block.input.map_or(Cow::Borrowed("{}"), object_text),
            }
        }
        "" => {
            if written.get().len() > 2 {
                events.push(ChatEvent::LeftOut("content".into()));
            }
            Begun::Nothing
        }
        kind => {
            let runs_code = matches!(
                &*block.name.0,
                "code_execution" | "bash_code_execution" | "text_editor_code_execution"
            );
            if kind == "server_tool_use" && runs_code {
                *code_runs = code_runs.saturating_add(1);
            }
            Begun::Provider(Provided::new(kind, written))
        }
    })
}

/// What must be sent back with a call that the model did not make itself but by code that it ran.
fn caller(written: &RawValue) -> Bytes {
    let Caller { kind } = serde_json::from_str(written.get()).unwrap_or_default();
    match &*kind.0 {
        "" | "direct" => Bytes::new(),
        _ => Opaque::Caller(&compact(written.get())).to_bytes(),
    }
}

pub(super) fn text(text: Text<'_>, events: &mut Vec<ChatEvent>) {
    if !text.is_absent() {
        events.push(ChatEvent::Text(text.0.into_owned()));
    }
}

pub(super) fn reasoning(text: Text<'_>, events: &mut Vec<ChatEvent>) {
    if !text.is_absent() {
        events.push(ChatEvent::Reasoning(text.0.into_owned()));
    }
}

pub(super) fn signature(token: Text<'_>, events: &mut Vec<ChatEvent>) {
    if !token.is_absent() {
        let opaque = Opaque::Signature(&token.0).to_bytes();
        events.push(ChatEvent::ReasoningSignature(opaque));
    }
}

/// Appends why the model stopped. False if the answer does not say so.
///
/// # Errors
/// It stopped for reasons of the provider.
pub(super) fn finish(
    stop_reason: Text<'_>,
    stop_sequence: Text<'_>,
    events: &mut Vec<ChatEvent>,
) -> Result<bool, UpstreamError> {
    let provider_reason = &*stop_reason.0;
    if reported::is_no_reason(provider_reason) {
        return Ok(false);
    }
    if let Some(error) = given_up(provider_reason) {
        return Err(error);
    }
    // Relays pass on the stop reasons of other API families.
    let reason = match provider_reason.to_ascii_lowercase().as_str() {
        "end_turn" | "stop_sequence" | "stop" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" | "length" => FinishReason::MaxTokens,
        "tool_use" | "tool_calls" => FinishReason::ToolCalls,
        "refusal"
        | "content_filter"
        | "content_filtered"
        | "guardrail_intervened"
        | "safety"
        | "sensitive" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    };
    let sequence = (!stop_sequence.is_absent()).then(|| stop_sequence.0.into_owned());
    reported::finish(reason, provider_reason, sequence, events);
    Ok(true)
}

impl Tokens {
    /// These counts, and those of `earlier` where these have none. A prompt always has tokens, so counts of it
    /// that are all zero are treated as absent.
    pub(super) fn or(self, earlier: Self) -> Self {
        let mut new = self;
        let prompt = [
            new.input_tokens,
            new.cache_creation_input_tokens,
            new.cache_read_input_tokens,
        ];
        if prompt.iter().all(|count| count.0.unwrap_or(0) == 0) && earlier.has_prompt() {
            let counts_nothing = new.input_tokens.0.is_some() && new.output_tokens.0 == Some(0);
            if counts_nothing {
                return earlier;
            }
            new.input_tokens = Count(None);
            new.cache_creation_input_tokens = Count(None);
            new.cache_read_input_tokens = Count(None);
            new.cache_creation = None;
        }
        let or = |new: Count, earlier: Count| Count(new.0.or(earlier.0));
        Self {
            input_tokens: or(new.input_tokens, earlier.input_tokens),
            output_tokens: or(new.output_tokens, earlier.output_tokens),
            cache_creation_input_tokens: or(
                new.cache_creation_input_tokens,
                earlier.cache_creation_input_tokens,
            ),
            cache_read_input_tokens: or(
                new.cache_read_input_tokens,
                earlier.cache_read_input_tokens,
            ),
            output_tokens_details: new.output_tokens_details.or(earlier.output_tokens_details),
            cache_creation: new.cache_creation.or(earlier.cache_creation),
            server_tool_use: new.server_tool_use.or(earlier.server_tool_use),
            service_tier: Tier(new.service_tier.0.or(earlier.service_tier.0)),
        }
    }

    fn has_prompt(self) -> bool {
        self.prompt() > Some(0)
    }

    /// `input_tokens` counts neither what a cache served nor what was written to it.
    fn prompt(self) -> Option<u64> {
        let counts = [
            self.input_tokens.0,
            self.cache_creation_input_tokens.0,
            self.cache_read_input_tokens.0,
        ];
        counts.into_iter().flatten().reduce(u64::saturating_add)
    }

    /// The counts in our terms, with how often code was run, which the provider does not count.
    pub(super) fn tally(self, code_executions: u32) -> Tally {
        let details = self.output_tokens_details.unwrap_or_default();
        let tools = self.server_tool_use.unwrap_or_default();
        let few = |count: Count| u32::try_from(count.0.unwrap_or(0)).unwrap_or(u32::MAX);
        Tally {
            input: self.prompt(),
            output: self.output_tokens.0,
            cache_read: self.cache_read_input_tokens.0,
            cache_write: self.cache_creation_input_tokens.0,
            cache_write_long: self.cache_creation.and_then(|written| written.long.0),
            reasoning: details.thinking_tokens.0,
            tools: ProviderToolUsage {
                web_searches: few(tools.web_searches),
                web_fetches: few(tools.web_fetches),
                code_executions,
                file_searches: 0,
            },
            tier: self.service_tier.0,
            ..Tally::default()
        }
    }
}

pub(super) fn in_band(error: Option<&RawValue>, frame: Frame<'_>) -> UpstreamError {
    failure::in_band(error.map_or(frame.data, RawValue::get).as_bytes())
}
