//! How does the contract spell the events of a stream: what was tried, the deltas, the end?

use crate::chat::{CallIds, ChatEvent, given_name};
use crate::serving::{Failure, StreamEvent, StreamSpelling};
use crate::trail::{AttemptRecord, Trail};

use super::answer;
use super::v1::stream_generate_response::Event;
use super::{status, v1};

/// Spells the messages of one stream.
pub(super) struct Events {
    sequence: i64,
    parts: DeltaParts,
}

impl Events {
    /// Spells the stream of the call with this id.
    pub(super) fn of(call_id: &str) -> Self {
        Self {
            sequence: 0,
            parts: DeltaParts::new(call_id.to_owned()),
        }
    }
}

impl StreamSpelling for Events {
    type Message = v1::StreamGenerateResponse;
    type Failure = tonic::Status;

    fn event(&mut self, event: StreamEvent<'_>) -> Option<v1::StreamGenerateResponse> {
        let event = match event {
            StreamEvent::Started(trail) => started(trail),
            StreamEvent::AttemptStarted(record) => {
                self.parts.provider.clone_from(&record.provider);
                attempt_started(record)
            }
            StreamEvent::AttemptEnded {
                record,
                will_continue,
            } => attempt_ended(record, will_continue),
            StreamEvent::Answer(event) => self.parts.delta(event)?,
            StreamEvent::Reset { trail, reason } => {
                self.parts = DeltaParts::new(trail.call_id.clone());
                let reason = answer::error_reason(reason).into();
                Event::OutputReset(v1::OutputReset { reason })
            }
            StreamEvent::Completed {
                summary,
                reason,
                beside,
            } => {
                let response = Some(answer::summary(&summary, reason, beside));
                Event::Completed(Box::new(v1::CallCompleted { response }))
            }
        };
        self.sequence += 1;
        Some(v1::StreamGenerateResponse {
            sequence: self.sequence,
            event: Some(event),
        })
    }

    fn failure(&mut self, failure: Failure) -> tonic::Status {
        status::of_failure(&failure)
    }
}

fn started(trail: &Trail) -> Event {
    Event::Started(v1::CallStarted {
        call_id: trail.call_id.clone(),
        trace_id: trail.trace_id.clone(),
        scenario: trail.scenario.clone(),
    })
}

fn attempt_started(record: &AttemptRecord) -> Event {
    Event::AttemptStarted(v1::AttemptStarted {
        number: i32::try_from(record.number).unwrap_or(i32::MAX),
        provider: record.provider.clone(),
        model: record.model.clone(),
        kind: answer::kind_of(record.kind).into(),
    })
}

fn attempt_ended(record: &AttemptRecord, will_continue: bool) -> Event {
    Event::AttemptEnded(Box::new(v1::AttemptEnded {
        attempt: Some(answer::attempt(record)),
        will_continue,
    }))
}

/// Which part of the final message a delta belongs to: the same rules as [`crate::chat::Answer::apply`].
struct DeltaParts {
    ids: CallIds,
    open: Open,
    count: i32,
    /// Index of the part of each tool call, by its number.
    tool_calls: Vec<i32>,
    /// Index of the last text.
    text: Option<i32>,
    /// Name of the provider that answers.
    provider: String,
}

/// The kind of the last part; further deltas of the same kind belong to it.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Nothing,
    Text,
    Refusal,
    Reasoning,
}

impl DeltaParts {
    fn new(call_id: String) -> Self {
        Self {
            ids: CallIds::new(call_id),
            open: Open::Nothing,
            count: 0,
            tool_calls: Vec::new(),
            text: None,
            provider: String::new(),
        }
    }

    /// The event for a delta; `None` for events whose content is sent at the end.
    fn delta(&mut self, event: ChatEvent) -> Option<Event> {
        let event = match event {
            ChatEvent::Text(text) => Event::TextDelta(v1::TextDelta {
                part_index: self.index(Open::Text),
                text,
            }),
            ChatEvent::Refusal(text) => Event::RefusalDelta(v1::RefusalDelta {
                part_index: self.index(Open::Refusal),
                text,
            }),
            ChatEvent::Reasoning(text) => {
                let part_index = self.index(Open::Reasoning);
                Event::ReasoningDelta(v1::ReasoningDelta {
                    part_index,
                    text,
                    signature: Default::default(),
                })
            }
            ChatEvent::ReasoningSignature(signature) => {
                let part_index = self.index(Open::Reasoning);
                self.open = Open::Nothing; // a signature closes its part
                Event::ReasoningDelta(v1::ReasoningDelta {
                    part_index,
                    text: String::new(),
                    signature,
                })
            }
            ChatEvent::ToolCall {
                id,
                name,
                signature,
            } => {
                let part_index = self.begin(Open::Nothing);
                let id = self.ids.next(id);
                self.tool_calls.push(part_index);
                let arguments_json_fragment = String::new();
                Event::ToolCallDelta(v1::ToolCallDelta {
                    part_index,
                    id,
                    name: given_name(name),
                    arguments_json_fragment,
                    signature,
                })
            }
            ChatEvent::ToolArguments { call, fragment } => {
                Event::ToolCallDelta(v1::ToolCallDelta {
                    part_index: *self.tool_calls.get(call)?,
                    arguments_json_fragment: fragment,
                    ..v1::ToolCallDelta::default()
                })
            }
            ChatEvent::Usage(usage) => Event::Usage(v1::UsageUpdate {
                usage: Some(answer::usage(*usage)),
            }),
            ChatEvent::Part(part) => {
                let part_index = self.begin(Open::Nothing);
                let part = answer::spelled(*part, &self.provider, &mut self.ids);
                Event::PartAdded(v1::PartAdded {
                    part_index,
                    part: Some(part),
                })
            }
            ChatEvent::Citation(citation) => Event::CitationAdded(v1::CitationAdded {
                part_index: self.text?,
                citation: Some(answer::citation(*citation)),
            }),
            ChatEvent::Logprobs(logprobs) => Event::LogprobsDelta(v1::LogprobsDelta {
                part_index: self.text?,
                logprobs: logprobs.into_iter().map(answer::token_logprob).collect(),
            }),
            ChatEvent::Started { .. }
            | ChatEvent::Finish(_)
            | ChatEvent::Cost(_)
            | ChatEvent::Metadata(_)
            | ChatEvent::LeftOut(_)
            | ChatEvent::Done => return None,
        };
        Some(event)
    }

    /// Index of the open part of this kind, or of a new one.
    fn index(&mut self, kind: Open) -> i32 {
        if self.open == kind {
            self.count - 1
        } else {
            self.begin(kind)
        }
    }

    fn begin(&mut self, kind: Open) -> i32 {
        let index = self.count;
        if kind == Open::Text {
            self.text = Some(index);
        }
        self.open = kind;
        self.count += 1;
        index
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::chat::{Answer, Citation, Part, ProviderPart, TokenLogprob};

    fn events() -> impl Strategy<Value = Vec<ChatEvent>> {
        let event = prop_oneof![
            "[a-z]{1,3}".prop_map(ChatEvent::Text),
            "[a-z]{1,3}".prop_map(ChatEvent::Reasoning),
            "[a-z]{1,3}".prop_map(ChatEvent::Refusal),
            Just(ChatEvent::ReasoningSignature(Bytes::from_static(b"signed"))),
            Just(ChatEvent::ToolCall {
                id: "id".into(),
                name: "name".into(),
                signature: Bytes::new()
            }),
            (0usize..4, "[a-z]{1,3}")
                .prop_map(|(call, fragment)| ChatEvent::ToolArguments { call, fragment }),
            "[a-z]{1,3}".prop_map(
                |kind| ChatEvent::Part(Box::new(Part::Provider(ProviderPart {
                    kind,
                    ..ProviderPart::default()
                })))
            ),
            "[a-z]{1,3}".prop_map(|title| ChatEvent::Citation(Box::new(Citation {
                title,
                ..Citation::default()
            }))),
            prop::collection::vec("[0-9]{1,3}", 1..3).prop_map(|tokens| {
                let logprob = |token| TokenLogprob {
                    token,
                    ..TokenLogprob::default()
                };
                ChatEvent::Logprobs(tokens.into_iter().map(logprob).collect())
            }),
        ];
        prop::collection::vec(event, 0..40)
    }

    /// The text of each part, what it rests on (in capitals) and its tokens (digits), by its index, as a client assembles
    /// them from the deltas.
    fn reassemble(events: &[ChatEvent]) -> Vec<String> {
        let mut parts = DeltaParts::new("call".into());
        let mut texts: Vec<String> = Vec::new();
        for event in events {
            let (index, text) = match parts.delta(event.clone()) {
                Some(Event::TextDelta(delta)) => (delta.part_index, delta.text),
                Some(Event::RefusalDelta(delta)) => (delta.part_index, delta.text),
                Some(Event::ReasoningDelta(delta)) => (delta.part_index, delta.text),
                Some(Event::ToolCallDelta(delta)) => {
                    (delta.part_index, delta.arguments_json_fragment)
                }
                Some(Event::PartAdded(added)) => match added.part.and_then(|part| part.part) {
                    Some(v1::content_part::Part::ProviderPart(part)) => {
                        (added.part_index, part.kind)
                    }
                    _ => continue,
                },
                Some(Event::CitationAdded(added)) => match added.citation {
                    Some(citation) => (added.part_index, citation.title.to_uppercase()),
                    None => continue,
                },
                Some(Event::LogprobsDelta(delta)) => {
                    let tokens = delta.logprobs.into_iter().map(|logprob| logprob.token);
                    (delta.part_index, tokens.collect())
                }
                _ => continue,
            };
            let index = usize::try_from(index).unwrap();
            texts.resize(texts.len().max(index + 1), String::new());
            texts[index].push_str(&text);
        }
        texts
    }

    proptest! {
        #[test]
        fn the_deltas_of_a_stream_make_the_parts_of_the_whole_answer(events in events()) {
            let mut answer = Answer::default();
            events.iter().cloned().for_each(|event| answer.apply(event));

            let mut sources = vec![String::new(); answer.parts.len()];
            for (index, source) in std::mem::take(&mut answer.citations) {
                sources[index].push_str(&source.title.to_uppercase());
            }
            let mut tokens = vec![String::new(); answer.parts.len()];
            for (index, logprob) in std::mem::take(&mut answer.logprobs) {
                tokens[index].push_str(&logprob.token);
            }
            let whole = answer.parts.into_iter().map(|part| match part {
                Part::Text(text) | Part::Refusal(text) => text,
                Part::Reasoning(reasoning) => reasoning.text,
                Part::ToolCall(call) => call.arguments,
                Part::Provider(part) => part.kind,
                Part::Image(_)
                | Part::Document(_)
                | Part::Audio(_)
                | Part::Video(_)
                | Part::ToolResult(_) => unreachable!(),
            });
            let told = reassemble(&events);
            prop_assert_eq!(told.len(), whole.len());
            for (index, (told, whole)) in told.iter().zip(whole).enumerate() {
                let of = |kind: fn(char) -> bool| told.replace(|letter| !kind(letter), "");
                prop_assert_eq!(of(char::is_lowercase), whole);
                prop_assert_eq!(of(char::is_uppercase), &*sources[index]);
                prop_assert_eq!(of(char::is_numeric), &*tokens[index]);
            }
        }
    }
}
