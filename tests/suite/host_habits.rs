//! What is read of answers as hosts, relays and local servers are known to write them.

mod anthropic;
mod gemini;
mod openai_chat;

use std::sync::Arc;

use modelway::chat::{Answer, ChatEvent, Part};
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, WireFormat};

/// What a caller would get of a body: its parts, the finish reason, the counts; then what is wrong.
fn told(format: Arc<dyn WireFormat>, wanted: Framing, body: &[u8]) -> String {
    let whole = read(Reader::sniffing(Arc::clone(&format), wanted, None), &[body]);
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    let pieces = read(Reader::sniffing(format, wanted, None), &bytes);
    assert_eq!(
        whole,
        pieces,
        "byte by byte: {}",
        String::from_utf8_lossy(body)
    );
    whole
}

fn read(mut reader: Reader, pieces: &[&[u8]]) -> String {
    let mut events = Vec::new();
    let mut end = Ok(());
    for piece in pieces {
        end = end.and_then(|()| reader.push(piece, &mut events));
    }
    end = end.and_then(|()| reader.end(&mut events));
    let mut answer = Answer::default();
    for event in events {
        let is_empty = matches!(&event, ChatEvent::Text(text) if text.is_empty());
        assert!(!is_empty, "an empty text");
        answer.apply(event);
    }
    let mut told: Vec<String> = answer.parts.iter().map(part).collect();
    told.extend(answer.finish_reason().map(|reason| format!("{reason:?}")));
    told.extend(answer.usage.map(|usage| {
        let [input, output] =
            [usage.input_tokens, usage.output_tokens].map(|count| count.unwrap_or(0));
        let mut counts = format!("{input}+{output}");
        for (name, count) in [
            ("read", usage.cache_read_input_tokens),
            ("written", usage.cache_write_input_tokens),
            ("thought", usage.reasoning_output_tokens),
        ] {
            if let Some(count) = count.filter(|count| *count > 0) {
                counts += &format!(" {name} {count}");
            }
        }
        counts
    }));
    told.extend(end.err().map(|error| format!("{:?}!", error.kind)));
    told.join(" | ")
}

fn part(part: &Part) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Reasoning(reasoning) => {
            let is_signed = if reasoning.signature.is_empty() {
                ""
            } else {
                " signed"
            };
            format!("({}){is_signed}", reasoning.text)
        }
        Part::Refusal(text) => format!("no: {text}"),
        Part::ToolCall(call) => format!("{}={}{}", call.id, call.name, call.arguments),
        other => format!("{other:?}"),
    }
}

/// Events of these data.
fn events<'d>(data: impl IntoIterator<Item = &'d str>) -> String {
    data.into_iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect()
}
