//! How is a text of others shown on a terminal, which obeys control characters? Pure.

use std::borrow::Cow;

/// The text with its control characters escaped, except for those that are `left` as they are.
pub fn shown<'a>(text: &'a str, left: &[char]) -> Cow<'a, str> {
    let is_obeyed = |character: char| character.is_control() && !left.contains(&character);
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_obeyed(character) {
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_except_for_those_that_are_left() {
        let left = ['\n', '\t'];
        assert_eq!(shown("a\tb\n\u{fc}\u{202e}", &left), "a\tb\n\u{fc}\u{202e}");
        assert_eq!(
            shown("\u{1b}]0;title\u{7}\r\u{9b}2J\u{7f}", &left),
            r"\u{1b}]0;title\u{7}\r\u{9b}2J\u{7f}"
        );
        assert_eq!(shown("a\tb\n", &[]), r"a\tb\n");
    }
}
