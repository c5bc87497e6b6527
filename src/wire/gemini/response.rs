//! The JSON of a generateContent response, as far as it is read; borrowed from the frame's bytes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::chat::Usage;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::{Count, Element, Few};
use crate::wire::told::MAX_NAME_BYTES;

use super::partial_args::PartialArg;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) candidates: Option<Candidates<'a>>,
    pub(super) prompt_feedback: Option<PromptFeedback<'a>>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) model_version: Option<Text<'a>>,
    pub(super) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// Of several candidates only the one with index 0 is kept.
#[derive(Default)]
pub(super) struct Candidates<'a> {
    pub(super) first: Option<Candidate<'a>>,
    pub(super) is_empty: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    index: Option<i64>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    pub(super) finish_reason: Option<EnumName<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Few<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    pub(super) text: Option<String>,
    pub(super) thought: Option<bool>,
    pub(super) thought_signature: Option<String>,
    #[serde(borrow)]
    pub(super) function_call: Option<FunctionCall<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCall<'a> {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    pub(super) partial_args: Option<Few<PartialArg>>,
    pub(super) will_continue: Option<bool>,
}

impl Element for Part<'_> {
    fn says_nothing(&self) -> bool {
        let Self {
            text,
            thought: _,
            thought_signature,
            function_call,
        } = self;
        text.is_none() && thought_signature.is_none() && function_call.is_none()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Candidates<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(CandidatesVisitor)
    }
}

struct CandidatesVisitor;

impl<'de> Visitor<'de> for CandidatesVisitor {
    type Value = Candidates<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of candidates")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut candidates = Candidates {
            first: None,
            is_empty: true,
        };
        while let Some(candidate) = list.next_element::<Candidate<'de>>()? {
            candidates.is_empty = false;
            if candidates.first.is_none() && candidate.index.unwrap_or(0) == 0 {
                candidates.first = Some(candidate);
            }
        }
        Ok(candidates)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback<'a> {
    #[serde(borrow)]
    block_reason: Option<EnumName<'a>>,
    block_reason_message: Option<Text<'a>>,
}

impl PromptFeedback<'_> {
    pub(super) fn blocked(self) -> Option<UpstreamError> {
        let reason = self.block_reason.map(|reason| reason.0.into_owned());
        let is_name = |reason: &String| !reason.is_empty() && reason.len() <= MAX_NAME_BYTES;
        let provider_code = reason.filter(is_name);
        if provider_code.is_none() && self.block_reason_message.is_none() {
            return None;
        }
        Some(UpstreamError {
            status: Some(200),
            provider_code,
            ..UpstreamError::new(UpstreamErrorKind::ContentBlocked)
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    #[serde(default)]
    prompt_token_count: Count,
    #[serde(default)]
    tool_use_prompt_token_count: Count,
    #[serde(default)]
    candidates_token_count: Count,
    #[serde(default)]
    thoughts_token_count: Count,
    #[serde(default)]
    cached_content_token_count: Count,
}

impl UsageMetadata {
    /// `None` where nothing was counted: Vertex AI sends its traffic type with every frame.
    pub(super) fn counted(self) -> Option<Usage> {
        let Self {
            prompt_token_count: Count(prompt),
            tool_use_prompt_token_count: Count(tool_use_prompt),
            candidates_token_count: Count(candidates),
            thoughts_token_count: Count(thoughts),
            cached_content_token_count: Count(cached),
        } = self;
        prompt
            .or(tool_use_prompt)
            .or(candidates)
            .or(thoughts)
            .or(cached)?;
        let sum = |one: Option<u64>, other: Option<u64>| {
            one.unwrap_or(0).saturating_add(other.unwrap_or(0))
        };
        Some(Usage {
            input_tokens: sum(prompt, tool_use_prompt),
            output_tokens: sum(candidates, thoughts),
            cache_read_input_tokens: cached.unwrap_or(0),
            cache_write_input_tokens: 0,
            reasoning_output_tokens: thoughts.unwrap_or(0),
        })
    }
}

/// A string that is copied only if it holds escapes.
#[derive(Default, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The name of an enum's value, or its number where the host is asked for `enum-encoding=int`.
pub(super) struct EnumName<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for EnumName<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnumNameVisitor)
    }
}

struct EnumNameVisitor;

impl<'de> Visitor<'de> for EnumNameVisitor {
    type Value = EnumName<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name or number of an enum's value")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(EnumName(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(EnumName(Cow::Owned(name.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(EnumName(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(EnumName(Cow::Owned(number.to_string())))
    }
}
