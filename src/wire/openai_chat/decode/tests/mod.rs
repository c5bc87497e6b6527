//! Which events does an answer become? Each file tests one part of an answer.

mod content;
mod ends;
mod errors;
mod parts;
mod reasoning;
mod sources;
mod tool_calls;
mod usage;

use serde_json::Value;

use super::*;
use crate::chat::{Answer, FinishReason, Part, Usage};

/// One event of an answer, short enough for a table.
fn told(event: &ChatEvent) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".into());
    match event {
        ChatEvent::Started {
            response_id,
            response_model,
        } => format!("started {} {}", known(response_id), known(response_model)),
        ChatEvent::Text(text) => format!("text {text}"),
        ChatEvent::Reasoning(text) => format!("reasoning {text}"),
        ChatEvent::ReasoningSignature(token) => {
            format!("signature {}", String::from_utf8_lossy(token))
        }
        ChatEvent::Refusal(text) => format!("refusal {text}"),
        ChatEvent::ToolCall {
            id,
            name,
            signature,
        } => format!("call {id}/{name}/{}", String::from_utf8_lossy(signature)),
        ChatEvent::ToolArguments { call, fragment } => format!("arguments {call} {fragment}"),
        ChatEvent::Finish(finish) => {
            format!(
                "finish {:?} {}",
                finish.reason,
                known(&finish.provider_reason)
            )
        }
        ChatEvent::Usage(usage) => format!("usage {}", counts(usage)),
        ChatEvent::Part(part) => format!("part {part:?}"),
        ChatEvent::Citation(citation) => format!("citation {citation:?}"),
        ChatEvent::Logprobs(logprobs) => format!("logprobs {logprobs:?}"),
        ChatEvent::Cost(nanos) => format!("cost {nanos}"),
        ChatEvent::Metadata(metadata) => format!("metadata {metadata:?}"),
        ChatEvent::LeftOut(path) => format!("left out {path}"),
        ChatEvent::Done => "done".into(),
    }
}

fn counts(usage: &Usage) -> String {
    let Usage {
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
        reasoning_output_tokens,
        ..
    } = usage;
    let [input, output, read, written, reasoning] = [
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
        reasoning_output_tokens,
    ]
    .map(|count| count.unwrap_or(0));
    format!("{input} (read {read}, written {written}) {output} (reasoning {reasoning})")
}

fn read(
    dialect: &Dialect,
    framing: Framing,
    frames: &[&str],
) -> (Vec<ChatEvent>, Result<(), UpstreamError>) {
    let mut decoder = ChatDecoder::new(dialect, framing);
    let mut events = Vec::new();
    for data in frames {
        let frame = Frame { event: "", data };
        let outcome = decoder.frame(frame, &mut events);
        if outcome.is_err() || events.last() == Some(&ChatEvent::Done) {
            return (events, outcome);
        }
    }
    let outcome = decoder.end(&mut events);
    (events, outcome)
}

/// The events of a stream, and the kind of the error it ended with.
fn streamed(frames: &[&str]) -> (Vec<String>, Option<UpstreamErrorKind>) {
    let (events, outcome) = read(&Dialect::default(), Framing::Sse, frames);
    let told = events.iter().map(told).collect();
    (told, outcome.err().map(|error| error.kind))
}

fn whole(body: &str) -> (Vec<String>, Option<UpstreamErrorKind>) {
    let (events, outcome) = read(&Dialect::default(), Framing::Json, &[body]);
    let told = events.iter().map(told).collect();
    (told, outcome.err().map(|error| error.kind))
}

/// The chunk of a stream whose first choice has this delta.
fn chunk(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#)
}

fn of_deltas(deltas: &[&str]) -> Vec<String> {
    let chunks: Vec<String> = deltas.iter().map(|delta| chunk(delta)).collect();
    let mut frames: Vec<&str> = chunks.iter().map(String::as_str).collect();
    frames.extend([
        r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
        "[DONE]",
    ]);
    let (mut told, error) = streamed(&frames);
    assert_eq!(error, None);
    let end = told.split_off(told.len() - 2);
    assert_eq!(end, ["finish MaxTokens length", "done"]);
    told
}

/// The result of a stream of these events, short enough for a table.
fn of_events(frames: &[&str]) -> Vec<String> {
    let (told, error) = streamed(frames);
    assert_eq!(error, None, "{frames:?}");
    told
}
