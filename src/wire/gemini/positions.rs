//! Where in a text part of the answer stands a byte of all its text?
//!
//! Gemini counts bytes from the beginning of all text of an answer; callers are told code points of one text part.

/// The most text that is kept to count its characters; positions in longer text are not told.
const MOST_KEPT: usize = 4 * 1024 * 1024;

/// How many bytes lie between places whose position is remembered.
const BLOCK: usize = 256;

/// The text of an answer, as far as it takes more than its length to count characters.
#[derive(Default)]
pub(super) struct Positions {
    /// Bytes of the pieces before the first one that is not all ASCII.
    ascii: usize,
    /// All text from that piece on.
    rest: String,
    /// Characters of the rest before each block of bytes.
    before_blocks: Vec<usize>,
    /// Bytes of text before the last text part.
    part: usize,
    /// Whether something else has come after the last text.
    interrupted: bool,
    /// Whether the text is too long.
    lost: bool,
}

impl Positions {
    /// More text has come.
    pub(super) fn text(&mut self, text: &str) {
        if std::mem::take(&mut self.interrupted) {
            self.part = self.bytes();
        }
        if self.lost {
            return;
        }
        if self.rest.is_empty() && text.is_ascii() {
            self.ascii += text.len();
        } else if self.rest.len() + text.len() > MOST_KEPT {
            *self = Self {
                lost: true,
                ..Self::default()
            };
        } else {
            self.rest.push_str(text);
        }
    }

    /// Something other than text has come: the next text is another part.
    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// How many bytes of text have come.
    pub(super) fn bytes(&self) -> usize {
        self.ascii + self.rest.len()
    }

    /// These bytes of all text, as code points of the last text part; `None` if they are not all in it. `quoted` is
    /// what the provider says they are, or empty.
    pub(super) fn range(
        &mut self,
        start: usize,
        end: usize,
        quoted: &str,
    ) -> Option<(usize, usize)> {
        let is_quoted = quoted.is_empty() || self.is(start, end, quoted);
        if self.lost || start < self.part || start >= end || !is_quoted {
            return None;
        }
        self.remember();
        let before_part = self.characters_before(self.part)?;
        let start = self.characters_before(start)?.checked_sub(before_part)?;
        let end = self.characters_before(end)?.checked_sub(before_part)?;
        Some((start, end))
    }

    /// Whether these bytes are this text, as far as that is known.
    fn is(&self, start: usize, end: usize, text: &str) -> bool {
        if end.checked_sub(start) != Some(text.len()) {
            return false;
        }
        match (start.checked_sub(self.ascii), end.checked_sub(self.ascii)) {
            (Some(start), Some(end)) => self.rest.get(start..end) == Some(text),
            _ => true,
        }
    }

    fn remember(&mut self) {
        let bytes = self.rest.as_bytes();
        let mut blocks = bytes.chunks_exact(BLOCK).skip(self.before_blocks.len());
        let mut before = self.before_blocks.last().copied().unwrap_or(0);
        for block in blocks.by_ref() {
            before += characters(block);
            self.before_blocks.push(before);
        }
    }

    /// How many characters lie before a byte; `None` if it is within a character, or has not come.
    fn characters_before(&self, byte: usize) -> Option<usize> {
        let Some(byte) = byte.checked_sub(self.ascii) else {
            return Some(byte);
        };
        if !self.rest.is_char_boundary(byte) {
            return None;
        }
        let blocks = (byte / BLOCK).min(self.before_blocks.len());
        let before = match blocks.checked_sub(1) {
            None => 0,
            Some(last) => *self.before_blocks.get(last)?,
        };
        let remainder = self.rest.as_bytes().get(blocks * BLOCK..byte)?;
        Some(self.ascii + before + characters(remainder))
    }
}

/// How many characters begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    let continues = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    bytes.len() - bytes.iter().filter(|byte| continues(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_of_the_last_text_part() {
        let mut positions = Positions::default();
        positions.text("ab");
        positions.text("é€");
        positions.text("c");

        assert_eq!(positions.range(0, 2, "ab"), Some((0, 2)));
        assert_eq!(positions.range(1, 7, ""), Some((1, 4)));
        assert_eq!(positions.range(4, 8, "€c"), Some((3, 5)));
        for (start, end, quoted) in [
            (3, 4, ""),
            (7, 9, ""),
            (4, 8, "€d"),
            (1, 1, ""),
            (0, 2, "a"),
        ] {
            assert_eq!(positions.range(start, end, quoted), None, "{start} {end}");
        }

        positions.interrupt();
        assert_eq!(positions.range(4, 8, ""), Some((3, 5)));
        positions.text("dü");
        assert_eq!(positions.range(4, 8, ""), None);
        assert_eq!(positions.range(8, 11, "dü"), Some((0, 2)));
    }

    #[test]
    fn text_that_is_too_long_has_no_positions() {
        let mut positions = Positions::default();
        positions.text("é");
        positions.text(&"a".repeat(MOST_KEPT));

        assert_eq!(positions.range(0, 2, ""), None);
        assert!(positions.rest.capacity() == 0);
    }

    proptest::proptest! {
        #[test]
        fn positions_are_those_of_the_text_itself(
            pieces in proptest::collection::vec("[a-cé€𝄞]{0,200}", 0..8),
            at in 0..2000_usize,
        ) {
            let mut positions = Positions::default();
            for piece in &pieces {
                positions.text(piece);
            }
            let text = pieces.concat();
            let expected = text
                .get(..at)
                .filter(|before| !before.is_empty())
                .map(|before| (0, before.chars().count()));

            assert_eq!(positions.range(0, at, ""), expected);
        }
    }
}
