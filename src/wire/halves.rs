//! Joins characters that a host has split between two events.
//!
//! A model makes tokens, and some are a part of a character. Hosts that decode token by token write a lone
//! half of a surrogate pair, as `\ud83d`, or some of the bytes of a character. JSON holds neither, so
//! [`readable`](super::readable::readable) puts a mark in the place of each, and [`Joiner`] makes characters of
//! the marks.

use std::mem;

use crate::chat::{ChatEvent, Citation, Part};

/// The mark for half a surrogate pair is the half plus the first number, the mark for a byte is the byte plus the
/// second. Both lie in a plane for private use that no text uses.
pub(super) const SURROGATE_MARKS: u32 = 0x10_0000;
pub(super) const BYTE_MARKS: u32 = 0x10_E000;

/// Half a character.
#[derive(Clone, Copy)]
enum Half {
    /// One half of a surrogate pair.
    Surrogate(u16),
    /// One byte of a character of several bytes.
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

/// Makes characters of the marks in an answer's texts. A half that nothing completes becomes U+FFFD; where the
/// answer breaks off, it is left out.
#[derive(Default)]
pub(super) struct Joiner {
    /// Whether a frame had marks. Events may carry them later than that frame.
    has_marks: bool,
    /// The unfinished character at the end of each open text.
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

    /// A text that does not go on in another frame: half characters in it are replaced.
    pub(super) fn plain(&self, text: String) -> String {
        match self.has_marks {
            true => without_marks(text),
            false => text,
        }
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

    /// The answer is complete: what is open stays half a character.
    fn finish(&mut self, events: &mut Vec<ChatEvent>) {
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
            ChatEvent::Part(mut part) => {
                self.close_others(None, events);
                if let Part::Provider(part) = &mut *part {
                    part.content = without_marks(mem::take(&mut part.content));
                }
                events.push(ChatEvent::Part(part));
                return;
            }
            ChatEvent::Citation(mut citation) => {
                let Citation {
                    uri,
                    title,
                    cited_text,
                    provider_fields,
                    ..
                } = &mut *citation;
                for text in [uri, title, cited_text, provider_fields] {
                    *text = without_marks(mem::take(text));
                }
                events.push(ChatEvent::Citation(citation));
                return;
            }
            // No text that goes on in a later event.
            event @ (ChatEvent::Usage(_)
            | ChatEvent::Logprobs(_)
            | ChatEvent::Cost(_)
            | ChatEvent::Metadata(_)
            | ChatEvent::LeftOut(_)) => {
                events.push(event);
                return;
            }
        };
        self.close_others(Some(strand), events);
        let joined = self.joined(strand, &text);
        if !joined.is_empty() {
            events.push(strand.event(joined));
        }
    }

    /// Closes every open text except this one. Arguments stay open, since those of several calls may take turns.
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

/// Adds a half to the unfinished character, or ends that at a whole character (`None`). Returns what is unfinished
/// then.
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
