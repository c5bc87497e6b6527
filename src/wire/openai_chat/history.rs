//! Which messages is a conversation written as, and which of its reasoning is sent back?

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::chat::{MediaSource, Message, Part, PartAt, ProviderPart, Reasoning, Role};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::tool_ids::ToolIds;

use super::body::{AssistantMessage, AudioId, WireMessage};
use super::details::details;
use super::marking::{Marked, Marking, PartMark, note_unmarked};
use super::media::{Piece, misplaced};
use super::parts::{BETWEEN_TEXTS, Content, text_of};
use super::{
    ANNOTATIONS, AUDIO, CacheMarks, Dialect, EXECUTED_TOOLS, ReasoningHistory, SystemRole, calls,
    media,
};

/// Between instructions that become one message.
const BETWEEN_INSTRUCTIONS: &str = "\n\n";

/// Sent in place of reasoning that another provider made. Moonshot and DeepSeek require reasoning beside tool
/// calls (QuantumNous/new-api#3121, bytedance/deer-flow#3043).
const NO_REASONING: &str = " ";

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

    /// `None` if nothing of the message may be sent to this provider.
    fn assistant_message(
        &mut self,
        index: usize,
        parts: &'a [Part],
    ) -> Result<Option<WireMessage<'a>>, Unsupported> {
        self.ids.begin_message();
        let mut content = Content::new(BETWEEN_TEXTS, parts.len());
        let mut message = AssistantMessage::default();
        let mut has_sound = false;
        for (position, part) in parts.iter().enumerate() {
            let said = self.marking.of_part(index, position);
            match part {
                // A refusal is sent back as text: only OpenAI has a field for it, and for every other host the turn
                // would be empty.
                Part::Text(text) | Part::Refusal(text) => {
                    let piece = Piece::text(text);
                    content.add(self.marking.part(piece, said, self.adaptations)?);
                }
                Part::ToolCall(call) => {
                    let call =
                        calls::tool_call(call, self.provider, &mut self.ids, self.adaptations);
                    let call = match self.dialect.cache_marks {
                        CacheMarks::PromptCacheBreakpoint => {
                            if said.is_some_and(|said| said.cache.is_some()) {
                                note_unmarked(self.adaptations);
                            }
                            let said = said.map(PartMark::without_cache);
                            self.marking.part(call, said, self.adaptations)?
                        }
                        CacheMarks::None | CacheMarks::CacheControl => {
                            self.marking.part(call, said, self.adaptations)?
                        }
                    };
                    message.tool_calls.push(call);
                }
                Part::Reasoning(reasoning) => {
                    self.marking.nowhere(said, self.adaptations)?;
                    self.replay_reasoning(reasoning, &mut message);
                }
                Part::Image(_) => self.leave_out("messages.parts.image", said)?,
                Part::Video(_) => self.leave_out("messages.parts.video", said)?,
                Part::Audio(media) => match &media.source {
                    MediaSource::File { provider, id } if provider == self.provider => {
                        self.marking.nowhere(said, self.adaptations)?;
                        message.audio = Some(AudioId { id: id.into() });
                    }
                    MediaSource::File { .. } | MediaSource::Data(_) | MediaSource::Uri(_) => {
                        self.marking.nowhere(said, self.adaptations)?;
                        has_sound = true;
                    }
                },
                Part::Provider(part) => {
                    self.replay_provider_part(part, said, &mut content, &mut message)?
                }
                Part::Document(_) | Part::ToolResult(_) => {
                    return Err(misplaced(
                        "an assistant message holds no documents and no tool results",
                    ));
                }
            }
        }
        // The host has the sound that it keeps by an id.
        if has_sound && message.audio.is_none() {
            self.leave_out("messages.parts.audio", None)?;
        }
        let AssistantMessage {
            audio, annotations, ..
        } = &message;
        let has_more = message.has_reasoning() || audio.is_some() || !annotations.is_empty();
        message.content = if !content.is_empty() || message.has_reasoning() {
            Some(content)
        } else if !message.tool_calls.is_empty() || has_more {
            None
        } else {
            return Ok(None);
        };
        if self.dialect.reasoning_history == ReasoningHistory::ReasoningContent
            && !message.tool_calls.is_empty()
            && message.reasoning_content.is_empty()
        {
            self.adaptations.note(
                "messages.parts.reasoning",
                "a blank was added where this provider made none: it requires reasoning beside tool calls",
            );
            message.reasoning_content = Cow::Borrowed(NO_REASONING);
        }
        Ok(Some(WireMessage::Assistant(message)))
    }

    /// Leaves out what no host of this format takes back of an answer.
    fn leave_out(
        &mut self,
        field: &'static str,
        said: Option<PartMark<'a>>,
    ) -> Result<(), Unsupported> {
        self.marking.nowhere(said, self.adaptations)?;
        self.adaptations.note(
            field,
            "left out of an earlier answer: the provider does not take it back",
        );
        Ok(())
    }

    fn replay_provider_part(
        &mut self,
        part: &'a ProviderPart,
        said: Option<PartMark<'a>>,
        content: &mut Content<'a>,
        message: &mut AssistantMessage<'a>,
    ) -> Result<(), Unsupported> {
        const FIELD: &str = "messages.parts.provider_part";
        let ProviderPart {
            provider,
            kind,
            content: piece,
        } = part;
        self.marking.nowhere(said, self.adaptations)?;
        let piece = serde_json::from_str::<&RawValue>(piece);
        match (provider == self.provider, kind.as_str(), piece) {
            (false, _, _) => self
                .adaptations
                .note(FIELD, "left out: another provider made it"),
            (true, EXECUTED_TOOLS, _) => self.adaptations.note(
                FIELD,
                "left out: the provider does not take back what its tools did",
            ),
            (true, ANNOTATIONS, Ok(piece)) => message.annotations.push(piece),
            (true, AUDIO, Ok(piece)) => message.audio = serde_json::from_str(piece.get()).ok(),
            (true, _, Ok(piece)) => content.add(Marked::Extended(piece.to_owned())),
            (true, _, Err(_)) => self.adaptations.note(FIELD, "left out: it is no JSON"),
        }
        Ok(())
    }

    fn replay_reasoning(&mut self, reasoning: &'a Reasoning, message: &mut AssistantMessage<'a>) {
        const FIELD: &str = "messages.parts.reasoning";
        let Reasoning {
            text,
            signature,
            provider,
        } = reasoning;
        if provider != self.provider {
            self.adaptations
                .note(FIELD, "left out: another provider made it");
            return;
        }
        match self.dialect.reasoning_history {
            ReasoningHistory::None => self
                .adaptations
                .note(FIELD, "left out: the provider does not take it"),
            ReasoningHistory::ReasoningContent => message.reasoning_content += text.as_str(),
            ReasoningHistory::Reasoning => message.reasoning += text.as_str(),
            ReasoningHistory::ReasoningDetails => {
                message.reasoning_details.extend(details(text, signature));
            }
        }
    }
}
