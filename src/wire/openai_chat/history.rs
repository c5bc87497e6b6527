//! Which messages is a conversation written as, and which of its reasoning is sent back?

use std::borrow::Cow;

use crate::chat::{Message, Part, Reasoning, Role};
use crate::error::Unsupported;

use super::body::{AssistantMessage, WireMessage};
use super::details::details;
use super::parts::{Content, Texts, joined, misplaced, texts};
use super::{Dialect, ReasoningHistory, SystemRole, calls, parts};
use crate::wire::Adaptations;
use crate::wire::tool_ids::ToolIds;

/// Between instructions that become one message.
const BETWEEN_INSTRUCTIONS: &str = "\n\n";

/// Sent in place of reasoning that another provider made. Moonshot and DeepSeek require reasoning beside tool
/// calls (QuantumNous/new-api#3121, bytedance/deer-flow#3043).
const NO_REASONING: &str = " ";

/// The assistant message between tool results and a user message, where a host requires one
/// (mistralai/mistral-vibe#578).
const BRIDGE: &str = "Understood.";

/// Spells the messages of one request.
pub(super) struct History<'a, 'n> {
    pub(super) dialect: &'a Dialect,
    /// Whom the request goes to: what another provider has signed is left out.
    pub(super) provider: &'a str,
    pub(super) ids: ToolIds<'a>,
    pub(super) adaptations: &'n mut Adaptations,
}

impl<'a> History<'a, '_> {
    /// The messages, each as the host wants it, after `instructions` of ours. All instructions make one
    /// message: several model families refuse a second one (vllm-project/vllm#41114).
    pub(super) fn messages(
        &mut self,
        instructions: Option<&'a str>,
        messages: &'a [Message],
    ) -> Result<Vec<WireMessage<'a>>, Unsupported> {
        let mut wire = Vec::with_capacity(messages.len() + 1);
        let mut system = Vec::new();
        // Whether nothing of an assistant's message may be sent to this provider.
        let mut has_vanished = false;
        for Message { role, parts } in messages {
            match role {
                Role::System => texts(parts, &mut system, "instructions are text only")?,
                Role::User => {
                    if self.dialect.parts_tool_from_user()
                        && matches!(wire.last(), Some(WireMessage::Tool { .. }))
                    {
                        wire.push(self.bridge());
                    }
                    let content = parts::user_content(self.dialect, parts)?;
                    match wire.last_mut() {
                        // Templates of some models refuse two messages of one role in a row.
                        Some(WireMessage::User { content: before }) if has_vanished => {
                            before.join(content);
                        }
                        _ => wire.push(WireMessage::User { content }),
                    }
                    has_vanished = false;
                }
                Role::Assistant => {
                    let message = self.assistant_message(parts)?;
                    has_vanished |= message.is_none();
                    wire.extend(message);
                }
                Role::Tool => {
                    for part in parts {
                        let Part::ToolResult(result) = part else {
                            return Err(misplaced("a tool message holds only tool results"));
                        };
                        let (tool_call_id, content) =
                            calls::tool_result(result, &mut self.ids, self.adaptations)?;
                        wire.push(WireMessage::Tool {
                            tool_call_id,
                            content,
                        });
                    }
                }
            }
        }
        system.extend(instructions);
        if !system.is_empty() {
            let content = Content::Texts(Texts {
                texts: system,
                separator: BETWEEN_INSTRUCTIONS,
            });
            let message = match self.dialect.system_role {
                SystemRole::System => WireMessage::System { content },
                SystemRole::Developer => WireMessage::Developer { content },
            };
            wire.insert(0, message);
        }
        Ok(wire)
    }

    fn bridge(&mut self) -> WireMessage<'a> {
        self.adaptations.note(
            "messages",
            "an assistant message was added after the tool results: the provider requires one",
        );
        WireMessage::Assistant(AssistantMessage {
            content: Some(joined(vec![BRIDGE])),
            ..AssistantMessage::default()
        })
    }

    /// `None` if nothing of the message may be sent to this provider.
    fn assistant_message(
        &mut self,
        parts: &'a [Part],
    ) -> Result<Option<WireMessage<'a>>, Unsupported> {
        self.ids.begin_message();
        let mut content = Vec::new();
        let mut message = AssistantMessage::default();
        for part in parts {
            match part {
                // A refusal is sent back as text: only OpenAI has a field for it, and for every other host the turn
                // would be empty.
                Part::Text(text) | Part::Refusal(text) => content.push(text.as_str()),
                Part::ToolCall(call) => {
                    let call =
                        calls::tool_call(call, self.provider, &mut self.ids, self.adaptations);
                    message.tool_calls.push(call);
                }
                Part::Reasoning(reasoning) => self.replay_reasoning(reasoning, &mut message),
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
            }
        }
        message.content = if !content.is_empty() || message.has_reasoning() {
            Some(joined(content))
        } else if !message.tool_calls.is_empty() {
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
