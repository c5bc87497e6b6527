//! Which parts of a generateContent response's JSON are read? All of it is borrowed from the frame.
//!
//! Relays that serialise objects of Google's SDK write the keys in snake case.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::{
    Boxed, Count, Few, Flag, InPlace, MaybeAbsent, Object, Text, nothing_from, object, read_object,
    take,
};
use crate::wire::limits::MAX_NAME_BYTES;
use crate::wire::tally::Tally;

use super::modalities::{Modalities, tier};
use super::partial_args::PartialArg;

object! {
    pub(super) struct Response<'a> {
        pub(super) candidates: Option<Candidates<'a>> = "candidates",
        pub(super) prompt_feedback: Boxed<PromptFeedback<'a>> = "promptFeedback" | "prompt_feedback",
        pub(super) usage_metadata: Boxed<UsageMetadata<'a>> = "usageMetadata" | "usage_metadata",
        pub(super) model_version: Text<'a> = "modelVersion" | "model_version",
        pub(super) response_id: Text<'a> = "responseId" | "response_id",
        pub(super) error: Option<&'a RawValue> = "error",
    }
}

/// Of several candidates only the one with index 0 is kept.
pub(super) struct Candidates<'a> {
    pub(super) first: Option<Candidate<'a>>,
    pub(super) is_empty: bool,
    /// Whether there are others.
    pub(super) has_others: bool,
}

object! {
    pub(super) struct Candidate<'a> {
        index: Count = "index",
        pub(super) content: Option<Content<'a>> = "content",
        /// The name of a value, or its number where the host is asked for `enum-encoding=int`.
        pub(super) finish_reason: Text<'a> = "finishReason" | "finish_reason",
;
        pub(super) rare: RareInCandidate<'a>,
    }
}

object! {
    pub(super) struct RareInCandidate<'a> {
        pub(super) grounding: Option<&'a RawValue> = "groundingMetadata" | "grounding_metadata",
        pub(super) citations: Option<&'a RawValue> = "citationMetadata" | "citation_metadata",
        pub(super) url_context: Option<&'a RawValue> = "urlContextMetadata" | "url_context_metadata",
        pub(super) logprobs: Option<&'a RawValue> = "logprobsResult" | "logprobs_result",
    }
}

object! {
    pub(super) struct Content<'a> {
        pub(super) parts: Few<Part<'a>> = "parts",
    }
}

/// The most fields of a part besides those that are read by name.
const MOST_OTHERS: usize = 32;

#[derive(Default)]
pub(super) struct Part<'a> {
    pub(super) text: Option<Text<'a>>,
    pub(super) thought: Flag,
    pub(super) thought_signature: Text<'a>,
    /// Boxed, since most parts are text, and a frame may have thousands of them.
    pub(super) function_call: Option<Box<FunctionCall<'a>>>,
    /// Every other field that is not null.
    pub(super) others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de: 'a, 'a> Object<'de> for Part<'a> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        match key {
            "text" => take(&mut self.text, object),
            "thought" => take(&mut self.thought, object),
            "thoughtSignature" | "thought_signature" => take(&mut self.thought_signature, object),
            "functionCall" | "function_call" => take(&mut self.function_call, object),
            other => {
                let value: Option<&'de RawValue> = object.next_value()?;
                if let Some(value) = value.filter(|_| self.others.len() < MOST_OTHERS) {
                    self.others.push((Cow::Owned(other.to_owned()), value));
                }
                Ok(())
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_object(deserializer)
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
    pub(super) struct UsageMetadata<'a> {
        prompt: Count = "promptTokenCount" | "prompt_token_count",
        tool_use_prompt: Count = "toolUsePromptTokenCount" | "tool_use_prompt_token_count",
        candidates: Count = "candidatesTokenCount" | "candidates_token_count",
        thoughts: Count = "thoughtsTokenCount" | "thoughts_token_count",
        cached: Count = "cachedContentTokenCount" | "cached_content_token_count",
        total: Count = "totalTokenCount" | "total_token_count",
        prompt_details: Modalities = "promptTokensDetails" | "prompt_tokens_details",
        tool_use_details: Modalities = "toolUsePromptTokensDetails" | "tool_use_prompt_tokens_details",
        candidates_details: Modalities = "candidatesTokensDetails" | "candidates_tokens_details",
        traffic_type: Text<'a> = "trafficType" | "traffic_type",
        service_tier: Text<'a> = "serviceTier" | "service_tier",
    }
}

impl MaybeAbsent for Part<'_> {
    fn is_absent(&self) -> bool {
        let Self {
            text,
            thought: _,
            thought_signature,
            function_call,
            others,
        } = self;
        text.is_none()
            && thought_signature.is_absent()
            && function_call.is_none()
            && others.is_empty()
    }
}

impl Default for Candidates<'_> {
    fn default() -> Self {
        Self {
            first: None,
            is_empty: true,
            has_others: false,
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
        loop {
            let mut candidate = Candidate::default();
            if list.next_element_seed(InPlace(&mut candidate))?.is_none() {
                return Ok(candidates);
            }
            candidates.is_empty = false;
            if candidates.first.is_none() && candidate.index.0.unwrap_or(0) == 0 {
                candidates.first = Some(candidate);
            } else {
                candidates.has_others = true;
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        let candidate = Candidate::deserialize(MapAccessDeserializer::new(object))?;
        Ok(Candidates {
            first: Some(candidate),
            is_empty: false,
            has_others: false,
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

impl UsageMetadata<'_> {
    /// The counts in our terms. Vertex AI sends usage that has only a traffic type with every frame.
    pub(super) fn tally(self) -> Tally {
        let Self {
            prompt: Count(prompt),
            tool_use_prompt: Count(tool_use_prompt),
            candidates: Count(candidates),
            thoughts: Count(thoughts),
            cached: Count(cached),
            total: Count(total),
            prompt_details,
            tool_use_details,
            candidates_details,
            traffic_type,
            service_tier,
        } = self;
        let sum = |one, other| match (one, other) {
            (Some(one), Some(other)) => Some(u64::saturating_add(one, other)),
            (one, other) => one.or(other),
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
            reasoning: thoughts,
            audio_input: sum(prompt_details.audio, tool_use_details.audio),
            image_input: sum(prompt_details.image, tool_use_details.image),
            video_input: sum(prompt_details.video, tool_use_details.video),
            audio_output: candidates_details.audio,
            image_output: candidates_details.image,
            tier: tier(&service_tier.or(traffic_type).0),
            ..Tally::default()
        }
    }
}
