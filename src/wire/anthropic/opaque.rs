//! How does one field of ours hold either of Anthropic's two opaque reasoning tokens?

use bytes::Bytes;

const SIGNATURE: &str = "signature:";
const REDACTED: &str = "redacted:";

/// What the bytes of a `Reasoning::signature` say. A caller keeps them and sends them back, so their
/// spelling must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opaque<'a> {
    /// The signature that closes a `thinking` block.
    Signature(&'a str),
    /// The data of a `redacted_thinking` block.
    Redacted(&'a str),
}

impl<'a> Opaque<'a> {
    /// The bytes that the caller keeps.
    pub(super) fn to_bytes(self) -> Bytes {
        let (prefix, token) = match self {
            Self::Signature(token) => (SIGNATURE, token),
            Self::Redacted(token) => (REDACTED, token),
        };
        [prefix, token].concat().into()
    }

    /// Reads what [`Opaque::to_bytes`] wrote; `None` for anything else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(token) = text.strip_prefix(SIGNATURE) {
            return Some(Self::Signature(token));
        }
        text.strip_prefix(REDACTED).map(Self::Redacted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tokens_come_back_as_what_they_were() {
        for opaque in [Opaque::Signature("EqQB=="), Opaque::Redacted("signature:x")] {
            assert_eq!(Opaque::read(&opaque.to_bytes()), Some(opaque));
        }
    }

    #[test]
    fn bytes_of_another_spelling_are_not_read() {
        for foreign in [&b""[..], b"EqQB==", b"\xff"] {
            assert_eq!(Opaque::read(foreign), None);
        }
    }
}
