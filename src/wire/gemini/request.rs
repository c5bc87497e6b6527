//! The JSON of a generateContent request, borrowed from the chat request it is written from.
//!
//! Field names and their meaning: `google.ai.generativelanguage.v1beta.GenerateContentRequest` and
//! `google.cloud.aiplatform.v1.GenerateContentRequest`, in protobuf's JSON mapping.

use std::borrow::Cow;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::wire::arguments::Arguments;

use super::piece::Piece;
use super::thinking::ThinkingConfig;
use super::tools::{Tool, ToolConfig};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) system_instruction: Option<SystemInstruction<'a>>,
    pub(super) contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Piece<'a, Tool<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    pub(super) generation_config: GenerationConfig<'a>,
    /// Not in the published messages: <https://ai.google.dev/gemini-api/docs/priority-inference>.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_tier: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct SystemInstruction<'a> {
    pub(super) parts: Vec<Piece<'a, Part<'a>>>,
}

#[derive(Serialize)]
pub(super) struct Content<'a> {
    pub(super) role: Author,
    pub(super) parts: Vec<Piece<'a, Part<'a>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Author {
    User,
    Model,
}

/// At most one of `text`, `inline_data`, `file_data`, `function_call` and `function_response`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file_data: Option<FileData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thought_signature: Option<&'a str>,
}

impl<'a> Part<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self {
            text: Some(text),
            ..Self::default()
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    pub(super) mime_type: Cow<'a, str>,
    #[serde(serialize_with = "as_base64")]
    pub(super) data: &'a [u8],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileData<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) mime_type: Cow<'a, str>,
    pub(super) file_uri: &'a str,
}

#[derive(Serialize)]
pub(super) struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) id: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) args: Arguments<'a>,
}

#[derive(Serialize)]
pub(super) struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) id: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) response: ToolOutput<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<Piece<'a, ToolOutputPart<'a>>>,
}

/// A tool's result, as the object that the format requires.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ToolOutput<'a> {
    AsItIs(&'a RawValue),
    Result { result: Cow<'a, str> },
    ErrorObject { error: &'a RawValue },
    ErrorText { error: Cow<'a, str> },
}

/// A medium within a tool's result. The Gemini API takes no `FileData` there, Vertex takes
/// both and requires their media type (`FunctionResponsePart` of either).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ToolOutputPart<'a> {
    InlineData(Blob<'a>),
    FileData(FileData<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u32>,
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
    pub(super) seed: Option<i32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_json_schema: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) response_logprobs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_config: Option<ThinkingConfig>,
}

impl GenerationConfig<'_> {
    fn is_empty(&self) -> bool {
        let Self {
            max_output_tokens,
            temperature,
            top_p,
            top_k,
            frequency_penalty,
            presence_penalty,
            seed,
            stop_sequences,
            response_mime_type,
            response_json_schema,
            response_logprobs,
            logprobs,
            thinking_config,
        } = self;
        max_output_tokens.is_none()
            && temperature.is_none()
            && top_p.is_none()
            && top_k.is_none()
            && frequency_penalty.is_none()
            && presence_penalty.is_none()
            && seed.is_none()
            && stop_sequences.is_empty()
            && response_mime_type.is_none()
            && response_json_schema.is_none()
            && !response_logprobs
            && logprobs.is_none()
            && thinking_config.is_none()
    }
}

fn as_base64<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(data, &STANDARD))
}

fn is_false(value: &bool) -> bool {
    !value
}
