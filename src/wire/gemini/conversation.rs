//! How do the messages of a chat become the turns of a Gemini request?

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::{
    ChatRequest, Media, Message, Part as ChatPart, PartAt, ProviderPart, Role, ToolResult,
};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::options::Words;
use crate::wire::tool_ids::{Distinct, Form, Linked, ToolIds};

use super::parts::{self, signature_behind, stored_elsewhere};
use super::piece::Piece;
use super::request::{Author, Content, Part, SystemInstruction};
use super::worder::Worder;
use super::{Asking, Generation, calls, refused};

/// The turns as far as they are written.
pub(super) struct Conversation<'a> {
    asking: Asking<'a>,
    contents: Vec<Content<'a>>,
    /// Whether the open turn has a tool call.
    open_turn_calls: bool,
    ids: ToolIds<'a>,
    worder: Worder<'a>,
}

/// All turns, and what they leave out.
pub(super) struct Written<'a> {
    pub(super) system_instruction: Option<SystemInstruction<'a>>,
    pub(super) contents: Vec<Content<'a>>,
    pub(super) adaptations: Adaptations,
}

/// A call and its result, which stands at that part of the request.
struct Answered<'a> {
    call: Linked<'a>,
    result: &'a ToolResult,
    at: PartAt,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        request: &'a ChatRequest,
        provider: &'a str,
        words: Words<'a>,
        asking: Asking<'a>,
    ) -> Self {
        let has_marks = request.marks.of_parts().next().is_some();
        Self {
            asking,
            contents: Vec::new(),
            open_turn_calls: false,
            ids: ToolIds::new(&request.messages, Form::Any, Distinct::InConversation),
            worder: Worder::new(provider, words, has_marks.then_some(&request.marks)),
        }
    }

    /// Writes every message.
    pub(super) fn write(mut self, messages: &'a [Message]) -> Result<Written<'a>, Unsupported> {
        let mut system = Vec::new();
        let mut results = Vec::new();
        for (index, Message { role, parts }) in messages.iter().enumerate() {
            let at = |part| PartAt {
                message: index,
                part,
                content: None,
            };
            if *role != Role::Tool {
                self.tool_results(&mut results)?;
            }
            match role {
                Role::System => {
                    if !self.contents.is_empty() {
                        self.worder.adaptations.note(
                            "messages",
                            "a system message moved to the beginning: the provider takes none later",
                        );
                    }
                    for (part, text) in parts.iter().enumerate() {
                        let ChatPart::Text(text) = text else {
                            return Err(refused("messages.parts", "a system message is text only"));
                        };
                        system.push(self.worder.piece(Part::text(text), at(part))?);
                    }
                }
                Role::User | Role::Assistant => {
                    if *role == Role::Assistant {
                        self.ids.begin_message();
                    }
                    for (index, part) in parts.iter().enumerate() {
                        self.part(*role, part, parts.get(index + 1), at(index))?;
                    }
                }
                Role::Tool => {
                    for (index, part) in parts.iter().enumerate() {
                        let ChatPart::ToolResult(result) = part else {
                            return Err(refused(
                                "messages.parts",
                                "a tool message holds results only",
                            ));
                        };
                        let call = self.ids.of_result(&result.tool_call_id, &result.tool_name);
                        let at = at(index);
                        results.push(Answered { call, result, at });
                    }
                }
            }
        }
        self.tool_results(&mut results)?;
        Ok(self.with_system(system))
    }

    fn with_system(mut self, system: Vec<Piece<'a, Part<'a>>>) -> Written<'a> {
        let mut system_instruction = None;
        if self.contents.is_empty() && !system.is_empty() {
            self.worder.adaptations.note(
                "messages",
                "the system's text sent as the user's: the provider takes no request without a user",
            );
            self.contents.push(Content {
                role: Author::User,
                parts: system,
            });
        } else if !system.is_empty() {
            system_instruction = Some(SystemInstruction { parts: system });
        }
        Written {
            system_instruction,
            contents: self.contents,
            adaptations: self.worder.adaptations,
        }
    }

    /// Writes a part; `next` is the one behind it in its message.
    fn part(
        &mut self,
        role: Role,
        part: &'a ChatPart,
        next: Option<&'a ChatPart>,
        at: PartAt,
    ) -> Result<(), Unsupported> {
        let author = match role {
            Role::Assistant => Author::Model,
            Role::System | Role::User | Role::Tool => Author::User,
        };
        let part = match part {
            // An empty text is refused as a part without data.
            ChatPart::Text(text) if text.is_empty() => return Ok(()),
            ChatPart::Text(text) => Part::text(text),
            ChatPart::Refusal(text) => {
                self.worder.adaptations.note(
                    "messages.parts.refusal",
                    "sent as text: this provider has no field for refusals",
                );
                Part::text(text)
            }
            ChatPart::Image(media)
            | ChatPart::Document(media)
            | ChatPart::Audio(media)
            | ChatPart::Video(media) => {
                let is_image = matches!(part, ChatPart::Image(_));
                match self.media(author, media, is_image, next)? {
                    Some(part) => part,
                    None => return Ok(()),
                }
            }
            ChatPart::ToolCall(call) => calls::tool_call(
                call,
                self.worder.provider,
                self.must_be_signed(),
                self.asking.call_ids,
                &mut self.ids,
                &mut self.worder.adaptations,
            )?,
            ChatPart::Reasoning(reasoning) => {
                let Worder {
                    provider,
                    adaptations,
                    ..
                } = &mut self.worder;
                match parts::reasoning(reasoning, provider, adaptations)? {
                    Some(part) => part,
                    None => return Ok(()),
                }
            }
            ChatPart::Provider(part) => return self.provider_part(author, part),
            ChatPart::ToolResult(_) => {
                return Err(refused(
                    "messages.parts.tool_result",
                    "only a tool message holds results",
                ));
            }
        };
        let calls = part.function_call.is_some();
        let piece = self.worder.piece(part, at)?;
        self.push(author, piece, calls);
        Ok(())
    }

    /// Media; `None` for those of the model that this provider cannot be sent.
    fn media(
        &mut self,
        author: Author,
        media: &'a Media,
        is_image: bool,
        next: Option<&'a ChatPart>,
    ) -> Result<Option<Part<'a>>, Unsupported> {
        let Worder {
            provider,
            adaptations,
            ..
        } = &mut self.worder;
        let Some(mut part) = parts::media(media, provider, adaptations) else {
            if author == Author::User {
                return Err(stored_elsewhere());
            }
            adaptations.note(
                "messages.parts",
                "left out: another provider stores the file",
            );
            return Ok(None);
        };
        if author == Author::Model {
            part.thought_signature = signature_behind(next, provider);
            let must_be_signed = is_image && self.asking.generation == Generation::Third;
            if must_be_signed && part.thought_signature.is_none() {
                adaptations.note(
                    "messages.parts.image",
                    "signed by a placeholder: this provider has not signed the image",
                );
                part.thought_signature = Some(calls::UNSIGNED);
            }
        }
        Ok(Some(part))
    }

    /// A part that only its provider understands goes back as it came.
    fn provider_part(&mut self, author: Author, part: &'a ProviderPart) -> Result<(), Unsupported> {
        let ProviderPart {
            provider,
            kind: _,
            content,
        } = part;
        if provider != self.worder.provider {
            self.worder.adaptations.note(
                "messages.parts.provider_part",
                "left out: it was made by another provider",
            );
            return Ok(());
        }
        let content: &RawValue = serde_json::from_str(content).map_err(|_| {
            refused(
                "messages.parts.provider_part.content",
                "it is not what the provider sent",
            )
        })?;
        self.push(author, Piece::Worded(Cow::Borrowed(content)), false);
        Ok(())
    }

    /// Appends to the open turn if it is the same author's: turns must alternate.
    fn push(&mut self, author: Author, part: Piece<'a, Part<'a>>, calls: bool) {
        match self.contents.last_mut() {
            Some(open) if open.role == author => {
                open.parts.push(part);
                self.open_turn_calls |= calls;
            }
            _ => {
                self.contents.push(Content {
                    role: author,
                    parts: vec![part],
                });
                self.open_turn_calls = calls;
            }
        }
    }

    /// Whether a call that comes next must carry a signature: of parallel calls only the first does.
    fn must_be_signed(&self) -> bool {
        let is_first = match self.contents.last() {
            Some(open) if open.role == Author::Model => !self.open_turn_calls,
            _ => true,
        };
        self.asking.generation == Generation::Third && is_first
    }

    /// Writes the results of one turn in the order of their calls: a host that ignores ids can tell two results of the
    /// same tool apart only by their order.
    fn tool_results(&mut self, results: &mut Vec<Answered<'a>>) -> Result<(), Unsupported> {
        results.sort_by_key(|result| result.call.number);
        for Answered { call, result, at } in results.drain(..) {
            let (part, beside) =
                calls::tool_result(call, result, at, self.asking, &mut self.worder)?;
            let part = self.worder.piece(part, at)?;
            self.push(Author::User, part, false);
            for part in beside {
                self.push(Author::User, part, false);
            }
        }
        Ok(())
    }
}
