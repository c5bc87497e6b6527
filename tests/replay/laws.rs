//! What holds for every response, whatever it says: the laws that a reading of it must not break.

use modelway::chat::{Answer, ChatEvent};
use modelway::error::UpstreamError;
use modelway::wire::reader::Reader;

use crate::outcome::Content;

// Numbers of random variations of each body; the seed is fixed.
const RANDOM_CUTS: usize = 8;
const PREFIXES: usize = 64;
const CORRUPTIONS: usize = 32;

/// What came of reading a body.
pub(crate) struct Reading {
    pub(crate) events: Vec<ChatEvent>,
    pub(crate) answer: Answer,
    pub(crate) end: Result<(), UpstreamError>,
    /// How many pieces had been read when the answer was complete, though its end had not come.
    complete_after: Option<usize>,
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
    let by_bytes = read(&body.chunks(1).collect::<Vec<_>>());
    if !same(&by_bytes) {
        complaints.push("read byte by byte it gives other events".into());
    }
    if let (Some(complete), true) = (by_bytes.complete_after, whole.end.is_ok()) {
        let ended_there = read(&[&body[..complete]]);
        if Content::of(&ended_there.answer) != Content::of(&whole.answer) {
            let length = body.len();
            complaints.push(format!(
                "{complete} of {length} bytes pass for a complete answer"
            ));
        }
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

    for _ in 0..PREFIXES {
        complaints.extend(of_beginning(body, whole, &read, &mut random));
    }

    for _ in 0..CORRUPTIONS {
        let mut corrupt = body.to_vec();
        for _ in 0..random.usize(1..4) {
            if let Some(byte) = random.choice(&mut corrupt) {
                *byte = random.choice(*b"\n\r\"{}[]:, \\0\xff").unwrap_or_default();
            }
        }
        complaints.extend(shape(&read(&[&corrupt])).map(|broken| format!("corrupted: {broken}")));
    }
    complaints
}

/// What the beginning of a body must not pass for, cut somewhere or behind a line.
fn of_beginning(
    body: &[u8],
    whole: &Reading,
    read: impl Fn(&[&[u8]]) -> Reading,
    random: &mut fastrand::Rng,
) -> Option<String> {
    let cut = random.usize(0..=body.len());
    let line_end = memchr::memrchr(b'\n', &body[..cut]).filter(|_| random.bool());
    let cut = line_end.map_or(cut, |line_end| line_end + 1);

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
