//! Cuts a byte stream into server-sent events, whatever the cuts of the network.

use std::mem;

use serde::de::IgnoredAny;

use super::limits::{MAX_EVENT_BYTES, MAX_NAME_BYTES};
use crate::error::UpstreamError;

/// The largest buffer that is kept from one event to the next. A host may send one picture and then single words
/// for minutes.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// One server-sent event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its name, empty if it has none.
    pub name: &'a str,
    /// Its data, lines joined by LF; for a well-behaved provider JSON text.
    pub data: &'a [u8],
}

/// An incremental parser of `text/event-stream` (WHATWG HTML, section 9.2).
///
/// It differs in two ways. A line in the place of an event that begins like JSON begins an event's data,
/// which goes on to the next blank line: Gemini and proxies write an error so when a stream fails. And a data
/// line that is a whole JSON value is an event of its own when another line of data, or the name of another
/// event, follows it: some proxies lose the blank lines.
///
/// An event whose one data line lies whole in the input is handed out where it lies; only what the
/// input cuts is copied. After an error the parser must not be used again.
#[derive(Default)]
pub struct Parser {
    /// Whether the last line of the input so far is cut, and whether it is worth keeping.
    cut: Cut,
    /// The beginning of a line that is [`Cut::Kept`].
    line: Vec<u8>,
    /// Data of the open event that had to be copied.
    data: Vec<u8>,
    /// How many data lines `data` holds; each may be empty.
    data_lines: usize,
    /// Whether the open event is JSON without any field's name.
    is_bare: bool,
    /// Name of the open event.
    event: String,
    /// Bytes of the lines since the last blank one.
    event_bytes: usize,
    /// Whether the last line ended with CR: a LF that follows belongs to it.
    after_cr: bool,
    /// Whether the first line has been read, which may begin with a byte order mark.
    past_first_line: bool,
}

#[derive(Default, PartialEq)]
enum Cut {
    #[default]
    No,
    Kept,
    Comment,
}

enum SseLine<'a> {
    Blank,
    Data(&'a [u8]),
    Event(&'a [u8]),
    Ignored,
}

impl Parser {
    /// Reads the next bytes and passes every event they complete to `on_event`.
    ///
    /// # Errors
    /// What `on_event` returns, or `Malformed` for an event that is too large.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(Event<'_>) -> Result<(), UpstreamError>,
    ) -> Result<(), UpstreamError> {
        let mut rest = bytes;
        if self.cut != Cut::No {
            let Some(end_of_line) = self.next_line(&mut rest) else {
                return self.keep(rest);
            };
            self.keep(end_of_line)?;
            self.close_cut_line(&mut on_event)?;
        }

        // The first data line of the open event, as long as it is the only one.
        let mut in_place = None;
        while let Some(line) = self.next_line(&mut rest) {
            self.count(line)?;
            self.take_line(line, &mut in_place, &mut on_event)?;
        }
        if let Some(data) = in_place {
            self.add_data(data);
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.keep(rest)
    }

    /// The stream has ended: an event that no blank line has closed still counts.
    ///
    /// # Errors
    /// As [`Parser::push`].
    pub fn end(
        &mut self,
        mut on_event: impl FnMut(Event<'_>) -> Result<(), UpstreamError>,
    ) -> Result<(), UpstreamError> {
        self.close_cut_line(&mut on_event)?;
        self.dispatch(None, &mut on_event)
    }

    /// Takes a line off `rest`, without its end; `None` if its end is not there.
    fn next_line<'a>(&mut self, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            *rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        let end = memchr::memchr2(b'\n', b'\r', rest)?;
        let line = &rest[..end];
        self.after_cr = rest[end] == b'\r';
        *rest = &rest[end + 1..];
        Some(line)
    }

    fn count(&mut self, bytes: &[u8]) -> Result<(), UpstreamError> {
        self.event_bytes += bytes.len();
        if self.event_bytes > MAX_EVENT_BYTES {
            return Err(UpstreamError::malformed("an event is larger than 8 MiB"));
        }
        Ok(())
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), UpstreamError> {
        self.count(piece)?;
        if self.cut == Cut::No {
            self.cut = if piece.starts_with(b":") && !self.is_bare {
                Cut::Comment
            } else {
                Cut::Kept
            };
        }
        if self.cut == Cut::Kept {
            self.line.extend_from_slice(piece);
        }
        Ok(())
    }

    fn close_cut_line(
        &mut self,
        on_event: impl FnMut(Event<'_>) -> Result<(), UpstreamError>,
    ) -> Result<(), UpstreamError> {
        let cut = mem::take(&mut self.cut);
        if cut != Cut::Kept {
            self.past_first_line |= cut == Cut::Comment;
            return Ok(());
        }
        let line = mem::take(&mut self.line);
        let mut in_place = None;
        self.take_line(&line, &mut in_place, on_event)?;
        if let Some(data) = in_place {
            self.add_data(data);
        }
        self.line = emptied(line);
        Ok(())
    }

    /// Takes in a whole line. `in_place` is the first data line of the open event, as long as it is the
    /// only one and has not been copied.
    fn take_line<'a>(
        &mut self,
        line: &'a [u8],
        in_place: &mut Option<&'a [u8]>,
        mut on_event: impl FnMut(Event<'_>) -> Result<(), UpstreamError>,
    ) -> Result<(), UpstreamError> {
        if begins_event(line) && self.is_whole(*in_place) {
            self.dispatch(in_place.take(), &mut on_event)?;
            self.event_bytes = line.len();
        }
        match self.parse(line) {
            SseLine::Blank => self.dispatch(in_place.take(), on_event)?,
            SseLine::Data(data) if in_place.is_none() && self.data_lines == 0 => {
                *in_place = Some(data);
            }
            SseLine::Data(data) => {
                if let Some(first) = in_place.take() {
                    self.add_data(first);
                }
                self.add_data(data);
            }
            SseLine::Event(name) => self.set_event(name),
            SseLine::Ignored => {}
        }
        Ok(())
    }

    /// Whether the open event has one data line, and that is a whole JSON value. Each line is asked about
    /// once: afterwards it is an event or not the only line.
    fn is_whole(&self, in_place: Option<&[u8]>) -> bool {
        let line = match in_place {
            Some(line) => line,
            None if self.data_lines == 1 => &self.data,
            None => return false,
        };
        let is_json = |line: &[u8]| serde_json::from_slice::<IgnoredAny>(line).is_ok();
        match line.trim_ascii() {
            b"[DONE]" => true,
            [b'{' | b'[', ..] => is_json(line),
            _ => false,
        }
    }

    fn parse<'a>(&mut self, mut line: &'a [u8]) -> SseLine<'a> {
        let begins_event = self.event_bytes == line.len();
        if !mem::replace(&mut self.past_first_line, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return SseLine::Blank;
        }
        self.is_bare |= begins_event && matches!(line[0], b'{' | b'[');
        if self.is_bare {
            return SseLine::Data(line);
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => SseLine::Data(value),
            b"event" => SseLine::Event(value),
            // `id` and `retry` serve reconnection, which no chat API offers; an empty field is a comment.
            _ => SseLine::Ignored,
        }
    }

    fn add_data(&mut self, line: &[u8]) {
        if self.data_lines > 0 {
            self.data.push(b'\n');
        }
        self.data_lines += 1;
        self.data.extend_from_slice(line);
    }

    fn set_event(&mut self, name: &[u8]) {
        self.event.clear();
        if name.len() <= MAX_NAME_BYTES {
            self.event.push_str(&String::from_utf8_lossy(name));
        }
    }

    fn dispatch(
        &mut self,
        in_place: Option<&[u8]>,
        mut on_event: impl FnMut(Event<'_>) -> Result<(), UpstreamError>,
    ) -> Result<(), UpstreamError> {
        if self.data_lines > 0 || in_place.is_some() {
            on_event(Event {
                name: &self.event,
                data: in_place.unwrap_or(&self.data),
            })?;
        }
        self.data = emptied(mem::take(&mut self.data));
        self.data_lines = 0;
        self.event.clear();
        self.event_bytes = 0;
        self.is_bare = false;
        Ok(())
    }
}

/// Whether a line can be the first of an event.
fn begins_event(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'{' | b'['))
        || line.starts_with(b"data:")
        || line.starts_with(b"event:")
}

/// The buffer, emptied for its next use.
fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.shrink_to(MAX_KEPT_BYTES);
    buffer
}

#[cfg(test)]
mod tests;
