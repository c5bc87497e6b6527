//! What of the texts of an answer, their sources and their probabilities has been passed on?

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::ChatEvent;
use crate::error::UpstreamError;
use crate::wire::json::too_many_parts;
use crate::wire::limits::MAX_PARTS;
use crate::wire::openai::logprobs;

use super::super::about_text;
use super::super::passed::Passed;
use super::super::reply;
use super::{Field, Items, Kind, Name};

/// What of a text has been passed on.
#[derive(Default)]
pub(super) struct Said {
    pub(super) passed: Passed,
    /// The characters before it in its part of our answer.
    base: usize,
    citations: usize,
    logprobs: usize,
}

impl Items {
    /// More of a text. Reads nothing of an empty piece.
    pub(in crate::wire::openai_responses) fn piece(
        &mut self,
        name: Name<'_>,
        (field, part): (Field, u64),
        piece: Cow<'_, str>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if piece.is_empty() {
            return Ok(());
        }
        let place = self.find_or_add(name, field.kind())?;
        self.pass_text(place, (field, part), piece, events)
    }

    /// A source of a text.
    pub(in crate::wire::openai_responses) fn citation(
        &mut self,
        name: Name<'_>,
        part: u64,
        annotation: &RawValue,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let place = self.find_or_add(name, Kind::Message)?;
        let said = self.text(place, (Field::Text, part))?;
        said.citations += 1;
        let citation = about_text::citation(annotation, said.base);
        events.push(ChatEvent::Citation(Box::new(citation)));
        Ok(())
    }

    /// How likely more tokens of a text were.
    pub(in crate::wire::openai_responses) fn logprobs(
        &mut self,
        name: Name<'_>,
        part: u64,
        logprobs: Option<&RawValue>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let logprobs = about_text::after(0, logprobs)?;
        if logprobs.is_empty() {
            return Ok(());
        }
        let place = self.find_or_add(name, Kind::Message)?;
        self.pass_logprobs(place, part, &logprobs, events)
    }

    /// The whole of a text.
    pub(in crate::wire::openai_responses) fn whole(
        &mut self,
        name: Name<'_>,
        part: (Field, u64),
        whole: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if whole.is_empty() {
            return Ok(());
        }
        let place = self.find_or_add(name, part.0.kind())?;
        self.complete(place, part, whole, events)
    }

    fn text(&mut self, place: usize, part: (Field, u64)) -> Result<&mut Said, UpstreamError> {
        let known = &mut self.items[place];
        if !known.texts.contains_key(&part) {
            self.parts += 1;
            if self.parts > MAX_PARTS {
                return Err(too_many_parts());
            }
        }
        Ok(known.texts.entry(part).or_default())
    }

    pub(super) fn complete(
        &mut self,
        place: usize,
        part: (Field, u64),
        whole: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if whole.is_empty() {
            return Ok(());
        }
        match self.text(place, part)?.passed.rest_of(whole) {
            Some("") => Ok(()),
            Some(rest) => self.pass_text(place, part, Cow::Borrowed(rest), events),
            None => {
                self.disagrees = true;
                Ok(())
            }
        }
    }

    fn pass_text(
        &mut self,
        place: usize,
        part: (Field, u64),
        piece: Cow<'_, str>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let before = self.open_text;
        let said = self.text(place, part)?;
        if said.passed.length() == 0 {
            said.base = before;
        }
        said.passed.add(&piece);
        self.open_text = match part.0 {
            Field::Text => before + piece.chars().count(),
            Field::Summary | Field::Reasoning | Field::Refusal => 0,
        };
        self.open_message = (part.0.kind() == Kind::Message).then_some(place);
        events.push(part.0.event(piece.into_owned()));
        Ok(())
    }

    /// Completes what is said about a text by the whole of it.
    pub(super) fn complete_about(
        &mut self,
        place: usize,
        part: u64,
        whole: &reply::Part<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let said = self.text(place, (Field::Text, part))?;
        let (base, citations, logprobs) = (said.base, said.citations, said.logprobs);
        let new = about_text::after(citations, whole.annotations)?;
        said.citations += new.len();
        events.extend(new.into_iter().map(|annotation| {
            ChatEvent::Citation(Box::new(about_text::citation(annotation, base)))
        }));
        let new = about_text::after(logprobs, whole.logprobs)?;
        self.pass_logprobs(place, part, &new, events)
    }

    fn pass_logprobs(
        &mut self,
        place: usize,
        part: u64,
        written: &[&RawValue],
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        self.text(place, (Field::Text, part))?.logprobs += written.len();
        let read = written
            .iter()
            .filter_map(|written| logprobs::logprob(written));
        let logprobs: Vec<_> = read.collect();
        if !logprobs.is_empty() {
            events.push(ChatEvent::Logprobs(logprobs));
        }
        Ok(())
    }
}
