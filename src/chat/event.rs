//! Which events make up an answer? Content, why the model stopped, and token counts.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Citation, Metadata, Part, TokenLogprob, Usage};

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
    /// A part that arrives whole: an image, sound, moving pictures, or what only its provider understands.
    Part(Box<Part>),
    /// A source of the last text. Never before any text.
    Citation(Box<Citation>),
    /// How likely more tokens of the last text were. Never empty, never before any text.
    Logprobs(Vec<TokenLogprob>),
    /// What the provider says the answer cost, in nano-USD; later ones replace earlier ones.
    Cost(i64),
    /// What the provider says that no other event holds; at most once, before [`ChatEvent::Done`], and only if it is
    /// wanted.
    Metadata(Box<Metadata>),
    /// The path in the provider's answer of something that has no place in ours.
    LeftOut(Cow<'static, str>),
    /// Why the model stopped, as far as known; later ones replace earlier ones.
    Finish(Finish),
    /// Tokens counted so far; later ones replace earlier ones.
    Usage(Box<Usage>),
    /// The provider itself said that the answer is complete.
    Done,
}

impl ChatEvent {
    /// The same event of an answer that was given fewer tokens than asked for because of what its call may cost.
    #[must_use]
    pub fn at_cost_cap(self) -> Self {
        match self {
            Self::Finish(finish) if finish.reason == FinishReason::MaxTokens => {
                Self::Finish(Finish {
                    reason: FinishReason::CostCap,
                    ..finish
                })
            }
            other => other,
        }
    }

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
            | Self::Part(_)
            | Self::Done => true,
            // The last two are about a text that is content itself.
            Self::Citation(_)
            | Self::Logprobs(_)
            | Self::Started { .. }
            | Self::Finish(_)
            | Self::Usage(_)
            | Self::Cost(_)
            | Self::Metadata(_)
            | Self::LeftOut(_) => false,
        }
    }

    /// Replaces the last count or finish reason by a later one of the same kind, if no content lies between them.
    /// Returns an event that replaces nothing. `before` are the events before it, last first.
    pub fn unless_replacing<'e>(self, before: impl Iterator<Item = &'e mut Self>) -> Option<Self> {
        for earlier in before.take_while(|event| !event.is_content()) {
            match (&self, &*earlier) {
                (Self::Usage(_), Self::Usage(_))
                | (Self::Finish(_), Self::Finish(_))
                | (Self::Cost(_), Self::Cost(_)) => {
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
    let mut left_out = false;
    for event in events {
        match event {
            ChatEvent::Done
            | ChatEvent::Started { .. }
            | ChatEvent::Citation(_)
            | ChatEvent::Logprobs(_)
            | ChatEvent::Cost(_)
            | ChatEvent::Metadata(_) => {}
            ChatEvent::LeftOut(_) => left_out = true,
            ChatEvent::Usage(usage) => {
                let written = usage.output_tokens.unwrap_or(0);
                visible_tokens = written.saturating_sub(usage.reasoning_output_tokens.unwrap_or(0));
            }
            ChatEvent::Finish(sent) => finish = Some(sent.reason),
            ChatEvent::Text(_)
            | ChatEvent::Reasoning(_)
            | ChatEvent::ReasoningSignature(_)
            | ChatEvent::Refusal(_)
            | ChatEvent::ToolCall { .. }
            | ChatEvent::ToolArguments { .. }
            | ChatEvent::Part(_) => return Substance::Something,
        }
    }
    // It said something, though not in a form that we can pass on.
    if left_out {
        return Substance::Lost;
    }
    let has_tokens = visible_tokens > TOKENS_OF_NOTHING;
    match finish {
        // A filter has removed content that was counted.
        Some(FinishReason::ContentFilter) => Substance::Something,
        // The host may not count reasoning separately, and the model may have reasoned up to the limit.
        Some(FinishReason::MaxTokens | FinishReason::CostCap) if has_tokens => Substance::Nothing,
        Some(FinishReason::MaxTokens | FinishReason::CostCap) => Substance::Something,
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
    /// A longer answer would have cost more than the call may: it is cut off.
    CostCap,
    /// It waits for tool results.
    ToolCalls,
    /// A filter of the provider ended the answer.
    ContentFilter,
    /// Something else; see [`Finish::provider_reason`].
    Other,
}
