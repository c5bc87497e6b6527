//! As which input items is a conversation written: messages, media, tool calls and the reasoning that is sent back?

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::chat::{
    Mark, Marks, Media, MediaSource, Message, Part, ProviderPart, Reasoning, Role, ToolCall,
    ToolResult,
};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::openai::tool_results;
use crate::wire::openai::url::Base64;
use crate::wire::options::{OptionsPlace, Words};
use crate::wire::tool_ids::ToolIds;
use crate::wire::{Adaptations, tool_names};

use super::body::{
    Breakpoint, Content, InputItem, Instructions, KnownItem, MarkedPiece, Picture, Piece, Thought,
};
use super::opaque::{CUSTOM_CALL, PICTURE, Phase, Token};
use super::parts::{misplaced, piece};
use super::{Dialect, InstructionsRole, ReasoningReplay};

/// Spells the messages of one request.
pub(super) struct History<'a, 'n> {
    pub(super) dialect: &'n Dialect,
    /// Whom the request goes to: what another provider has signed is left out.
    pub(super) provider: &'a str,
    pub(super) words: Words<'n>,
    pub(super) marks: &'a Marks,
    pub(super) ids: ToolIds<'a>,
    /// The numbers of the calls that are sent back as calls of a tool that takes any text, in ascending order.
    pub(super) custom_calls: Vec<usize>,
    pub(super) adaptations: &'n mut Adaptations,
}

impl<'a> History<'a, '_> {
    /// The instructions that stand apart, and all items. `more` is an instruction of ours.
    pub(super) fn items(
        &mut self,
        more: Option<&'a str>,
        messages: &'a [Message],
    ) -> Result<(Instructions<'a>, Vec<InputItem<'a>>), Unsupported> {
        let mut instructions = Instructions::default();
        let mut items = Vec::with_capacity(messages.len() + 1);
        // The API looks for the word JSON in the input alone.
        items.extend(more.map(|text| self.instruction(Content::Text(text))));
        let mut stand_apart = self.dialect.system_role == InstructionsRole::Instructions;
        for (place, Message { role, parts }) in messages.iter().enumerate() {
            match role {
                // Later ones stand where they were said, and the field has no place for anything else.
                Role::System if stand_apart && !self.is_marked(place, parts) => {
                    instructions.0.extend(texts(parts)?);
                    continue;
                }
                Role::System => {
                    texts(parts)?;
                    let content = self.content(parts, |marks, part| marks.of_part(place, part))?;
                    items.push(self.instruction(content));
                }
                Role::User => {
                    let content = self.content(parts, |marks, part| marks.of_part(place, part))?;
                    items.push(said_by("user", content, Cow::default()));
                }
                Role::Assistant => self.assistant(place, parts, &mut items)?,
                Role::Tool => {
                    for (part, result) in parts.iter().enumerate() {
                        let Part::ToolResult(result) = result else {
                            return Err(misplaced("a tool message holds only tool results"));
                        };
                        let item = InputItem::Known(self.result(result, (place, part))?);
                        items.push(self.marked(item, (place, part))?);
                    }
                }
            }
            stand_apart = false;
        }
        Ok((instructions, items))
    }

    fn instruction(&self, content: Content<'a>) -> InputItem<'a> {
        let role = match self.dialect.system_role {
            InstructionsRole::System => "system",
            InstructionsRole::Developer | InstructionsRole::Instructions => "developer",
        };
        said_by(role, content, Cow::default())
    }

    fn is_marked(&self, message: usize, parts: &[Part]) -> bool {
        (0..parts.len()).any(|part| self.marks.of_part(message, part).is_some())
    }

    /// An item with what is said of its part besides. No item of its own kind ends what the prompt cache keeps.
    fn marked(
        &mut self,
        item: InputItem<'a>,
        (message, part): (usize, usize),
    ) -> Result<InputItem<'a>, Unsupported> {
        let Some(Mark { cache, options }) = self.marks.of_part(message, part) else {
            return Ok(item);
        };
        if cache.is_some() {
            self.adaptations.note(
                "messages.parts.cache_breakpoint",
                "left out: the provider has no place for it",
            );
        }
        let path = format_args!("messages[{message}].parts[{part}].provider_options");
        let chosen = (self.words).chosen(options, OptionsPlace::Part, path, self.adaptations)?;
        Ok(match chosen {
            Some(fields) => InputItem::Extended(Words::extended(&item, &fields, path)?),
            None => item,
        })
    }

    fn assistant(
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

    fn content(
        &mut self,
        parts: &'a [Part],
        mark: impl Fn(&'a Marks, usize) -> Option<&'a Mark>,
    ) -> Result<Content<'a>, Unsupported> {
        Ok(simplest(self.pieces(parts, mark)?))
    }

    /// The pieces of a message or of a tool result, with what is said of each besides.
    fn pieces(
        &mut self,
        parts: &'a [Part],
        mark: impl Fn(&'a Marks, usize) -> Option<&'a Mark>,
    ) -> Result<Vec<MarkedPiece<'a>>, Unsupported> {
        let mut pieces = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let piece = piece(part, self.provider)?;
            let Some(Mark { cache, options }) = mark(self.marks, index) else {
                pieces.push(MarkedPiece::Plain(piece));
                continue;
            };
            let piece = match cache {
                Some(_) if self.dialect.cache_breakpoints => MarkedPiece::Cached {
                    piece,
                    prompt_cache_breakpoint: Breakpoint { mode: "explicit" },
                },
                Some(_) | None => MarkedPiece::Plain(piece),
            };
            let path = format_args!("messages.parts[{index}].provider_options");
            let chosen = self
                .words
                .chosen(options, OptionsPlace::Part, path, self.adaptations)?;
            pieces.push(match chosen {
                Some(fields) => MarkedPiece::Extended(Words::extended(&piece, &fields, path)?),
                None => piece,
            });
        }
        Ok(pieces)
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

    fn result(
        &mut self,
        result: &'a ToolResult,
        (message, part): (usize, usize),
    ) -> Result<KnownItem<'a>, Unsupported> {
        let ToolResult {
            tool_call_id,
            tool_name,
            content,
            is_error,
        } = result;
        let says = |part: &Part| matches!(part, Part::Text(text) if !text.trim().is_empty());
        let output = match *is_error && !content.iter().any(says) {
            true => {
                let mut pieces = vec![MarkedPiece::Plain(Piece::Text {
                    text: tool_results::WORDLESS_FAILURE,
                })];
                pieces
                    .extend(self.pieces(content, |marks, at| marks.of_content(message, part, at))?);
                simplest(pieces)
            }
            false => self.content(content, |marks, at| marks.of_content(message, part, at))?,
        };
        if *is_error {
            tool_results::note_failure(self.adaptations);
        }
        let linked = self.ids.of_result(tool_call_id, tool_name);
        let is_custom = |number| self.custom_calls.binary_search(&number).is_ok();
        let call_id = linked.id;
        Ok(match linked.number.is_some_and(is_custom) {
            true => KnownItem::CustomToolCallOutput { call_id, output },
            false => KnownItem::FunctionCallOutput { call_id, output },
        })
    }
}

fn said_by<'a>(role: &'static str, content: Content<'a>, phase: Cow<'a, str>) -> InputItem<'a> {
    InputItem::Known(KnownItem::Message {
        role,
        content,
        phase,
    })
}

/// One text as it is, everything else as a list.
fn simplest(pieces: Vec<MarkedPiece<'_>>) -> Content<'_> {
    match pieces[..] {
        [] => Content::Text(""),
        [MarkedPiece::Plain(Piece::Text { text })] => Content::Text(text),
        _ => Content::Pieces(pieces),
    }
}

/// The texts of a message that may hold nothing else.
fn texts(parts: &[Part]) -> Result<Vec<&str>, Unsupported> {
    let mut texts = Vec::with_capacity(parts.len());
    for part in parts {
        let Part::Text(text) = part else {
            return Err(misplaced("instructions are text only"));
        };
        texts.push(text.as_str());
    }
    Ok(texts)
}
