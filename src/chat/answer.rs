//! A whole answer: the fold of its events.

use super::{
    Beside, ChatEvent, Citation, Finish, FinishReason, Part, Reasoning, TokenLogprob, ToolCall,
    Usage,
};

/// A whole answer, or as much of one as has arrived: the fold of its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Text, reasoning, refusals, tool calls and parts that arrived whole, in the order in which they began.
    pub parts: Vec<Part>,
    /// Sources, each with the index of the text part that rests on it.
    pub citations: Vec<(usize, Citation)>,
    /// How likely tokens were, each with the index of its text part.
    pub logprobs: Vec<(usize, TokenLogprob)>,
    /// Why the model stopped, as the provider said (see [`Answer::finish_reason`]), and what else is told at the end.
    pub beside: Beside,
    /// Token counts; `None` if the provider sent none.
    pub usage: Option<Usage>,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// The model that the provider says answered.
    pub response_model: Option<String>,
    /// Whether [`ChatEvent::Done`] has come.
    pub complete: bool,
    /// Index in `parts` of each tool call, by its number.
    tool_calls: Vec<usize>,
    /// Index in `parts` of the last text.
    text: Option<usize>,
}

impl Answer {
    /// Adds one event.
    pub fn apply(&mut self, event: ChatEvent) {
        let Some(event) = self.beside.keep(event) else {
            return;
        };
        match event {
            ChatEvent::Started {
                response_id,
                response_model,
            } => {
                self.response_id = response_id.or(self.response_id.take());
                self.response_model = response_model.or(self.response_model.take());
            }
            ChatEvent::Text(delta) => match self.parts.last_mut() {
                Some(Part::Text(text)) => text.push_str(&delta),
                _ => {
                    self.text = Some(self.parts.len());
                    self.parts.push(Part::Text(delta));
                }
            },
            ChatEvent::Refusal(delta) => match self.parts.last_mut() {
                Some(Part::Refusal(text)) => text.push_str(&delta),
                _ => self.parts.push(Part::Refusal(delta)),
            },
            ChatEvent::Reasoning(delta) => match self.parts.last_mut() {
                Some(Part::Reasoning(open)) if open.signature.is_empty() => {
                    open.text.push_str(&delta)
                }
                _ => self.parts.push(Part::Reasoning(Reasoning {
                    text: delta,
                    ..Reasoning::default()
                })),
            },
            ChatEvent::ReasoningSignature(signature) => match self.parts.last_mut() {
                Some(Part::Reasoning(open)) if open.signature.is_empty() => {
                    open.signature = signature
                }
                _ => self.parts.push(Part::Reasoning(Reasoning {
                    signature,
                    ..Reasoning::default()
                })),
            },
            ChatEvent::ToolCall {
                id,
                name,
                signature,
            } => {
                self.tool_calls.push(self.parts.len());
                self.parts.push(Part::ToolCall(ToolCall {
                    id,
                    name,
                    signature,
                    ..ToolCall::default()
                }));
            }
            ChatEvent::ToolArguments { call, fragment } => {
                let part = self
                    .tool_calls
                    .get(call)
                    .and_then(|&index| self.parts.get_mut(index));
                if let Some(Part::ToolCall(open)) = part {
                    open.arguments.push_str(&fragment);
                }
            }
            ChatEvent::Part(part) => self.parts.push(*part),
            ChatEvent::Citation(citation) => {
                self.citations
                    .extend(self.text.map(|text| (text, *citation)));
            }
            ChatEvent::Logprobs(logprobs) => {
                if let Some(text) = self.text {
                    let of_text = logprobs.into_iter().map(|logprob| (text, logprob));
                    self.logprobs.extend(of_text);
                }
            }
            ChatEvent::Usage(usage) => self.usage = Some(*usage),
            ChatEvent::Done => self.complete = true,
            // The cost stands in the record of the attempt; the rest is kept besides the answer.
            ChatEvent::Cost(_)
            | ChatEvent::Finish(_)
            | ChatEvent::Metadata(_)
            | ChatEvent::LeftOut(_) => {}
        }
    }

    /// Why the model stopped: the provider's reason, corrected where providers are known to be vague.
    ///
    /// `Stop` with tool calls becomes `ToolCalls`, `ToolCalls` without any becomes `Other`, and a complete answer
    /// without a reason gets one. `None` only for an answer that is not complete.
    pub fn finish_reason(&self) -> Option<FinishReason> {
        finish_reason(
            self.beside.finish.as_ref(),
            !self.tool_calls.is_empty(),
            self.complete,
        )
    }
}

/// As [`Answer::finish_reason`], for code that does not keep the whole answer.
pub fn finish_reason(
    finish: Option<&Finish>,
    has_tool_calls: bool,
    complete: bool,
) -> Option<FinishReason> {
    match finish.map(|finish| finish.reason) {
        Some(FinishReason::Stop) if has_tool_calls => Some(FinishReason::ToolCalls),
        Some(FinishReason::ToolCalls) if complete && !has_tool_calls => Some(FinishReason::Other),
        Some(reason) => Some(reason),
        None if !complete => None,
        None if has_tool_calls => Some(FinishReason::ToolCalls),
        None => Some(FinishReason::Other),
    }
}
