//! What a caller sees of a call, the same for both methods.

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    Attempt, CallFailure, ContentPart, Cost, GenerateResponse, Message, Reasoning, Role,
    StreamGenerateResponse, TokenUsage, ToolCall,
};
use prost::Message as _;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

/// The outcome of a call.
#[derive(Default)]
pub(crate) struct Seen {
    /// The reason of a failure; `None` for an answer.
    pub(crate) failure: Option<String>,
    /// The answer's message, or as much of it as came before a failure.
    pub(crate) output: Message,
    /// The finish reason without its prefix.
    pub(crate) finish: String,
    pub(crate) usage: Option<TokenUsage>,
    pub(crate) cost: Option<Cost>,
    pub(crate) attempts: Vec<Attempt>,
    /// Provider and model that answered.
    pub(crate) answered: (String, String),
}

impl Seen {
    /// What `Generate` gave.
    pub(crate) fn whole(outcome: Result<GenerateResponse, Status>) -> Self {
        match outcome {
            Ok(response) => Self::response(response),
            Err(status) => Self::failed(&status),
        }
    }

    /// What `StreamGenerate` gives: its events are put together to the same answer.
    pub(crate) async fn streamed(
        outcome: Result<Streaming<StreamGenerateResponse>, Status>,
    ) -> Self {
        let mut stream = match outcome {
            Ok(stream) => stream,
            Err(status) => return Self::failed(&status),
        };
        let mut parts = Vec::new();
        let mut seen = Self::default();
        loop {
            match stream.message().await {
                Ok(Some(message)) => match message.event {
                    Some(Event::Completed(completed)) => {
                        seen = Self::response(completed.response.unwrap_or_default());
                    }
                    Some(event) => add(event, &mut parts),
                    None => {}
                },
                Ok(None) => break,
                Err(status) => {
                    seen = Self::failed(&status);
                    break;
                }
            }
        }
        for part in &mut parts {
            match part {
                Part::Reasoning(reasoning) => reasoning.provider.clone_from(&seen.answered.0),
                Part::ToolCall(call) if !call.signature.is_empty() => {
                    call.provider.clone_from(&seen.answered.0);
                }
                _ => {}
            }
        }
        let parts = parts.into_iter().map(|part| ContentPart {
            part: Some(part),
            ..ContentPart::default()
        });
        seen.output = Message {
            role: Role::Assistant.into(),
            text: String::new(),
            parts: parts.collect(),
        };
        seen
    }

    fn response(response: GenerateResponse) -> Self {
        let finish = response.finish_reason().as_str_name();
        Self {
            failure: None,
            finish: finish.trim_start_matches("FINISH_REASON_").to_owned(),
            output: response.output.unwrap_or_default(),
            usage: response.usage,
            cost: response.cost,
            attempts: response.attempts,
            answered: (response.provider, response.model),
        }
    }

    fn failed(status: &Status) -> Self {
        let known = status.get_error_details();
        let reason = known.error_info().map(|info| info.reason.clone());
        let details = tonic_types::Status::decode(status.details()).unwrap_or_default();
        let failure = details
            .details
            .iter()
            .find(|detail| detail.type_url.ends_with("/modelway.v1.CallFailure"))
            .and_then(|detail| CallFailure::decode(detail.value.as_slice()).ok())
            .unwrap_or_default();
        Self {
            failure: Some(reason.unwrap_or_else(|| format!("{:?}", status.code()))),
            usage: failure.usage,
            cost: failure.cost,
            attempts: failure.attempts,
            ..Self::default()
        }
    }

    /// All text of the answer.
    pub(crate) fn text(&self) -> String {
        let texts = self.parts().map(|part| match part {
            Part::Text(text) => text.as_str(),
            _ => "",
        });
        texts.collect()
    }

    /// All reasoning of the answer.
    pub(crate) fn reasoning(&self) -> String {
        let texts = self.parts().map(|part| match part {
            Part::Reasoning(reasoning) => reasoning.text.as_str(),
            _ => "",
        });
        texts.collect()
    }

    /// The tool calls of the answer.
    pub(crate) fn tool_calls(&self) -> Vec<&ToolCall> {
        let calls = self.parts().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        });
        calls.collect()
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.output
            .parts
            .iter()
            .filter_map(|part| part.part.as_ref())
    }
}

fn add(event: Event, parts: &mut Vec<Part>) {
    match event {
        Event::OutputReset(_) => parts.clear(),
        Event::TextDelta(delta) => {
            if let Some(Part::Text(text)) =
                open(parts, delta.part_index, || Part::Text(String::new()))
            {
                text.push_str(&delta.text);
            }
        }
        Event::RefusalDelta(delta) => {
            if let Some(Part::Refusal(text)) =
                open(parts, delta.part_index, || Part::Refusal(String::new()))
            {
                text.push_str(&delta.text);
            }
        }
        Event::ReasoningDelta(delta) => {
            let new = || Part::Reasoning(Reasoning::default());
            if let Some(Part::Reasoning(reasoning)) = open(parts, delta.part_index, new) {
                reasoning.text.push_str(&delta.text);
                if !delta.signature.is_empty() {
                    reasoning.signature = delta.signature;
                }
            }
        }
        Event::ToolCallDelta(delta) => {
            let new = || {
                Part::ToolCall(ToolCall {
                    id: delta.id.clone(),
                    name: delta.name.clone(),
                    signature: delta.signature.clone(),
                    ..ToolCall::default()
                })
            };
            if let Some(Part::ToolCall(call)) = open(parts, delta.part_index, new) {
                call.arguments_json.push_str(&delta.arguments_json_fragment);
            }
        }
        Event::PartAdded(added) => {
            let part = added.part.and_then(|part| part.part);
            if let Some(part) = part {
                open(parts, added.part_index, || part);
            }
        }
        Event::CitationAdded(_)
        | Event::LogprobsDelta(_)
        | Event::Started(_)
        | Event::AttemptStarted(_)
        | Event::AttemptEnded(_)
        | Event::Usage(_)
        | Event::Completed(_) => {}
    }
}

/// The part at this index, which is at most one beyond the last.
fn open(parts: &mut Vec<Part>, index: i32, new: impl FnOnce() -> Part) -> Option<&mut Part> {
    let index = usize::try_from(index).ok()?;
    if index == parts.len() {
        parts.push(new());
    }
    parts.get_mut(index)
}
