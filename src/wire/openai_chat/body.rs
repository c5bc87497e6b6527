//! Which JSON fields does a request in OpenAI Chat Completions have?
//!
//! Everything borrows from the request: JSON texts are written unchanged, and media are encoded while they are
//! written. The structs have the fields of all dialects; the encoder fills those of one.

use std::borrow::Cow;
use std::ops::Not;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::calls::{ToolMessage, WireToolCall};
use super::marking::Marked;
use super::parts::Content;
use super::reasoning::ReasoningFields;
use super::response_format::WireResponseFormat;
use super::server_tools::SearchFields;
use super::tools::{WireTool, WireToolChoice};
use super::wishes::WishFields;

#[derive(Default, Serialize)]
pub(super) struct Body<'a> {
    pub(super) model: &'a str,
    pub(super) messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Marked<WireTool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<WireToolChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<WireResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) random_seed: Option<i64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) stop: &'a [String],
    #[serde(skip_serializing_if = "Not::not")]
    pub(super) logprobs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_logprobs: Option<u8>,
    #[serde(flatten)]
    pub(super) reasoning: ReasoningFields,
    #[serde(flatten)]
    pub(super) wishes: WishFields<'a>,
    #[serde(flatten)]
    pub(super) search: SearchFields<'a>,
    #[serde(skip_serializing_if = "Not::not")]
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub(super) enum WireMessage<'a> {
    System { content: Content<'a> },
    Developer { content: Content<'a> },
    User { content: Content<'a> },
    Assistant(AssistantMessage<'a>),
    Tool(ToolMessage<'a>),
}

#[derive(Default, Serialize)]
pub(super) struct AssistantMessage<'a> {
    // Written as null beside tool calls: some hosts require the field.
    pub(super) content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) reasoning_content: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) reasoning: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasoning_details: Vec<ReasoningDetail<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Marked<WireToolCall<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<AudioId<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) annotations: Vec<&'a RawValue>,
}

/// Sound of an earlier answer, which the host keeps for an hour.
#[derive(Deserialize, Serialize)]
pub(super) struct AudioId<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
}

impl AssistantMessage<'_> {
    pub(super) fn has_reasoning(&self) -> bool {
        !self.reasoning_content.is_empty()
            || !self.reasoning.is_empty()
            || !self.reasoning_details.is_empty()
    }
}

/// An entry of OpenRouter's `reasoning_details`:
/// <https://openrouter.ai/docs/guides/best-practices/reasoning-tokens>.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ReasoningDetail<'a> {
    Plain { r#type: &'static str, text: &'a str },
    Signed(Cow<'a, RawValue>),
}

#[derive(Serialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: bool,
}
