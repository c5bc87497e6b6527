//! Which JSON fields does a request in OpenAI Chat Completions have?
//!
//! Everything borrows from the request: JSON texts are written unchanged, and media are encoded while they are
//! written. The structs have the fields of all dialects; the encoder fills those of one.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::wire::openai::url::Url;

use super::Effort;

#[derive(Default, Serialize)]
pub(super) struct Body<'a> {
    pub(super) model: &'a str,
    pub(super) messages: Vec<WireMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<WireTool<'a>>,
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
    #[serde(flatten)]
    pub(super) reasoning: ReasoningFields,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub(super) enum WireMessage<'a> {
    System {
        content: Content<'a>,
    },
    Developer {
        content: Content<'a>,
    },
    User {
        content: Content<'a>,
    },
    Assistant(AssistantMessage<'a>),
    Tool {
        tool_call_id: Cow<'a, str>,
        content: Content<'a>,
    },
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
    pub(super) tool_calls: Vec<WireToolCall<'a>>,
}

impl AssistantMessage<'_> {
    pub(super) fn has_reasoning(&self) -> bool {
        !self.reasoning_content.is_empty()
            || !self.reasoning.is_empty()
            || !self.reasoning_details.is_empty()
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Texts(Texts<'a>),
    Pieces(Vec<Piece<'a>>),
}

impl<'a> Content<'a> {
    /// Appends the content of another message.
    pub(super) fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Texts(one), Self::Texts(other)) => one.texts.extend(other.texts),
            (Self::Pieces(one), other) => one.extend(other.into_pieces()),
            (Self::Texts(one), other) => {
                let one = Self::Texts(Texts {
                    texts: std::mem::take(&mut one.texts),
                    separator: one.separator,
                });
                let pieces = one.into_pieces().into_iter().chain(other.into_pieces());
                *self = Self::Pieces(pieces.collect());
            }
        }
    }

    fn into_pieces(self) -> Vec<Piece<'a>> {
        match self {
            Self::Texts(Texts { texts, .. }) => {
                texts.into_iter().map(|text| Piece::Text { text }).collect()
            }
            Self::Pieces(pieces) => pieces,
        }
    }
}

/// Texts that are sent as one string: not every host takes a list where there is only text
/// (OpenHands/OpenHands#4643, Gitlawb/openclaude#774).
pub(super) struct Texts<'a> {
    pub(super) texts: Vec<&'a str>,
    pub(super) separator: &'static str,
}

impl fmt::Display for Texts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, text) in self.texts.iter().enumerate() {
            if position > 0 {
                f.write_str(self.separator)?;
            }
            f.write_str(text)?;
        }
        Ok(())
    }
}

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.texts[..] {
            [text] => serializer.serialize_str(text),
            _ => serializer.collect_str(self),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece<'a> {
    Text {
        text: &'a str,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    File {
        file: File<'a>,
    },
    DocumentUrl {
        document_url: Url<'a>,
        #[serde(skip_serializing_if = "str::is_empty")]
        document_name: &'a str,
    },
}

#[derive(Serialize)]
pub(super) struct ImageUrl<'a> {
    pub(super) url: Url<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct File<'a> {
    pub(super) filename: &'a str,
    pub(super) file_data: Url<'a>,
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
pub(super) struct WireToolCall<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) r#type: &'static str,
    pub(super) function: FunctionCall<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<ExtraContent<'a>>,
}

#[derive(Serialize)]
pub(super) struct FunctionCall<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: Cow<'a, str>,
}

/// Where Gemini's compatible API keeps the signature that must be sent back with a call:
/// <https://ai.google.dev/gemini-api/docs/thought-signatures>.
#[derive(Serialize)]
pub(super) struct ExtraContent<'a> {
    pub(super) google: GoogleContent<'a>,
}

#[derive(Serialize)]
pub(super) struct GoogleContent<'a> {
    pub(super) thought_signature: &'a str,
}

#[derive(Serialize)]
pub(super) struct WireTool<'a> {
    pub(super) r#type: &'static str,
    pub(super) function: FunctionTool<'a>,
}

#[derive(Serialize)]
pub(super) struct FunctionTool<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireToolChoice<'a> {
    Word(&'static str),
    Function {
        r#type: &'static str,
        function: Named<'a>,
    },
}

#[derive(Serialize)]
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum WireResponseFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: JsonSchema<'a> },
}

#[derive(Serialize)]
pub(super) struct JsonSchema<'a> {
    pub(super) name: &'a str,
    pub(super) schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) strict: bool,
}

/// How reasoning is asked for, in all dialects.
#[derive(Default, Serialize)]
pub(super) struct ReasoningFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<ReasoningObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_budget: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct ReasoningObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) exclude: bool,
}

#[derive(Serialize)]
pub(super) struct Thinking {
    pub(super) r#type: &'static str,
}

#[derive(Serialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
