//! What does a request ask for, as far as the simulator looks at it, independently of the wire format?

use serde_json::Value;

use super::tools::{DeclaredTools, LastTurn};

/// How an answer is cut into pieces on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// One JSON object.
    #[default]
    Whole,
    /// Server-sent events.
    Sse,
    /// A JSON array, element by element: what Gemini streams without `alt=sse`.
    Array,
}

/// What the text of an answer has to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum TextKind {
    /// Anything.
    #[default]
    Any,
    /// A JSON object.
    Json,
    /// JSON that obeys this schema.
    Schema(Value),
    /// A value of this schema, without quotes.
    Choice(Value),
}

/// What a request asks for, as far as the simulator looks at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// The model's name as sent.
    pub(super) model: String,
    /// How the answer is wanted.
    pub(super) framing: Framing,
    /// Whether a stream reports its usage.
    pub(super) usage_in_stream: bool,
    /// What the text of the answer has to be.
    pub(super) text: TextKind,
    /// The tools that may be called.
    pub(super) tools: DeclaredTools,
    /// What the conversation ends with.
    pub(super) turn: LastTurn,
    /// The most tokens of text.
    pub(super) max_tokens: Option<usize>,
    /// Whether reasoning is given as something encrypted, to be sent back.
    pub(super) encrypts_reasoning: bool,
    /// The number of words in all texts of the request.
    pub(super) input_words: usize,
    /// Tells requests apart, so that the ids of two turns of one conversation differ.
    pub(super) fingerprint: u64,
    /// The simulator's seed.
    pub(super) seed: u64,
}

impl Asked {
    /// Whether the answer is wanted piece by piece.
    pub(super) fn is_streamed(&self) -> bool {
        self.framing != Framing::Whole
    }
}

/// Words in the texts of a conversation, in any of the wire formats.
pub(super) fn words(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(words).sum(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| match (name.as_str(), field) {
                ("text" | "content" | "system", Value::String(text)) => {
                    text.split_whitespace().count()
                }
                _ => words(field),
            })
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
