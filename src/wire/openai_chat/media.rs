//! How are the pieces of a message written: text, pictures, documents, sounds and films?

use serde::Serialize;

use crate::chat::{ImageDetail, Media, MediaSource, Part};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::media_type;
use crate::wire::openai::url::{Base64, Url};

use super::{AudioInput, Dialect, Documents};

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Piece<'a> {
    Text { r#type: &'static str, text: &'a str },
    Media(MediaPiece<'a>),
}

impl<'a> Piece<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text {
            r#type: "text",
            text,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum MediaPiece<'a> {
    ImageUrl {
        image_url: ImageUrl<'a>,
    },
    File {
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<File<'a>>,
        /// Mistral's place of the id.
        #[serde(skip_serializing_if = "Option::is_none")]
        file_id: Option<&'a str>,
    },
    DocumentUrl {
        document_url: Url<'a>,
        #[serde(skip_serializing_if = "str::is_empty")]
        document_name: &'a str,
    },
    InputAudio {
        input_audio: InputAudio<'a>,
    },
    AudioUrl {
        audio_url: At<'a>,
    },
    VideoUrl {
        video_url: At<'a>,
    },
}

#[derive(Serialize)]
pub(super) struct ImageUrl<'a> {
    url: Url<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum File<'a> {
    Data {
        filename: &'a str,
        file_data: Url<'a>,
    },
    Stored {
        file_id: &'a str,
    },
}

#[derive(Serialize)]
pub(super) struct InputAudio<'a> {
    data: Base64<'a>,
    format: String,
}

#[derive(Serialize)]
pub(super) struct At<'a> {
    url: Url<'a>,
}

/// The piece for a part of a user's message.
pub(super) fn piece<'a>(
    dialect: &Dialect,
    provider: &str,
    part: &'a Part,
) -> Result<Piece<'a>, Unsupported> {
    let piece = match part {
        Part::Text(text) => return Ok(Piece::text(text)),
        Part::Image(media) => image(provider, media)?,
        Part::Document(media) => document(dialect, provider, media)?,
        Part::Audio(media) => audio(dialect, provider, media)?,
        Part::Video(media) => video(dialect, provider, media)?,
        Part::Provider(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_) => {
            return Err(misplaced(
                "a user message holds text, images, documents, audio and video",
            ));
        }
    };
    Ok(Piece::Media(piece))
}

fn image<'a>(provider: &str, media: &'a Media) -> Result<MediaPiece<'a>, Unsupported> {
    not_stored(provider, media)?;
    Ok(MediaPiece::ImageUrl {
        image_url: ImageUrl {
            url: Url::of(media),
            detail: match media.detail {
                ImageDetail::Auto => None,
                ImageDetail::Low => Some("low"),
                ImageDetail::High => Some("high"),
            },
        },
    })
}

fn document<'a>(
    dialect: &Dialect,
    provider: &str,
    media: &'a Media,
) -> Result<MediaPiece<'a>, Unsupported> {
    match (dialect.documents, &media.source) {
        (Documents::None, MediaSource::Data(_)) => Err(Unsupported::Feature(Feature::DocumentData)),
        (Documents::None | Documents::File, MediaSource::Uri(_)) => {
            Err(Unsupported::Feature(Feature::DocumentUri))
        }
        (Documents::None, MediaSource::File { .. }) => {
            Err(Unsupported::Feature(Feature::StoredFile))
        }
        (_, MediaSource::File { provider: of, .. }) if of != provider => Err(stored_elsewhere()),
        (Documents::File, MediaSource::File { id, .. }) => Ok(MediaPiece::File {
            file: Some(File::Stored { file_id: id }),
            file_id: None,
        }),
        (Documents::DocumentUrl, MediaSource::File { id, .. }) => Ok(MediaPiece::File {
            file: None,
            file_id: Some(id),
        }),
        (Documents::File, MediaSource::Data(_)) => Ok(MediaPiece::File {
            file: Some(File::Data {
                filename: match media.filename.as_str() {
                    // A name is required beside the bytes.
                    "" => "document",
                    name => name,
                },
                file_data: Url::of(media),
            }),
            file_id: None,
        }),
        (Documents::DocumentUrl, MediaSource::Data(_) | MediaSource::Uri(_)) => {
            Ok(MediaPiece::DocumentUrl {
                document_url: Url::of(media),
                document_name: &media.filename,
            })
        }
    }
}

fn audio<'a>(
    dialect: &Dialect,
    provider: &str,
    media: &'a Media,
) -> Result<MediaPiece<'a>, Unsupported> {
    not_stored(provider, media)?;
    match (dialect.audio, &media.source) {
        (AudioInput::InputAudio, MediaSource::Data(bytes)) => Ok(MediaPiece::InputAudio {
            input_audio: InputAudio {
                data: Base64(bytes),
                format: audio_format(&media.media_type),
            },
        }),
        (AudioInput::AudioUrl, _) => Ok(MediaPiece::AudioUrl {
            audio_url: At {
                url: Url::of(media),
            },
        }),
        (AudioInput::None, MediaSource::Data(_)) => Err(Unsupported::Feature(Feature::AudioData)),
        (AudioInput::None | AudioInput::InputAudio, _) => {
            Err(Unsupported::Feature(Feature::AudioUri))
        }
    }
}

fn video<'a>(
    dialect: &Dialect,
    provider: &str,
    media: &'a Media,
) -> Result<MediaPiece<'a>, Unsupported> {
    not_stored(provider, media)?;
    if !dialect.video {
        return Err(Unsupported::Feature(match media.source {
            MediaSource::Data(_) => Feature::VideoData,
            MediaSource::Uri(_) | MediaSource::File { .. } => Feature::VideoUri,
        }));
    }
    Ok(MediaPiece::VideoUrl {
        video_url: At {
            url: Url::of(media),
        },
    })
}

/// Only documents are sent by the id of a file.
fn not_stored(provider: &str, media: &Media) -> Result<(), Unsupported> {
    match &media.source {
        MediaSource::Data(_) | MediaSource::Uri(_) => Ok(()),
        MediaSource::File { provider: of, .. } if of != provider => Err(stored_elsewhere()),
        MediaSource::File { .. } => Err(misplaced("only documents are sent by the id of a file")),
    }
}

fn stored_elsewhere() -> Unsupported {
    misplaced("the file is stored at another provider")
}

/// The name of a sound's format: the subtype of its media type, by the name that hosts know.
fn audio_format(media_type: &str) -> String {
    let registered = media_type::registered(media_type);
    let subtype = registered
        .split_once('/')
        .map_or(&*registered, |(_, subtype)| subtype);
    match subtype.strip_prefix("x-").unwrap_or(subtype) {
        "wave" | "vnd.wave" | "pn-wav" => "wav",
        "mpeg" | "mpeg3" | "mpga" => "mp3",
        "mp4" | "aacp" => "m4a",
        "L16" | "l16" | "pcm" => "pcm16",
        name => name,
    }
    .to_owned()
}

/// The refusal of a part that its message cannot hold.
pub(super) fn misplaced(why: &'static str) -> Unsupported {
    Unsupported::Value {
        field: "messages.parts",
        why,
    }
}
