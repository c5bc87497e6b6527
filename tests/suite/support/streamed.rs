//! A stream read to its end, and the laws that hold for each.

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    Citation, GenerateResponse, Message, Reasoning, Role, StreamGenerateResponse, TokenLogprob,
    ToolCall,
};
use tonic::{Status, Streaming};

use super::request::part;

/// The events of a stream, and the status it ended with if that is not OK.
#[derive(Debug)]
pub(crate) struct Streamed {
    pub(crate) events: Vec<Event>,
    pub(crate) failure: Option<Status>,
}

/// Reads a stream to its end. Fails if it breaks a law of every stream: numbered without gaps,
/// `started` first, `completed` last if and only if the status is OK.
pub(crate) async fn collect(stream: Streaming<StreamGenerateResponse>) -> Streamed {
    collect_with(stream, |_| {}).await
}

/// The same, and calls `on_event` for each event as soon as it arrives.
pub(crate) async fn collect_with(
    mut stream: Streaming<StreamGenerateResponse>,
    mut on_event: impl FnMut(&Event),
) -> Streamed {
    let mut streamed = Streamed {
        events: Vec::new(),
        failure: None,
    };
    loop {
        match stream.message().await {
            Ok(Some(message)) => {
                assert_eq!(message.sequence, streamed.events.len() as i64 + 1);
                let event = message.event.unwrap();
                on_event(&event);
                streamed.events.push(event);
            }
            Ok(None) => break,
            Err(status) => {
                streamed.failure = Some(status);
                break;
            }
        }
    }
    assert!(matches!(streamed.events.first(), Some(Event::Started(_))));
    let is_completed = |event: &Event| matches!(event, Event::Completed(_));
    let completed = streamed.events.iter().position(is_completed);
    let last = streamed.events.len() - 1;
    let expected = streamed.failure.is_none().then_some(last);
    assert_eq!(completed, expected, "place of `completed`: {streamed:?}");
    streamed
}

impl Streamed {
    /// A call that failed before its first event.
    pub(crate) fn failed(status: Status) -> Self {
        Self {
            events: Vec::new(),
            failure: Some(status),
        }
    }

    /// All text deltas together.
    pub(crate) fn text(&self) -> String {
        let texts = self.events.iter().map(|event| match event {
            Event::TextDelta(delta) => delta.text.as_str(),
            _ => "",
        });
        texts.collect()
    }

    /// What `Generate` would have returned: the summary, with the output put together from deltas.
    pub(crate) fn into_response(self) -> Result<GenerateResponse, Status> {
        if let Some(status) = self.failure {
            return Err(status);
        }
        let mut parts: Vec<Part> = Vec::new();
        let mut beside: Vec<(i32, Beside)> = Vec::new();
        for event in self.events {
            match event {
                Event::TextDelta(delta) => {
                    let part = open(&mut parts, delta.part_index, || Part::Text(String::new()));
                    let Part::Text(text) = part else {
                        panic!("a text delta for {part:?}")
                    };
                    text.push_str(&delta.text);
                }
                Event::OutputReset(_) => {
                    parts.clear();
                    beside.clear();
                }
                Event::RefusalDelta(delta) => {
                    let part = open(
                        &mut parts,
                        delta.part_index,
                        || Part::Refusal(String::new()),
                    );
                    let Part::Refusal(text) = part else {
                        panic!("a refusal delta for {part:?}")
                    };
                    text.push_str(&delta.text);
                }
                Event::ReasoningDelta(delta) => {
                    let part = open(&mut parts, delta.part_index, || {
                        Part::Reasoning(Reasoning::default())
                    });
                    let Part::Reasoning(reasoning) = part else {
                        panic!("a reasoning delta for {part:?}")
                    };
                    reasoning.text.push_str(&delta.text);
                    if !delta.signature.is_empty() {
                        reasoning.signature = delta.signature;
                    }
                }
                Event::ToolCallDelta(delta) => {
                    let part = open(&mut parts, delta.part_index, || {
                        Part::ToolCall(ToolCall {
                            id: delta.id,
                            name: delta.name,
                            signature: delta.signature,
                            ..ToolCall::default()
                        })
                    });
                    let Part::ToolCall(call) = part else {
                        panic!("a tool call delta for {part:?}")
                    };
                    call.arguments_json.push_str(&delta.arguments_json_fragment);
                }
                Event::Completed(completed) => {
                    let response = completed.response.unwrap();
                    return Ok(with_output(response, parts, beside));
                }
                Event::PartAdded(added) => {
                    let part = added.part.and_then(|part| part.part);
                    let part = part.expect("a part of a kind that we know");
                    let index = usize::try_from(added.part_index).unwrap();
                    assert_eq!(index, parts.len(), "a part that arrives whole is a new one");
                    parts.push(part);
                }
                Event::CitationAdded(added) => {
                    let citation = added.citation.expect("a citation");
                    beside.push((added.part_index, Beside::Citation(citation)));
                }
                Event::LogprobsDelta(delta) => {
                    assert!(!delta.logprobs.is_empty());
                    let logprobs = delta.logprobs.into_iter().map(Beside::Logprob);
                    beside.extend(logprobs.map(|logprob| (delta.part_index, logprob)));
                }
                Event::Started(_)
                | Event::AttemptStarted(_)
                | Event::AttemptEnded(_)
                | Event::Usage(_) => {}
            }
        }
        unreachable!("a stream that ends with OK has `completed`")
    }
}

/// The part at this index, which is at most one beyond the last.
fn open(parts: &mut Vec<Part>, index: i32, new: impl FnOnce() -> Part) -> &mut Part {
    let index = usize::try_from(index).unwrap();
    if index == parts.len() {
        parts.push(new());
    }
    &mut parts[index]
}

/// What is told of a text besides itself.
enum Beside {
    Citation(Citation),
    Logprob(TokenLogprob),
}

/// Deltas do not repeat who produced reasoning and signatures: it is the provider that answered.
fn with_output(
    mut response: GenerateResponse,
    mut parts: Vec<Part>,
    beside: Vec<(i32, Beside)>,
) -> GenerateResponse {
    assert_eq!(response.output, None);
    for part in &mut parts {
        match part {
            Part::Reasoning(reasoning) => reasoning.provider.clone_from(&response.provider),
            Part::ToolCall(call) if !call.signature.is_empty() => {
                call.provider.clone_from(&response.provider);
            }
            _ => {}
        }
    }
    let mut parts: Vec<_> = parts.into_iter().map(part).collect();
    for (index, beside) in beside {
        let part = &mut parts[usize::try_from(index).unwrap()];
        assert!(matches!(part.part, Some(Part::Text(_))), "{part:?}");
        match beside {
            Beside::Citation(citation) => part.citations.push(citation),
            Beside::Logprob(logprob) => part.logprobs.push(logprob),
        }
    }
    response.output = Some(Message {
        role: Role::Assistant.into(),
        parts,
        ..Message::default()
    });
    response
}
