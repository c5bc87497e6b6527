//! Which source is told as a citation: one that was not told for the same characters, and for which there is room.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::chat::{ChatEvent, Citation};
use crate::wire::limits::{MAX_EVENT_BYTES, MAX_PARTS};

/// How much memory a source takes besides its texts.
pub(super) const SOURCE_BYTES: usize = 128;

/// The citations that were told.
#[derive(Default)]
pub(super) struct Cited {
    /// Hashes of them, of their sources and of the addresses of these.
    hashes: HashSet<u64>,
    /// How much memory they and the sources that wait take.
    pub(super) bytes: usize,
    /// Whether there are too many.
    pub(super) is_full: bool,
}

#[derive(Default)]
pub(super) struct Source {
    /// Hash of the source, and of its address if that is all that is known of it.
    pub(super) identity: u64,
    pub(super) uri: String,
    pub(super) title: String,
    pub(super) text: String,
    /// Other fields, as the members of a JSON object.
    pub(super) others: String,
}

impl Cited {
    /// Whether the source was told.
    pub(super) fn knows(&self, source: &Source) -> bool {
        self.hashes.contains(&source.identity)
    }

    /// Tells a source unless it was told for the same characters.
    pub(super) fn tell(
        &mut self,
        range: Option<(usize, usize)>,
        source: &Source,
        score: Option<&str>,
        events: &mut Vec<ChatEvent>,
    ) {
        let is_empty = source.bytes() == 0;
        let place = hash((range, source.identity));
        if is_empty || self.hashes.contains(&place) || !self.has_room(source, events) {
            return;
        }
        self.hashes
            .extend([place, source.identity, hash(&source.uri)]);
        let citation = source.citation(range, score);
        events.push(ChatEvent::Citation(Box::new(citation)));
    }

    /// Whether a source is not too much. Many places may name a large source, and what is told must not be much more
    /// than what was sent.
    pub(super) fn has_room(&mut self, source: &Source, events: &mut Vec<ChatEvent>) -> bool {
        self.bytes = (self.bytes + SOURCE_BYTES).saturating_add(source.bytes());
        let is_full = self.bytes > MAX_EVENT_BYTES || self.hashes.len() > MAX_PARTS;
        if is_full && !self.is_full {
            events.push(ChatEvent::LeftOut("candidates.groundingMetadata".into()));
        }
        self.is_full |= is_full;
        !self.is_full
    }
}

impl Source {
    /// With its hash.
    pub(super) fn identified(self) -> Self {
        let identity = match self.title.is_empty() && self.text.is_empty() {
            true => hash(&self.uri),
            false => hash((&self.uri, &self.title, &self.text)),
        };
        Self { identity, ..self }
    }

    pub(super) fn bytes(&self) -> usize {
        self.uri.len() + self.title.len() + self.text.len() + self.others.len()
    }

    pub(super) fn citation(&self, range: Option<(usize, usize)>, score: Option<&str>) -> Citation {
        let others = &self.others;
        let comma = if others.is_empty() { "" } else { "," };
        Citation {
            range,
            uri: self.uri.clone(),
            title: self.title.clone(),
            cited_text: self.text.clone(),
            document_index: None,
            provider_fields: match score {
                Some(score) => format!(r#"{{{others}{comma}"confidenceScore":{score}}}"#),
                None if others.is_empty() => String::new(),
                None => format!("{{{others}}}"),
            },
        }
    }
}

pub(super) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
