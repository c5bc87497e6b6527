//! How are texts, images and documents written as the content of a message?

use std::fmt;

use serde::{Serialize, Serializer};

use crate::chat::{ImageDetail, Media, MediaSource, Part};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::openai::url::Url;

use super::{Dialect, Documents};

/// Between the texts of a message that become one string.
const BETWEEN_TEXTS: &str = "\n";

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Texts(Texts<'a>),
    Pieces(Vec<Piece<'a>>),
}

impl<'a> Content<'a> {
    /// Appends the content of another message.
    pub(super) fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Texts(one), Self::Texts(other)) => one.texts.extend(other.texts),
            (Self::Pieces(one), other) => one.extend(other.into_pieces()),
            (Self::Texts(one), other) => {
                let one = Self::Texts(Texts {
                    texts: std::mem::take(&mut one.texts),
                    separator: one.separator,
                });
                let pieces = one.into_pieces().into_iter().chain(other.into_pieces());
                *self = Self::Pieces(pieces.collect());
            }
        }
    }

    fn into_pieces(self) -> Vec<Piece<'a>> {
        match self {
            Self::Texts(Texts { texts, .. }) => {
                texts.into_iter().map(|text| Piece::Text { text }).collect()
            }
            Self::Pieces(pieces) => pieces,
        }
    }
}

/// Texts that are sent as one string: not every host takes a list where there is only text
/// (OpenHands/OpenHands#4643, Gitlawb/openclaude#774).
pub(super) struct Texts<'a> {
    pub(super) texts: Vec<&'a str>,
    pub(super) separator: &'static str,
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

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece<'a> {
    Text {
        text: &'a str,
    },
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    File {
        file: File<'a>,
    },
    DocumentUrl {
        document_url: Url<'a>,
        #[serde(skip_serializing_if = "str::is_empty")]
        document_name: &'a str,
    },
}

#[derive(Serialize)]
pub(super) struct ImageUrl<'a> {
    pub(super) url: Url<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct File<'a> {
    pub(super) filename: &'a str,
    pub(super) file_data: Url<'a>,
}

/// The content of a user's message.
pub(super) fn user_content<'a>(
    dialect: &Dialect,
    parts: &'a [Part],
) -> Result<Content<'a>, Unsupported> {
    if parts.iter().all(|part| matches!(part, Part::Text(_))) {
        let mut content = Vec::with_capacity(parts.len());
        texts(parts, &mut content, "")?;
        return Ok(joined(content));
    }
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        pieces.push(match part {
            Part::Text(text) => Piece::Text { text },
            Part::Image(media) => Piece::ImageUrl {
                image_url: ImageUrl {
                    url: Url::of(media),
                    detail: match media.detail {
                        ImageDetail::Auto => None,
                        ImageDetail::Low => Some("low"),
                        ImageDetail::High => Some("high"),
                    },
                },
            },
            Part::Document(media) => document(dialect, media)?,
            Part::Audio(_)
            | Part::Video(_)
            | Part::Provider(_)
            | Part::ToolCall(_)
            | Part::ToolResult(_)
            | Part::Reasoning(_)
            | Part::Refusal(_) => {
                return Err(misplaced("a user message holds text, images and documents"));
            }
        });
    }
    Ok(Content::Pieces(pieces))
}

fn document<'a>(dialect: &Dialect, media: &'a Media) -> Result<Piece<'a>, Unsupported> {
    let is_data = matches!(media.source, MediaSource::Data(_));
    match (dialect.documents, is_data) {
        (Documents::None, true) => Err(Unsupported::Feature(Feature::DocumentData)),
        (Documents::None | Documents::File, false) => {
            Err(Unsupported::Feature(Feature::DocumentUri))
        }
        (Documents::File, true) => Ok(Piece::File {
            file: File {
                filename: match media.filename.as_str() {
                    // A name is required beside the bytes.
                    "" => "document",
                    name => name,
                },
                file_data: Url::of(media),
            },
        }),
        (Documents::DocumentUrl, _) => Ok(Piece::DocumentUrl {
            document_url: Url::of(media),
            document_name: &media.filename,
        }),
    }
}

/// Adds the texts of a message that may hold nothing else.
pub(super) fn texts<'a>(
    parts: &'a [Part],
    to: &mut Vec<&'a str>,
    why: &'static str,
) -> Result<(), Unsupported> {
    for part in parts {
        let Part::Text(text) = part else {
            return Err(misplaced(why));
        };
        to.push(text);
    }
    Ok(())
}

/// A content of several texts, which are sent as one string.
pub(super) fn joined(texts: Vec<&str>) -> Content<'_> {
    Content::Texts(Texts {
        texts,
        separator: BETWEEN_TEXTS,
    })
}

/// The refusal of a part that its message cannot hold.
pub(super) fn misplaced(why: &'static str) -> Unsupported {
    Unsupported::Value {
        field: "messages.parts",
        why,
    }
}
