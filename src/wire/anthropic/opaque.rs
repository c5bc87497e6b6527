//! How do the signatures of reasoning and of tool calls hold what Anthropic wants back with them?

use bytes::Bytes;

const SIGNATURE: &str = "signature:";
const REDACTED: &str = "redacted:";
const CALLER: &str = "caller:";

/// What the bytes of a signature say. A caller keeps them and sends them back, so their
/// spelling must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opaque<'a> {
    /// The signature that closes a `thinking` block.
    Signature(&'a str),
    /// The data of a `redacted_thinking` block.
    Redacted(&'a str),
    /// What called a tool, if that was not the model itself but code that it ran: the JSON of `caller`.
    Caller(&'a str),
}

impl<'a> Opaque<'a> {
    /// The bytes that the caller keeps.
    pub(super) fn to_bytes(self) -> Bytes {
        let (prefix, token) = match self {
            Self::Signature(token) => (SIGNATURE, token),
            Self::Redacted(token) => (REDACTED, token),
            Self::Caller(json) => (CALLER, json),
        };
        [prefix, token].concat().into()
    }

    /// Reads what [`Opaque::to_bytes`] wrote; `None` for anything else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if let Some(token) = text.strip_prefix(SIGNATURE) {
            return Some(Self::Signature(token));
        }
        if let Some(json) = text.strip_prefix(CALLER) {
            return Some(Self::Caller(json));
        }
        text.strip_prefix(REDACTED).map(Self::Redacted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_back_as_what_it_was() {
        for opaque in [
            Opaque::Signature("EqQB=="),
            Opaque::Redacted("signature:x"),
            Opaque::Caller(r#"{"type":"x"}"#),
        ] {
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
