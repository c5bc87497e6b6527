//! How an answer in OpenAI Chat Completions becomes events.
//!
//! Specification: <https://platform.openai.com/docs/api-reference/chat-streaming>. What hosts do
//! differently is told on the line that depends on it.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::{ChatEvent, Finish, FinishReason};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::{Decoder, Frame, Framing, failure};

use super::chunk::{CallFragment, Choice, Chunk, Content, Message, Piece, ReasoningDetail, TokenCounts};
use super::tool_calls::{Fragment, Slot, ToolCalls};
use super::{Dialect, ReasoningHistory};

/// Reads one response.
pub(super) struct ChatDecoder {
    framing: Framing,
    /// Whether signed reasoning is handed out to be sent back.
    signs_reasoning: bool,
    has_id: bool,
    has_model: bool,
    has_finish: bool,
    tool_calls: ToolCalls,
}

impl ChatDecoder {
    pub(super) fn new(dialect: &Dialect, framing: Framing) -> Self {
        Self {
            framing,
            signs_reasoning: dialect.reasoning_history == ReasoningHistory::ReasoningDetails,
            has_id: false,
            has_model: false,
            has_finish: false,
            tool_calls: ToolCalls::default(),
        }
    }
}

impl Decoder for ChatDecoder {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let result = match self.framing {
            Framing::Sse => self.stream_event(frame, events),
            Framing::Json => self.whole_body(frame, events),
        };
        if result.is_err() {
            self.tool_calls.finish(events);
        }
        result
    }

    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        self.tool_calls.finish(events);
        if !self.has_finish {
            return Err(UpstreamError::new(UpstreamErrorKind::Truncated));
        }
        // Perplexity and some others send no `[DONE]`.
        events.push(ChatEvent::Done);
        Ok(())
    }
}

impl ChatDecoder {
    fn stream_event(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        match frame.data.trim_ascii() {
            b"" => Ok(()),
            b"[DONE]" => {
                self.tool_calls.finish(events);
                events.push(ChatEvent::Done);
                Ok(())
            }
            data => {
                let chunk = parse(data)?;
                let is_known = chunk.choices.is_some() || chunk.usage.is_some();
                self.chunk(chunk, data, events)?;
                match is_known {
                    true => Ok(()),
                    false => bare_error(frame.event, data).map_or(Ok(()), Err),
                }
            }
        }
    }

    fn whole_body(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let chunk = parse(frame.data)?;
        let before = events.len();
        self.chunk(chunk, frame.data, events)?;
        self.tool_calls.finish(events);
        let is_answer = self.has_finish || events[before..].iter().any(ChatEvent::is_content);
        if !is_answer {
            return Err(bare_error(frame.event, frame.data)
                .unwrap_or_else(|| UpstreamError::malformed("the body holds no answer")));
        }
        events.push(ChatEvent::Done);
        Ok(())
    }

    fn chunk(
        &mut self,
        chunk: Chunk<'_>,
        data: &[u8],
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Chunk {
            id,
            model,
            choices,
            usage,
            x_groq,
            error,
        } = chunk;
        self.start(&id.0, &model.0, events);
        let mut choice_error = None;
        if let Some(choice) = choices.and_then(|choices| choices.first) {
            choice_error = choice.error;
            self.choice(choice, events);
        }
        let usage = usage.or(x_groq.and_then(|groq| groq.usage));
        if let Some(usage) = usage.as_ref().and_then(TokenCounts::usage) {
            events.push(ChatEvent::Usage(usage));
        }
        match error.or(choice_error) {
            Some(error) => in_band(error, data).map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// Azure's first chunk has neither id nor model, though it has both fields.
    fn start(&mut self, id: &str, model: &str, events: &mut Vec<ChatEvent>) {
        let new = |known: &mut bool, text: &str| {
            let is_new = !*known && !text.is_empty();
            *known |= is_new;
            is_new.then(|| text.to_owned())
        };
        let response_id = new(&mut self.has_id, id);
        let response_model = new(&mut self.has_model, model);
        if response_id.is_some() || response_model.is_some() {
            events.push(ChatEvent::Started {
                response_id,
                response_model,
            });
        }
    }

    fn choice(&mut self, choice: Choice<'_>, events: &mut Vec<ChatEvent>) {
        let message = match self.framing {
            Framing::Sse => choice.delta,
            Framing::Json => choice.message,
        };
        if let Some(message) = message {
            self.message(message, events);
        }
        let reason = match (choice.finish_reason.0, choice.finish_details) {
            (reason, Some(details)) if reason.is_empty() => details.r#type.0,
            (reason, _) => reason,
        };
        if reason.is_empty() {
            return;
        }
        self.has_finish = true;
        self.tool_calls.finish(events);
        events.push(ChatEvent::Finish(Finish {
            reason: finish_reason(&reason),
            provider_reason: Some(reason.into_owned()),
            stop_sequence: None,
        }));
    }

    fn message(&mut self, message: Message<'_>, events: &mut Vec<ChatEvent>) {
        let Message {
            content,
            reasoning_content,
            reasoning,
            reasoning_details,
            refusal,
            tool_calls,
            function_call,
        } = message;
        // Hosts that send several of these fields repeat the same reasoning in each.
        let reasoning = match reasoning_content.0.is_empty() {
            true => reasoning.0,
            false => reasoning_content.0,
        };
        self.reasoning_details(reasoning_details, reasoning.is_empty(), events) ;
        append(ChatEvent::Reasoning, reasoning, events);
        content_events(content, events);
        append(ChatEvent::Refusal, refusal.0, events);
        for call in tool_calls.unwrap_or_default() {
            self.tool_call(call, events);
        }
        if let Some(function) = function_call {
            self.tool_calls.add(
                Fragment {
                    slot: Slot::FunctionCall,
                    id: "",
                    name: &function.name.0,
                    arguments: &function.arguments.0,
                    signature: "",
                },
                events,
            );
        }
    }
}
