//! How are the messages of a request and their parts parsed?

use std::fmt::Arguments;

use crate::chat::{Message, Part, Reasoning, Role, ToolCall, ToolResult};
use crate::check::{Faults, RESULT_PARTS, check_conversation, parts_of};
use crate::grpc::v1;

use super::media::media_of;

/// Stands in place of a refused part, so that the others keep their positions.
const NOTHING: Part = Part::Text(String::new());

/// The messages of a request, parsed and checked.
pub(super) fn messages_of(messages: Vec<v1::Message>, faults: &mut Faults) -> Vec<Message> {
    let mut parsed = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        parsed.push(message_of(
            message,
            format_args!("messages[{index}]"),
            faults,
        ));
    }
    check_conversation(&mut parsed, faults);
    parsed
}

fn message_of(message: v1::Message, field: Arguments<'_>, faults: &mut Faults) -> Message {
    let v1::Message { role, text, parts } = message;
    let role = role_of(role);
    if role.is_none() {
        faults.add(
            format_args!("{field}.role"),
            "use ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL",
        );
    }
    if !text.is_empty() && !parts.is_empty() {
        faults.add(field, "set either `text` or `parts`, not both");
    }
    let parts = match parts.is_empty() {
        true if text.is_empty() => Vec::new(),
        true => {
            if role == Some(Role::Tool) {
                faults.add(format_args!("{field}.text"), parts_of(Role::Tool));
            }
            vec![Part::Text(text)]
        }
        false => {
            let mut parsed = Vec::with_capacity(parts.len());
            for (index, part) in parts.into_iter().enumerate() {
                let part = part_of(part, format_args!("{field}.parts[{index}]"), faults);
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

fn part_of(part: v1::ContentPart, field: Arguments<'_>, faults: &mut Faults) -> Option<Part> {
    use v1::content_part::Part as Wire;
    let Some(part) = part.part else {
        faults.add(field, "set one kind of part, such as `text`");
        return None;
    };
    let part = match part {
        Wire::Text(text) => Part::Text(text),
        Wire::Image(media) => Part::Image(media_of(media, format_args!("{field}.image"), faults)?),
        Wire::Document(media) => {
            Part::Document(media_of(media, format_args!("{field}.document"), faults)?)
        }
        Wire::ToolCall(call) => Part::ToolCall(tool_call_of(call)),
        Wire::ToolResult(result) => {
            let field = format_args!("{field}.tool_result");
            Part::ToolResult(tool_result_of(result, field, faults))
        }
        Wire::Reasoning(v1::Reasoning {
            text,
            signature,
            provider,
        }) => Part::Reasoning(Reasoning {
            text,
            signature,
            provider,
        }),
        Wire::Refusal(text) => Part::Refusal(text),
    };
    Some(part)
}

fn tool_call_of(call: v1::ToolCall) -> ToolCall {
    let v1::ToolCall {
        id,
        name,
        arguments_json,
        signature,
        provider,
    } = call;
    ToolCall {
        id,
        name,
        arguments: arguments_json,
        signature,
        provider,
    }
}

fn tool_result_of(result: v1::ToolResult, field: Arguments<'_>, faults: &mut Faults) -> ToolResult {
    let v1::ToolResult {
        tool_call_id,
        content,
        is_error,
    } = result;
    let mut parsed = Vec::with_capacity(content.len());
    for (index, part) in content.into_iter().enumerate() {
        let part = result_part_of(part, format_args!("{field}.content[{index}]"), faults);
        parsed.push(part.unwrap_or(NOTHING));
    }
    ToolResult {
        tool_call_id,
        tool_name: String::new(), // the check fills it in
        content: parsed,
        is_error,
    }
}

fn result_part_of(
    part: v1::ContentPart,
    field: Arguments<'_>,
    faults: &mut Faults,
) -> Option<Part> {
    use v1::content_part::Part as Wire;
    match part.part {
        Some(Wire::Text(text)) => Some(Part::Text(text)),
        Some(Wire::Image(media)) => {
            media_of(media, format_args!("{field}.image"), faults).map(Part::Image)
        }
        Some(Wire::Document(media)) => {
            media_of(media, format_args!("{field}.document"), faults).map(Part::Document)
        }
        Some(Wire::ToolCall(_) | Wire::ToolResult(_) | Wire::Reasoning(_) | Wire::Refusal(_))
        | None => {
            faults.add(field, RESULT_PARTS);
            None
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
