//! How are media and reasoning written as parts of a turn?

use std::borrow::Cow;

use crate::chat::{ImageDetail, Media, MediaSource, Part as ChatPart, Reasoning};
use crate::error::Unsupported;
use crate::wire::{Adaptations, media_type};

use super::refused;
use super::request::{Blob, FileData, Part};

/// Begins the signature of a part with media, which stands in the reasoning behind it. Signatures that providers send
/// are base64 and have no colon.
const OF_MEDIA: &str = "media:";

/// The signature of a part with media, as callers get it.
pub(super) fn signature_of_media(signature: &str) -> String {
    format!("{OF_MEDIA}{signature}")
}

/// Media for `receiver`, whom the request goes to; `None` for a file that another provider stores.
pub(super) fn media<'a>(
    media: &'a Media,
    receiver: &str,
    adaptations: &mut Adaptations,
) -> Option<Part<'a>> {
    match &media.source {
        MediaSource::File { provider, id: _ } if provider != receiver => None,
        MediaSource::Data(_) => Some(Part {
            inline_data: blob(media, adaptations),
            ..Part::default()
        }),
        MediaSource::Uri(uri)
        | MediaSource::File {
            provider: _,
            id: uri,
        } => {
            media_adaptations(media, adaptations);
            Some(Part {
                file_data: Some(FileData {
                    mime_type: name_of_type(&media.media_type),
                    file_uri: uri,
                }),
                ..Part::default()
            })
        }
    }
}

/// The error for a file that another provider stores.
pub(super) fn stored_elsewhere() -> Unsupported {
    refused("messages.parts.file", "another provider stores the file")
}

/// The registered name of a media type. Of sound, the parameters count, as in `audio/L16;rate=24000`.
fn name_of_type(written: &str) -> Cow<'_, str> {
    let kind = written.split_once('/').map_or("", |(kind, _)| kind);
    match kind.eq_ignore_ascii_case("audio") {
        true => Cow::Borrowed(written),
        false => media_type::registered(written),
    }
}

/// The bytes of media; `None` for media that the provider fetches.
fn blob<'a>(media: &'a Media, adaptations: &mut Adaptations) -> Option<Blob<'a>> {
    let MediaSource::Data(data) = &media.source else {
        return None;
    };
    media_adaptations(media, adaptations);
    Some(Blob {
        mime_type: name_of_type(&media.media_type),
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
    if thought_signature.is_some_and(|signature| signature.starts_with(OF_MEDIA)) {
        return Ok(None); // the media before it have it
    }
    if text.is_empty() && thought_signature.is_none() {
        return Ok(None);
    }
    Ok(Some(Part {
        thought: !text.is_empty(),
        thought_signature,
        ..Part::text(text)
    }))
}

/// The signature of media in a message of the model: of `next`, the part behind them.
pub(super) fn signature_behind<'a>(next: Option<&'a ChatPart>, receiver: &str) -> Option<&'a str> {
    match next {
        Some(ChatPart::Reasoning(reasoning)) if reasoning.provider == receiver => {
            let signature = std::str::from_utf8(&reasoning.signature).ok()?;
            signature.strip_prefix(OF_MEDIA)
        }
        _ => None,
    }
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
