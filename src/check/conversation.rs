//! Which parts may a message have, and which message may follow which?

use std::fmt::Arguments;

use crate::chat::{Media, MediaSource, Message, Part, ProviderPart, Reasoning, Role, ToolCall};
use crate::error::Violation;

use super::Faults;
use super::links::link;

/// Checks the messages of a request, and gives every tool result the name of the tool that was called. Faults that
/// the door has already reported for a message are not reported twice.
pub fn check_conversation(messages: &mut [Message], faults: &mut Faults) {
    let Some(last) = messages.last() else {
        faults.add("messages", "add at least one message");
        return;
    };
    let is_complete = last.role == Role::Assistant && !is_to_be_continued(last);
    let faulty = FaultyMessages::of(faults.reported());
    for (index, message) in messages.iter().enumerate() {
        if !faulty.of_message(index) {
            check_message(message, index, &faulty, faults);
        }
    }
    link(messages, faults);
    if faulty.of_message(messages.len() - 1) {
        return;
    }
    if is_complete {
        faults.add(
            format_args!("messages[{}].role", messages.len() - 1),
            "the last message must come from the user or a tool: models do not continue a given beginning",
        );
    }
}

/// Whether a provider can go on with this message of an assistant: it paused in the middle of using its own tools.
fn is_to_be_continued(message: &Message) -> bool {
    let mut parts = message.parts.iter();
    parts.any(|part| matches!(part, Part::Provider(_)))
}

/// The fields of messages for which the door has already reported a fault. Nearly always there are none.
struct FaultyMessages(Vec<String>);

impl FaultyMessages {
    fn of(violations: &[Violation]) -> Self {
        let fields = violations.iter().map(|violation| &violation.field);
        let of_messages = fields.filter(|field| field.starts_with("messages["));
        Self(of_messages.cloned().collect())
    }

    /// Whether a fault was reported for the message itself, its role or its text.
    fn of_message(&self, index: usize) -> bool {
        !self.0.is_empty()
            && ["", ".role", ".text"]
                .iter()
                .any(|rest| self.0.contains(&format!("messages[{index}]{rest}")))
    }

    /// Whether a fault was reported for this part or something in it.
    fn of_part(&self, index: usize, part: usize) -> bool {
        !self.0.is_empty() && {
            let part = format!("messages[{index}].parts[{part}]");
            self.0.iter().any(|field| field.starts_with(&part))
        }
    }
}

fn check_message(message: &Message, index: usize, faulty: &FaultyMessages, faults: &mut Faults) {
    let Message { role, parts } = message;
    // An assistant message may be empty: callers append an empty answer like any other.
    if parts.is_empty() && *role != Role::Assistant {
        faults.add(format_args!("messages[{index}]"), "set `text` or `parts`");
    }
    for (position, part) in parts.iter().enumerate() {
        if !faulty.of_part(index, position) {
            let field = format_args!("messages[{index}].parts[{position}]");
            check_role_of(part, *role, field, faults);
            check_part(part, field, faults);
        }
    }
}

fn check_role_of(part: &Part, role: Role, field: Arguments<'_>, faults: &mut Faults) {
    let legal_roles: &[Role] = match part {
        Part::Text(_) => &[Role::System, Role::User, Role::Assistant],
        Part::Document(_) => &[Role::User],
        // Models answer with these as well, and answers are sent back.
        Part::Image(_) | Part::Audio(_) | Part::Video(_) => &[Role::User, Role::Assistant],
        Part::ToolCall(_) | Part::Reasoning(_) | Part::Refusal(_) | Part::Provider(_) => {
            &[Role::Assistant]
        }
        Part::ToolResult(_) => &[Role::Tool],
    };
    if !legal_roles.contains(&role) {
        faults.add(field, parts_of(role));
    }
}

/// What a tool result may hold.
pub const RESULT_PARTS: &str =
    "a tool result holds `text`, `image`, `document`, `audio` and `video` parts only";

/// What a message of this role may hold.
pub fn parts_of(role: Role) -> &'static str {
    match role {
        Role::System => "a system message holds `text` parts only",
        Role::User => {
            "a user message holds `text`, `image`, `document`, `audio` and `video` parts only"
        }
        Role::Assistant => "an assistant message holds no `document` and no `tool_result` parts",
        Role::Tool => "a tool message holds `tool_result` parts only",
    }
}

fn check_part(part: &Part, field: Arguments<'_>, faults: &mut Faults) {
    let mut require_text = |text: &str, name: &str| {
        if text.is_empty() {
            faults.add(
                format_args!("{field}.{name}"),
                "must not be empty; leave the part out",
            );
        }
    };
    match part {
        Part::Text(text) => require_text(text, "text"),
        Part::Refusal(text) => require_text(text, "refusal"),
        Part::Image(media) => check_media(media, format_args!("{field}.image"), faults),
        Part::Document(media) => check_media(media, format_args!("{field}.document"), faults),
        Part::Audio(media) => check_media(media, format_args!("{field}.audio"), faults),
        Part::Video(media) => check_media(media, format_args!("{field}.video"), faults),
        Part::Provider(ProviderPart { provider, .. }) => {
            if provider.is_empty() {
                faults.add(
                    format_args!("{field}.provider_part.provider"),
                    "name the provider that produced the part, as the answer did",
                );
            }
        }
        Part::ToolCall(call) => check_tool_call(call, format_args!("{field}.tool_call"), faults),
        Part::ToolResult(result) => {
            for (index, part) in result.content.iter().enumerate() {
                let field = format_args!("{field}.tool_result.content[{index}]");
                check_result_part(part, field, faults);
            }
        }
        Part::Reasoning(Reasoning { provider, .. }) => {
            if provider.is_empty() {
                faults.add(
                    format_args!("{field}.reasoning.provider"),
                    "name the provider that produced the reasoning, as the answer did",
                );
            }
        }
    }
}

fn check_result_part(part: &Part, field: Arguments<'_>, faults: &mut Faults) {
    match part {
        Part::Text(_) => {} // a tool may return an empty text
        Part::Image(media) => check_media(media, format_args!("{field}.image"), faults),
        Part::Document(media) => check_media(media, format_args!("{field}.document"), faults),
        Part::Audio(media) => check_media(media, format_args!("{field}.audio"), faults),
        Part::Video(media) => check_media(media, format_args!("{field}.video"), faults),
        Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_)
        | Part::Provider(_) => {
            faults.add(field, RESULT_PARTS);
        }
    }
}

fn check_tool_call(call: &ToolCall, field: Arguments<'_>, faults: &mut Faults) {
    let ToolCall {
        id,
        name,
        arguments: _, // each wire format replaces arguments that its provider would refuse
        signature,
        provider,
    } = call;
    if id.is_empty() {
        faults.add(
            format_args!("{field}.id"),
            "give the call the id that the answer gave it",
        );
    }
    if name.is_empty() {
        faults.add(format_args!("{field}.name"), "name the tool that is called");
    }
    if !signature.is_empty() && provider.is_empty() {
        faults.add(
            format_args!("{field}.provider"),
            "name the provider that produced the signature",
        );
    }
}

fn check_media(media: &Media, field: Arguments<'_>, faults: &mut Faults) {
    let Media {
        source,
        media_type,
        filename: _,
        detail: _,
    } = media;
    let is_type = media_type
        .split_once('/')
        .is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
    match source {
        MediaSource::Data(data) => {
            if data.is_empty() {
                faults.add(format_args!("{field}.data"), "must not be empty");
            }
            if !is_type {
                faults.add(
                    format_args!("{field}.media_type"),
                    "name the media type of the data, such as `image/png`",
                );
            }
        }
        MediaSource::File { provider, id } => {
            if provider.is_empty() {
                faults.add(
                    format_args!("{field}.file.provider"),
                    "name the provider that has the file",
                );
            }
            if id.is_empty() {
                faults.add(
                    format_args!("{field}.file.id"),
                    "give the provider's id of the file",
                );
            }
        }
        MediaSource::Uri(uri) => {
            if !["https://", "http://", "gs://"]
                .iter()
                .any(|scheme| uri.starts_with(scheme))
            {
                faults.add(
                    format_args!("{field}.uri"),
                    "must begin with `https://`, `http://` or `gs://`; send other content as `data`",
                );
            }
            if !media_type.is_empty() && !is_type {
                faults.add(
                    format_args!("{field}.media_type"),
                    "must look like `image/png`",
                );
            }
        }
    }
}
