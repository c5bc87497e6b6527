//! As which input items is a conversation written: messages, media, tool calls and the reasoning that is sent back?

use crate::chat::{
    ImageDetail, Media, MediaSource, Message, Part, Reasoning, Role, ToolCall, ToolResult,
};
use crate::error::Unsupported;
use crate::wire::arguments::Arguments;
use crate::wire::openai::tool_results;
use crate::wire::openai::url::Url;
use crate::wire::tool_ids::ToolIds;
use crate::wire::{Adaptations, tool_names};

use super::body::{Content, InputItem, Instructions, Piece, Thought};
use super::opaque::{CUSTOM_CALL, Token};
use super::{Dialect, InstructionsRole, ReasoningReplay, value};

/// Spells the messages of one request.
pub(super) struct History<'a, 'n> {
    pub(super) dialect: &'n Dialect,
    /// Whom the request goes to: what another provider has signed is left out.
    pub(super) provider: &'a str,
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
        for Message { role, parts } in messages {
            match role {
                Role::System if self.dialect.system_role == InstructionsRole::Instructions => {
                    instructions.0.extend(texts(parts)?);
                }
                Role::System => {
                    let texts = texts(parts)?.into_iter();
                    let pieces = texts.map(|text| Piece::Text { text });
                    let content = simplest(pieces.collect());
                    items.push(self.instruction(content));
                }
                Role::User => {
                    const WHY: &str = "a user message holds text, images and documents";
                    items.push(InputItem::Message {
                        role: "user",
                        content: simplest(pieces(parts, WHY)?),
                    });
                }
                Role::Assistant => self.assistant(parts, &mut items)?,
                Role::Tool => {
                    for part in parts {
                        let Part::ToolResult(result) = part else {
                            return Err(misplaced("a tool message holds only tool results"));
                        };
                        items.push(self.result(result)?);
                    }
                }
            }
        }
        Ok((instructions, items))
    }

    fn instruction(&self, content: Content<'a>) -> InputItem<'a> {
        let role = match self.dialect.system_role {
            InstructionsRole::System => "system",
            InstructionsRole::Developer | InstructionsRole::Instructions => "developer",
        };
        InputItem::Message { role, content }
    }

    fn assistant(
        &mut self,
        parts: &'a [Part],
        items: &mut Vec<InputItem<'a>>,
    ) -> Result<(), Unsupported> {
        self.ids.begin_message();
        // How many items there are without the reasoning that nothing has followed yet.
        let mut followed = items.len();
        for part in parts {
            let item = match part {
                Part::Reasoning(reasoning) => {
                    items.extend(self.reasoning(reasoning));
                    continue;
                }
                Part::Text(text) | Part::Refusal(text) if text.is_empty() => continue,
                // A refusal is sent back as text: as an item it would need the id that it had.
                Part::Text(text) | Part::Refusal(text) => InputItem::Message {
                    role: "assistant",
                    content: Content::Text(text),
                },
                Part::ToolCall(call) => self.call(call),
                Part::Image(_)
                | Part::Document(_)
                | Part::Audio(_)
                | Part::Video(_)
                | Part::Provider(_)
                | Part::ToolResult(_) => {
                    return Err(misplaced(
                        "an assistant message holds text, reasoning and tool calls",
                    ));
                }
            };
            items.push(item);
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
        Some(InputItem::Reasoning {
            summary: summary.collect(),
            content: content
                .map(|text| Thought::ReasoningText { text })
                .collect(),
            id: token.id,
            encrypted_content: token.encrypted,
        })
    }

    fn call(&mut self, call: &'a ToolCall) -> InputItem<'a> {
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
            return InputItem::CustomToolCall {
                call_id,
                name,
                input: arguments,
            };
        }
        InputItem::FunctionCall {
            call_id,
            name,
            arguments: Arguments::of(arguments, self.adaptations).into_text(),
        }
    }

    fn result(&mut self, result: &'a ToolResult) -> Result<InputItem<'a>, Unsupported> {
        let ToolResult {
            tool_call_id,
            tool_name,
            content,
            is_error,
        } = result;
        const WHY: &str = "a tool result holds text, images and documents";
        let mut said = pieces(content, WHY)?;
        let is_wordless = |piece: &Piece<'_>| match piece {
            Piece::Text { text } => text.trim().is_empty(),
            Piece::Image { .. } | Piece::File { .. } => true,
        };
        if *is_error && said.iter().all(is_wordless) {
            said.insert(
                0,
                Piece::Text {
                    text: tool_results::WORDLESS_FAILURE,
                },
            );
        }
        if *is_error {
            tool_results::note_failure(self.adaptations);
        }
        let output = simplest(said);
        let linked = self.ids.of_result(tool_call_id, tool_name);
        let is_custom = |number| self.custom_calls.binary_search(&number).is_ok();
        let call_id = linked.id;
        Ok(match linked.number.is_some_and(is_custom) {
            true => InputItem::CustomToolCallOutput { call_id, output },
            false => InputItem::FunctionCallOutput { call_id, output },
        })
    }
}

/// One text as it is, everything else as a list.
fn simplest(pieces: Vec<Piece<'_>>) -> Content<'_> {
    match pieces[..] {
        [] => Content::Text(""),
        [Piece::Text { text }] => Content::Text(text),
        _ => Content::Pieces(pieces),
    }
}

fn pieces<'a>(parts: &'a [Part], why: &'static str) -> Result<Vec<Piece<'a>>, Unsupported> {
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        pieces.push(match part {
            Part::Text(text) => Piece::Text { text },
            Part::Image(media) => Piece::Image {
                image_url: Url::of(media),
                detail: match media.detail {
                    ImageDetail::Auto => "auto",
                    ImageDetail::Low => "low",
                    ImageDetail::High => "high",
                },
            },
            Part::Document(media) => document(media),
            Part::Audio(_)
            | Part::Video(_)
            | Part::Provider(_)
            | Part::ToolCall(_)
            | Part::ToolResult(_)
            | Part::Reasoning(_)
            | Part::Refusal(_) => {
                return Err(misplaced(why));
            }
        });
    }
    Ok(pieces)
}

fn document(media: &Media) -> Piece<'_> {
    match media.source {
        MediaSource::Data(_) => Piece::File {
            filename: match media.filename.as_str() {
                // A name is required beside the bytes.
                "" => "document",
                name => name,
            },
            file_data: Some(Url::of(media)),
            file_url: None,
        },
        // The API refuses a name beside a URL.
        MediaSource::Uri(_) | MediaSource::File { .. } => Piece::File {
            filename: "",
            file_data: None,
            file_url: Some(Url::of(media)),
        },
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

fn misplaced(why: &'static str) -> Unsupported {
    value("messages.parts", why)
}
