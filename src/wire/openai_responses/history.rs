//! As which input items is a conversation written: messages, media, and results of tools?

mod assistant;

use std::borrow::Cow;

use crate::chat::{Mark, Marks, Message, Part, Role, ToolResult};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::openai::tool_results;
use crate::wire::options::{OptionsPlace, Words};
use crate::wire::tool_ids::ToolIds;

use super::body::{Breakpoint, Content, InputItem, Instructions, KnownItem, MarkedPiece, Piece};
use super::parts::{misplaced, piece};
use super::{Dialect, InstructionsRole};

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
