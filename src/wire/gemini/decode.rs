//! How does an answer of generateContent, whole or streamed, become events?
//!
//! Every frame of a stream is a complete response with the next parts of the answer. There is no
//! closing frame: an answer is complete when a finish reason has come and the body ends. Older
//! models send `STOP` with every frame, so the last reason counts.

use std::fmt;

use bytes::Bytes;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::chat::{ChatEvent, FinishReason, ProviderToolUsage};
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::{Boxed, Flag, Rare, is_hollow};
use crate::wire::limits::MAX_NAME_BYTES;
use crate::wire::reported::{self, Reported, given_up, is_no_reason};
use crate::wire::tally::Tally;
use crate::wire::{Frame, Framing, failure};

use super::answer_parts::{OtherPart, says_nothing};
use super::function_calls::FunctionCalls;
use super::logprobs::of_tokens;
use super::positions::Positions;
use super::response::{Candidate, Part, RareInCandidate, Response};
use super::sources::{Sources, Texts};

pub(super) struct Decoder {
    framing: Framing,
    reported: Reported,
    calls: FunctionCalls,
    positions: Positions,
    /// Of the text parts of the last piece that were not its first part: the index, and how many bytes of text lay
    /// before.
    starts: Vec<(usize, usize)>,
    sources: Sources,
    /// Whether it is told that there are further candidates.
    has_told_others: bool,
    finished: bool,
    /// Whether a piece of the answer came without a finish reason: this model does not send one with
    /// every piece.
    ends_once: bool,
    /// Whether the last piece came with a finish reason.
    ends_here: bool,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            reported: Reported::default(),
            calls: FunctionCalls::default(),
            positions: Positions::default(),
            starts: Vec::new(),
            sources: Sources::default(),
            has_told_others: false,
            finished: false,
            ends_once: false,
            ends_here: false,
        }
    }

    fn read(&mut self, data: &str, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        // Some gateways end every stream so. It completes the answer only after a finish reason.
        if self.framing == Framing::Sse && data.trim_ascii() == "[DONE]" {
            if self.finished {
                self.complete(events);
            }
            return Ok(());
        }
        // Without `alt=sse` a stream is one array of responses; errors may come in one as well.
        if data.trim_ascii_start().starts_with('[') {
            return self.responses(data, events);
        }
        if data.trim_ascii_start().starts_with(|first| first != '{') {
            return Err(unreadable());
        }
        match self.framing {
            Framing::Sse => self.event(data, events),
            Framing::Json => self.whole(data, events),
        }
    }

    /// Reads the data of an event. If a host leaves out the blank lines between events, the data holds several
    /// responses, one after the other.
    fn event(&mut self, data: &str, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        let before = events.len();
        for response in serde_json::Deserializer::from_str(data).into_iter() {
            self.response(response.map_err(|error| self.unreadable(&error))?, events)?;
        }
        match events.len() == before && !self.finished {
            true => failure::bare(data).map_or(Ok(()), Err),
            false => Ok(()),
        }
    }

    /// Reads an answer that is not streamed: it is complete, with or without a finish reason.
    fn whole(&mut self, data: &str, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        let response = serde_json::from_str(data).map_err(|error| self.unreadable(&error))?;
        let before = events.len();
        self.response(response, events)?;
        self.finished |= events[before..].iter().any(ChatEvent::is_content);
        if !self.finished {
            return Err(failure::bare(data).unwrap_or_else(|| {
                UpstreamError::malformed("the answer has neither content nor a finish reason")
            }));
        }
        Ok(())
    }

    fn responses(&mut self, data: &str, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        let mut failure = None;
        let mut json = serde_json::Deserializer::from_str(data);
        let read = json
            .deserialize_seq(Responses {
                decoder: self,
                events,
                failure: &mut failure,
            })
            .and_then(|()| json.end());
        match (failure, read) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(self.unreadable(&error)),
            (None, Ok(())) => Ok(()),
        }
    }

    fn unreadable(&self, error: &serde_json::Error) -> UpstreamError {
        if self.framing == Framing::Json && error.is_eof() {
            return UpstreamError::new(UpstreamErrorKind::Truncated);
        }
        unreadable()
    }

    fn response(
        &mut self,
        response: Response<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Response {
            candidates,
            prompt_feedback,
            usage_metadata: Boxed(usage_metadata),
            model_version,
            response_id,
            error,
        } = response;
        let candidates = candidates.unwrap_or_default();
        // Relays add an `error` object with empty fields to a good answer.
        if let Some(error) = error.filter(|error| candidates.is_empty || !is_hollow(error)) {
            return Err(failure::in_band(error.get().as_bytes()));
        }
        self.reported
            .started(&response_id.0, &model_version.0, events);
        if let Some(usage) = usage_metadata {
            self.reported.usage(usage.tally(), events);
        }
        if candidates.is_empty
            && let Some(blocked) = prompt_feedback.0.and_then(|feedback| feedback.blocked())
        {
            return Err(blocked);
        }
        if candidates.has_others && !std::mem::replace(&mut self.has_told_others, true) {
            events.push(ChatEvent::LeftOut("candidates[1]".into()));
        }
        match candidates.first {
            Some(candidate) => self.candidate(candidate, events),
            None => Ok(()),
        }
    }

    fn complete(&mut self, events: &mut Vec<ChatEvent>) {
        self.calls.close(events);
        self.sources.rest(events);
        events.push(ChatEvent::Done);
    }

    fn candidate(
        &mut self,
        candidate: Candidate<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Candidate {
            content,
            finish_reason,
            rare: Rare(rare),
            ..
        } = candidate;
        self.starts.clear();
        let parts = content.unwrap_or_default().parts.all()?;
        for (index, part) in parts.into_iter().enumerate() {
            self.part(index, part, events)?;
        }
        if let Some(rare) = rare {
            self.rare(*rare, events)?;
        }
        let tools = self.sources.tools();
        if tools != ProviderToolUsage::default() {
            let used = Tally {
                tools,
                ..Tally::default()
            };
            self.reported.usage(used, events);
        }
        let reason = &*finish_reason.0;
        let has_reason = !is_no_reason(reason);
        self.ends_here = has_reason;
        self.ends_once |= !has_reason && !self.finished;
        if has_reason {
            if let Some(error) = given_up(reason) {
                return Err(error);
            }
            self.finished = true;
            self.sources.rest(events);
            reported::finish(finish_reason_of(reason), reason, None, events);
        }
        Ok(())
    }

    /// Reads what few candidates have beside their parts.
    fn rare(
        &mut self,
        fields: RareInCandidate<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let RareInCandidate {
            grounding,
            citations,
            url_context,
            logprobs,
        } = fields;
        if let Some(logprobs) = logprobs.map(of_tokens)
            && !logprobs.is_empty()
        {
            events.push(ChatEvent::Logprobs(logprobs));
        }
        if let Some(metadata) = url_context {
            self.sources.pages(metadata, events)?;
        }
        if let Some(metadata) = grounding {
            let texts = Texts {
                positions: &mut self.positions,
                starts: &self.starts,
            };
            self.sources.grounding(metadata, texts, events)?;
        }
        if let Some(metadata) = citations {
            self.sources
                .citations(metadata, &mut self.positions, events)?;
        }
        Ok(())
    }

    fn part(
        &mut self,
        index: usize,
        part: Part<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Part {
            text,
            thought,
            thought_signature,
            function_call,
            others,
        } = part;
        let Flag(thought) = thought;
        let has_text = text.as_ref().is_some_and(|text| !text.0.is_empty());
        if function_call.is_none() && !has_text {
            let is_other = text.is_none() || others.iter().any(|(_, value)| !says_nothing(value));
            if is_other {
                self.positions.interrupt();
                let runs_code = |name: &str| matches!(name, "executableCode" | "executable_code");
                if others.iter().any(|(name, _)| runs_code(name)) {
                    self.sources.code_was_run();
                }
                let other = OtherPart {
                    fields: others,
                    thought,
                    signature: thought_signature.0,
                };
                other.tell(events);
                return Ok(());
            }
        }
        // A field beside those that a part of this kind has.
        for (name, value) in &others {
            if !says_nothing(value) && name.len() <= MAX_NAME_BYTES {
                let path = format!("candidates.content.parts.{name}");
                events.push(ChatEvent::LeftOut(path.into()));
            }
        }
        let signature = Bytes::from(thought_signature.0.into_owned());
        if let Some(call) = function_call {
            self.positions.interrupt();
            return self.calls.add(*call, signature, events);
        }
        let text = text.map(|text| text.0.into_owned()).unwrap_or_default();
        if !text.is_empty() && thought {
            self.positions.interrupt();
            events.push(ChatEvent::Reasoning(text));
        } else if !text.is_empty() {
            if index > 0 {
                self.starts.push((index, self.positions.bytes()));
            }
            self.positions.text(&text);
            events.push(ChatEvent::Text(text));
        }
        if !signature.is_empty() {
            self.positions.interrupt();
            events.push(ChatEvent::ReasoningSignature(signature));
        }
        Ok(())
    }
}

fn unreadable() -> UpstreamError {
    UpstreamError::malformed("a response is not the JSON that the format promises")
}

impl crate::wire::Decoder for Decoder {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let read = self.read(frame.data, events);
        if read.is_err() {
            self.calls.break_off(events);
        }
        read
    }

    fn is_complete(&self) -> bool {
        self.ends_once && self.ends_here
    }

    fn end(&mut self, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        if !self.finished {
            self.calls.break_off(events);
            return Err(UpstreamError::new(UpstreamErrorKind::Truncated));
        }
        self.complete(events);
        Ok(())
    }
}

/// Reads an array of responses, each as soon as it is complete: those before a cut count.
struct Responses<'d> {
    decoder: &'d mut Decoder,
    events: &'d mut Vec<ChatEvent>,
    failure: &'d mut Option<UpstreamError>,
}

impl<'de> Visitor<'de> for Responses<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of responses")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut responses: A) -> Result<(), A::Error> {
        while let Some(response) = responses.next_element()? {
            if let Err(failure) = self.decoder.response(response, self.events) {
                *self.failure = Some(failure);
                return Err(de::Error::custom("the response is an error"));
            }
        }
        Ok(())
    }
}

fn finish_reason_of(reason: &str) -> FinishReason {
    match reason {
        "STOP" | "1" => FinishReason::Stop,
        "MAX_TOKENS" | "2" => FinishReason::MaxTokens,
        "SAFETY"
        | "3"
        | "RECITATION"
        | "4"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

#[cfg(test)]
mod tests;
