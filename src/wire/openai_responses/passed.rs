//! How much of a text has been passed on, so that its whole can be completed when it comes?

/// The state of a text that arrives in pieces, which are not kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    length: usize,
    /// FNV-1a of the text so far.
    hash: u64,
}

impl Passed {
    /// How many bytes have been passed on.
    pub(super) fn length(self) -> usize {
        self.length
    }

    /// Reads the next piece.
    pub(super) fn add(&mut self, piece: &str) {
        self.length += piece.len();
        self.hash = fnv(self.hash, piece);
    }

    /// What of the whole text has not been passed on; `None` if it does not begin with what has been.
    pub(super) fn rest_of(self, whole: &str) -> Option<&str> {
        let (beginning, rest) = whole.split_at_checked(self.length)?;
        (fnv(0, beginning) == self.hash).then_some(rest)
    }
}

/// FNV-1a that begins at 0.
pub(super) fn fnv(start: u64, text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(start, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_what_follows_the_pieces_that_were_passed_on() {
        let mut passed = Passed::default();
        assert_eq!(passed.rest_of("grün und blau"), Some("grün und blau"));
        for piece in ["gr", "ün", ""] {
            passed.add(piece);
        }

        assert_eq!(passed.length(), 5);
        assert_eq!(passed.rest_of("grün und blau"), Some(" und blau"));
        assert_eq!(passed.rest_of("grün"), Some(""));
        for other in ["grau und blau", "grü", "gr", "", "grü€"] {
            assert_eq!(passed.rest_of(other), None, "{other}");
        }
    }
}
