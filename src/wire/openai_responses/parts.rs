//! How are the texts, images and documents of a message written?

use crate::chat::{ImageDetail, Media, MediaSource, Part};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::openai::url::Url;

use super::body::Piece;
use super::value;

/// A piece of a message to this provider, or of a tool result.
///
/// # Errors
/// The API has no such piece, or another provider has the file.
pub(super) fn piece<'a>(part: &'a Part, provider: &str) -> Result<Piece<'a>, Unsupported> {
    Ok(match part {
        Part::Text(text) => Piece::Text { text },
        Part::Image(media) => Piece::Image {
            image_url: url_of(media),
            file_id: file_of(media, provider)?,
            detail: match media.detail {
                ImageDetail::Auto => "auto",
                ImageDetail::Low => "low",
                ImageDetail::High => "high",
            },
        },
        Part::Document(media) => document(media, provider)?,
        Part::Audio(_) => return Err(Unsupported::Feature(Feature::AudioData)),
        Part::Video(_) => return Err(Unsupported::Feature(Feature::VideoData)),
        Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_)
        | Part::Provider(_) => {
            return Err(misplaced("only an assistant message holds such a part"));
        }
    })
}

fn document<'a>(media: &'a Media, provider: &str) -> Result<Piece<'a>, Unsupported> {
    let is_data = matches!(media.source, MediaSource::Data(_));
    Ok(Piece::File {
        filename: match (is_data, media.filename.as_str()) {
            // A name is required beside the bytes, and refused beside a URL.
            (true, "") => "document",
            (true, name) => name,
            (false, _) => "",
        },
        file_data: url_of(media).filter(|_| is_data),
        file_url: url_of(media).filter(|_| !is_data),
        file_id: file_of(media, provider)?,
    })
}

fn url_of(media: &Media) -> Option<Url<'_>> {
    match media.source {
        MediaSource::Data(_) | MediaSource::Uri(_) => Some(Url::of(media)),
        MediaSource::File { .. } => None,
    }
}

fn file_of<'a>(media: &'a Media, to: &str) -> Result<Option<&'a str>, Unsupported> {
    match &media.source {
        MediaSource::Data(_) | MediaSource::Uri(_) => Ok(None),
        MediaSource::File { provider, id } if provider == to => Ok(Some(id)),
        MediaSource::File { .. } => Err(value(
            "messages.parts",
            "the file is stored at another provider",
        )),
    }
}

pub(super) fn misplaced(why: &'static str) -> Unsupported {
    value("messages.parts", why)
}
