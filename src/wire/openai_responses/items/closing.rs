//! What does a caller get besides texts and calls, so that an item can be sent back as it was?

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::chat::{ChatEvent, ImageDetail, Media, MediaSource, Part, ProviderPart};
use crate::wire::json::MaybeAbsent;

use super::super::opaque::Token;
use super::super::reply::Item;
use super::{Field, Items};

impl Items {
    /// Appends an item that only its provider understands, or the picture that it holds, once.
    pub(super) fn give_part(
        &mut self,
        place: usize,
        item: &Item<'_>,
        raw: &RawValue,
        events: &mut Vec<ChatEvent>,
    ) {
        let known = &mut self.items[place];
        if known.is_told {
            return;
        }
        known.is_told = true;
        self.open_text = 0;
        match &*item.kind.0 {
            "web_search_call" => self.tools.web_searches += 1,
            "code_interpreter_call" => self.tools.code_executions += 1,
            "file_search_call" => self.tools.file_searches += 1,
            _ => {}
        }
        let picture = match &*item.kind.0 {
            "image_generation_call" => picture_of(item),
            _ => None,
        };
        let part = picture.map_or_else(
            || {
                Part::Provider(ProviderPart {
                    provider: String::new(),
                    kind: item.kind.0.to_string(),
                    content: raw.get().to_owned(),
                })
            },
            Part::Image,
        );
        events.push(ChatEvent::Part(Box::new(part)));
    }

    /// Appends the token with which a reasoning item is sent back, once.
    pub(super) fn sign(&mut self, place: usize, item: &Item<'_>, events: &mut Vec<ChatEvent>) {
        let known = &mut self.items[place];
        let has_nothing =
            item.encrypted_content.is_absent() && (known.texts.is_empty() || item.id.is_absent());
        if known.is_told || has_nothing {
            return;
        }
        known.is_told = true;
        let lengths = |of: Field| {
            let texts = known.texts.iter().filter(|((field, _), _)| *field == of);
            texts.map(|(_, said)| said.passed.length()).collect()
        };
        let token = Token {
            id: Cow::Borrowed(&item.id.0),
            encrypted: Cow::Borrowed(&item.encrypted_content.0),
            summary: lengths(Field::Summary),
            content: lengths(Field::Reasoning),
        };
        events.push(ChatEvent::ReasoningSignature(token.to_bytes()));
        self.open_text = 0;
    }
}

/// The picture that a tool of the provider made.
fn picture_of(item: &Item<'_>) -> Option<Media> {
    let bytes = STANDARD.decode(&*item.result.0).ok()?;
    let format = match &*item.output_format.0 {
        "" => "png",
        format => format,
    };
    (!bytes.is_empty()).then(|| Media {
        source: MediaSource::Data(bytes.into()),
        media_type: format!("image/{format}"),
        filename: String::new(),
        detail: ImageDetail::Auto,
    })
}
