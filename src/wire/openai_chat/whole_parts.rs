//! Which pictures, which sound and which runs of the host's own tools become parts of an answer?
//!
//! A picture arrives whole. Sound arrives in pieces, and so may what a tool did: both are held until they are
//! complete.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;

use crate::chat::{ChatEvent, ImageDetail, Media, MediaSource, Part, ProviderPart};
use crate::error::UpstreamError;
use crate::wire::json::{Count, Few, Text, compact, object};
use crate::wire::limits::MAX_PARTS;
use crate::wire::reported::check_held;

use super::{AUDIO, EXECUTED_TOOLS};

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is held of one answer.
#[derive(Default)]
pub(super) struct WholeParts {
    sound: Option<Box<Sound>>,
    /// What the host's tools did, by the number of the run.
    runs: BTreeMap<u64, String>,
    /// Bytes that are held.
    held: usize,
}

#[derive(Default)]
struct Sound {
    id: String,
    transcript: String,
    expires_at: Option<u64>,
    bytes: Vec<u8>,
    /// Whether a piece could not be read.
    is_broken: bool,
}

object! {
    struct SoundPiece<'a> {
        id: Text<'a> = "id",
        data: Text<'a> = "data",
        transcript: Text<'a> = "transcript",
        expires_at: Count = "expires_at",
    }
}

object! {
    struct Picture<'a> {
        image_url: Option<Address<'a>> = "image_url",
        url: Text<'a> = "url",
    }
}

object! {
    struct Address<'a> {
        url: Text<'a> = "url",
    }
}

object! {
    struct Run {
        index: Count = "index",
    }
}

impl WholeParts {
    /// Adds a piece of the sound.
    ///
    /// # Errors
    /// Too much would have to be held.
    pub(super) fn sound(&mut self, written: &RawValue) -> Result<(), UpstreamError> {
        let piece: SoundPiece<'_> = serde_json::from_str(written.get()).unwrap_or_default();
        let is_empty =
            piece.id.0.is_empty() && piece.data.0.is_empty() && piece.transcript.0.is_empty();
        // Some hosts send the field empty.
        if is_empty && self.sound.is_none() {
            return Ok(());
        }
        let sound = self.sound.get_or_insert_default();
        if sound.id.is_empty() {
            sound.id.push_str(&piece.id.0);
        }
        sound.transcript.push_str(&piece.transcript.0);
        sound.expires_at = sound
            .expires_at
            .or(piece.expires_at.0.filter(|time| *time > 0));
        // Each piece is base64 by itself.
        sound.is_broken |= BASE64.decode_vec(&*piece.data.0, &mut sound.bytes).is_err();
        check_held(
            self.held
                .saturating_add(sound.bytes.len() + sound.transcript.len()),
        )
    }

    /// Keeps what the host's tools did; what is told later of a run replaces what was told before.
    ///
    /// # Errors
    /// Too much would have to be held.
    pub(super) fn runs(&mut self, written: &RawValue) -> Result<(), UpstreamError> {
        let runs: Few<&RawValue> = serde_json::from_str(written.get()).unwrap_or_default();
        for (position, written) in (0..).zip(runs.all()?) {
            let Run { index } = serde_json::from_str(written.get()).unwrap_or_default();
            let run = compact(written.get());
            self.held += run.len();
            let before = self.runs.insert(index.0.unwrap_or(position), run);
            self.held -= before.map_or(0, |before| before.len());
            if self.runs.len() > MAX_PARTS {
                return Err(crate::wire::json::too_many_parts());
            }
        }
        check_held(self.held)
    }

    /// Emits what is held: no more of it will come.
    pub(super) fn finish(&mut self, events: &mut Vec<ChatEvent>) {
        for (_, run) in std::mem::take(&mut self.runs) {
            events.push(provider_part(EXECUTED_TOOLS, run));
        }
        self.held = 0;
        let Some(sound) = self.sound.take() else {
            return;
        };
        let Sound {
            id,
            transcript,
            expires_at,
            bytes,
            is_broken,
        } = *sound;
        if is_broken {
            events.push(ChatEvent::LeftOut("choices.message.audio.data".into()));
        } else if !bytes.is_empty() {
            let media_type = sound_type(&bytes).to_owned();
            events.push(part(Part::Audio(media(bytes.into(), media_type))));
        }
        if !id.is_empty() || !transcript.is_empty() {
            let told = json!({ "id": id, "transcript": transcript, "expires_at": expires_at });
            events.push(provider_part(AUDIO, told.to_string()));
        }
    }
}

/// Emits the pictures of a message.
pub(super) fn pictures(list: &RawValue, events: &mut Vec<ChatEvent>) -> Result<(), UpstreamError> {
    let pictures: Few<&RawValue> = serde_json::from_str(list.get()).unwrap_or_default();
    for written in pictures.all()? {
        events.push(picture(written));
    }
    Ok(())
}

/// A picture, as a piece of content or in a list of its own.
pub(super) fn picture(written: &RawValue) -> ChatEvent {
    let picture: Picture<'_> = serde_json::from_str(written.get()).unwrap_or_default();
    let url = picture.image_url.unwrap_or_default().url.or(picture.url).0;
    let media = match url.strip_prefix("data:") {
        Some(data) => data.split_once(',').and_then(|(head, data)| {
            let media_type = head.strip_suffix(";base64")?;
            let bytes = BASE64.decode(data.trim_ascii()).ok()?;
            Some(media(bytes.into(), media_type.to_owned()))
        }),
        None if url.is_empty() => None,
        None => Some(Media {
            source: MediaSource::Uri(url.into_owned()),
            ..media(Bytes::new(), String::new())
        }),
    };
    match media {
        Some(media) => part(Part::Image(media)),
        None => ChatEvent::LeftOut("choices.message.images".into()),
    }
}

/// A piece that only the host understands.
pub(super) fn provider_part(kind: &str, content: String) -> ChatEvent {
    part(Part::Provider(ProviderPart {
        provider: String::new(),
        kind: kind.to_owned(),
        content,
    }))
}

fn part(part: Part) -> ChatEvent {
    ChatEvent::Part(Box::new(part))
}

fn media(bytes: Bytes, media_type: String) -> Media {
    Media {
        source: MediaSource::Data(bytes),
        media_type,
        filename: String::new(),
        detail: ImageDetail::Auto,
    }
}

/// The media type of sound by its first bytes: the answer does not tell it. Streams have bare samples by default.
fn sound_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'R', b'I', b'F', b'F', ..] => "audio/wav",
        [b'O', b'g', b'g', b'S', ..] => "audio/ogg",
        [b'f', b'L', b'a', b'C', ..] => "audio/flac",
        [b'I', b'D', b'3', ..] | [0xFF, 0xFA | 0xFB | 0xF2 | 0xF3, ..] => "audio/mpeg",
        [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..] => "audio/aac",
        _ => "audio/pcm",
    }
}
