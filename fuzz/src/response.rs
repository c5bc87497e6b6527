//! Does the reading of a response hold to its laws, whatever a provider sends?

use std::sync::Arc;

use modelway::wire::openai_chat::{self, OpenAiChat, ReasoningHistory};
use modelway::wire::openai_responses::OpenAiResponses;
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, WireFormat, anthropic::Anthropic, gemini::Gemini};

use crate::laws::{self, Reading};
use crate::{cuts, memory};

/// What reading may hold beside the body, whatever its length.
const ROOM: usize = 64 * 1024;
/// What it may hold for each byte of the body, while few: a short tool call in a list of them is the most.
const ROOM_PER_BYTE: usize = 160;

/// Holds the reading of answers in OpenAI Chat Completions to the laws.
///
/// # Panics
/// A law is broken.
pub fn hold_openai_chat(input: &[u8]) {
    hold(input, |signs_reasoning| {
        let mut dialect = openai_chat::Dialect::default();
        if signs_reasoning {
            dialect.reasoning_history = ReasoningHistory::ReasoningDetails;
        }
        Arc::new(OpenAiChat { dialect })
    });
}

/// Holds the reading of answers in OpenAI Responses to the laws.
///
/// # Panics
/// A law is broken.
pub fn hold_openai_responses(input: &[u8]) {
    hold(input, |_| Arc::new(OpenAiResponses::default()));
}

/// Holds the reading of answers in Anthropic Messages to the laws.
///
/// # Panics
/// A law is broken.
pub fn hold_anthropic(input: &[u8]) {
    hold(input, |_| Arc::new(Anthropic::default()));
}

/// Holds the reading of answers of Gemini to the laws.
///
/// # Panics
/// A law is broken.
pub fn hold_gemini(input: &[u8]) {
    hold(input, |_| Arc::new(Gemini::default()));
}

/// The first byte of `input` says how the answer is asked for and labelled, the second draws the
/// cuts, the rest is the body. The digit `0` asks for a stream, `1` for a whole body; the letters `p` and `q` do
/// the same and ask for the metadata, too.
fn hold(input: &[u8], format: impl Fn(bool) -> Arc<dyn WireFormat>) {
    let [how, seed, body @ ..] = input else {
        return;
    };
    let wanted = match how & 1 {
        0 => Framing::Sse,
        _ => Framing::Json,
    };
    let labels = ["", "text/event-stream", "application/json", "text/plain"];
    let label = Some(labels[usize::from(how >> 1 & 3)]).filter(|label| !label.is_empty());
    let format = format(how & 8 != 0);
    let wants_metadata = how & 0x40 != 0;
    let reader = || {
        let reader = Reader::sniffing(Arc::clone(&format), wanted, label);
        match wants_metadata {
            true => reader.with_metadata(Vec::new()),
            false => reader,
        }
    };
    let read = |pieces: &[&[u8]]| Reading::of(reader(), pieces);

    let (whole, held) = memory::most_held(|| read(&[body]));
    let room = ROOM + ROOM_PER_BYTE * body.len();
    assert!(held <= room, "{held} bytes held for {}", body.len());
    assert_eq!(laws::shape(&whole), None);

    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert!(read(&bytes).is_same(&whole), "byte by byte");
    let pieces = cuts::pieces(body, *seed);
    assert!(read(&pieces).is_same(&whole), "in pieces");

    hold_end(reader(), body);

    if whole.end.is_ok() && comes_in_order(body) {
        let cut = pieces[0].len();
        let line_end = body[..cut].iter().rposition(|byte| *byte == b'\n');
        let behind_line = line_end.map_or(0, |line_end| line_end + 1);
        for cut in [cut, behind_line] {
            assert_eq!(laws::of_beginning(body, cut, &whole, read), None);
        }
    }
}

/// Once a reading is over, later bytes change nothing and give nothing.
fn hold_end(mut reader: Reader, body: &[u8]) {
    let mut events = Vec::new();
    let mut outcome = reader.push(body, &mut events);
    if outcome.is_ok() {
        outcome = reader.end(&mut events);
    }
    let given_out = events.len();

    assert_eq!(reader.is_done(), outcome.is_ok());
    assert_eq!(reader.push(body, &mut events), outcome);
    assert_eq!(reader.end(&mut events), outcome);
    assert_eq!(events.len(), given_out);
}

/// Whether what a beginning of the body says is the beginning of what the whole says. It need not be
/// if an event has its name behind its data or data in several lines, as no provider sends them, or if
/// Gemini sets the arguments of a call piece by piece, in whatever order.
fn comes_in_order(body: &[u8]) -> bool {
    const PIECES: &[u8] = b"partialArgs";
    if body.windows(PIECES.len()).any(|bytes| bytes == PIECES) {
        return false;
    }
    let mut has_data = false;
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        if line.is_empty() {
            has_data = false;
        } else if has_data && (line.starts_with(b"event") || line.starts_with(b"data")) {
            return false;
        } else {
            has_data |= line.starts_with(b"data");
        }
    }
    true
}
