//! How do fields of ours hold what reasoning, calls, messages and pictures need to be sent back?
//!
//! An item has an id, perhaps encrypted content, and texts of two kinds, which callers get as one. The token
//! remembers how that text was divided. A caller keeps it, so its spelling must not change.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chat::ProviderPart;

/// The signature of the call of a tool that takes any text; it is sent back as such a call.
pub(super) const CUSTOM_CALL: &str = "custom";

/// The type of the item of a picture that the provider made. Its part follows the picture and lacks the `result`.
pub(super) const PICTURE: &str = "image_generation_call";

/// Whether a message comments on the work or answers (`commentary`, `final_answer`): the provider part that follows
/// the texts of the message. A model that is not told its earlier phases may take its comments for answers:
/// <https://platform.openai.com/docs/api-reference/responses/create>.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Phase<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) phase: Cow<'a, str>,
}

impl<'a> Phase<'a> {
    /// The kind of the part.
    pub(super) const KIND: &'static str = "message";

    /// The phase of a message.
    pub(super) fn of(phase: &'a str) -> Self {
        Self {
            r#type: Cow::Borrowed(Self::KIND),
            phase: Cow::Borrowed(phase),
        }
    }

    /// The content of the part.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Phase::to_text`] wrote; `None` for any other part, such as a whole message.
    pub(super) fn read(part: &'a ProviderPart) -> Option<Self> {
        let is_message = part.kind == Self::KIND;
        let content = is_message.then_some(part.content.as_str())?;
        let read: Self = serde_json::from_str(content).ok()?;
        (read.r#type == Self::KIND).then_some(read)
    }
}

/// What the bytes of a `Reasoning::signature` say.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token<'a> {
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub(super) encrypted: Cow<'a, str>,
    /// The lengths of the texts of the summary, in bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) summary: Vec<usize>,
    /// Those of the reasoning itself, which follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) content: Vec<usize>,
}

/// The texts of a reasoning item.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Texts<'t> {
    pub(super) summary: Vec<&'t str>,
    pub(super) content: Vec<&'t str>,
}

impl<'a> Token<'a> {
    /// The bytes that the caller keeps.
    pub(super) fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .unwrap_or_default()
    }

    /// Reads what [`Token::to_bytes`] wrote; `None` for anything else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Divides the text of the item as it was. Another text becomes one text of the same kind.
    pub(super) fn divide<'t>(&self, text: &'t str) -> Texts<'t> {
        let divided = self.as_before(text);
        divided.unwrap_or_else(|| {
            let all = Vec::from_iter((!text.is_empty()).then_some(text));
            match self.summary.is_empty() && !self.content.is_empty() {
                true => Texts {
                    content: all,
                    ..Texts::default()
                },
                false => Texts {
                    summary: all,
                    ..Texts::default()
                },
            }
        })
    }

    fn as_before<'t>(&self, text: &'t str) -> Option<Texts<'t>> {
        let mut rest = text;
        let mut take = |lengths: &[usize]| {
            let mut taken = Vec::with_capacity(lengths.len());
            for length in lengths {
                let (piece, after) = rest.split_at_checked(*length)?;
                taken.push(piece);
                rest = after;
            }
            Some(taken)
        };
        let summary = take(&self.summary)?;
        let content = take(&self.content)?;
        rest.is_empty().then_some(Texts { summary, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_what_it_was_and_divides_the_text_as_before() {
        let token = Token {
            id: "rs_1".into(),
            encrypted: "gAAA\"=".into(),
            summary: vec![2, 3],
            content: vec![1],
        };
        let bytes = token.to_bytes();

        let read = Token::read(&bytes).unwrap();

        assert_eq!(read, token);
        let texts = read.divide("aabbbc");
        assert_eq!(
            texts,
            Texts {
                summary: vec!["aa", "bbb"],
                content: vec!["c"]
            }
        );
        assert_eq!(
            read.divide("changed"),
            Texts {
                summary: vec!["changed"],
                content: vec![]
            }
        );
        assert_eq!(read.divide(""), Texts::default());
        let content_alone = Token {
            content: vec![1],
            ..Token::default()
        };
        assert_eq!(
            content_alone.divide("more"),
            Texts {
                summary: vec![],
                content: vec!["more"]
            }
        );
    }

    #[test]
    fn bytes_of_another_spelling_are_not_read() {
        for foreign in [&b""[..], b"signature:x", b"\xff", b"[1]x", b"7"] {
            assert_eq!(Token::read(foreign), None);
        }
    }
}
