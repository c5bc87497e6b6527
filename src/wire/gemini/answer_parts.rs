//! What becomes of the parts of an answer that are neither text nor function calls: media, what the provider's own
//! tools did, and kinds that are not known yet?

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::{ChatEvent, ImageDetail, Media, MediaSource, Part as ChatPart, ProviderPart};
use crate::wire::json::{Text, compact, object};
use crate::wire::limits::MAX_NAME_BYTES;

use super::parts::signature_of_media;

/// Hosts differ in whether they pad.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

object! {
    struct Blob<'a> {
        mime_type: Text<'a> = "mimeType" | "mime_type",
        data: Text<'a> = "data",
        display_name: Text<'a> = "displayName" | "display_name",
    }
}

object! {
    struct FileData<'a> {
        mime_type: Text<'a> = "mimeType" | "mime_type",
        file_uri: Text<'a> = "fileUri" | "file_uri",
        display_name: Text<'a> = "displayName" | "display_name",
    }
}

/// A part of one of these kinds.
pub(super) struct OtherPart<'a> {
    /// Its fields, except the following two.
    pub(super) fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Whether it belongs to the model's thoughts.
    pub(super) thought: bool,
    /// Its signature, or empty.
    pub(super) signature: Cow<'a, str>,
}

impl OtherPart<'_> {
    /// Appends the events of the part.
    pub(super) fn tell(self, events: &mut Vec<ChatEvent>) {
        let says_something = |(_, value): &&(Cow<'_, str>, &RawValue)| !says_nothing(value);
        let first = self.fields.iter().find(says_something);
        let Some((kind, content)) = first.or(self.fields.first()) else {
            if !self.signature.is_empty() {
                let signature = self.signature.into_owned();
                events.push(ChatEvent::ReasoningSignature(Bytes::from(signature)));
            }
            return;
        };
        let media = match &**kind {
            "inlineData" | "inline_data" => inline(content),
            "fileData" | "file_data" => of_file(content),
            _ => Found::Other,
        };
        match media {
            Found::Nothing => {
                let path = format!("candidates.content.parts.{kind}");
                events.push(ChatEvent::LeftOut(path.into()));
            }
            // Drafts of the model are no part of its answer.
            Found::Media(part) if !self.thought => {
                events.push(ChatEvent::Part(Box::new(part)));
                if !self.signature.is_empty() {
                    let signature = signature_of_media(&self.signature);
                    events.push(ChatEvent::ReasoningSignature(Bytes::from(signature)));
                }
            }
            Found::Media(_) | Found::Other => {
                let kind = match kind.len() > MAX_NAME_BYTES {
                    true => String::new(),
                    false => kind.clone().into_owned(),
                };
                let part = ChatPart::Provider(ProviderPart {
                    provider: String::new(),
                    kind,
                    content: self.text(),
                });
                events.push(ChatEvent::Part(Box::new(part)));
            }
        }
    }

    /// The JSON text of the whole part.
    fn text(&self) -> String {
        let quoted = |text: &str| serde_json::Value::String(text.to_owned()).to_string();
        let mut text = String::from("{");
        for (name, value) in &self.fields {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&quoted(name));
            text.push(':');
            text.push_str(&compact(value.get()));
        }
        if self.thought {
            text.push_str(r#","thought":true"#);
        }
        if !self.signature.is_empty() {
            text.push_str(r#","thoughtSignature":"#);
            text.push_str(&quoted(&self.signature));
        }
        text.push('}');
        text
    }
}

/// Whether a field is as good as absent.
pub(super) fn says_nothing(value: &RawValue) -> bool {
    matches!(value.get(), "null" | "\"\"" | "{}" | "[]" | "false" | "0")
}

/// What a part with media holds.
enum Found {
    /// Media of a kind that answers have.
    Media(ChatPart),
    /// Something else, such as a document.
    Other,
    /// No bytes, or bytes that cannot be read.
    Nothing,
}

fn inline(content: &RawValue) -> Found {
    let Blob {
        mime_type,
        data,
        display_name,
    } = serde_json::from_str(content.get()).unwrap_or_default();
    let data = STANDARD
        .decode(data.0.as_bytes())
        .or_else(|_| URL_SAFE.decode(data.0.as_bytes()))
        .unwrap_or_default();
    if data.is_empty() {
        return Found::Nothing;
    }
    media(MediaSource::Data(data.into()), mime_type, display_name)
}

fn of_file(content: &RawValue) -> Found {
    let FileData {
        mime_type,
        file_uri,
        display_name,
    } = serde_json::from_str(content.get()).unwrap_or_default();
    if file_uri.0.is_empty() {
        return Found::Nothing;
    }
    let source = MediaSource::Uri(file_uri.0.into_owned());
    media(source, mime_type, display_name)
}

fn media(source: MediaSource, mime_type: Text<'_>, display_name: Text<'_>) -> Found {
    let kind = mime_type.0.split_once('/').map_or("", |(kind, _)| kind);
    let part = match kind.to_ascii_lowercase().as_str() {
        "image" => ChatPart::Image,
        "audio" => ChatPart::Audio,
        "video" => ChatPart::Video,
        _ => return Found::Other,
    };
    Found::Media(part(Media {
        source,
        media_type: mime_type.0.into_owned(),
        filename: display_name.0.into_owned(),
        detail: ImageDetail::Auto,
    }))
}
