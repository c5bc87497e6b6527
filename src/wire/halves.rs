//! What hosts write that is nearly JSON: above all characters that are cut in two, one half at the end of an
//! event and the other in the next.
//!
//! A model makes tokens, and some are a part of a character. Hosts that decode token by token write a lone
//! half of a surrogate pair, as `\ud83d`, or some of the bytes of a character. JSON holds neither, so
//! [`readable`] puts a mark in the place of each, and [`Joiner`] makes characters of the marks.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::mem;

use crate::chat::ChatEvent;

/// What stands for half a surrogate pair is this far above it; what stands for a byte is above it by more.
/// Both are in a plane for private use that nobody uses.
const SURROGATE_MARKS: u32 = 0x10_0000;
const BYTE_MARKS: u32 = 0x10_E000;

/// The data of a frame as text that a reader of JSON takes.
#[derive(Debug, PartialEq)]
pub(super) struct Readable<'a> {
    pub(super) text: Cow<'a, str>,
    /// Whether marks stand in it.
    pub(super) has_marks: bool,
}

/// Reads data as text: without a byte order mark, with marks in the place of half characters, with control
/// characters escaped where a string holds them as they are, and with null in the place of numbers that JSON
/// does not have, which Python writes.
pub(super) fn readable(data: &[u8]) -> Readable<'_> {
    let data = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    match std::str::from_utf8(data) {
        Ok(text) if !may_hold_halves(data) && !has_controls(data) && !has_odd_numbers(data) => {
            Readable {
                text: Cow::Borrowed(text),
                has_marks: false,
            }
        }
        _ => mended(data),
    }
}

/// Whether an escape is there that may be half a pair.
fn may_hold_halves(data: &[u8]) -> bool {
    let is_half = |place: usize| {
        let escape = data.get(place + 1..place + 3);
        matches!(escape, Some([b'u', b'd' | b'D']))
    };
    memchr::memchr_iter(b'\\', data).any(is_half)
}

fn has_controls(data: &[u8]) -> bool {
    // Without a branch for each byte.
    data.iter()
        .fold(false, |found, byte| found | (*byte < b' '))
}

/// The names of numbers that JSON does not have, the longer of two first.
const ODD_NUMBERS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

fn has_odd_numbers(data: &[u8]) -> bool {
    memchr::memmem::find(data, b"NaN").is_some()
        || memchr::memmem::find(data, b"Infinity").is_some()
}

fn mended(data: &[u8]) -> Readable<'_> {
    let mut mended = Mended {
        data,
        taken: 0,
        text: String::new(),
        has_marks: false,
    };
    let mut in_string = false;
    let mut place = 0;
    while let Some(&byte) = data.get(place) {
        place += match byte {
            b'"' => {
                in_string = !in_string;
                1
            }
            b'-' | b'I' | b'N' if !in_string => mended.number(place),
            _ if !in_string => 1,
            b'\\' => mended.escape(place),
            0..b' ' => mended.control(place),
            0x80.. => mended.character(place),
            _ => 1,
        };
    }
    mended.finish()
}

/// Text that is written anew, as far as something had to be replaced.
struct Mended<'a> {
    data: &'a [u8],
    /// How much of the data is in the text.
    taken: usize,
    text: String,
    has_marks: bool,
}

impl<'a> Mended<'a> {
    /// Looks at an escape in a string and gives its length.
    fn escape(&mut self, place: usize) -> usize {
        match self.unit(place) {
            None => 2,
            Some(0xD800..=0xDBFF) if matches!(self.unit(place + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(half @ 0xD800..=0xDFFF) => {
                self.mark(place, 6, SURROGATE_MARKS + u32::from(half));
                6
            }
            Some(_) => 6,
        }
    }

    /// The code unit of the escape at a place, if it is one by number.
    fn unit(&self, place: usize) -> Option<u16> {
        let escape = self.data.get(place..place + 6)?.strip_prefix(b"\\u")?;
        let is_hex = escape.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(escape).ok().filter(|_| is_hex)?;
        u16::from_str_radix(digits, 16).ok()
    }

    /// Looks at what may be the name of a number and gives its length.
    fn number(&mut self, place: usize) -> usize {
        let rest = self.data.get(place..).unwrap_or_default();
        let Some(name) = ODD_NUMBERS.iter().find(|name| rest.starts_with(name)) else {
            return 1;
        };
        self.take_until(place);
        self.taken = place + name.len();
        self.text.push_str("null");
        name.len()
    }

    fn control(&mut self, place: usize) -> usize {
        self.take_until(place);
        self.taken = place + 1;
        // Writing to a String does not fail.
        let _ = write!(self.text, "\\u{:04x}", self.data[place]);
        1
    }

    /// Looks at a character beyond ASCII and gives its length.
    fn character(&mut self, place: usize) -> usize {
        let width = match self.data[place] {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        let bytes = self.data.get(place..place + width);
        if bytes.is_some_and(|bytes| std::str::from_utf8(bytes).is_ok()) {
            return width;
        }
        // Java and some databases write each half of a pair as three bytes.
        if let Some([0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF]) = bytes {
            let half = 0xD000 | u32::from(second & 0x3F) << 6 | u32::from(third & 0x3F);
            self.mark(place, 3, SURROGATE_MARKS + half);
            return 3;
        }
        self.mark(place, 1, BYTE_MARKS + u32::from(self.data[place]));
        1
    }

    fn mark(&mut self, place: usize, length: usize, mark: u32) {
        self.take_until(place);
        self.taken = place + length;
        self.text.extend(char::from_u32(mark));
        self.has_marks = true;
    }

    fn take_until(&mut self, place: usize) {
        let rest = self.data.get(self.taken..place).unwrap_or_default();
        self.text.push_str(&String::from_utf8_lossy(rest));
    }

    fn finish(mut self) -> Readable<'a> {
        if self.taken == 0 {
            return Readable {
                text: String::from_utf8_lossy(self.data),
                has_marks: false,
            };
        }
        self.take_until(self.data.len());
        Readable {
            text: Cow::Owned(self.text),
            has_marks: self.has_marks,
        }
    }
}

/// Half a character.
#[derive(Clone, Copy)]
enum Half {
    /// Of a surrogate pair.
    Surrogate(u16),
    /// A byte of several.
    Byte(u8),
}

fn half(character: char) -> Option<Half> {
    match u32::from(character) {
        mark @ 0x10_D800..=0x10_DFFF => u16::try_from(mark - SURROGATE_MARKS)
            .ok()
            .map(Half::Surrogate),
        mark @ 0x10_E080..=0x10_E0FF => u8::try_from(mark - BYTE_MARKS).ok().map(Half::Byte),
        _ => None,
    }
}

/// Makes characters of the marks in an answer's texts. A half that nothing completes becomes U+FFFD.
#[derive(Default)]
pub(super) struct Joiner {
    /// Whether a frame had marks. They may be told of later than the frame.
    has_marks: bool,
    /// What the texts that are open end with.
    open: Vec<(Strand, Unfinished)>,
}

/// A text that goes on from event to event.
#[derive(Clone, Copy, PartialEq)]
enum Strand {
    Text,
    Reasoning,
    Refusal,
    Arguments(usize),
}

/// The beginning of a character.
enum Unfinished {
    High(u16),
    Bytes(Vec<u8>),
}

impl Joiner {
    /// A frame with marks has been read.
    pub(super) fn expect_marks(&mut self) {
        self.has_marks = true;
    }

    /// Joins what the events from `first` on say.
    pub(super) fn join(&mut self, events: &mut Vec<ChatEvent>, first: usize) {
        if !self.has_marks || first >= events.len() {
            return;
        }
        for event in events.split_off(first) {
            self.event(event, events);
        }
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self, events: &mut Vec<ChatEvent>) {
        for (strand, _) in mem::take(&mut self.open) {
            events.push(strand.event("\u{FFFD}".to_owned()));
        }
    }

    fn event(&mut self, event: ChatEvent, events: &mut Vec<ChatEvent>) {
        let (strand, text) = match event {
            ChatEvent::Text(text) => (Strand::Text, text),
            ChatEvent::Reasoning(text) => (Strand::Reasoning, text),
            ChatEvent::Refusal(text) => (Strand::Refusal, text),
            ChatEvent::ToolArguments { call, fragment } => (Strand::Arguments(call), fragment),
            ChatEvent::Done => {
                self.finish(events);
                events.push(ChatEvent::Done);
                return;
            }
            ChatEvent::ToolCall {
                id,
                name,
                signature,
            } => {
                self.close_others(None, events);
                events.push(ChatEvent::ToolCall {
                    id: without_marks(id),
                    name: without_marks(name),
                    signature,
                });
                return;
            }
            ChatEvent::ReasoningSignature(signature) => {
                self.close_others(None, events);
                events.push(ChatEvent::ReasoningSignature(signature));
                return;
            }
            ChatEvent::Started {
                response_id,
                response_model,
            } => {
                events.push(ChatEvent::Started {
                    response_id: response_id.map(without_marks),
                    response_model: response_model.map(without_marks),
                });
                return;
            }
            ChatEvent::Finish(mut finish) => {
                finish.provider_reason = finish.provider_reason.map(without_marks);
                finish.stop_sequence = finish.stop_sequence.map(without_marks);
                events.push(ChatEvent::Finish(finish));
                return;
            }
            ChatEvent::Usage(usage) => {
                events.push(ChatEvent::Usage(usage));
                return;
            }
        };
        self.close_others(Some(strand), events);
        let joined = self.joined(strand, &text);
        if !joined.is_empty() {
            events.push(strand.event(joined));
        }
    }

    /// Closes the prose that another part of the answer follows. Arguments of several calls may take turns.
    fn close_others(&mut self, strand: Option<Strand>, events: &mut Vec<ChatEvent>) {
        self.open.retain(|(open, _)| {
            let stays = matches!(open, Strand::Arguments(_)) || Some(*open) == strand;
            if !stays {
                events.push(open.event("\u{FFFD}".to_owned()));
            }
            stays
        });
    }

    fn joined(&mut self, strand: Strand, text: &str) -> String {
        let place = self.open.iter().position(|(open, _)| *open == strand);
        let mut open = place.map(|place| self.open.swap_remove(place).1);
        let mut joined = String::with_capacity(text.len());
        for character in text.chars() {
            let half = half(character);
            open = add(open, half, &mut joined);
            if half.is_none() {
                joined.push(character);
            }
        }
        self.open.extend(open.map(|open| (strand, open)));
        joined
    }
}

impl Strand {
    fn event(self, text: String) -> ChatEvent {
        match self {
            Self::Text => ChatEvent::Text(text),
            Self::Reasoning => ChatEvent::Reasoning(text),
            Self::Refusal => ChatEvent::Refusal(text),
            Self::Arguments(call) => ChatEvent::ToolArguments {
                call,
                fragment: text,
            },
        }
    }
}

/// Adds a half, or a whole character that is `None`, to what is open; gives what is open then.
fn add(open: Option<Unfinished>, half: Option<Half>, text: &mut String) -> Option<Unfinished> {
    match (open, half) {
        (Some(Unfinished::High(high)), Some(Half::Surrogate(low @ 0xDC00..=0xDFFF))) => {
            text.extend(char::decode_utf16([high, low]).map(|pair| pair.unwrap_or('\u{FFFD}')));
            None
        }
        (Some(Unfinished::Bytes(mut bytes)), Some(Half::Byte(byte))) => {
            bytes.push(byte);
            match std::str::from_utf8(&bytes) {
                Ok(character) => {
                    text.push_str(character);
                    None
                }
                Err(error) if error.error_len().is_none() => Some(Unfinished::Bytes(bytes)),
                Err(_) => {
                    text.push('\u{FFFD}');
                    add(None, Some(Half::Byte(byte)), text)
                }
            }
        }
        (Some(_), half) => {
            text.push('\u{FFFD}');
            add(None, half, text)
        }
        (None, Some(Half::Surrogate(high @ 0xD800..=0xDBFF))) => Some(Unfinished::High(high)),
        (None, Some(Half::Byte(byte @ 0xC2..=0xF4))) => Some(Unfinished::Bytes(vec![byte])),
        (None, Some(_)) => {
            text.push('\u{FFFD}');
            None
        }
        (None, None) => None,
    }
}

/// A name in which half characters are replaced.
fn without_marks(name: String) -> String {
    match name.chars().any(|character| half(character).is_some()) {
        true => name
            .chars()
            .map(|character| half(character).map_or(character, |_| '\u{FFFD}'))
            .collect(),
        false => name,
    }
}

#[cfg(test)]
mod tests;
