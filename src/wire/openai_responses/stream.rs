//! Which events does a stream of the Responses API become?
//!
//! The reference is <https://platform.openai.com/docs/api-reference/responses-streaming>.

use std::borrow::Cow;

use crate::chat::ChatEvent;
use crate::error::{UpstreamError, UpstreamErrorKind};
use crate::wire::json::{MaybeAbsent, is_hollow, parse_object};
use crate::wire::reported::Reported;
use crate::wire::{Decoder, Frame, failure};

use super::accounts;
use super::ending::{error_of, finish};
use super::items::{Field, Items, Kind, Name};
use super::numbers::Numbers;
use super::reply::{Event, Part, Response, Sent, arguments};
use super::whole::Whole;

/// Reads a stream of events.
#[derive(Default)]
pub(super) struct Events {
    items: Items,
    numbers: Numbers,
    reported: Reported,
}

impl Decoder for Events {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let mut read = self.event(frame, events);
        // A host may well correct its text in the end, but not if events of it are missing.
        if read.is_ok() && self.items.disagrees() && self.numbers.has_gap() {
            events.pop_if(|event| *event == ChatEvent::Done);
            read = Err(UpstreamError::malformed("events of the stream were lost"));
        }
        read
    }

    /// A call whose id and name had not come is not told: what follows could have named it.
    fn end(&mut self, _: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
        Err(UpstreamError::new(UpstreamErrorKind::Truncated))
    }
}

impl Events {
    fn event(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        // Keep-alives, and the mark with which some gateways end every stream, complete or not.
        if matches!(frame.data.trim_ascii(), "" | "[DONE]") {
            return Ok(());
        }
        let event: Event<'_> = parse_object(frame.data)
            .ok_or_else(|| UpstreamError::malformed("an event cannot be read"))?;
        if self.numbers.is_repeat(event.sequence_number.0, frame.data) {
            return Ok(());
        }
        let kind = if event.kind.is_absent() {
            frame.event
        } else {
            &*event.kind.0
        };
        let name = Name {
            index: event.output_index.0,
            id: &event.item_id.0,
        };
        let part = event.content_index.0.unwrap_or(0);
        let summary = event.summary_index.0.unwrap_or(0);
        match kind {
            "response.output_text.delta" => {
                self.items
                    .piece(name, (Field::Text, part), event.delta.0, events)?;
                self.items.logprobs(name, part, event.logprobs, events)
            }
            "response.output_text.annotation.added" => match event.annotation {
                Some(annotation) => self.items.citation(name, part, annotation, events),
                None => Ok(()),
            },
            "response.output_text.done" => {
                self.items
                    .whole(name, (Field::Text, part), &event.text.0, events)
            }
            "response.refusal.delta" => {
                self.items
                    .piece(name, (Field::Refusal, part), event.delta.0, events)
            }
            "response.refusal.done" => {
                self.items
                    .whole(name, (Field::Refusal, part), &event.refusal.0, events)
            }
            "response.reasoning_summary_text.delta" => {
                self.items
                    .piece(name, (Field::Summary, summary), event.delta.0, events)
            }
            "response.reasoning_summary_text.done" => {
                self.items
                    .whole(name, (Field::Summary, summary), &event.text.0, events)
            }
            "response.reasoning_text.delta" => {
                self.items
                    .piece(name, (Field::Reasoning, part), event.delta.0, events)
            }
            "response.reasoning_text.done" => {
                self.items
                    .whole(name, (Field::Reasoning, part), &event.text.0, events)
            }
            "response.reasoning_summary_part.done" => match event.part {
                Some(said) => {
                    self.items
                        .whole(name, (Field::Summary, summary), &said.text.0, events)
                }
                None => Ok(()),
            },
            "response.content_part.done" => match event.part {
                Some(said) => self.part_done(name, part, said, events),
                None => Ok(()),
            },
            "response.function_call_arguments.delta" => {
                self.items
                    .arguments(name, Kind::Function, event.delta.0, events)
            }
            "response.function_call_arguments.done" => {
                let whole = arguments(event.arguments);
                self.items
                    .whole_arguments(name, Kind::Function, &whole, events)
            }
            "response.custom_tool_call_input.delta" => {
                self.items
                    .arguments(name, Kind::Custom, event.delta.0, events)
            }
            "response.custom_tool_call_input.done" => {
                self.items
                    .whole_arguments(name, Kind::Custom, &event.input.0, events)
            }
            "response.output_item.added" | "response.output_item.done" => match event.item {
                Some(item) => {
                    let sent = Sent::read(item);
                    let name = Name {
                        id: &sent.item.id.0,
                        ..name
                    };
                    match kind {
                        "response.output_item.added" => self.items.begin(name, &sent.item, events),
                        _ => self.items.done(name, &sent, events),
                    }
                }
                None => Ok(()),
            },
            "response.created" | "response.queued" | "response.in_progress" => {
                self.names(event.response.as_ref(), events);
                Ok(())
            }
            "response.completed" => self.ended(event.response, "completed", events),
            "response.incomplete" => self.ended(event.response, "incomplete", events),
            "response.failed" => self.ended(event.response, "failed", events),
            "response.cancelled" => self.ended(event.response, "cancelled", events),
            "error" => Err(error(event.error, frame)),
            _ => self.other(kind, &event, frame, events),
        }
    }

    fn part_done(
        &mut self,
        name: Name<'_>,
        part: u64,
        said: Part<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let (field, whole) = match &*said.kind.0 {
            "output_text" => (Field::Text, said.text),
            "refusal" => (Field::Refusal, said.refusal),
            "reasoning_text" => (Field::Reasoning, said.text),
            _ => return Ok(()),
        };
        self.items.whole(name, (field, part), &whole.0, events)
    }

    /// Events of other kinds are skipped, unless they report an error or are the whole answer of a host that does not
    /// stream.
    fn other(
        &mut self,
        kind: &str,
        event: &Event<'_>,
        frame: Frame<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if event.object.0 == "response" && self.items.is_empty() {
            return Whole.frame(frame, events);
        }
        if let Some(report) = event.error.filter(|report| !is_hollow(report)) {
            return Err(error(Some(report), frame));
        }
        match failure::bare(frame.data).filter(|_| kind.is_empty()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn names(&mut self, response: Option<&Response<'_>>, events: &mut Vec<ChatEvent>) {
        if let Some(response) = response {
            self.reported
                .renamed(&response.id.0, &response.model.0, events);
        }
    }

    /// The last event of an answer, which repeats all of it.
    fn ended(
        &mut self,
        response: Option<Response<'_>>,
        status: &'static str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let mut response = response.unwrap_or_default();
        self.names(Some(&response), events);
        if status != "completed" && status != "incomplete" || error_of(&response).is_some() {
            response.status.0 = Cow::Borrowed(status);
            let tools = self.items.tools();
            accounts::usage(&response, tools, &mut self.reported, events);
            return finish(&response, status, events);
        }
        let output = response.output.take().unwrap_or_default().all()?;
        self.items.settle(&output, events)?;
        self.items.finish(events);
        accounts::usage(&response, self.items.tools(), &mut self.reported, events);
        finish(&response, status, events)?;
        events.push(ChatEvent::Done);
        Ok(())
    }
}

fn error(report: Option<&serde_json::value::RawValue>, frame: Frame<'_>) -> UpstreamError {
    let report = report.filter(|report| report.get() != "null");
    failure::in_band(report.map_or(frame.data, |report| report.get()).as_bytes())
}
