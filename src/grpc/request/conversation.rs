//! How are the messages of a request and their parts parsed?

use std::fmt::Arguments;

use crate::chat::{Marks, Message, Part, PartAt, Reasoning, Role, ToolCall, ToolResult};
use crate::check::{Faults, RESULT_PARTS, check_conversation, parts_of};
use crate::grpc::v1;

use super::media::media_of;
use super::provider::{mark_of, provider_part_of};
use super::schema::Schemas;

/// Stands in place of a refused part, so that the others keep their positions.
const NOTHING: Part = Part::Text(String::new());

/// What the parts of a request are parsed with.
struct Parsing<'p> {
    /// What is said of them besides their content.
    marks: &'p mut Marks,
    schemas: &'p Schemas<'p>,
    faults: &'p mut Faults,
}

/// The messages of a request, parsed and checked.
pub(super) fn messages_of(
    messages: Vec<v1::Message>,
    marks: &mut Marks,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Vec<Message> {
    let mut parsing = Parsing {
        marks,
        schemas,
        faults,
    };
    let mut parsed = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        parsed.push(parsing.message(message, index));
    }
    check_conversation(&mut parsed, faults);
    parsed
}

impl Parsing<'_> {
    fn message(&mut self, message: v1::Message, index: usize) -> Message {
        let v1::Message { role, text, parts } = message;
        let field = format_args!("messages[{index}]");
        let role = role_of(role);
        if role.is_none() {
            self.faults.add(
                format_args!("{field}.role"),
                "use ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL",
            );
        }
        if !text.is_empty() && !parts.is_empty() {
            let what = "set either `text` or `parts`, not both";
            self.faults.add(field, what);
        }
        let parts = match parts.is_empty() {
            true if text.is_empty() => Vec::new(),
            true => {
                if role == Some(Role::Tool) {
                    let field = format_args!("{field}.text");
                    self.faults.add(field, parts_of(Role::Tool));
                }
                vec![Part::Text(text)]
            }
            false => {
                let mut parsed = Vec::with_capacity(parts.len());
                for (part_index, part) in parts.into_iter().enumerate() {
                    let at = PartAt {
                        message: index,
                        part: part_index,
                        content: None,
                    };
                    let field = format_args!("{field}.parts[{part_index}]");
                    parsed.push(self.part(part, at, field).unwrap_or(NOTHING));
                }
                parsed
            }
        };
        Message {
            role: role.unwrap_or(Role::User),
            parts,
        }
    }

    fn part(&mut self, part: v1::ContentPart, at: PartAt, field: Arguments<'_>) -> Option<Part> {
        use v1::content_part::Part as Wire;
        let v1::ContentPart {
            cache_breakpoint,
            provider_options,
            // Only in answers.
            citations: _,
            logprobs: _,
            part,
        } = part;
        // Few parts have a mark, and a conversation has many parts.
        if cache_breakpoint.is_some() || !provider_options.is_empty() {
            let mark = mark_of(
                cache_breakpoint,
                provider_options,
                field,
                self.schemas,
                self.faults,
            );
            self.marks.add_to_part(at, mark);
        }
        let Some(part) = part else {
            let what = match at.content {
                None => "set one kind of part, such as `text`",
                Some(_) => RESULT_PARTS,
            };
            self.faults.add(field, what);
            return None;
        };
        let is_content = matches!(
            part,
            Wire::Text(_) | Wire::Image(_) | Wire::Document(_) | Wire::Audio(_) | Wire::Video(_)
        );
        if at.content.is_some() && !is_content {
            self.faults.add(field, RESULT_PARTS);
            return None;
        }
        let mut media =
            |media, name: &str| media_of(media, format_args!("{field}.{name}"), self.faults);
        let part = match part {
            Wire::Text(text) => Part::Text(text),
            Wire::Image(image) => Part::Image(media(image, "image")?),
            Wire::Document(document) => Part::Document(media(document, "document")?),
            Wire::Audio(audio) => Part::Audio(media(audio, "audio")?),
            Wire::Video(video) => Part::Video(media(video, "video")?),
            Wire::ToolCall(call) => Part::ToolCall(tool_call_of(call)),
            Wire::ToolResult(result) => {
                let field = format_args!("{field}.tool_result");
                Part::ToolResult(self.tool_result(result, at, field))
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
            Wire::ProviderPart(part) => {
                let field = format_args!("{field}.provider_part");
                Part::Provider(provider_part_of(part, field, self.schemas, self.faults)?)
            }
        };
        Some(part)
    }

    fn tool_result(
        &mut self,
        result: v1::ToolResult,
        at: PartAt,
        field: Arguments<'_>,
    ) -> ToolResult {
        let v1::ToolResult {
            tool_call_id,
            content,
            is_error,
        } = result;
        let mut parsed = Vec::with_capacity(content.len());
        for (index, part) in content.into_iter().enumerate() {
            let content = Some(index);
            let field = format_args!("{field}.content[{index}]");
            let part = self.part(part, PartAt { content, ..at }, field);
            parsed.push(part.unwrap_or(NOTHING));
        }
        ToolResult {
            tool_call_id,
            tool_name: String::new(), // the check fills it in
            content: parsed,
            is_error,
        }
    }
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

fn role_of(number: i32) -> Option<Role> {
    match v1::Role::try_from(number) {
        Ok(v1::Role::System) => Some(Role::System),
        Ok(v1::Role::User) => Some(Role::User),
        Ok(v1::Role::Assistant) => Some(Role::Assistant),
        Ok(v1::Role::Tool) => Some(Role::Tool),
        Ok(v1::Role::Unspecified) | Err(_) => None,
    }
}
