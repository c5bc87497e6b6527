//! Which JSON fields does an answer in OpenAI Chat Completions have, as one chunk of a stream or a whole body?
//!
//! Everything borrows from the frame. Fields that most chunks lack are boxed, because a chunk is moved while it is read.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::content::Content;
use crate::wire::json::{
    Boxed, Count, Few, InPlace, MaybeAbsent, Text, compact, nothing_from, object,
};
use crate::wire::openai::cost::Usd;
use crate::wire::openai::logprobs::TokenLogprobs;
use crate::wire::openai::usage::{Tier, TokenCounts};

object! {
    pub(super) struct Chunk<'a> {
        pub(super) id: Text<'a> = "id",
        pub(super) model: Text<'a> = "model",
        pub(super) choices: Option<Choices<'a>> = "choices",
        pub(super) usage: Boxed<TokenCounts> = "usage",
        pub(super) service_tier: Tier = "service_tier",
        pub(super) error: Option<&'a RawValue> = "error",
        ;
        pub(super) rare: RareInChunk<'a>,
    }
}

object! {
    pub(super) struct RareInChunk<'a> {
        pub(super) x_groq: Option<XGroq> = "x_groq",
        /// Venice has it here.
        pub(super) cost: Usd = "cost",
        /// Perplexity's sources: with titles, and their addresses alone.
        pub(super) search_results: Option<&'a RawValue> = "search_results",
        pub(super) citations: Option<&'a RawValue> = "citations",
    }
}

object! {
    /// Groq's own fields. Some answers have their usage only here.
    pub(super) struct XGroq {
        pub(super) usage: Boxed<TokenCounts> = "usage",
    }
}

/// Of several choices only the one with index 0 is kept.
#[derive(Default)]
pub(super) struct Choices<'a> {
    pub(super) first: Option<Choice<'a>>,
    /// Whether there are others.
    pub(super) has_others: bool,
}

object! {
    pub(super) struct Choice<'a> {
        index: Count = "index",
        /// In a stream.
        pub(super) delta: Boxed<Message<'a>> = "delta",
        /// In a whole body. Perplexity repeats the whole text here in its streams.
        pub(super) message: Boxed<Message<'a>> = "message",
        pub(super) logprobs: Boxed<Logprobs<'a>> = "logprobs",
        pub(super) finish_reason: Text<'a> = "finish_reason" | "finishReason",
        ;
        pub(super) rare: RareInChoice<'a>,
    }
}

object! {
    pub(super) struct RareInChoice<'a> {
        /// Where the older completions API has its text.
        pub(super) text: Text<'a> = "text",
        pub(super) finish_details: Option<FinishDetails<'a>> = "finish_details",
        /// Moonshot reports here what others report at the top.
        pub(super) usage: Boxed<TokenCounts> = "usage",
        pub(super) error: Option<&'a RawValue> = "error",
    }
}

object! {
    pub(super) struct FinishDetails<'a> {
        pub(super) kind: Text<'a> = "type",
    }
}

object! {
    pub(super) struct Logprobs<'a> {
        pub(super) content: TokenLogprobs = "content",
        pub(super) refusal: Option<&'a RawValue> = "refusal",
        pub(super) reasoning_content: Option<&'a RawValue> = "reasoning_content",
    }
}

object! {
    pub(super) struct Message<'a> {
        pub(super) content: Content<'a> = "content",
        pub(super) reasoning_content: Text<'a> = "reasoning_content",
        pub(super) reasoning: Text<'a> = "reasoning",
        // Most hosts repeat `reasoning` here, so it is read only where it is needed.
        pub(super) reasoning_details: Option<&'a RawValue> = "reasoning_details",
        pub(super) tool_calls: Few<CallFragment<'a>> = "tool_calls",
        ;
        pub(super) rare: RareInMessage<'a>,
    }
}

object! {
    pub(super) struct RareInMessage<'a> {
        pub(super) refusal: Text<'a> = "refusal",
        pub(super) function_call: Boxed<Function<'a>> = "function_call",
        pub(super) annotations: Option<&'a RawValue> = "annotations",
        pub(super) images: Option<&'a RawValue> = "images",
        pub(super) audio: Option<&'a RawValue> = "audio",
        pub(super) executed_tools: Option<&'a RawValue> = "executed_tools",
    }
}

object! {
    /// An entry of `reasoning_details`.
    pub(super) struct ReasoningDetail<'a> {
        pub(super) text: Text<'a> = "text",
        pub(super) summary: Text<'a> = "summary",
        pub(super) signature: Text<'a> = "signature",
        pub(super) data: Text<'a> = "data",
    }
}

object! {
    pub(super) struct CallFragment<'a> {
        pub(super) index: Count = "index",
        pub(super) id: Text<'a> = "id",
        pub(super) function: Option<Function<'a>> = "function",
        pub(super) custom: Option<CustomTool<'a>> = "custom",
        pub(super) extra_content: Option<ExtraContent<'a>> = "extra_content",
    }
}

object! {
    pub(super) struct Function<'a> {
        pub(super) name: Text<'a> = "name",
        pub(super) arguments: CallArguments<'a> = "arguments",
    }
}

object! {
    pub(super) struct CustomTool<'a> {
        pub(super) name: Text<'a> = "name",
        pub(super) input: Text<'a> = "input",
    }
}

object! {
    pub(super) struct ExtraContent<'a> {
        pub(super) google: Option<GoogleContent<'a>> = "google",
    }
}

object! {
    pub(super) struct GoogleContent<'a> {
        pub(super) thought_signature: Text<'a> = "thought_signature",
    }
}

impl<'a> Message<'a> {
    /// The sources of the text.
    pub(super) fn annotations(&self) -> Option<&'a RawValue> {
        self.rare.0.as_ref().and_then(|rare| rare.annotations)
    }
}

/// Arguments of a call: the text as sent, or the compact JSON of an object.
#[derive(Default)]
pub(super) struct CallArguments<'a>(pub(super) Cow<'a, str>);

impl MaybeAbsent for CallFragment<'_> {
    fn is_absent(&self) -> bool {
        let Self {
            index,
            id,
            function,
            custom,
            extra_content,
        } = self;
        index.is_absent()
            && id.is_absent()
            && function.is_none()
            && custom.is_none()
            && extra_content.is_none()
    }
}

impl MaybeAbsent for CallArguments<'_> {
    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

/// An entry of `reasoning_details`, which is an object.
impl MaybeAbsent for &RawValue {
    fn is_absent(&self) -> bool {
        !self.get().starts_with('{')
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoicesVisitor)
    }
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut choices = Choices::default();
        loop {
            let mut choice = Choice::default();
            if list.next_element_seed(InPlace(&mut choice))?.is_none() {
                return Ok(choices);
            }
            if choice.index.0.unwrap_or(0) != 0 {
                choices.has_others = true;
            } else if choices.first.is_none() {
                choices.first = Some(choice);
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        let choice = Choice::deserialize(MapAccessDeserializer::new(object))?;
        Ok(Choices {
            first: Some(choice),
            has_others: false,
        })
    }

    nothing_from!(bool u64 i64 f64 str unit);
}

impl<'de: 'a, 'a> Deserialize<'de> for CallArguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self(match json.as_bytes().first() {
            Some(b'"') => {
                serde_json::from_str::<Text<'de>>(json)
                    .map_err(D::Error::custom)?
                    .0
            }
            Some(b'{') => Cow::Owned(compact(json)),
            _ => Cow::default(),
        }))
    }
}
