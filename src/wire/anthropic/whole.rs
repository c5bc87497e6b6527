//! Which events does a whole (not streamed) answer of Anthropic's format become?

use serde_json::value::RawValue;

use super::cited::TextPlace;
use super::pieces::{Begun, Tokens, begin, finish, in_band};
use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::failure;
use crate::wire::json::{Few, Text, is_hollow, object, parse_object};
use crate::wire::reported::Reported;
use crate::wire::{Decoder, Frame};

object! {
    struct Message<'a> {
        kind: Text<'a> = "type",
        id: Text<'a> = "id",
        model: Text<'a> = "model",
        content: Option<Few<&'a RawValue>> = "content",
        stop_reason: Text<'a> = "stop_reason",
        stop_sequence: Text<'a> = "stop_sequence",
        usage: Option<Tokens> = "usage",
        error: Option<&'a RawValue> = "error",
    }
}

/// Reads a whole answer.
pub(super) struct Whole;

impl Decoder for Whole {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let message: Message<'_> = parse_object(frame.data)
            .ok_or_else(|| UpstreamError::malformed("the body cannot be read"))?;
        // Relays add an `error` object with empty fields to a good answer.
        let is_answer = message.content.is_some();
        let error = message
            .error
            .filter(|error| !(is_answer && is_hollow(error)));
        if error.is_some() || message.kind.0 == "error" {
            return Err(in_band(error, frame));
        }
        let mut reported = Reported::default();
        reported.started(&message.id.0, &message.model.0, events);
        let blocks = message.content.unwrap_or_default().all()?;
        let mut is_empty = true;
        let (mut calls, mut code_runs) = (0, 0);
        let mut place = TextPlace::default();
        for block in blocks {
            let (start, first) = (place.now(), events.len());
            let begun = begin(block, &mut code_runs, events)?;
            place.pass(events.get(first..).unwrap_or_default());
            is_empty &= matches!(begun, Begun::Nothing);
            match begun {
                Begun::Text { citations } => place.cite(start, citations, events),
                Begun::ToolCall { input } => {
                    events.push(ChatEvent::ToolArguments {
                        call: calls,
                        fragment: input.into_owned(),
                    });
                    calls += 1;
                }
                Begun::Provider(block) => {
                    block.finish(events);
                    place = TextPlace::default();
                }
                Begun::Reasoning | Begun::Nothing => {}
            }
        }
        let has_reason = finish(message.stop_reason, message.stop_sequence, events)?;
        if let Some(tokens) = message.usage {
            reported.usage(tokens.tally(code_runs), events);
        }
        if is_empty && !has_reason {
            return Err(failure::bare(frame.data).unwrap_or_else(|| {
                UpstreamError::malformed("the body has neither content nor a stop reason")
            }));
        }
        events.push(ChatEvent::Done);
        Ok(())
    }

    fn end(&mut self, _events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        Err(UpstreamError::new(UpstreamErrorKind::Truncated))
    }
}
