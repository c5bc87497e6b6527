//! What holds for every response, whatever it says: the laws that a reading of it must not break.
//!
//! The fuzz targets hold them too: `fuzz/src/response.rs`.

use modelway::chat::{Answer, ChatEvent, Part, Reasoning, ToolCall};
use modelway::error::UpstreamError;
use modelway::wire::reader::Reader;

/// What came of reading a body.
pub(crate) struct Reading {
    pub(crate) events: Vec<ChatEvent>,
    pub(crate) answer: Answer,
    pub(crate) end: Result<(), UpstreamError>,
    /// How many pieces had been read when the answer was complete, though its end had not come.
    pub(crate) complete_after: Option<usize>,
}

impl Reading {
    /// Reads a body that arrives in these pieces.
    pub(crate) fn of(mut reader: Reader, pieces: &[&[u8]]) -> Self {
        let mut events = Vec::new();
        let mut end = Ok(());
        let mut complete_after = None;
        for (position, piece) in pieces.iter().enumerate() {
            end = reader.push(piece, &mut events);
            if end.is_err() {
                break;
            }
            if complete_after.is_none() && reader.is_complete() {
                complete_after = Some(position + 1);
            }
        }
        if end.is_ok() {
            end = reader.end(&mut events);
        }
        let mut answer = Answer::default();
        for event in &events {
            answer.apply(event.clone());
        }
        Self {
            events,
            answer,
            end,
            complete_after,
        }
    }

    /// Whether the same has come of both.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.events == other.events && self.end == other.end
    }
}

/// What a caller sees of an answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    pub(crate) refusal: String,
    pub(crate) tool_calls: Vec<ToolCall>,
}

impl Content {
    pub(crate) fn of(answer: &Answer) -> Self {
        let mut content = Self::default();
        for part in &answer.parts {
            match part {
                Part::Text(text) => content.text.push_str(text),
                Part::Reasoning(Reasoning { text, .. }) => content.reasoning.push_str(text),
                Part::Refusal(text) => content.refusal.push_str(text),
                Part::ToolCall(call) => content.tool_calls.push(call.clone()),
                // The expected outcomes do not have them.
                Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::Provider(_) => {}
                Part::Document(_) | Part::ToolResult(_) => {
                    panic!("no answer holds such a part")
                }
            }
        }
        content
    }
}

/// What the order and the form of events must be; `Some` says what is wrong.
pub(crate) fn shape(reading: &Reading) -> Option<String> {
    let done = reading
        .events
        .iter()
        .position(|event| *event == ChatEvent::Done);
    let last = reading.events.len().checked_sub(1);
    if reading.end.is_ok() && (done.is_none() || done != last) {
        return Some("success without exactly one `Done`, last".into());
    }
    if reading.end.is_err() && done.is_some() {
        return Some("`Done` and an error".into());
    }
    let mut calls = 0;
    let mut has_text = false;
    for event in &reading.events {
        let wrong = match event {
            ChatEvent::Text(text) | ChatEvent::Reasoning(text) | ChatEvent::Refusal(text) => {
                text.is_empty()
            }
            ChatEvent::ReasoningSignature(signature) => signature.is_empty(),
            ChatEvent::ToolCall { .. } => {
                calls += 1;
                false
            }
            ChatEvent::ToolArguments { call, fragment } => *call >= calls || fragment.is_empty(),
            ChatEvent::Citation(_) => !has_text,
            ChatEvent::Logprobs(logprobs) => !has_text || logprobs.is_empty(),
            ChatEvent::Started { .. }
            | ChatEvent::Part(_)
            | ChatEvent::Cost(_)
            | ChatEvent::Metadata(_)
            | ChatEvent::LeftOut(_)
            | ChatEvent::Finish(_)
            | ChatEvent::Usage(_)
            | ChatEvent::Done => false,
        };
        has_text |= matches!(event, ChatEvent::Text(_));
        if wrong {
            return Some(format!("an event that must not be: {event:?}"));
        }
    }
    None
}

/// What the beginning of a body, up to `cut`, must not pass for; `Some` says what is wrong.
pub(crate) fn of_beginning(
    body: &[u8],
    cut: usize,
    whole: &Reading,
    read: impl Fn(&[&[u8]]) -> Reading,
) -> Option<String> {
    let beginning = read(&[&body[..cut]]);
    let (content, of_whole) = (Content::of(&beginning.answer), Content::of(&whole.answer));
    let broken = if let Some(broken) = shape(&beginning) {
        broken
    } else if !is_beginning(&content, &of_whole) {
        "content that the whole does not give".into()
    } else if beginning.end.is_ok() && content != of_whole && ends_only_once(&whole.events) {
        "they pass for a whole answer".into()
    } else {
        return None;
    };
    Some(format!("the first {cut} of {} bytes: {broken}", body.len()))
}

/// Whether no content follows a finish reason. A provider that sends one with every piece (older
/// Gemini) cannot be told from one that is done.
fn ends_only_once(events: &[ChatEvent]) -> bool {
    let first_end = events
        .iter()
        .position(|event| matches!(event, ChatEvent::Finish(_)));
    let Some(first_end) = first_end else {
        return true;
    };
    !events[first_end..]
        .iter()
        .any(|event| event.is_content() && *event != ChatEvent::Done)
}

fn is_beginning(prefix: &Content, whole: &Content) -> bool {
    // Half a character at the end is completed by what follows.
    let begins = |whole: &str, prefix: &str| whole.starts_with(prefix.trim_end_matches('\u{FFFD}'));
    begins(&whole.text, &prefix.text)
        && begins(&whole.reasoning, &prefix.reasoning)
        && begins(&whole.refusal, &prefix.refusal)
        && prefix.tool_calls.len() <= whole.tool_calls.len()
        && prefix
            .tool_calls
            .iter()
            .zip(&whole.tool_calls)
            .all(|(prefix, whole)| {
                prefix.id == whole.id
                    && prefix.name == whole.name
                    && begins(&whole.arguments, &prefix.arguments)
            })
}
