//! Which sources does an answer name?
//!
//! OpenAI and OpenRouter annotate a message, Mistral puts references between the pieces of its content, Perplexity
//! lists its sources beside the answer, in a stream with every event.

use std::collections::HashSet;
use std::hash::BuildHasher;

use serde_json::value::RawValue;

use crate::chat::{ChatEvent, Citation, Part, ProviderPart};
use crate::error::UpstreamError;
use crate::wire::json::{Count, Few, MaybeAbsent, Text, compact, object, without};
use crate::wire::limits::MAX_PARTS;

use super::ANNOTATIONS;

/// The sources of one answer, each told once.
#[derive(Default)]
pub(super) struct Sources {
    /// Hashes of the sources that have been told: of all that was written of one, or of its address.
    reported: HashSet<u64>,
    /// Characters of the answer's text so far, and of that before its last part.
    characters: usize,
    before_part: usize,
    /// Whether the last part is text.
    in_text: bool,
}

object! {
    struct Annotation<'a> {
        kind: Text<'a> = "type",
        url_citation: Option<Source<'a>> = "url_citation",
        // Some relays write the fields of the source beside the type.
        url: Text<'a> = "url",
        title: Text<'a> = "title",
        start: Count = "start_index",
        end: Count = "end_index",
    }
}

object! {
    /// A source, as the list of Perplexity and the annotations of OpenAI have it.
    struct Source<'a> {
        url: Text<'a> = "url",
        title: Text<'a> = "title",
        content: Text<'a> = "content" | "snippet",
        start: Count = "start_index",
        end: Count = "end_index",
    }
}

impl Sources {
    /// Counts the text of events that are emitted.
    pub(super) fn count(&mut self, events: &[ChatEvent]) {
        for event in events {
            if let ChatEvent::Text(text) = event {
                if !self.in_text {
                    self.in_text = true;
                    self.before_part = self.characters;
                }
                self.characters += text.chars().count();
            } else if event.is_content() {
                self.in_text = false;
            }
        }
    }

    /// Emits the annotations of a message whose text has been counted.
    pub(super) fn annotations(
        &mut self,
        list: &RawValue,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        for written in elements(list)? {
            let read: Annotation<'_> = serde_json::from_str(written.get()).unwrap_or_default();
            let source = read.url_citation.unwrap_or_else(|| Source {
                url: read.url,
                title: read.title,
                start: read.start,
                end: read.end,
                ..Source::default()
            });
            let is_source = !source.url.0.is_empty() && read.kind.0 != "file";
            if !self.is_new(written.get()) {
                continue;
            }
            events.push(match is_source {
                true => ChatEvent::Citation(Box::new(self.citation(source, String::new()))),
                false => ChatEvent::Part(Box::new(Part::Provider(ProviderPart {
                    provider: String::new(),
                    kind: ANNOTATIONS.to_owned(),
                    content: compact(written.get()),
                }))),
            });
        }
        Ok(())
    }

    /// Emits the sources that stand beside the answer.
    pub(super) fn listed(
        &mut self,
        list: &RawValue,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        for written in elements(list)? {
            let (source, rest) = match written.get().as_bytes().first() {
                Some(b'"') => {
                    let url = serde_json::from_str(written.get()).unwrap_or_default();
                    let source = Source {
                        url,
                        ..Source::default()
                    };
                    (source, None)
                }
                _ => (
                    serde_json::from_str::<Source<'_>>(written.get()).unwrap_or_default(),
                    without(written, &["url", "title", "snippet"]),
                ),
            };
            if source.url.0.is_empty() || !self.is_new(&source.url.0) {
                continue;
            }
            let rest = rest.filter(|rest| rest != "{}").unwrap_or_default();
            events.push(ChatEvent::Citation(Box::new(self.citation(source, rest))));
        }
        Ok(())
    }

    fn citation(&self, source: Source<'_>, provider_fields: String) -> Citation {
        // A place in an earlier part of the text cannot be told.
        let place = |count: Count| {
            let place = usize::try_from(count.0?).ok()?;
            place.checked_sub(self.before_part)
        };
        let range = place(source.start).zip(place(source.end));
        Citation {
            range: range.filter(|(start, end)| start <= end),
            uri: source.url.0.into_owned(),
            title: source.title.0.into_owned(),
            cited_text: source.content.0.into_owned(),
            document_index: None,
            provider_fields,
        }
    }

    /// Whether a source has not been told before.
    fn is_new(&mut self, source: &str) -> bool {
        let hash = self.reported.hasher().hash_one(source);
        self.reported.len() < MAX_PARTS && self.reported.insert(hash)
    }
}

/// The source that a piece of Mistral's content names.
pub(super) fn reference(written: &RawValue) -> ChatEvent {
    let Source {
        url,
        title,
        content,
        ..
    } = serde_json::from_str(written.get()).unwrap_or_default();
    ChatEvent::Citation(Box::new(Citation {
        uri: url.0.into_owned(),
        title: title.0.into_owned(),
        cited_text: content.0.into_owned(),
        provider_fields: compact(written.get()),
        ..Citation::default()
    }))
}

/// An element of a list; white space around it is not part of it.
struct Written<'a>(&'a RawValue);

impl MaybeAbsent for Written<'_> {
    fn is_absent(&self) -> bool {
        !self.0.get().starts_with(['{', '"'])
    }
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Written<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Self)
    }
}

fn elements(list: &RawValue) -> Result<Vec<&RawValue>, UpstreamError> {
    // Nearly always there is none.
    if list.get().len() <= 2 {
        return Ok(Vec::new());
    }
    let list: Few<Written<'_>> = serde_json::from_str(list.get()).unwrap_or_default();
    Ok(list
        .all()?
        .into_iter()
        .map(|Written(element)| element)
        .collect())
}
