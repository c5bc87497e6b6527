//! How is what a model said sent back: texts with their phase, reasoning, calls, and what only its provider understands?

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::chat::{Media, MediaSource, Part, ProviderPart, Reasoning, ToolCall};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::openai::url::Base64;
use crate::wire::tool_names;

use super::super::ReasoningReplay;
use super::super::body::{Content, InputItem, KnownItem, Picture, Thought};
use super::super::opaque::{CUSTOM_CALL, PICTURE, Phase, Token};
use super::super::parts::misplaced;
use super::{History, said_by};

impl<'a> History<'a, '_> {
    pub(super) fn assistant(
        &mut self,
        message: usize,
        parts: &'a [Part],
        items: &mut Vec<InputItem<'a>>,
    ) -> Result<(), Unsupported> {
        self.ids.begin_message();
        // How many items there are without the reasoning that nothing has followed yet.
        let mut followed = items.len();
        // The end of the texts in a row that the last one belongs to, and the phase that follows them.
        let (mut texts_end, mut phase) = (0, Cow::default());
        for (place, part) in parts.iter().enumerate() {
            let item = match part {
                Part::Reasoning(reasoning) => {
                    if let Some(item) = self.reasoning(reasoning) {
                        items.push(self.marked(item, (message, place))?);
                    }
                    continue;
                }
                Part::Text(text) | Part::Refusal(text) if text.is_empty() => continue,
                // A refusal is sent back as text: as an item it would need the id that it had.
                Part::Text(text) | Part::Refusal(text) => {
                    if place >= texts_end {
                        (texts_end, phase) = self.phase_behind(parts, place);
                    }
                    said_by("assistant", Content::Text(text), phase.clone())
                }
                Part::ToolCall(call) => InputItem::Known(self.call(call)),
                // Sent with the texts before it.
                Part::Provider(part)
                    if place > 0 && place == texts_end && self.phase_of(part).is_some() =>
                {
                    continue;
                }
                Part::Provider(part) => {
                    let before = place.checked_sub(1).and_then(|before| parts.get(before));
                    match self.as_sent(part, before) {
                        Some(item) => item,
                        None => continue,
                    }
                }
                // Sent with the item that follows it.
                Part::Image(_) if self.is_picture(parts.get(place + 1)) => continue,
                Part::Image(_) | Part::Document(_) | Part::Audio(_) | Part::Video(_) => {
                    self.adaptations.note(
                        "messages.parts",
                        "left out: the provider takes no media that a model made",
                    );
                    continue;
                }
                Part::ToolResult(_) => {
                    return Err(misplaced("an assistant message holds no tool results"));
                }
            };
            items.push(self.marked(item, (message, place))?);
            followed = items.len();
        }
        if items.len() > followed {
            // The API refuses reasoning without the item that it led to.
            self.adaptations.note(
                "messages.parts.reasoning",
                "left out: neither text nor a tool call follows it",
            );
            items.truncate(followed);
        }
        Ok(())
    }

    /// Where the texts in a row end that begin here, and the phase that follows them; empty if none does.
    fn phase_behind(&self, parts: &'a [Part], start: usize) -> (usize, Cow<'a, str>) {
        let is_text = |part: &&Part| matches!(part, Part::Text(_) | Part::Refusal(_));
        let texts = parts.iter().skip(start).take_while(is_text).count();
        let end = start + texts;
        let phase = match parts.get(end) {
            Some(Part::Provider(part)) => self.phase_of(part),
            _ => None,
        };
        (end, phase.unwrap_or_default())
    }

    fn phase_of(&self, part: &'a ProviderPart) -> Option<Cow<'a, str>> {
        let is_own = part.provider == self.provider;
        is_own.then(|| Phase::read(part))?.map(|read| read.phase)
    }

    /// Whether a part is the item of a picture, for this provider.
    fn is_picture(&self, part: Option<&Part>) -> bool {
        matches!(part, Some(Part::Provider(part)) if part.provider == self.provider && part.kind == PICTURE)
    }

    /// What only its provider understands, for that provider. The part before it may be the picture that it lacks.
    fn as_sent(
        &mut self,
        part: &'a ProviderPart,
        before: Option<&'a Part>,
    ) -> Option<InputItem<'a>> {
        const FIELD: &str = "messages.parts.provider_part";
        let ProviderPart {
            provider,
            kind,
            content,
        } = part;
        let item = serde_json::from_str::<&RawValue>(content).ok();
        let item = item.filter(|item| provider == self.provider && item.get().starts_with('{'));
        let Some(item) = item else {
            self.adaptations
                .note(FIELD, "left out: another provider made it");
            return None;
        };
        if self.phase_of(part).is_some() {
            self.adaptations
                .note(FIELD, "left out: no text stands before it");
            return None;
        }
        if kind != PICTURE {
            return Some(InputItem::AsSent(item));
        }
        let mut members: BTreeMap<Cow<'a, str>, &'a RawValue> =
            serde_json::from_str(content).unwrap_or_default();
        match before {
            Some(Part::Image(Media {
                source: MediaSource::Data(bytes),
                ..
            })) => {
                members.remove("result");
                Some(InputItem::Picture(Picture {
                    item: members,
                    result: Base64(bytes),
                }))
            }
            _ if members.contains_key("result") => Some(InputItem::AsSent(item)),
            _ => {
                self.adaptations
                    .note(FIELD, "left out: its picture is not before it");
                None
            }
        }
    }

    fn reasoning(&mut self, reasoning: &'a Reasoning) -> Option<InputItem<'a>> {
        const FIELD: &str = "messages.parts.reasoning";
        let Reasoning {
            text,
            signature,
            provider,
        } = reasoning;
        if provider != self.provider {
            self.adaptations
                .note(FIELD, "left out: another provider made it");
            return None;
        }
        let token = Token::read(signature).unwrap_or_default();
        let is_kept = match self.dialect.reasoning_history {
            ReasoningReplay::None => false,
            ReasoningReplay::Encrypted => !token.encrypted.is_empty(),
            ReasoningReplay::Plain => !token.encrypted.is_empty() || !text.is_empty(),
        };
        if !is_kept {
            self.adaptations
                .note(FIELD, "left out: the provider does not take it");
            return None;
        }
        let divided = token.divide(text);
        let summary = divided
            .summary
            .into_iter()
            .map(|text| Thought::SummaryText { text });
        // What is encrypted holds it already.
        let content = divided
            .content
            .into_iter()
            .filter(|_| token.encrypted.is_empty());
        Some(InputItem::Known(KnownItem::Reasoning {
            summary: summary.collect(),
            content: content
                .map(|text| Thought::ReasoningText { text })
                .collect(),
            id: token.id,
            encrypted_content: token.encrypted,
        }))
    }

    fn call(&mut self, call: &'a ToolCall) -> KnownItem<'a> {
        let ToolCall {
            id,
            name,
            arguments,
            signature,
            provider,
        } = call;
        let is_own = provider == self.provider;
        if !signature.is_empty() && !is_own {
            self.adaptations.note(
                "messages.parts.tool_call.signature",
                "left out: another provider made it",
            );
        }
        let number = self.ids.count();
        let call_id = self.ids.of_call(id, name);
        let name = tool_names::fit(name, self.adaptations);
        if is_own && signature == CUSTOM_CALL {
            self.custom_calls.push(number);
            return KnownItem::CustomToolCall {
                call_id,
                name,
                input: arguments,
            };
        }
        KnownItem::FunctionCall {
            call_id,
            name,
            arguments: Arguments::of(arguments, self.adaptations).into_text(),
        }
    }
}
