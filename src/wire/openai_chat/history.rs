//! Which messages is a conversation written as?

mod assistant;

use crate::chat::{Message, Part, PartAt, Role};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::tool_ids::ToolIds;

use super::body::{AssistantMessage, WireMessage};
use super::marking::Marking;
use super::media::{Piece, misplaced};
use super::parts::{BETWEEN_TEXTS, Content, text_of};
use super::{Dialect, SystemRole, calls, media};

/// Between instructions that become one message.
const BETWEEN_INSTRUCTIONS: &str = "\n\n";

/// The assistant message between tool results and a user message, where a host requires one
/// (mistralai/mistral-vibe#578).
const BRIDGE: &str = "Understood.";

/// Before what a tool returned and its message cannot hold; the tool's name follows.
const OF_A_RESULT: &str = "Returned by the tool:";

/// Spells the messages of one request.
pub(super) struct History<'a, 'n> {
    pub(super) dialect: &'a Dialect,
    /// Whom the request goes to: what another provider has signed is left out.
    pub(super) provider: &'a str,
    pub(super) marking: Marking<'a>,
    pub(super) ids: ToolIds<'a>,
    pub(super) adaptations: &'n mut Adaptations,
}

impl<'a> History<'a, '_> {
    /// The messages, each as the host wants it, after `instructions` of ours. All instructions at the beginning make
    /// one message: several model families refuse a second one (vllm-project/vllm#41114).
    pub(super) fn messages(
        &mut self,
        instructions: Option<&'a str>,
        messages: &'a [Message],
    ) -> Result<Vec<WireMessage<'a>>, Unsupported> {
        let mut wire = Vec::with_capacity(messages.len() + 1);
        let mut system = Content::new(BETWEEN_INSTRUCTIONS, 1);
        // Whether the last message of the user and the next one belong together.
        let mut joins_users = false;
        let mut is_beginning = true;
        for (index, Message { role, parts }) in messages.iter().enumerate() {
            is_beginning &= *role == Role::System;
            match role {
                Role::System if is_beginning => self.instruct(index, parts, &mut system)?,
                Role::System if self.dialect.system_anywhere => {
                    let mut content = Content::new(BETWEEN_INSTRUCTIONS, parts.len());
                    self.instruct(index, parts, &mut content)?;
                    wire.push(self.system_message(content));
                    joins_users = false;
                }
                Role::System => {
                    self.adaptations.note(
                        "messages",
                        "the instructions between other messages were moved to the beginning: the provider takes them only there",
                    );
                    self.instruct(index, parts, &mut system)?;
                }
                Role::User => {
                    let mut content = Content::new(BETWEEN_TEXTS, parts.len());
                    for (position, part) in parts.iter().enumerate() {
                        let piece = media::piece(self.dialect, self.provider, part)?;
                        let said = self.marking.of_part(index, position);
                        content.add(self.marking.part(piece, said, self.adaptations)?);
                    }
                    self.user_message(content, joins_users, &mut wire);
                    joins_users = false;
                }
                Role::Assistant => {
                    let message = self.assistant_message(index, parts)?;
                    // Templates of some models refuse two messages of one role in a row.
                    joins_users = message.is_none();
                    wire.extend(message);
                }
                Role::Tool => joins_users = self.tool_messages(index, parts, &mut wire)?,
            }
        }
        if let Some(instructions) = instructions {
            system.say(instructions);
        }
        if !system.is_empty() {
            let message = self.system_message(system);
            wire.insert(0, message);
        }
        Ok(wire)
    }

    /// Adds the texts of a message of instructions.
    fn instruct(
        &mut self,
        message: usize,
        parts: &'a [Part],
        content: &mut Content<'a>,
    ) -> Result<(), Unsupported> {
        for (position, part) in parts.iter().enumerate() {
            let piece = Piece::text(text_of(part, "instructions are text only")?);
            let said = self.marking.of_part(message, position);
            content.add(self.marking.part(piece, said, self.adaptations)?);
        }
        Ok(())
    }

    fn system_message(&self, content: Content<'a>) -> WireMessage<'a> {
        match self.dialect.system_role {
            SystemRole::System => WireMessage::System { content },
            SystemRole::Developer => WireMessage::Developer { content },
        }
    }

    fn user_message(&mut self, content: Content<'a>, joins: bool, wire: &mut Vec<WireMessage<'a>>) {
        if self.dialect.parts_tool_from_user() && matches!(wire.last(), Some(WireMessage::Tool(_)))
        {
            let bridge = self.bridge();
            wire.push(bridge);
        }
        match wire.last_mut() {
            Some(WireMessage::User { content: before }) if joins => before.join(content),
            _ => wire.push(WireMessage::User { content }),
        }
    }

    /// Adds the messages of tool results, and one of the user for what these cannot hold. Tells whether there is such
    /// a one.
    fn tool_messages(
        &mut self,
        index: usize,
        parts: &'a [Part],
        wire: &mut Vec<WireMessage<'a>>,
    ) -> Result<bool, Unsupported> {
        let mut moved = Content::new(BETWEEN_TEXTS, 0);
        for (position, part) in parts.iter().enumerate() {
            let Part::ToolResult(result) = part else {
                return Err(misplaced("a tool message holds only tool results"));
            };
            let at = PartAt {
                message: index,
                part: position,
                content: None,
            };
            let (message, pieces) = calls::tool_result(
                self.dialect,
                self.provider,
                result,
                (at, self.marking),
                &mut self.ids,
                self.adaptations,
            )?;
            wire.push(WireMessage::Tool(message));
            if !pieces.is_empty() {
                moved.say(OF_A_RESULT);
                moved.say(&result.tool_name);
                pieces.into_iter().for_each(|piece| moved.add(piece));
            }
        }
        if moved.is_empty() {
            return Ok(false);
        }
        self.adaptations.note(
            "messages.parts.tool_result.content",
            "moved to a user message after the results: the provider takes only text in a tool result",
        );
        self.user_message(moved, false, wire);
        Ok(true)
    }

    fn bridge(&mut self) -> WireMessage<'a> {
        self.adaptations.note(
            "messages",
            "an assistant message was added after the tool results: the provider requires one",
        );
        WireMessage::Assistant(AssistantMessage {
            content: Some(Content::of(BRIDGE)),
            ..AssistantMessage::default()
        })
    }
}
