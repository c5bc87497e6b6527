//! How does an answer in OpenAI Chat Completions become events?
//!
//! Specification: <https://platform.openai.com/docs/api-reference/chat-streaming>. Where hosts differ, a
//! comment on the line says how.

use serde_json::value::RawValue;

use crate::chat::{ChatEvent, ServedTier};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::{Boxed, MaybeAbsent, Rare, is_hollow, parse_object};
use crate::wire::reported::{self, Reported, given_up};
use crate::wire::tally::Tally;
use crate::wire::{Decoder, Frame, Framing, failure};

use super::chunk::{Choice, Chunk, Logprobs, RareInChunk};
use super::finish_reason::finish_reason;
use super::message::{Messages, append};
use super::sources::Sources;
use super::{Dialect, ReasoningHistory};

/// Reads one response.
pub(super) struct ChatDecoder {
    framing: Framing,
    reported: Reported,
    has_finish: bool,
    has_content: bool,
    /// Whether a piece of the answer came before any finish reason: this host does not send one with
    /// every piece.
    ends_once: bool,
    /// Whether no part of the answer has arrived after the last finish reason.
    ends_here: bool,
    messages: Messages,
    sources: Sources,
    tier: Option<ServedTier>,
    /// Whether there are other choices, which are not read.
    has_others: bool,
}

impl ChatDecoder {
    pub(super) fn new(dialect: &Dialect, framing: Framing) -> Self {
        Self {
            framing,
            messages: Messages::new(
                framing,
                dialect.reasoning_history == ReasoningHistory::ReasoningDetails,
            ),
            reported: Reported::default(),
            sources: Sources::default(),
            tier: None,
            has_others: false,
            has_finish: false,
            has_content: false,
            ends_once: false,
            ends_here: false,
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
            self.messages.finish_calls(events);
        }
        result
    }

    fn is_complete(&self) -> bool {
        self.ends_once && self.ends_here
    }

    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        self.messages.finish_calls(events);
        if !self.has_finish {
            return Err(UpstreamError::new(UpstreamErrorKind::Truncated));
        }
        // Perplexity and some others send no `[DONE]`.
        self.messages.finish(events);
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
            "" => Ok(()),
            "[DONE]" => {
                let before = events.len();
                self.messages.finish(events);
                self.has_content |= events[before..].iter().any(ChatEvent::is_content);
                if !self.has_finish && !self.has_content {
                    return Err(UpstreamError::new(UpstreamErrorKind::Truncated));
                }
                events.push(ChatEvent::Done);
                Ok(())
            }
            data => {
                let chunk = parse(data)?;
                let is_known = match &chunk.choices {
                    Some(choices) => choices.first.is_some() || chunk.usage.0.is_some(),
                    None => false,
                };
                self.chunk(chunk, data, events)?;
                if is_known {
                    return Ok(());
                }
                bare_error(frame.event, data).map_or(Ok(()), Err)
            }
        }
    }

    fn whole_body(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let chunk = parse(frame.data)?;
        self.chunk(chunk, frame.data, events)?;
        self.messages.finish(events);
        if !self.has_finish && !self.has_content {
            return Err(bare_error(frame.event, frame.data)
                .unwrap_or_else(|| UpstreamError::malformed("the body holds no answer")));
        }
        events.push(ChatEvent::Done);
        Ok(())
    }

    fn chunk(
        &mut self,
        chunk: Chunk<'_>,
        data: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Chunk {
            id,
            model,
            choices,
            usage: Boxed(usage),
            service_tier,
            error,
            rare: Rare(rare),
        } = chunk;
        // Azure's first chunk has neither id nor model, though it has both fields.
        self.reported.started(&id.0, &model.0, events);
        let is_answer = choices.is_some();
        let mut choice_error = None;
        let mut choice_usage = None;
        let mut read = Ok(());
        let has_others = choices.as_ref().is_some_and(|choices| choices.has_others);
        if has_others && !self.has_others {
            self.has_others = true;
            events.push(ChatEvent::LeftOut("choices".into()));
        }
        if let Some(mut choice) = choices.and_then(|choices| choices.first) {
            if let Rare(Some(rare)) = &mut choice.rare {
                choice_error = rare.error;
                choice_usage = rare.usage.0.take();
            }
            let before = events.len();
            read = self.choice(choice, events);
            self.has_content |= events[before..].iter().any(ChatEvent::is_content);
        }
        let mut elsewhere = None;
        let mut cost_beside = None;
        if let Some(rare) = rare {
            let RareInChunk {
                x_groq,
                cost,
                search_results,
                citations,
            } = *rare;
            for list in [search_results, citations].into_iter().flatten() {
                self.sources.listed(list, events)?;
            }
            elsewhere = x_groq.and_then(|groq| groq.usage.0);
            cost_beside = cost.nanos();
        }
        self.tier = service_tier.0.or(self.tier);
        let usage = usage.or(elsewhere).or(choice_usage);
        let cost_in_usage = usage.as_ref().and_then(|usage| usage.cost());
        if let Some(usage) = usage.and_then(|usage| usage.tally()) {
            let usage = Tally {
                tier: self.tier.or(usage.tier),
                ..usage
            };
            self.reported.usage(usage, events);
        }
        if let Some(nanos) = cost_in_usage.or(cost_beside) {
            self.reported.cost(nanos, events);
        }
        if error.is_some_and(|error| is_error(error, is_answer)) {
            // What explains an error may stand beside it, too.
            return Err(failure::in_band(data.as_bytes()));
        }
        match choice_error.filter(|error| is_error(error, true)) {
            Some(error) => Err(failure::in_band(error.get().as_bytes())),
            None => read,
        }
    }

    /// Reads a piece of the answer.
    ///
    /// # Errors
    /// The piece cannot be read, or says that the provider gave up on the answer.
    fn choice(
        &mut self,
        choice: Choice<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let before = events.len();
        // A host that serves the older completions API by the same code has neither.
        let Choice {
            delta: Boxed(delta),
            message: Boxed(message),
            logprobs: Boxed(logprobs),
            finish_reason: reason,
            rare: Rare(mut rare),
            ..
        } = choice;
        let is_bare = delta.is_none() && message.is_none();
        let (first, second) = match self.framing {
            // Relays put the whole answer of a host that does not stream into one event.
            Framing::Sse => (delta, message.filter(|_| !self.has_content)),
            Framing::Json => (message, delta),
        };
        let mut annotations = None;
        if let Some(message) = first {
            annotations = message.annotations();
            self.messages.read(*message, events)?;
        }
        if let Some(message) = second.filter(|_| events.len() == before) {
            annotations = annotations.or(message.annotations());
            self.messages.read(*message, events)?;
        }
        if is_bare && let Some(rare) = &mut rare {
            append(ChatEvent::Text, std::mem::take(&mut rare.text.0), events);
        }
        self.sources.count(&events[before..]);
        if let Some(annotations) = annotations {
            self.sources.annotations(annotations, events)?;
        }
        if let Some(logprobs) = logprobs {
            about_tokens(*logprobs, events);
        }
        let details = rare.and_then(|rare| rare.finish_details);
        let reason = reason.or(details.unwrap_or_default().kind).0;
        if reported::is_no_reason(&reason) {
            self.ends_once |= !self.has_finish;
            self.ends_here &= events.len() == before;
            return Ok(());
        }
        if let Some(error) = given_up(&reason) {
            return Err(error);
        }
        self.has_finish = true;
        self.ends_here = true;
        self.messages.finish(events);
        reported::finish(finish_reason(&reason), &reason, None, events);
        Ok(())
    }
}

/// Emits how likely the tokens of the text were; those of other texts have no place.
fn about_tokens(logprobs: Logprobs<'_>, events: &mut Vec<ChatEvent>) {
    let Logprobs {
        content,
        refusal,
        reasoning_content,
    } = logprobs;
    if !content.is_absent() {
        events.push(ChatEvent::Logprobs(content.0));
    }
    for (path, others) in [
        ("choices.logprobs.refusal", refusal),
        ("choices.logprobs.reasoning_content", reasoning_content),
    ] {
        if others.is_some_and(|list| list.get().starts_with("[{")) {
            events.push(ChatEvent::LeftOut(path.into()));
        }
    }
}

fn parse(data: &str) -> Result<Chunk<'_>, UpstreamError> {
    parse_object(data)
        .ok_or_else(|| UpstreamError::malformed("it is not JSON of a chat completion"))
}

/// Some hosts send the field empty with every chunk, and relays send an object with empty fields.
fn is_error(error: &RawValue, beside_an_answer: bool) -> bool {
    let says_nothing = matches!(error.get(), "false" | "\"\"" | "0" | "[]");
    let is_nothing = says_nothing || (beside_an_answer && is_hollow(error));
    !is_nothing
}

/// An error whose fields stand at the top of the frame.
fn bare_error(event: &str, data: &str) -> Option<UpstreamError> {
    match event {
        "error" => Some(failure::in_band(data.as_bytes())),
        _ => failure::bare(data),
    }
}

#[cfg(test)]
mod tests;
