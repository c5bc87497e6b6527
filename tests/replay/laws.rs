//! What holds for every response, whatever it says: the laws that a reading of it must not break.

use modelway::chat::{Answer, ChatEvent};
use modelway::error::UpstreamError;
use modelway::wire::reader::Reader;

use crate::outcome::Content;

/// Larger bodies are not read byte by byte, which takes long and shows nothing new.
const MAX_BYTEWISE: usize = 64 * 1024;
const RANDOM_CUTS: usize = 4;
const PREFIXES: usize = 16;

/// What came of reading a body.
pub(crate) struct Reading {
    pub(crate) events: Vec<ChatEvent>,
    pub(crate) answer: Answer,
    pub(crate) end: Result<(), UpstreamError>,
}

impl Reading {
    /// Reads a body that arrives in these pieces.
    pub(crate) fn of(mut reader: Reader, pieces: &[&[u8]]) -> Self {
        let mut events = Vec::new();
        let mut end = Ok(());
        for piece in pieces {
            end = reader.push(piece, &mut events);
            if end.is_err() {
                break;
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
        }
    }
}

/// The laws that the reading of `body` breaks; `whole` is what comes of it in one piece.
pub(crate) fn broken_by(
    body: &[u8],
    whole: &Reading,
    read: impl Fn(&[&[u8]]) -> Reading,
) -> Vec<String> {
    let mut complaints = Vec::new();
    complaints.extend(shape(whole));

    let same = |reading: &Reading| reading.events == whole.events && reading.end == whole.end;
    if body.len() <= MAX_BYTEWISE && !same(&read(&body.chunks(1).collect::<Vec<_>>())) {
        complaints.push("read byte by byte it gives other events".into());
    }

    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..RANDOM_CUTS {
        let mut cuts: Vec<usize> = (0..random.usize(1..20))
            .map(|_| random.usize(0..=body.len()))
            .collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
        if !same(&read(&pieces)) {
            complaints.push(format!("cut at {cuts:?} it gives other events"));
        }
    }

    let content = Content::of(&whole.answer);
    // A provider that sends an end with every piece (older Gemini) cannot be told from one that is done.
    let ends_only_once = ends_only_once(&whole.events);
    let line_ends: Vec<usize> = memchr::memchr_iter(b'\n', body).collect();
    for round in 0..PREFIXES {
        let cut = match random.choice(&line_ends) {
            Some(line_end) if round % 2 == 0 => line_end + 1,
            _ => random.usize(0..=body.len()),
        };
        let prefix = read(&[&body[..cut]]);
        complaints.extend(shape(&prefix).map(|broken| format!("the first {cut} bytes: {broken}")));
        let of_prefix = Content::of(&prefix.answer);
        if !is_beginning(&of_prefix, &content) {
            complaints.push(format!("the first {cut} bytes give other content"));
        }
        if prefix.end.is_ok() && ends_only_once && of_prefix != content {
            complaints.push(format!(
                "the first {cut} of {} bytes pass for a whole answer",
                body.len()
            ));
        }
    }
    complaints
}

/// What the order and the form of events must be; `Some` says what is wrong.
fn shape(reading: &Reading) -> Option<String> {
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
            ChatEvent::Started { .. }
            | ChatEvent::Finish(_)
            | ChatEvent::Usage(_)
            | ChatEvent::Done => false,
        };
        if wrong {
            return Some(format!("an event that must not be: {event:?}"));
        }
    }
    None
}

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
    whole.text.starts_with(&prefix.text)
        && whole.reasoning.starts_with(&prefix.reasoning)
        && whole.refusal.starts_with(&prefix.refusal)
        && prefix.tool_calls.len() <= whole.tool_calls.len()
        && prefix
            .tool_calls
            .iter()
            .zip(&whole.tool_calls)
            .all(|(prefix, whole)| {
                prefix.id == whole.id
                    && prefix.name == whole.name
                    && whole.arguments.starts_with(&prefix.arguments)
            })
}
