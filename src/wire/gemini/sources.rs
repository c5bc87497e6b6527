//! Which sources does a text of the answer rest on, and how often did the provider look for them?

mod cited;

use std::collections::{BTreeMap, HashSet};

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::chat::{ChatEvent, ProviderToolUsage};
use crate::error::UpstreamError;
use crate::wire::json::{Count, Few, MaybeAbsent, Text, is_hollow, object, without};
use crate::wire::limits::MAX_PARTS;

use self::cited::{Cited, Source, hash};
use super::positions::Positions;

object! {
    struct GroundingMetadata<'a> {
        chunks: Few<Element<'a>> = "groundingChunks" | "grounding_chunks",
        supports: Few<Support<'a>> = "groundingSupports" | "grounding_supports",
        web_queries: Few<Text<'a>> = "webSearchQueries" | "web_search_queries",
        image_queries: Few<Text<'a>> = "imageSearchQueries" | "image_search_queries",
        file_queries: Few<Text<'a>> = "retrievalQueries" | "retrieval_queries",
    }
}

object! {
    struct Support<'a> {
        segment: Segment<'a> = "segment",
        chunks: Option<&'a RawValue> = "groundingChunkIndices" | "grounding_chunk_indices",
        scores: Option<&'a RawValue> = "confidenceScores" | "confidence_scores",
    }
}

object! {
    struct Segment<'a> {
        part: Count = "partIndex" | "part_index",
        start: Count = "startIndex" | "start_index",
        end: Count = "endIndex" | "end_index",
        text: Text<'a> = "text",
    }
}

object! {
    /// What all kinds of chunks say.
    struct ChunkFields<'a> {
        uri: Text<'a> = "uri" | "sourceUri" | "source_uri",
        title: Text<'a> = "title",
        text: Text<'a> = "text",
    }
}

object! {
    struct CitationMetadata<'a> {
        citations: Few<Element<'a>> = "citations" | "citationSources" | "citation_sources",
    }
}

object! {
    struct Recitation<'a> {
        start: Count = "startIndex" | "start_index",
        end: Count = "endIndex" | "end_index",
        uri: Text<'a> = "uri",
        title: Text<'a> = "title",
    }
}

object! {
    struct UrlContextMetadata<'a> {
        urls: Few<UrlMetadata<'a>> = "urlMetadata" | "url_metadata",
    }
}

object! {
    struct UrlMetadata<'a> {
        url: Text<'a> = "retrievedUrl" | "retrieved_url",
        status: Text<'a> = "urlRetrievalStatus" | "url_retrieval_status",
    }
}

/// An element of a list that others refer to by its place: it counts whatever it is.
struct Element<'a>(&'a RawValue);

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Self)
    }
}

impl MaybeAbsent for Element<'_> {
    fn is_absent(&self) -> bool {
        false
    }
}

impl MaybeAbsent for Support<'_> {
    fn is_absent(&self) -> bool {
        self.chunks.is_none()
    }
}

impl MaybeAbsent for Segment<'_> {
    fn is_absent(&self) -> bool {
        self.end.is_absent()
    }
}

impl MaybeAbsent for UrlMetadata<'_> {
    fn is_absent(&self) -> bool {
        self.url.is_absent()
    }
}

/// Where the text of a piece of the answer stands.
pub(super) struct Texts<'p> {
    pub(super) positions: &'p mut Positions,
    /// Of the parts of the last piece, except the first: its index and how many bytes of text lay before it.
    pub(super) starts: &'p [(usize, usize)],
}

/// The sources that an answer has named.
#[derive(Default)]
pub(super) struct Sources {
    /// Those of the last list, which supports refer to by their places.
    chunks: Vec<Source>,
    /// Whether all of these are told.
    all_told: bool,
    /// Pages that were read and sources of earlier lists, which supports to come may name.
    waiting: Vec<Source>,
    waiting_hashes: HashSet<u64>,
    cited: Cited,
    /// Hashes of the queries and pages that were counted.
    counted: HashSet<u64>,
    tools: ProviderToolUsage,
}

impl Sources {
    /// How often the provider ran its tools, as far as is told.
    pub(super) fn tools(&self) -> ProviderToolUsage {
        self.tools
    }

    /// Code was run.
    pub(super) fn code_was_run(&mut self) {
        self.tools.code_executions = self.tools.code_executions.saturating_add(1);
    }

    /// Reads `groundingMetadata`.
    ///
    /// # Errors
    /// A list has more elements than an answer has parts.
    pub(super) fn grounding(
        &mut self,
        metadata: &RawValue,
        mut texts: Texts<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let GroundingMetadata {
            chunks,
            supports,
            web_queries,
            image_queries,
            file_queries,
        } = serde_json::from_str(metadata.get()).unwrap_or_default();
        for query in web_queries.all()?.into_iter().chain(image_queries.all()?) {
            self.tools.web_searches += u32::from(self.counts_anew(("web", &query.0)));
        }
        for query in file_queries.all()? {
            self.tools.file_searches += u32::from(self.counts_anew(("files", &query.0)));
        }
        let chunks = chunks.all()?;
        if !chunks.is_empty() {
            let new = chunks.iter().map(|chunk| source(chunk.0)).collect();
            for source in std::mem::replace(&mut self.chunks, new) {
                self.wait(source, events);
            }
            self.all_told = false;
        }
        for support in supports.all()? {
            self.support(&support, &mut texts, events)?;
        }
        Ok(())
    }

    fn support(
        &mut self,
        support: &Support<'_>,
        texts: &mut Texts<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let range = range_of(&support.segment, texts);
        let numbers = |list: Option<&RawValue>| -> Few<Count> {
            list.and_then(|list| serde_json::from_str(list.get()).ok())
                .unwrap_or_default()
        };
        let scores: Few<Element<'_>> = support
            .scores
            .and_then(|list| serde_json::from_str(list.get()).ok())
            .unwrap_or_default();
        let mut scores = scores.all()?.into_iter();
        for index in numbers(support.chunks).all()? {
            let score = scores.next();
            let index = index.0.and_then(|index| usize::try_from(index).ok());
            let Some(source) = index.and_then(|index| self.chunks.get(index)) else {
                continue;
            };
            let score = score.map(|Element(score)| score.get());
            self.cited.tell(range, source, score, events);
        }
        Ok(())
    }

    /// Reads `citationMetadata`.
    ///
    /// # Errors
    /// As [`Sources::grounding`].
    pub(super) fn citations(
        &mut self,
        metadata: &RawValue,
        positions: &mut Positions,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let metadata: CitationMetadata<'_> =
            serde_json::from_str(metadata.get()).unwrap_or_default();
        for Element(written) in metadata.citations.all()? {
            let read: Recitation<'_> = serde_json::from_str(written.get()).unwrap_or_default();
            let others = without(written, &TOLD_BY_NAME).filter(|fields| !says_nothing(fields));
            let start = read.start.0.unwrap_or(0);
            let range = read.end.0.and_then(|end| {
                let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
                positions.range(start, end, "")
            });
            let source = Source {
                uri: read.uri.0.into_owned(),
                title: read.title.0.into_owned(),
                others: others.map_or_else(String::new, |others| {
                    let members = others
                        .strip_prefix('{')
                        .and_then(|rest| rest.strip_suffix('}'));
                    members.unwrap_or_default().to_owned()
                }),
                ..Source::default()
            };
            self.cited.tell(range, &source.identified(), None, events);
        }
        Ok(())
    }

    /// Reads `urlContextMetadata`.
    ///
    /// # Errors
    /// As [`Sources::grounding`].
    pub(super) fn pages(
        &mut self,
        metadata: &RawValue,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let metadata: UrlContextMetadata<'_> =
            serde_json::from_str(metadata.get()).unwrap_or_default();
        for UrlMetadata { url, status } in metadata.urls.all()? {
            let was_read = matches!(&*status.0, "" | "1" | "URL_RETRIEVAL_STATUS_SUCCESS");
            if was_read && self.counts_anew(("page", &url.0)) {
                self.tools.web_fetches += 1;
                let page = Source {
                    uri: url.0.into_owned(),
                    ..Source::default()
                };
                self.wait(page.identified(), events);
            }
        }
        Ok(())
    }

    /// Tells the sources so far that no part of the text was said to rest on.
    pub(super) fn rest(&mut self, events: &mut Vec<ChatEvent>) {
        if std::mem::replace(&mut self.all_told, true) && self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        for source in self.chunks.iter().chain(&waiting) {
            if !self.cited.knows(source) {
                self.cited.tell(None, source, None, events);
            }
        }
    }

    /// Keeps a source until the end of the answer, unless it is told.
    fn wait(&mut self, source: Source, events: &mut Vec<ChatEvent>) {
        let is_known = self.cited.knows(&source) || self.waiting_hashes.contains(&source.identity);
        if !is_known && self.cited.has_room(&source, events) {
            self.waiting_hashes.insert(source.identity);
            self.waiting.push(source);
        }
    }

    /// Whether this was not counted before.
    fn counts_anew(&mut self, what: (&str, &str)) -> bool {
        !what.1.is_empty() && self.counted.len() < MAX_PARTS && self.counted.insert(hash(what))
    }
}

/// Fields of a citation that are told by name.
static TOLD_BY_NAME: [&str; 6] = [
    "startIndex",
    "start_index",
    "endIndex",
    "end_index",
    "uri",
    "title",
];

/// The source that a chunk names: an object in a field that says its kind, such as `web`.
fn source(chunk: &RawValue) -> Source {
    let kinds: BTreeMap<String, &RawValue> = serde_json::from_str(chunk.get()).unwrap_or_default();
    let of_kind = kinds
        .into_iter()
        .find(|(_, body)| body.get().starts_with('{'));
    let Some((kind, body)) = of_kind else {
        return Source::default();
    };
    let read: ChunkFields<'_> = serde_json::from_str(body.get()).unwrap_or_default();
    let others = without(body, &["uri", "sourceUri", "source_uri", "title", "text"])
        .filter(|others| others != "{}");
    let source = Source {
        identity: 0,
        uri: read.uri.0.into_owned(),
        title: read.title.0.into_owned(),
        text: read.text.0.into_owned(),
        others: others.map_or_else(String::new, |others| {
            format!("{}:{others}", serde_json::Value::String(kind))
        }),
    };
    source.identified()
}

/// The place of a segment, which counts from the beginning of all text, or from that of a later part.
fn range_of(segment: &Segment<'_>, texts: &mut Texts<'_>) -> Option<(usize, usize)> {
    let place = |count: Count| usize::try_from(count.0.unwrap_or(0)).ok();
    let base = match place(segment.part)? {
        0 => 0,
        part => texts.starts.iter().find(|(index, _)| *index == part)?.1,
    };
    let start = place(segment.start)?.checked_add(base)?;
    let end = place(segment.end)?.checked_add(base)?;
    texts.positions.range(start, end, &segment.text.0)
}

fn says_nothing(fields: &str) -> bool {
    serde_json::from_str(fields).map_or(true, is_hollow)
}
