//! Turns data that is almost JSON, as some hosts write it, into text that a JSON parser accepts.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::halves::{BYTE_MARKS, SURROGATE_MARKS};

/// The data of a frame as text that a JSON parser accepts.
#[derive(Debug, PartialEq)]
pub(super) struct Readable<'a> {
    pub(super) text: Cow<'a, str>,
    /// Whether it contains marks for half characters.
    pub(super) has_marks: bool,
}

/// Reads data as text: without a byte order mark, with marks in the place of half characters, with control
/// characters escaped where a string holds them as they are, and with null in the place of numbers that JSON
/// does not have, which Python writes.
pub(super) fn readable(data: &[u8]) -> Readable<'_> {
    let data = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    match std::str::from_utf8(data) {
        Ok(text) if !has_controls(data) && !may_be_odd(data) => Readable {
            text: Cow::Borrowed(text),
            has_marks: false,
        },
        _ => mended(data),
    }
}

/// Whether something may stand there that JSON does not have: an escape that is half a pair, or a number with a
/// name. One search for the bytes that these begin with: they are rare in the frames of a stream.
fn may_be_odd(data: &[u8]) -> bool {
    let is_odd = |place: usize| match &data[place..] {
        [b'\\', rest @ ..] => matches!(rest, [b'u', b'd' | b'D', ..]),
        rest => ODD_NUMBERS.iter().any(|name| rest.starts_with(name)),
    };
    memchr::memchr3_iter(b'\\', b'N', b'I', data).any(is_odd)
}

fn has_controls(data: &[u8]) -> bool {
    // Without a branch for each byte.
    data.iter()
        .fold(false, |found, byte| found | (*byte < b' '))
}

/// The names of numbers that JSON does not have, the longer of two first.
const ODD_NUMBERS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

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

/// A corrected copy of the text, made only if something must be replaced.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn readable_data_is_borrowed() {
        for data in [r#"{"a":"\n\u00e9\\"}"#, "é", "{}"] {
            let readable = readable(data.as_bytes());

            assert!(matches!(readable.text, Cow::Borrowed(text) if text == data));
            assert!(!readable.has_marks);
        }
        let pairs = readable(br#""\ud83d\ude00""#);
        assert!(matches!(pairs.text, Cow::Borrowed(_)) && !pairs.has_marks);
        assert_eq!(readable(b"\xEF\xBB\xBF{}").text, "{}");
    }

    #[test]
    fn numbers_that_json_does_not_have_are_null() {
        let read = readable(br#"{"a":NaN,"b":[-Infinity,Infinity],"c":"NaN -Infinity","d":-1}"#);

        let expected = r#"{"a":null,"b":[null,null],"c":"NaN -Infinity","d":-1}"#;
        assert_eq!(read.text, expected);
        assert!(!read.has_marks);
    }

    proptest! {
        #[test]
        fn what_is_json_stays_the_same_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let readable = readable(json.as_bytes());

            prop_assert_eq!(serde_json::from_str::<Value>(&readable.text).unwrap(), Value::String(text));
        }

        #[test]
        fn no_bytes_panic(data in prop::collection::vec(any::<u8>(), 0..64)) {
            readable(&data);
        }
    }
}
