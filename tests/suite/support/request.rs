//! Builds the short requests that tests need.

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{ContentPart, GenerateRequest, Message, Role};

/// A request with one user message.
pub(crate) fn ask(scenario: &str, text: &str) -> GenerateRequest {
    GenerateRequest {
        scenario: scenario.to_owned(),
        messages: vec![message(Role::User, text)],
        ..GenerateRequest::default()
    }
}

/// A message of one text.
pub(crate) fn message(role: Role, text: &str) -> Message {
    Message {
        role: role.into(),
        text: text.to_owned(),
        ..Message::default()
    }
}

/// A message of parts.
pub(crate) fn parts(role: Role, parts: impl IntoIterator<Item = Part>) -> Message {
    Message {
        role: role.into(),
        parts: parts.into_iter().map(part).collect(),
        ..Message::default()
    }
}

/// A part as it stands in a message.
pub(crate) fn part(part: Part) -> ContentPart {
    ContentPart {
        part: Some(part),
        ..ContentPart::default()
    }
}
