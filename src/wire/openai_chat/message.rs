//! Which events does a message become, whole or a piece of it?

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::ChatEvent;
use crate::error::UpstreamError;
use crate::wire::Framing;
use crate::wire::json::{Boxed, Few, Rare, compact, without};

use super::chunk::{CallFragment, Function, Message, RareInMessage, ReasoningDetail};
use super::content::{Content, Said};
use super::sources;
use super::tool_calls::{Fragment, Slot, ToolCalls};
use super::whole_parts::{WholeParts, picture, pictures, provider_part};

/// Reads the messages of one response.
pub(super) struct Messages {
    framing: Framing,
    /// Whether signed reasoning is given to the caller, to be sent back.
    signs_reasoning: bool,
    tool_calls: ToolCalls,
    whole_parts: WholeParts,
}

impl Messages {
    pub(super) fn new(framing: Framing, signs_reasoning: bool) -> Self {
        Self {
            framing,
            signs_reasoning,
            tool_calls: ToolCalls::default(),
            whole_parts: WholeParts::default(),
        }
    }

    /// Emits what is held back of the tool calls.
    pub(super) fn finish_calls(&mut self, events: &mut Vec<ChatEvent>) {
        self.tool_calls.finish(events);
    }

    /// The message is complete: emits all that is held back.
    pub(super) fn finish(&mut self, events: &mut Vec<ChatEvent>) {
        self.whole_parts.finish(events);
        self.finish_calls(events);
    }

    pub(super) fn read(
        &mut self,
        message: Message<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Message {
            content,
            reasoning_content,
            reasoning,
            reasoning_details,
            tool_calls,
            rare: Rare(rare),
        } = message;
        // Hosts that send several of these fields repeat the same reasoning in each.
        let reasoning = reasoning_content.or(reasoning);
        self.reasoning(reasoning.0, reasoning_details, events)?;
        self.content(content, events);
        let mut function_call = None;
        if let Some(rare) = rare {
            function_call = self.rare(*rare, events)?;
        }
        self.tool_calls.next_message();
        for call in tool_calls.all()? {
            self.tool_call(call, events)?;
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
            )?;
        }
        Ok(())
    }

    /// Reads the fields that few messages have. Returns the call that stands in one of them.
    fn rare<'a>(
        &mut self,
        fields: RareInMessage<'a>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<Option<Box<Function<'a>>>, UpstreamError> {
        let RareInMessage {
            refusal,
            function_call: Boxed(function_call),
            annotations: _, // read behind the text
            images,
            audio,
            executed_tools,
        } = fields;
        append(ChatEvent::Refusal, refusal.0, events);
        if let Some(images) = images {
            pictures(images, events)?;
        }
        if let Some(audio) = audio {
            self.whole_parts.sound(audio)?;
        }
        if let Some(runs) = executed_tools {
            self.whole_parts.runs(runs)?;
        }
        Ok(function_call)
    }

    fn content(&mut self, content: Content<'_>, events: &mut Vec<ChatEvent>) {
        for said in content.0 {
            events.push(match said {
                Said::Text(text) => ChatEvent::Text(text.into_owned()),
                Said::Refusal(text) => ChatEvent::Refusal(text.into_owned()),
                Said::Reasoning(text) => ChatEvent::Reasoning(text.into_owned()),
                Said::Other(kind, written) => match &*kind {
                    "reference" | "tool_reference" => sources::reference(written),
                    "image_url" => picture(written),
                    kind => provider_part(kind, compact(written.get())),
                },
                Said::Lost => ChatEvent::LeftOut("choices.message.content".into()),
            });
        }
    }

    fn reasoning(
        &mut self,
        text: Cow<'_, str>,
        details: Option<&RawValue>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let has_text = !text.is_empty();
        append(ChatEvent::Reasoning, text, events);
        if has_text && !self.signs_reasoning {
            return Ok(());
        }
        let details: Few<&RawValue> = details
            .and_then(|details| serde_json::from_str(details.get()).ok())
            .unwrap_or_default();
        for entry in details.all()? {
            let Ok(detail) = serde_json::from_str::<ReasoningDetail<'_>>(entry.get()) else {
                continue;
            };
            let is_signed = !detail.signature.0.is_empty() || !detail.data.0.is_empty();
            if !has_text {
                append(ChatEvent::Reasoning, detail.text.0, events);
                append(ChatEvent::Reasoning, detail.summary.0, events);
            }
            if self.signs_reasoning && is_signed {
                events.push(ChatEvent::ReasoningSignature(self.signature(entry)));
            }
        }
        Ok(())
    }

    /// The signature for an entry of `reasoning_details`: the entry itself; in a stream without its text, because
    /// the entry has only the text's last piece.
    fn signature(&self, entry: &RawValue) -> Bytes {
        let kept = match self.framing {
            Framing::Sse => without(entry, &["text", "summary"]),
            Framing::Json => None,
        };
        Bytes::from(kept.unwrap_or_else(|| compact(entry.get())))
    }

    fn tool_call(
        &mut self,
        call: CallFragment<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let CallFragment {
            index,
            id,
            function,
            custom,
            extra_content,
        } = call;
        let slot = match (self.framing, index.0) {
            (Framing::Json, _) => Slot::Whole,
            (Framing::Sse, Some(index)) => Slot::Index(index),
            (Framing::Sse, None) => Slot::Unnumbered,
        };
        let function = function.unwrap_or_default();
        let custom = custom.unwrap_or_default();
        let google = extra_content
            .and_then(|extra| extra.google)
            .unwrap_or_default();
        self.tool_calls.add(
            Fragment {
                slot,
                id: &id.0,
                name: first_text(&function.name.0, &custom.name.0),
                arguments: first_text(&function.arguments.0, &custom.input.0),
                signature: &google.thought_signature.0,
            },
            events,
        )
    }
}

/// Snowflake sends an empty `custom` beside the `function`.
fn first_text<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

/// Emits a text, unless it is empty.
pub(super) fn append(
    event: fn(String) -> ChatEvent,
    text: Cow<'_, str>,
    events: &mut Vec<ChatEvent>,
) {
    if !text.is_empty() {
        events.push(event(text.into_owned()));
    }
}
