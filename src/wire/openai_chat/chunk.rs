//! What an answer looks like on the wire: one chunk of a stream, or a whole body.
//!
//! Everything borrows from the frame. Compatible hosts send null, nothing, or something odd where
//! OpenAI sends a string or a number; the types here skip it, so that an odd field that nobody
//! asked for does not cost an answer, nor memory. Unknown fields are skipped. What most chunks lack is
//! boxed: a chunk is moved several times while it is read.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::chat::Usage;
use crate::wire::json::{Count, Element, Few, compact};
use crate::wire::reader::MAX_PARTS;

#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) id: Text<'a>,
    #[serde(borrow, default)]
    pub(super) model: Text<'a>,
    #[serde(borrow)]
    pub(super) choices: Option<Choices<'a>>,
    pub(super) usage: Option<Box<TokenCounts>>,
    pub(super) x_groq: Option<XGroq>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// Groq's own fields, which may be the only place of the usage.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct XGroq {
    pub(super) usage: Option<Box<TokenCounts>>,
}

/// Of several choices only the one with index 0 is kept.
#[derive(Default)]
pub(super) struct Choices<'a> {
    pub(super) first: Option<Choice<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    index: Count,
    /// In a stream.
    #[serde(borrow)]
    pub(super) delta: Option<Box<Message<'a>>>,
    /// In a whole body. Perplexity repeats the whole text here in its streams.
    #[serde(borrow)]
    pub(super) message: Option<Box<Message<'a>>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Text<'a>,
    #[serde(borrow)]
    pub(super) finish_details: Option<FinishDetails<'a>>,
    /// Moonshot reports here what others report at the top.
    pub(super) usage: Option<Box<TokenCounts>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FinishDetails<'a> {
    #[serde(borrow)]
    pub(super) r#type: Text<'a>,
}

#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) content: Content<'a>,
    #[serde(borrow, default)]
    pub(super) reasoning_content: Text<'a>,
    #[serde(borrow, default)]
    pub(super) reasoning: Text<'a>,
    // Most hosts repeat here what stands in `reasoning`, so it is read only where it is needed.
    #[serde(borrow)]
    pub(super) reasoning_details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) refusal: Text<'a>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Few<CallFragment<'a>>>,
    #[serde(borrow)]
    pub(super) function_call: Option<Box<Function<'a>>>,
}

/// An entry of `reasoning_details`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ReasoningDetail<'a> {
    #[serde(borrow)]
    pub(super) text: Text<'a>,
    #[serde(borrow)]
    pub(super) summary: Text<'a>,
    #[serde(borrow)]
    pub(super) signature: Text<'a>,
    #[serde(borrow)]
    pub(super) data: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CallFragment<'a> {
    pub(super) index: Count,
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
    #[serde(borrow)]
    pub(super) custom: Option<CustomTool<'a>>,
    #[serde(borrow)]
    pub(super) extra_content: Option<ExtraContent<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) arguments: Arguments<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CustomTool<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) input: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ExtraContent<'a> {
    #[serde(borrow)]
    pub(super) google: Option<GoogleContent<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct GoogleContent<'a> {
    #[serde(borrow)]
    pub(super) thought_signature: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenCounts {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    prompt_cache_hit_tokens: Count,
    cached_tokens: Count,
    num_cached_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    reasoning_tokens: Count,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Count,
}

impl TokenCounts {
    /// The counts in our terms, where every sub-count is part of its total; `None` if there are none.
    pub(super) fn usage(&self) -> Option<Usage> {
        if self.prompt_tokens.0.is_none() && self.completion_tokens.0.is_none() {
            return None;
        }
        let prompt = self.prompt_tokens_details.unwrap_or_default();
        let completion = self.completion_tokens_details.unwrap_or_default();
        let cache_read = (prompt.cached_tokens.0)
            .or(self.prompt_cache_hit_tokens.0)
            .or(self.cached_tokens.0)
            .or(self.num_cached_tokens.0)
            .or(self.cache_read_input_tokens.0)
            .unwrap_or(0);
        let cache_write = (prompt.cache_write_tokens.0)
            .or(self.cache_creation_input_tokens.0)
            .unwrap_or(0);
        let reasoning = (completion.reasoning_tokens.0)
            .or(self.reasoning_tokens.0)
            .unwrap_or(0);
        let mut input = self.prompt_tokens.0.unwrap_or(0);
        let mut output = self.completion_tokens.0.unwrap_or(0);

        let sum = input.saturating_add(output);
        let unexplained = self.total_tokens.0.unwrap_or(0).saturating_sub(sum);
        let is_cached = unexplained > 0
            && [
                cache_read,
                cache_write,
                cache_read.saturating_add(cache_write),
            ]
            .contains(&unexplained);
        if is_cached {
            // Relays of Claude count a cache in the total, but not in the prompt.
            input = input.saturating_add(unexplained);
        } else if Some(unexplained) == prompt.audio_tokens.0 {
            // Mistral counts audio in the total, but not in the prompt.
            input = input.saturating_add(unexplained);
        } else {
            // xAI and Gemini's compatible API count reasoning in the total, but not in the completion.
            output = output.saturating_add(unexplained);
        }
        if cache_read > input {
            // Grok on Azure leaves cached tokens out of the prompt.
            input = input.saturating_add(cache_read);
        }
        if reasoning > output {
            // Gemini behind an aggregator leaves reasoning out even of the total.
            output = output.saturating_add(reasoning);
        }
        Some(Usage {
            input_tokens: input,
            output_tokens: output,
            cache_read_input_tokens: cache_read,
            cache_write_input_tokens: cache_write,
            reasoning_output_tokens: reasoning,
        })
    }
}

/// A string. Numbers read as text; null and everything else as an empty one.
#[derive(Clone, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// What the content of a message says: a text, or (Mistral) a list of pieces.
#[derive(Default)]
pub(super) struct Content<'a>(pub(super) Vec<Said<'a>>);

/// Something that content says, never empty. Pieces of the same kind that follow each other are one.
pub(super) enum Said<'a> {
    Text(Cow<'a, str>),
    Refusal(Cow<'a, str>),
    Reasoning(Cow<'a, str>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Piece<'a> {
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow)]
    refusal: Text<'a>,
    /// Mistral nests the text of a `thinking` piece in pieces of its own.
    #[serde(borrow)]
    thinking: Content<'a>,
}

/// Arguments of a call: the text as sent, or the compact JSON of an object.
#[derive(Default)]
pub(super) struct Arguments<'a>(pub(super) Cow<'a, str>);

impl Element for CallFragment<'_> {
    fn says_nothing(&self) -> bool {
        let Self {
            index,
            id,
            function,
            custom,
            extra_content,
        } = self;
        index.0.is_none()
            && id.0.is_empty()
            && function.is_none()
            && custom.is_none()
            && extra_content.is_none()
    }
}

/// An entry of `reasoning_details`, which is an object.
impl Element for &RawValue {
    fn says_nothing(&self) -> bool {
        !self.get().starts_with('{')
    }
}

impl<'a> Content<'a> {
    fn say(&mut self, said: Said<'a>) {
        if said.text().is_empty() {
            return;
        }
        // One more than there may be is enough for the reader to refuse the answer.
        let has_room = self.0.len() <= MAX_PARTS;
        match (self.0.last_mut(), said) {
            (Some(Said::Text(open)), Said::Text(text))
            | (Some(Said::Refusal(open)), Said::Refusal(text))
            | (Some(Said::Reasoning(open)), Said::Reasoning(text)) => open.to_mut().push_str(&text),
            (_, said) if has_room => self.0.push(said),
            (_, _) => {}
        }
    }

    fn add(&mut self, piece: Piece<'a>) {
        let Piece {
            text,
            refusal,
            thinking,
        } = piece;
        for thought in thinking.0 {
            self.say(Said::Reasoning(thought.into_text()));
        }
        self.say(Said::Text(text.0));
        self.say(Said::Refusal(refusal.0));
    }
}

impl<'a> Said<'a> {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Refusal(text) | Self::Reasoning(text) => text,
        }
    }

    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) | Self::Refusal(text) | Self::Reasoning(text) => text,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;
        impl<'de> Visitor<'de> for First {
            type Value = Choices<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut first = None;
                while let Some(choice) = list.next_element::<Choice<'de>>()? {
                    if first.is_none() && choice.index.0.unwrap_or(0) == 0 {
                        first = Some(choice);
                    }
                }
                Ok(Choices { first })
            }
        }
        deserializer.deserialize_seq(First)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tolerant::<Text<'de>>::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tolerant::<Content<'de>>::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&'de RawValue>::deserialize(deserializer)?.get();
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

/// What a field takes from a value of any kind.
trait Taken<'de>: Default {
    /// From a string, or a number's digits.
    fn text(text: Cow<'de, str>) -> Self;

    /// From a list.
    fn list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        IgnoredAny.visit_seq(list).map(|_| Self::default())
    }
}

impl<'de> Taken<'de> for Text<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Self(text)
    }
}

impl<'de> Taken<'de> for Content<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        let mut content = Self::default();
        content.say(Said::Text(text));
        content
    }

    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut content = Self::default();
        while let Some(piece) = list.next_element::<Piece<'de>>()? {
            content.add(piece);
        }
        Ok(content)
    }
}

/// Reads a value of any kind as something that takes what it can.
struct Tolerant<T>(PhantomData<T>);

impl<T> Default for Tolerant<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Taken<'de>> Visitor<'de> for Tolerant<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::text(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::text(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(Number::from_f64(number)
            .map_or_else(T::default, |number| T::text(Cow::Owned(number.to_string()))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        IgnoredAny.visit_map(object).map(|_| T::default())
    }
}
