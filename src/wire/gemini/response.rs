//! Which parts of a generateContent response's JSON are read? All of it is borrowed from the frame.
//!
//! Relays that serialise objects of Google's SDK write the keys in snake case.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::{Count, Few, Flag, MaybeAbsent, Text, nothing_from, object};
use crate::wire::limits::MAX_NAME_BYTES;
use crate::wire::tally::Tally;

use super::partial_args::PartialArg;

object! {
    pub(super) struct Response<'a> {
        pub(super) candidates: Option<Candidates<'a>> = "candidates",
        pub(super) prompt_feedback: Option<PromptFeedback<'a>> = "promptFeedback" | "prompt_feedback",
        pub(super) usage_metadata: Option<UsageMetadata> = "usageMetadata" | "usage_metadata",
        pub(super) model_version: Text<'a> = "modelVersion" | "model_version",
        pub(super) response_id: Text<'a> = "responseId" | "response_id",
        pub(super) error: Option<&'a RawValue> = "error",
    }
}

/// Of several candidates only the one with index 0 is kept.
pub(super) struct Candidates<'a> {
    pub(super) first: Option<Candidate<'a>>,
    pub(super) is_empty: bool,
}

object! {
    pub(super) struct Candidate<'a> {
        index: Count = "index",
        pub(super) content: Option<Content<'a>> = "content",
        /// The name of a value, or its number where the host is asked for `enum-encoding=int`.
        pub(super) finish_reason: Text<'a> = "finishReason" | "finish_reason",
    }
}

object! {
    pub(super) struct Content<'a> {
        pub(super) parts: Few<Part<'a>> = "parts",
    }
}

object! {
    pub(super) struct Part<'a> {
        pub(super) text: Option<Text<'a>> = "text",
        pub(super) thought: Flag = "thought",
        pub(super) thought_signature: Text<'a> = "thoughtSignature" | "thought_signature",
        pub(super) function_call: Option<FunctionCall<'a>> = "functionCall" | "function_call",
    }
}

object! {
    pub(super) struct FunctionCall<'a> {
        pub(super) id: Text<'a> = "id",
        pub(super) name: Text<'a> = "name",
        pub(super) args: Option<&'a RawValue> = "args",
        pub(super) partial_args: Few<PartialArg<'a>> = "partialArgs" | "partial_args",
        pub(super) will_continue: Flag = "willContinue" | "will_continue",
    }
}

object! {
    pub(super) struct PromptFeedback<'a> {
        block_reason: Text<'a> = "blockReason" | "block_reason",
        block_reason_message: Text<'a> = "blockReasonMessage" | "block_reason_message",
    }
}

object! {
    pub(super) struct UsageMetadata {
        prompt: Count = "promptTokenCount" | "prompt_token_count",
        tool_use_prompt: Count = "toolUsePromptTokenCount" | "tool_use_prompt_token_count",
        candidates: Count = "candidatesTokenCount" | "candidates_token_count",
        thoughts: Count = "thoughtsTokenCount" | "thoughts_token_count",
        cached: Count = "cachedContentTokenCount" | "cached_content_token_count",
        total: Count = "totalTokenCount" | "total_token_count",
    }
}

impl MaybeAbsent for Part<'_> {
    fn is_absent(&self) -> bool {
        let Self {
            text,
            thought: _,
            thought_signature,
            function_call,
        } = self;
        text.is_none() && thought_signature.is_absent() && function_call.is_none()
    }
}

impl Default for Candidates<'_> {
    fn default() -> Self {
        Self {
            first: None,
            is_empty: true,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Candidates<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CandidatesVisitor)
    }
}

struct CandidatesVisitor;

impl<'de> Visitor<'de> for CandidatesVisitor {
    type Value = Candidates<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut candidates = Candidates::default();
        while let Some(candidate) = list.next_element::<Candidate<'de>>()? {
            candidates.is_empty = false;
            if candidates.first.is_none() && candidate.index.0.unwrap_or(0) == 0 {
                candidates.first = Some(candidate);
            }
        }
        Ok(candidates)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        let candidate = Candidate::deserialize(MapAccessDeserializer::new(object))?;
        Ok(Candidates {
            first: Some(candidate),
            is_empty: false,
        })
    }

    nothing_from!(bool u64 i64 f64 str unit);
}

impl PromptFeedback<'_> {
    /// The failure of a prompt that was blocked.
    pub(super) fn blocked(self) -> Option<UpstreamError> {
        let reason = self.block_reason.0;
        let is_name = !reason.is_empty() && reason.len() <= MAX_NAME_BYTES;
        let provider_code = is_name.then(|| reason.into_owned());
        if provider_code.is_none() && self.block_reason_message.is_absent() {
            return None;
        }
        Some(UpstreamError {
            status: Some(200),
            provider_code,
            ..UpstreamError::new(UpstreamErrorKind::ContentBlocked)
        })
    }
}

impl UsageMetadata {
    /// The counts in our terms; none if nothing was counted: Vertex AI sends usage that has only a traffic type
    /// with every frame.
    pub(super) fn tally(self) -> Tally {
        let Self {
            prompt: Count(prompt),
            tool_use_prompt: Count(tool_use_prompt),
            candidates: Count(candidates),
            thoughts: Count(thoughts),
            cached: Count(cached),
            total: Count(total),
        } = self;
        let sum = |one: Option<u64>, other: Option<u64>| {
            let counts = [one, other].into_iter().flatten();
            counts.reduce(u64::saturating_add)
        };
        let input = sum(prompt, tool_use_prompt);
        let output = sum(candidates, thoughts);
        // The sum of all counts tells what a relay left out.
        let gap = total
            .zip(input)
            .and_then(|(total, input)| total.checked_sub(input)?.checked_sub(output.unwrap_or(0)))
            .filter(|gap| *gap > 0);
        Tally {
            input,
            output: sum(output, gap),
            cache_read: cached,
            cache_write: None,
            reasoning: thoughts,
        }
    }
}
