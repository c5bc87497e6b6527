//! The events of a streaming call: what has been tried, the deltas, the end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use crate::chat::{CallIds, ChatEvent, Finish, finish_reason};
use crate::dispatch::{Call, CallEvent};
use crate::error::Reason;
use crate::trail::{AttemptRecord, Outcome};

use super::answer;
use super::messages::Verdict;
use super::v1::stream_generate_response::Event;
use super::{status, v1};

/// A committed call, on its way to the caller.
pub(super) struct Streaming {
    call: Call,
    sequence: i64,
    /// Events that stand before the first delta, or after the last one.
    queued: VecDeque<Event>,
    parts: Parts,
    finish: Option<Finish>,
    ended: bool,
}

impl Streaming {
    /// Begins the stream of a call that has been committed: tells first what was tried before.
    pub(super) fn new(call: Call) -> Self {
        let trail = call.trail();
        let mut queued = VecDeque::with_capacity(2 + 2 * trail.attempts.len());
        queued.push_back(Event::Started(v1::CallStarted {
            call_id: trail.call_id.clone(),
            trace_id: trail.trace_id.clone(),
            scenario: trail.scenario.clone(),
        }));
        queued.extend(trail.attempts.iter().flat_map(attempt_events));
        queued.extend(call.running().map(attempt_started));
        let parts = Parts::new(trail.call_id.clone());
        Self {
            call,
            sequence: 0,
            queued,
            parts,
            finish: None,
            ended: false,
        }
    }

    /// The next message of the stream, or its failure as soon as there is a verdict; `None` after
    /// the last. A verdict that comes after the call's own end changes nothing.
    pub(super) async fn next_unless(
        &mut self,
        verdict: &Verdict,
    ) -> Option<Result<v1::StreamGenerateResponse, tonic::Status>> {
        if self.ended {
            return self.next().await;
        }
        let condemned = poll_fn(|_| match verdict.get() {
            Some(error) => Poll::Ready(error.clone()),
            None => Poll::Pending,
        });
        let error = tokio::select! {
            biased;
            error = condemned => error,
            message = self.next() => return message,
        };
        self.ended = true;
        self.queued.clear();
        Some(Err(status::of_failure(&self.call.abandon(error))))
    }

    /// The next message of the stream; `None` after the last.
    async fn next(&mut self) -> Option<Result<v1::StreamGenerateResponse, tonic::Status>> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Some(Ok(self.numbered(event)));
            }
            if self.ended {
                return None;
            }
            match self.call.next().await {
                Ok(Some(CallEvent::Answer(ChatEvent::Finish(finish)))) => {
                    self.finish = Some(finish)
                }
                Ok(Some(CallEvent::Restarted { since })) => self.restart(since),
                Ok(Some(CallEvent::Answer(event))) => {
                    if let Some(delta) = self.parts.delta(event) {
                        return Some(Ok(self.numbered(delta)));
                    }
                }
                Ok(None) => {
                    self.ended = true;
                    let last = self.call.trail().attempts.last();
                    self.queued
                        .extend(last.map(|record| attempt_ended(record, false)));
                    let reason =
                        finish_reason(self.finish.as_ref(), self.parts.has_tool_calls(), true);
                    let response = Some(answer::summary(&self.call, reason, self.finish.take()));
                    self.queued
                        .push_back(Event::Completed(Box::new(v1::CallCompleted { response })));
                }
                Err(failure) => {
                    self.ended = true;
                    return Some(Err(status::of_failure(&failure)));
                }
            }
        }
    }

    /// Tells that all deltas are void, why, and what has been tried since.
    fn restart(&mut self, since: usize) {
        let trail = self.call.trail();
        let mut attempts = trail.attempts[since.min(trail.attempts.len())..].iter();
        let broken = attempts.next();
        let reason = broken
            .and_then(|record| record.outcome.reason())
            .unwrap_or(Reason::Internal);
        self.queued
            .extend(broken.map(|record| attempt_ended(record, true)));
        self.queued.extend(attempts.flat_map(attempt_events));
        let reason = answer::error_reason(reason).into();
        self.queued
            .push_back(Event::OutputReset(v1::OutputReset { reason }));
        self.queued.extend(self.call.running().map(attempt_started));
        self.parts = Parts::new(trail.call_id.clone());
        self.finish = None;
    }

    fn numbered(&mut self, event: Event) -> v1::StreamGenerateResponse {
        self.sequence += 1;
        v1::StreamGenerateResponse {
            sequence: self.sequence,
            event: Some(event),
        }
    }
}

/// What is told of an attempt that another one followed.
fn attempt_events(record: &AttemptRecord) -> impl Iterator<Item = Event> {
    let sent = !matches!(record.outcome, Outcome::Skipped(_));
    sent.then(|| attempt_started(record))
        .into_iter()
        .chain([attempt_ended(record, true)])
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
struct Parts {
    ids: CallIds,
    open: Open,
    count: i32,
    /// Index of the part of each tool call, by its number.
    tool_calls: Vec<i32>,
}

/// The kind of the last part, which further deltas of that kind go on with.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Nothing,
    Text,
    Refusal,
    Reasoning,
}

impl Parts {
    fn new(call_id: String) -> Self {
        Self {
            ids: CallIds::new(call_id),
            open: Open::Nothing,
            count: 0,
            tool_calls: Vec::new(),
        }
    }

    fn has_tool_calls(&self) -> bool {
        !self.tool_calls.is_empty()
    }

    /// The event that tells a caller of a delta; `None` for what is told at the end.
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
                    name,
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
                usage: Some(answer::usage(usage)),
            }),
            ChatEvent::Started { .. } | ChatEvent::Finish(_) | ChatEvent::Done => return None,
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
        self.open = kind;
        self.count += 1;
        self.count - 1
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::chat::{Answer, Part};

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
        ];
        prop::collection::vec(event, 0..40)
    }

    /// What a client makes of the deltas: the text of each part by its index.
    fn reassemble(events: &[ChatEvent]) -> Vec<String> {
        let mut parts = Parts::new("call".into());
        let mut texts: Vec<String> = Vec::new();
        for event in events {
            let (index, text) = match parts.delta(event.clone()) {
                Some(Event::TextDelta(delta)) => (delta.part_index, delta.text),
                Some(Event::RefusalDelta(delta)) => (delta.part_index, delta.text),
                Some(Event::ReasoningDelta(delta)) => (delta.part_index, delta.text),
                Some(Event::ToolCallDelta(delta)) => {
                    (delta.part_index, delta.arguments_json_fragment)
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

            let whole: Vec<String> = answer.parts.into_iter().map(|part| match part {
                Part::Text(text) | Part::Refusal(text) => text,
                Part::Reasoning(reasoning) => reasoning.text,
                Part::ToolCall(call) => call.arguments,
                Part::Image(_) | Part::Document(_) | Part::ToolResult(_) => unreachable!(),
            }).collect();
            prop_assert_eq!(reassemble(&events), whole);
        }
    }
}
