//! What does a caller get besides texts and calls, so that an item can be sent back as it was?

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::chat::{ChatEvent, ImageDetail, Media, MediaSource, Part, ProviderPart};
use crate::wire::json::MaybeAbsent;

use super::super::opaque::{PICTURE, Phase, Token};
use super::super::reply::Item;
use super::{Field, Items};

impl Items {
    /// What is passed on next does not continue a text.
    pub(super) fn close_text(&mut self) {
        self.open_text = 0;
        self.open_message = None;
    }

    /// Appends the phase of a message behind its text, once. A phase that comes when something else has followed the
    /// text has no place.
    pub(super) fn give_phase(
        &mut self,
        place: usize,
        item: &Item<'_>,
        events: &mut Vec<ChatEvent>,
    ) {
        let known = &mut self.items[place];
        if known.is_told || known.texts.is_empty() || item.phase.is_absent() {
            return;
        }
        known.is_told = true;
        if self.open_message != Some(place) {
            events.push(ChatEvent::LeftOut("output.phase".into()));
            return;
        }
        self.close_text();
        let part = ProviderPart {
            provider: String::new(),
            kind: Phase::KIND.to_owned(),
            content: Phase::of(&item.phase.0).to_text(),
        };
        events.push(ChatEvent::Part(Box::new(Part::Provider(part))));
    }

    /// Appends an item that only its provider understands, once. The picture that it holds comes before it.
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
        self.close_text();
        match &*item.kind.0 {
            "web_search_call" => self.tools.web_searches += 1,
            "code_interpreter_call" => self.tools.code_executions += 1,
            "file_search_call" => self.tools.file_searches += 1,
            _ => {}
        }
        let picture = match &*item.kind.0 {
            PICTURE => picture_of(item),
            _ => None,
        };
        let content = match picture {
            Some(_) => without_result(raw),
            None => raw.get().to_owned(),
        };
        let part = ProviderPart {
            provider: String::new(),
            kind: item.kind.0.to_string(),
            content,
        };
        let parts = picture.map(Part::Image).into_iter();
        let parts = parts.chain([Part::Provider(part)]);
        events.extend(parts.map(|part| ChatEvent::Part(Box::new(part))));
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
        self.close_text();
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

/// The item of a picture apart from the picture, which its caller has already.
fn without_result(item: &RawValue) -> String {
    let members = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(item.get());
    let rest = members.and_then(|mut members| {
        members.remove("result");
        serde_json::to_string(&members)
    });
    // An item that was read is an object.
    rest.unwrap_or_else(|_| item.get().to_owned())
}
