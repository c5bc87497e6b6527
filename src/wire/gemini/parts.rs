//! How are images, documents and reasoning written as parts of a turn?

use crate::chat::{ImageDetail, Media, MediaSource, Reasoning};
use crate::error::Unsupported;
use crate::wire::{Adaptations, media_type};

use super::refused;
use super::request::{Blob, FileData, Part};

/// An image or a document.
pub(super) fn media<'a>(media: &'a Media, adaptations: &mut Adaptations) -> Part<'a> {
    match &media.source {
        MediaSource::Data(_) => Part {
            inline_data: blob(media, adaptations),
            ..Part::default()
        },
        MediaSource::Uri(uri)
        | MediaSource::File {
            provider: _,
            id: uri,
        } => {
            media_adaptations(media, adaptations);
            Part {
                file_data: Some(FileData {
                    mime_type: media_type::registered(&media.media_type),
                    file_uri: uri,
                }),
                ..Part::default()
            }
        }
    }
}

/// The bytes of an image or a document; `None` for media that the provider fetches.
pub(super) fn blob<'a>(media: &'a Media, adaptations: &mut Adaptations) -> Option<Blob<'a>> {
    let MediaSource::Data(data) = &media.source else {
        return None;
    };
    media_adaptations(media, adaptations);
    Some(Blob {
        mime_type: media_type::registered(&media.media_type),
        data,
    })
}

fn media_adaptations(media: &Media, adaptations: &mut Adaptations) {
    let Media {
        source: _,
        media_type: _,
        filename,
        detail,
    } = media;
    if !filename.is_empty() {
        adaptations.note(
            "messages.parts.filename",
            "left out: this provider has no field for file names",
        );
    }
    match detail {
        ImageDetail::Auto => {}
        ImageDetail::Low | ImageDetail::High => adaptations.note(
            "messages.parts.image.detail",
            "left out: this provider has no setting for the detail of an image",
        ),
    }
}

/// Reasoning for `receiver`, whom the request goes to; `None` if nothing of it may be sent there.
pub(super) fn reasoning<'a>(
    reasoning: &'a Reasoning,
    receiver: &str,
    adaptations: &mut Adaptations,
) -> Result<Option<Part<'a>>, Unsupported> {
    let Reasoning {
        text,
        signature,
        provider,
    } = reasoning;
    if provider != receiver {
        adaptations.note(
            "messages.parts.reasoning",
            "left out: it was made by another provider",
        );
        return Ok(None);
    }
    let thought_signature = signature_text(signature)?;
    if text.is_empty() && thought_signature.is_none() {
        return Ok(None);
    }
    Ok(Some(Part {
        thought: !text.is_empty(),
        thought_signature,
        ..Part::text(text)
    }))
}

pub(super) fn signature_text(signature: &[u8]) -> Result<Option<&str>, Unsupported> {
    if signature.is_empty() {
        return Ok(None);
    }
    match std::str::from_utf8(signature) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(refused(
            "messages.parts.signature",
            "it is not the signature that the provider gave",
        )),
    }
}
