//! What does a whole answer say?

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::pieces::{Begun, Block, Tokens, begin, finish, in_band};
use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::Few;
use crate::wire::told::Told;
use crate::wire::{Decoder, Frame};

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    id: Option<String>,
    model: Option<String>,
    #[serde(borrow)]
    content: Option<Few<Block<'a>>>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    usage: Option<Tokens>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Reads a whole answer.
pub(super) struct Whole;

impl Decoder for Whole {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let message: Message<'_> = serde_json::from_slice(frame.data)
            .map_err(|_| UpstreamError::malformed("the body cannot be read"))?;
        if message.error.is_some() || message.kind == "error" {
            return Err(in_band(message.error, frame));
        }
        let mut told = Told::default();
        let name = |name: Option<String>| name.unwrap_or_default();
        told.started(&name(message.id), &name(message.model), events);
        let blocks = message.content.unwrap_or_default().all()?;
        let is_empty = blocks.is_empty();
        let mut calls = 0;
        for block in blocks {
            match begin(block, events)? {
                Begun::ToolCall { input } => {
                    events.push(ChatEvent::ToolArguments {
                        call: calls,
                        fragment: input.to_owned(),
                    });
                    calls += 1;
                }
                Begun::Prose | Begun::Ignored => {}
            }
        }
        let has_reason = finish(message.stop_reason, message.stop_sequence, events);
        if let Some(tokens) = message.usage {
            told.usage(tokens.usage(), events);
        }
        if is_empty && !has_reason {
            return Err(UpstreamError::malformed(
                "the body has neither content nor a stop reason",
            ));
        }
        events.push(ChatEvent::Done);
        Ok(())
    }

    fn end(&mut self, _events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        Err(UpstreamError::new(UpstreamErrorKind::Truncated))
    }
}
