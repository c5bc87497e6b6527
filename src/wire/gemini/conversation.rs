//! How do the messages of a chat become the turns of a Gemini request?

use crate::chat::{Message, Part as ChatPart, Role, ToolResult};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::tool_ids::{Distinct, Form, Linked, ToolIds};

use super::request::{Author, Content, Part, SystemInstruction};
use super::{Asking, Generation, calls, parts, refused};

/// The turns as far as they are written.
pub(super) struct Conversation<'a> {
    provider: &'a str,
    asking: Asking<'a>,
    pub(super) contents: Vec<Content<'a>>,
    /// Whether the open turn has a tool call.
    open_turn_calls: bool,
    ids: ToolIds<'a>,
    pub(super) adaptations: Adaptations,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(provider: &'a str, messages: &'a [Message], asking: Asking<'a>) -> Self {
        Self {
            provider,
            asking,
            contents: Vec::new(),
            open_turn_calls: false,
            ids: ToolIds::new(messages, Form::Any, Distinct::InConversation),
            adaptations: Adaptations::default(),
        }
    }

    /// Writes every message except the system's text, which is returned.
    pub(super) fn write(
        &mut self,
        messages: &'a [Message],
    ) -> Result<Option<SystemInstruction<'a>>, Unsupported> {
        let mut system = Vec::new();
        let mut results = Vec::new();
        for Message { role, parts } in messages {
            if *role != Role::Tool {
                self.tool_results(&mut results)?;
            }
            match role {
                Role::System => {
                    for part in parts {
                        let ChatPart::Text(text) = part else {
                            return Err(refused("messages.parts", "a system message is text only"));
                        };
                        system.push(Part::text(text));
                    }
                }
                Role::User | Role::Assistant => {
                    if *role == Role::Assistant {
                        self.ids.begin_message();
                    }
                    for part in parts {
                        self.part(*role, part)?;
                    }
                }
                Role::Tool => {
                    for part in parts {
                        let ChatPart::ToolResult(result) = part else {
                            return Err(refused(
                                "messages.parts",
                                "a tool message holds results only",
                            ));
                        };
                        let call = self.ids.of_result(&result.tool_call_id, &result.tool_name);
                        results.push((call, result));
                    }
                }
            }
        }
        self.tool_results(&mut results)?;
        Ok((!system.is_empty()).then_some(SystemInstruction { parts: system }))
    }

    fn part(&mut self, role: Role, part: &'a ChatPart) -> Result<(), Unsupported> {
        let author = match role {
            Role::Assistant => Author::Model,
            Role::System | Role::User | Role::Tool => Author::User,
        };
        match part {
            // An empty text is refused as a part without data.
            ChatPart::Text(text) if text.is_empty() => {}
            ChatPart::Text(text) => self.push(author, Part::text(text)),
            ChatPart::Refusal(text) => {
                self.adaptations.note(
                    "messages.parts.refusal",
                    "sent as text: this provider has no field for refusals",
                );
                self.push(author, Part::text(text));
            }
            ChatPart::Image(media) | ChatPart::Document(media) => {
                let part = parts::media(media, &mut self.adaptations);
                self.push(author, part);
            }
            ChatPart::ToolCall(call) => {
                let part = calls::tool_call(
                    call,
                    self.provider,
                    self.must_be_signed(),
                    self.asking.call_ids,
                    &mut self.ids,
                    &mut self.adaptations,
                )?;
                self.push(author, part);
            }
            ChatPart::Reasoning(reasoning) => {
                let part = parts::reasoning(reasoning, self.provider, &mut self.adaptations)?;
                if let Some(part) = part {
                    self.push(author, part);
                }
            }
            ChatPart::Audio(_) | ChatPart::Video(_) | ChatPart::Provider(_) => {
                return Err(refused("messages.parts", "it has none"));
            }
            ChatPart::ToolResult(_) => {
                return Err(refused(
                    "messages.parts.tool_result",
                    "only a tool message holds results",
                ));
            }
        }
        Ok(())
    }

    /// Appends to the open turn if it is the same author's: turns must alternate.
    fn push(&mut self, author: Author, part: Part<'a>) {
        let calls = part.function_call.is_some();
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
    fn tool_results(
        &mut self,
        results: &mut Vec<(Linked<'a>, &'a ToolResult)>,
    ) -> Result<(), Unsupported> {
        results.sort_by_key(|(call, _)| call.number);
        for (call, result) in results.drain(..) {
            let (part, beside) =
                calls::tool_result(call, result, self.asking, &mut self.adaptations)?;
            self.push(Author::User, part);
            for part in beside {
                self.push(Author::User, part);
            }
        }
        Ok(())
    }
}
