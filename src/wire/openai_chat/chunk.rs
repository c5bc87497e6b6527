//! What an answer looks like on the wire: one chunk of a stream, or a whole body.
//!
//! Everything borrows from the frame. Compatible hosts send null, nothing, or something odd where
//! OpenAI sends a string or a number; the types here take it all, so that an odd field that nobody
//! asked for does not cost an answer. Unknown fields are skipped. What most chunks lack is boxed: a
//! chunk is moved several times while it is read.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::chat::Usage;

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
    pub(super) tool_calls: Option<Vec<CallFragment<'a>>>,
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
        if Some(unexplained) == prompt.audio_tokens.0 {
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

/// The content of a message: text, or (Mistral) a list of pieces.
pub(super) enum Content<'a> {
    Text(Text<'a>),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Piece<'a> {
    #[serde(borrow)]
    pub(super) text: Text<'a>,
    #[serde(borrow)]
    pub(super) refusal: Text<'a>,
    #[serde(borrow)]
    pub(super) thinking: Content<'a>,
}

/// Arguments of a call: the text as sent, or the compact JSON of an object.
#[derive(Default)]
pub(super) struct Arguments<'a>(pub(super) Cow<'a, str>);

/// A number that is not negative; nothing if it is anything else.
#[derive(Clone, Copy, Default)]
pub(super) struct Count(pub(super) Option<u64>);

impl Default for Content<'_> {
    fn default() -> Self {
        Self::Text(Text::default())
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
        Ok(match deserializer.deserialize_any(AnyVisitor)? {
            Any::Text(text) => Self(text),
            Any::Number(number) => Self(Cow::Owned(number.to_string())),
            Any::Pieces(_) | Any::Object(_) | Any::Nothing => Self::default(),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(AnyVisitor)? {
            Any::Text(text) => Self::Text(Text(text)),
            Any::Number(number) => Self::Text(Text(Cow::Owned(number.to_string()))),
            Any::Pieces(pieces) => Self::Pieces(pieces),
            Any::Object(_) | Any::Nothing => Self::default(),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(AnyVisitor)? {
            Any::Text(text) => Self(text),
            Any::Object(object) => Self(Cow::Owned(Value::Object(object).to_string())),
            Any::Number(_) | Any::Pieces(_) | Any::Nothing => Self::default(),
        })
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserializer.deserialize_any(AnyVisitor)? {
            Any::Number(number) => Self(number.as_u64()),
            Any::Text(_) | Any::Pieces(_) | Any::Object(_) | Any::Nothing => Self::default(),
        })
    }
}

/// Any JSON value, as far as some field above wants it.
enum Any<'a> {
    Text(Cow<'a, str>),
    Number(Number),
    Pieces(Vec<Piece<'a>>),
    Object(Map<String, Value>),
    Nothing,
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Any::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Any::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Any::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Any::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(number).map_or(Any::Nothing, Any::Number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Any::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Any::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Any::Pieces)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        Map::deserialize(MapAccessDeserializer::new(object)).map(Any::Object)
    }
}
