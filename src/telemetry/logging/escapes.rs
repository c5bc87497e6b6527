//! How does a text stand in a line without ending it or making it too long? Pure.

use std::fmt::Write as _;

/// The most bytes of a line, its newline included.
pub(super) const MAX_LINE_BYTES: usize = 8 * 1024;

/// The beginning of an escaped text, no longer than this, that ends neither within a character nor within an escape.
pub(super) fn whole_escapes(escaped: &str, most: usize) -> &str {
    let mut end = 0;
    let mut rest = escaped;
    loop {
        let Some(first) = rest.chars().next() else {
            return escaped;
        };
        let length = match (first, rest.as_bytes().get(1)) {
            ('\\', Some(b'u')) => 6,
            ('\\', _) => 2,
            (other, _) => other.len_utf8(),
        };
        if end + length > most {
            return &escaped[..end];
        }
        end += length;
        rest = escaped.get(end..).unwrap_or("");
    }
}

/// Whether a text certainly stands for itself. Nearly all do.
pub(super) fn is_plain(text: &str) -> bool {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    text.as_bytes().iter().all(is_plain)
}

/// Adds a text as the inside of a JSON string. Besides what JSON demands, all control characters are escaped, and
/// what terminals or programs take for the end of a line.
pub(super) fn escape_into(out: &mut String, text: &str) {
    if is_plain(text) {
        return out.push_str(text);
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' | '\u{2029}' => _ = write!(out, "\\u{:04x}", u32::from(character)),
            character if character.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            character => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut escaped = String::new();
        escape_into(&mut escaped, text);
        escaped
    }

    #[test]
    fn what_json_or_a_terminal_could_misread_is_escaped_and_can_be_read_again() {
        let table = [
            ("plain \u{e4}\u{4f60}", "plain \u{e4}\u{4f60}"),
            ("a\"b\\c", r#"a\"b\\c"#),
            ("a\r\n\tb", r"a\r\n\tb"),
            ("\u{1b}[31m\u{0}", r"\u001b[31m\u0000"),
            ("\u{7f}\u{85}\u{2028}\u{2029}", r"\u007f\u0085\u2028\u2029"),
        ];
        for (text, expected) in table {
            assert_eq!(escaped(text), expected);
            let read: String = serde_json::from_str(&format!("\"{expected}\"")).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn an_escaped_text_is_cut_neither_within_a_character_nor_within_an_escape() {
        let text = escaped("a\"\u{1}\u{e4}b");
        let lengths = [0, 1, 1, 3, 3, 3, 3, 3, 3, 9, 9, 11, 12, 12];
        for (most, length) in lengths.into_iter().enumerate() {
            assert_eq!(whole_escapes(&text, most).len(), length, "{most}");
        }
    }
}
