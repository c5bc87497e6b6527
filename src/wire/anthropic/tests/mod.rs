//! What the Messages format writes and reads, in small golden texts.

mod decode;
mod encode;
mod provided;
mod sources;

use super::{Anthropic, Dialect, Host, ThinkingDialect};
use crate::chat::{Answer, ChatEvent, ChatRequest, Message, Part, Role};
use crate::error::UpstreamError;
use crate::wire::options::NO_OPTIONS;
use crate::wire::reader::Reader;
use crate::wire::{Framing, Recipient, WireFormat};

const ADAPTIVE: Anthropic = Anthropic {
    dialect: Dialect {
        excludes: None,
        efforts: None,
        host: Host::Anthropic,
        thinking: ThinkingDialect::Adaptive,
    },
};

const BUDGET: Anthropic = Anthropic {
    dialect: Dialect {
        excludes: None,
        efforts: None,
        host: Host::Anthropic,
        thinking: ThinkingDialect::Budget,
    },
};

const TO: Recipient<'_> = Recipient {
    provider: "anthropic",
    model: "claude",
    max_output_tokens: Some(8192),
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
    let mut reader = Reader::new(&ADAPTIVE, framing);
    let mut events = Vec::new();
    let mut end = reader.push(body.as_bytes(), &mut events);
    if end.is_ok() {
        end = reader.end(&mut events);
    }
    (events, end)
}

/// Reads a stream whose events have this data.
fn stream(data: &[impl AsRef<str>]) -> (Vec<ChatEvent>, Result<(), UpstreamError>) {
    let body: String = data
        .iter()
        .map(|data| {
            format!(
                "data: {}

",
                data.as_ref()
            )
        })
        .collect();
    read(Framing::Sse, &body)
}

fn answer(events: Vec<ChatEvent>) -> Answer {
    let mut answer = Answer::default();
    for event in events {
        answer.apply(event);
    }
    answer
}
