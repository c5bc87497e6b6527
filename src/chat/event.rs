//! Which events make up an answer? Content, why the model stopped, and token counts.

use bytes::Bytes;

/// One item of an answer.
///
/// A stream of events holds exactly one [`ChatEvent::Done`], last, if the answer is complete;
/// otherwise it ends with an error and none. [`ChatEvent::Started`], [`ChatEvent::Finish`] and
/// [`ChatEvent::Usage`] may come several times, the last one counts (see [`Answer::apply`](super::Answer::apply)).
#[derive(Clone, Debug, PartialEq)]
pub enum ChatEvent {
    /// The provider's names for the answer and its model; not content.
    Started {
        /// The provider's id of the response.
        response_id: Option<String>,
        /// The model that the provider says answers.
        response_model: Option<String>,
    },
    /// More text; never empty.
    Text(String),
    /// More reasoning text; never empty.
    Reasoning(String),
    /// The opaque token that closes the open piece of reasoning, or stands for reasoning without text.
    ReasoningSignature(Bytes),
    /// More of a refusal; never empty.
    Refusal(String),
    /// A tool call begins. Calls are numbered from 0 in the order in which they begin.
    ToolCall {
        /// The provider's id, empty where it gave none.
        id: String,
        /// The tool's name.
        name: String,
        /// Opaque token to be replayed with the call; empty if there is none.
        signature: Bytes,
    },
    /// More of the arguments of a tool call; never empty.
    ToolArguments {
        /// Number of the call, see [`ChatEvent::ToolCall`].
        call: usize,
        /// A piece of the arguments' JSON text.
        fragment: String,
    },
    /// Why the model stopped, as far as known; later ones replace earlier ones.
    Finish(Finish),
    /// Tokens counted so far; later ones replace earlier ones.
    Usage(Usage),
    /// The provider itself said that the answer is complete.
    Done,
}

impl ChatEvent {
    /// Whether a caller that has seen this event has seen a part of the answer, so that another
    /// attempt could only repeat it. [`ChatEvent::Done`] counts: an empty answer is an answer.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Text(_)
            | Self::Reasoning(_)
            | Self::ReasoningSignature(_)
            | Self::Refusal(_)
            | Self::ToolCall { .. }
            | Self::ToolArguments { .. }
            | Self::Done => true,
            Self::Started { .. } | Self::Finish(_) | Self::Usage(_) => false,
        }
    }

    /// Replaces the last count or finish reason by a later one of the same kind, if no content lies between them.
    /// Returns an event that replaces nothing. `before` are the events before it, last first.
    pub fn unless_replacing<'e>(self, before: impl Iterator<Item = &'e mut Self>) -> Option<Self> {
        for earlier in before.take_while(|event| !event.is_content()) {
            match (&self, &*earlier) {
                (Self::Usage(_), Self::Usage(_)) | (Self::Finish(_), Self::Finish(_)) => {
                    *earlier = self;
                    return None;
                }
                _ => {}
            }
        }
        Some(self)
    }
}

/// Whether a complete answer has content, and what its absence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Substance {
    /// It has content, or a finish reason that explains why it has none.
    Something,
    /// It has no text, no reasoning and no tool call. White space is text, since it may be what was asked for.
    Nothing,
    /// It has no content although tokens were counted for it: the content was lost.
    Lost,
}

/// The most tokens of an empty answer: those that end a turn.
const TOKENS_OF_NOTHING: u64 = 4;

/// Judges the events of a complete answer.
pub fn substance<'e>(events: impl IntoIterator<Item = &'e ChatEvent>) -> Substance {
    let mut finish = None;
    let mut visible_tokens = 0;
    for event in events {
        match event {
            ChatEvent::Done | ChatEvent::Started { .. } => {}
            ChatEvent::Usage(usage) => {
                visible_tokens =
                    (usage.output_tokens).saturating_sub(usage.reasoning_output_tokens);
            }
            ChatEvent::Finish(sent) => finish = Some(sent.reason),
            ChatEvent::Text(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ReasoningSignature(_)
            | ChatEvent::Refusal(_)
            | ChatEvent::ToolCall { .. }
            | ChatEvent::ToolArguments { .. } => return Substance::Something,
        }
    }
    let has_tokens = visible_tokens > TOKENS_OF_NOTHING;
    match finish {
        // A filter has removed content that was counted.
        Some(FinishReason::ContentFilter) => Substance::Something,
        // The host may not count reasoning separately, and the model may have reasoned up to the limit.
        Some(FinishReason::MaxTokens) if has_tokens => Substance::Nothing,
        Some(FinishReason::MaxTokens) => Substance::Something,
        Some(FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Other) | None => {
            match has_tokens {
                true => Substance::Lost,
                false => Substance::Nothing,
            }
        }
    }
}

/// Why the model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// In our terms.
    pub reason: FinishReason,
    /// In the provider's words, unmapped; `None` if it gave none.
    pub provider_reason: Option<String>,
    /// The stop sequence that was written, where the provider tells.
    pub stop_sequence: Option<String>,
}

/// Why the model stopped, in our terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It was finished, or wrote a stop sequence.
    Stop,
    /// The token limit was reached: the answer is cut off.
    MaxTokens,
    /// It waits for tool results.
    ToolCalls,
    /// A filter of the provider ended the answer.
    ContentFilter,
    /// Something else; see [`Finish::provider_reason`].
    Other,
}

/// Token counts. Every sub-count is included in its total, as in the OpenTelemetry GenAI conventions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u64,
    /// Part of the input that a provider cache served.
    pub cache_read_input_tokens: u64,
    /// Part of the input that was written to a provider cache.
    pub cache_write_input_tokens: u64,
    /// Part of the output spent on reasoning.
    pub reasoning_output_tokens: u64,
}

impl Usage {
    /// The sum of two counts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_input_tokens: self
                .cache_read_input_tokens
                .saturating_add(other.cache_read_input_tokens),
            cache_write_input_tokens: self
                .cache_write_input_tokens
                .saturating_add(other.cache_write_input_tokens),
            reasoning_output_tokens: self
                .reasoning_output_tokens
                .saturating_add(other.reasoning_output_tokens),
        }
    }
}
