//! What the Responses format writes and reads, in small golden texts.

mod decode;
mod encode;

use super::{Dialect, InstructionsRole, OpenAiResponses, ReasoningReplay};
use crate::chat::{Answer, ChatEvent, ChatRequest, Message, Part, Role};
use crate::error::UpstreamError;
use crate::wire::options::NO_OPTIONS;
use crate::wire::reader::Reader;
use crate::wire::{Framing, Recipient, WireFormat};

const TO: Recipient<'_> = Recipient {
    provider: "openai",
    model: "gpt",
    max_output_tokens: None,
    stream: false,
    options: &NO_OPTIONS,
};

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

fn request(messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        messages,
        ..ChatRequest::default()
    }
}

fn hello() -> ChatRequest {
    request(vec![message(Role::User, vec![text("hello")])])
}

fn read(framing: Framing, body: &str) -> (Vec<ChatEvent>, Result<(), UpstreamError>) {
    let mut reader = Reader::new(&OpenAiResponses::default(), framing);
    let mut events = Vec::new();
    let mut end = reader.push(body.as_bytes(), &mut events);
    if end.is_ok() {
        end = reader.end(&mut events);
    }
    (events, end)
}

/// Reads a stream whose events have this data.
fn stream(data: &[impl AsRef<str>]) -> (Vec<ChatEvent>, Result<(), UpstreamError>) {
    let mut body = String::new();
    for data in data {
        body.push_str("data: ");
        body.push_str(data.as_ref());
        body.push_str("\n\n");
    }
    read(Framing::Sse, &body)
}

fn answer(events: Vec<ChatEvent>) -> Answer {
    let mut answer = Answer::default();
    for event in events {
        answer.apply(event);
    }
    answer
}
