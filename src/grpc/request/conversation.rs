//! The conversation: which parts may stand in which message, and which message after which.

use std::fmt::Arguments;

use crate::chat::{Message, Part, Reasoning, Role, ToolCall, ToolResult};
use crate::grpc::v1;

use super::Faults;
use super::links::link;
use super::media::media_of;

/// What stands in place of a part that is refused, so that the others keep their numbers.
const NOTHING: Part = Part::Text(String::new());

/// The messages as far as they have been read.
pub(super) struct Conversation<'a, 'l> {
    faults: &'a mut Faults<'l>,
    conversing: bool,
}

impl<'a, 'l> Conversation<'a, 'l> {
    pub(super) fn parse(messages: Vec<v1::Message>, faults: &'a mut Faults<'l>) -> Vec<Message> {
        if messages.is_empty() {
            faults.add("messages", "add at least one message");
            return Vec::new();
        }
        let mut conversation = Self {
            faults,
            conversing: false,
        };
        let mut parsed = Vec::with_capacity(messages.len());
        for (index, message) in messages.into_iter().enumerate() {
            parsed.push(conversation.message(message, format_args!("messages[{index}]")));
        }
        link(&mut parsed, conversation.faults);
        match parsed.last().map(|last| last.role) {
            Some(Role::User | Role::Tool) | None => {}
            Some(Role::System) => conversation.faults.add("messages", "add a user message after the system messages"),
            Some(Role::Assistant) => conversation.faults.add(
                format_args!("messages[{}].role", parsed.len() - 1),
                "the last message must come from the user or a tool: models do not continue a given beginning",
            ),
        }
        parsed
    }

    fn message(&mut self, message: v1::Message, field: Arguments<'_>) -> Message {
        let v1::Message {
            role: role_number,
            text,
            parts,
        } = message;
        let role = role_of(role_number);
        if role.is_none() {
            self.faults.add(
                format_args!("{field}.role"),
                "use ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL",
            );
        }
        if role == Some(Role::System) && self.conversing {
            self.faults.add(
                format_args!("{field}.role"),
                "system messages must stand before all others",
            );
        }
        self.conversing |= role != Some(Role::System);
        let parts = match (text.is_empty(), parts.is_empty()) {
            (false, true) => {
                self.allow(
                    role,
                    &[Role::System, Role::User, Role::Assistant],
                    format_args!("{field}.text"),
                );
                vec![Part::Text(text)]
            }
            // An answer that says nothing is appended like any other.
            (true, true) if role == Some(Role::Assistant) => Vec::new(),
            (true, true) => {
                self.faults.add(field, "set `text` or `parts`");
                Vec::new()
            }
            (without_text, false) => {
                if !without_text {
                    self.faults
                        .add(field, "set either `text` or `parts`, not both");
                }
                let mut parsed = Vec::with_capacity(parts.len());
                for (index, part) in parts.into_iter().enumerate() {
                    let part = self.part(part, role, format_args!("{field}.parts[{index}]"));
                    parsed.push(part.unwrap_or(NOTHING));
                }
                parsed
            }
        };
        Message {
            role: role.unwrap_or(Role::User),
            parts,
        }
    }

    fn part(
        &mut self,
        part: v1::ContentPart,
        role: Option<Role>,
        field: Arguments<'_>,
    ) -> Option<Part> {
        use v1::content_part::Part as Wire;
        let Some(part) = part.part else {
            self.faults
                .add(field, "set one kind of part, such as `text`");
            return None;
        };
        let legal_roles: &[Role] = match part {
            Wire::Text(_) => &[Role::System, Role::User, Role::Assistant],
            Wire::Image(_) | Wire::Document(_) => &[Role::User],
            Wire::ToolCall(_) | Wire::Reasoning(_) | Wire::Refusal(_) => &[Role::Assistant],
            Wire::ToolResult(_) => &[Role::Tool],
        };
        self.allow(role, legal_roles, field);
        let part = match part {
            Wire::Text(text) => {
                self.require_text(&text, format_args!("{field}.text"));
                Part::Text(text)
            }
            Wire::Image(media) => {
                Part::Image(media_of(media, format_args!("{field}.image"), self.faults)?)
            }
            Wire::Document(media) => Part::Document(media_of(
                media,
                format_args!("{field}.document"),
                self.faults,
            )?),
            Wire::ToolCall(call) => {
                Part::ToolCall(self.tool_call(call, format_args!("{field}.tool_call")))
            }
            Wire::ToolResult(result) => {
                Part::ToolResult(self.tool_result(result, format_args!("{field}.tool_result")))
            }
            Wire::Reasoning(reasoning) => {
                Part::Reasoning(self.reasoning(reasoning, format_args!("{field}.reasoning")))
            }
            Wire::Refusal(text) => {
                self.require_text(&text, format_args!("{field}.refusal"));
                Part::Refusal(text)
            }
        };
        Some(part)
    }

    /// A message whose role is wrong is not told about its parts as well.
    fn allow(&mut self, role: Option<Role>, legal_roles: &[Role], field: Arguments<'_>) {
        let Some(role) = role.filter(|role| !legal_roles.contains(role)) else {
            return;
        };
        self.faults.add(
            field,
            match role {
                Role::System => "a system message holds `text` parts only",
                Role::User => "a user message holds `text`, `image` and `document` parts only",
                Role::Assistant => "an assistant message holds `text`, `reasoning`, `refusal` and `tool_call` parts only",
                Role::Tool => "a tool message holds `tool_result` parts only",
            },
        );
    }

    fn require_text(&mut self, text: &str, field: Arguments<'_>) {
        if text.is_empty() {
            self.faults
                .add(field, "must not be empty; leave the part out");
        }
    }

    fn reasoning(&mut self, reasoning: v1::Reasoning, field: Arguments<'_>) -> Reasoning {
        let v1::Reasoning {
            text,
            signature,
            provider,
        } = reasoning;
        if provider.is_empty() {
            self.faults.add(
                format_args!("{field}.provider"),
                "name the provider that produced the reasoning, as the answer did",
            );
        }
        Reasoning {
            text,
            signature,
            provider,
        }
    }

    fn tool_call(&mut self, call: v1::ToolCall, field: Arguments<'_>) -> ToolCall {
        let v1::ToolCall {
            id,
            name,
            arguments_json,
            signature,
            provider,
        } = call;
        if id.is_empty() {
            self.faults.add(
                format_args!("{field}.id"),
                "give the call the id that the answer gave it",
            );
        }
        if name.is_empty() {
            self.faults
                .add(format_args!("{field}.name"), "name the tool that is called");
        }
        if !signature.is_empty() && provider.is_empty() {
            self.faults.add(
                format_args!("{field}.provider"),
                "name the provider that produced the signature",
            );
        }
        ToolCall {
            id,
            name,
            arguments: arguments_json,
            signature,
            provider,
        }
    }

    fn tool_result(&mut self, result: v1::ToolResult, field: Arguments<'_>) -> ToolResult {
        let v1::ToolResult {
            tool_call_id,
            content,
            is_error,
        } = result;
        let mut parsed = Vec::with_capacity(content.len());
        for (index, part) in content.into_iter().enumerate() {
            let part = self.result_part(part, format_args!("{field}.content[{index}]"));
            parsed.push(part.unwrap_or(NOTHING));
        }
        ToolResult {
            tool_call_id,
            tool_name: String::new(), // filled in by the call
            content: parsed,
            is_error,
        }
    }

    fn result_part(&mut self, part: v1::ContentPart, field: Arguments<'_>) -> Option<Part> {
        use v1::content_part::Part as Wire;
        match part.part {
            Some(Wire::Text(text)) => Some(Part::Text(text)),
            Some(Wire::Image(media)) => {
                media_of(media, format_args!("{field}.image"), self.faults).map(Part::Image)
            }
            Some(Wire::Document(media)) => {
                media_of(media, format_args!("{field}.document"), self.faults).map(Part::Document)
            }
            Some(
                Wire::ToolCall(_) | Wire::ToolResult(_) | Wire::Reasoning(_) | Wire::Refusal(_),
            )
            | None => {
                self.faults.add(
                    field,
                    "a tool result holds `text`, `image` and `document` parts",
                );
                None
            }
        }
    }
}

fn role_of(number: i32) -> Option<Role> {
    match v1::Role::try_from(number) {
        Ok(v1::Role::System) => Some(Role::System),
        Ok(v1::Role::User) => Some(Role::User),
        Ok(v1::Role::Assistant) => Some(Role::Assistant),
        Ok(v1::Role::Tool) => Some(Role::Tool),
        Ok(v1::Role::Unspecified) | Err(_) => None,
    }
}
