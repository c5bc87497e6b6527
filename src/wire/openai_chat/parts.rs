//! How are texts and pieces written as the content of a message?

use std::fmt;

use serde::{Serialize, Serializer};

use crate::chat::Part;
use crate::error::Unsupported;

use super::marking::Marked;
use super::media::{Piece, misplaced};

/// Between the texts of a message that become one string.
pub(super) const BETWEEN_TEXTS: &str = "\n";

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Texts(Texts<'a>),
    Pieces(Vec<Marked<Piece<'a>>>),
}

impl<'a> Content<'a> {
    /// A content for so many pieces. Its texts are sent as one string if there is nothing else.
    pub(super) fn new(separator: &'static str, pieces: usize) -> Self {
        Self::Texts(Texts {
            texts: Vec::with_capacity(pieces),
            separator,
        })
    }

    /// A content of one text.
    pub(super) fn of(text: &'a str) -> Self {
        let mut content = Self::new(BETWEEN_TEXTS, 1);
        content.say(text);
        content
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Texts(texts) => texts.texts.is_empty(),
            Self::Pieces(pieces) => pieces.is_empty(),
        }
    }

    /// Whether it is text alone, and only white space.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::Texts(texts) => texts.texts.iter().all(|text| text.trim().is_empty()),
            Self::Pieces(_) => false,
        }
    }

    pub(super) fn say(&mut self, text: &'a str) {
        self.add(Marked::Plain(Piece::text(text)));
    }

    pub(super) fn add(&mut self, piece: Marked<Piece<'a>>) {
        match (&mut *self, piece) {
            (Self::Texts(texts), Marked::Plain(Piece::Text { r#type: _, text })) => {
                texts.texts.push(text)
            }
            (Self::Pieces(pieces), piece) => pieces.push(piece),
            (Self::Texts(texts), piece) => {
                let mut pieces = std::mem::take(&mut texts.texts).into_iter().fold(
                    Vec::new(),
                    |mut pieces, text| {
                        pieces.push(Marked::Plain(Piece::text(text)));
                        pieces
                    },
                );
                pieces.push(piece);
                *self = Self::Pieces(pieces);
            }
        }
    }

    /// Appends the content of another message.
    pub(super) fn join(&mut self, other: Self) {
        match other {
            Self::Texts(other) => other.texts.into_iter().for_each(|text| self.say(text)),
            Self::Pieces(pieces) => pieces.into_iter().for_each(|piece| self.add(piece)),
        }
    }
}

/// Texts that are sent as one string: not every host takes a list where there is only text
/// (OpenHands/OpenHands#4643, Gitlawb/openclaude#774).
pub(super) struct Texts<'a> {
    texts: Vec<&'a str>,
    separator: &'static str,
}

impl fmt::Display for Texts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, text) in self.texts.iter().enumerate() {
            if position > 0 {
                f.write_str(self.separator)?;
            }
            f.write_str(text)?;
        }
        Ok(())
    }
}

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.texts[..] {
            [text] => serializer.serialize_str(text),
            _ => serializer.collect_str(self),
        }
    }
}

/// The text of a part of a message that may hold nothing else.
pub(super) fn text_of<'a>(part: &'a Part, why: &'static str) -> Result<&'a str, Unsupported> {
    match part {
        Part::Text(text) => Ok(text),
        Part::Image(_)
        | Part::Document(_)
        | Part::Audio(_)
        | Part::Video(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_)
        | Part::Provider(_) => Err(misplaced(why)),
    }
}
