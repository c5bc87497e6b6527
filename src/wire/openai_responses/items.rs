//! What of each item of an answer has been passed on? Completes it from what comes later.
//!
//! A stream tells everything several times: piece by piece, then the whole text, the whole part, the whole item, and
//! in the end the whole answer. Hosts leave out some of it, count items differently, and some give an item another id
//! in every event. So an item is found by its number, by its id or by its place among those of its kind, and whatever
//! comes first is passed on; later ones only add what is missing.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::mem;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::{
    ChatEvent, ImageDetail, Media, MediaSource, Part, ProviderPart, ProviderToolUsage,
};
use crate::error::UpstreamError;
use crate::wire::json::{MaybeAbsent, too_many_parts};
use crate::wire::limits::MAX_PARTS;
use crate::wire::reported::{check_call, check_held};

use super::about_text;
use super::opaque::{CUSTOM_CALL, Token};
use super::passed::Passed;
use super::reply::{self, Item, Sent};

/// The kinds of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Function,
    /// The call of a tool that takes any text.
    Custom,
    /// What only its provider understands: calls of its own tools and their results.
    Provider,
}

impl Kind {
    /// The kind of an item of this type; `None` for one without a type.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" => return None,
            "message" => Self::Message,
            "reasoning" => Self::Reasoning,
            "function_call" => Self::Function,
            "custom_tool_call" => Self::Custom,
            _ => Self::Provider,
        })
    }
}

/// The kinds of texts of an item, in the order in which they stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Summary,
    Reasoning,
    Text,
    Refusal,
}

impl Field {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Summary | Self::Reasoning => Kind::Reasoning,
            Self::Text | Self::Refusal => Kind::Message,
        }
    }

    fn event(self, text: String) -> ChatEvent {
        match self {
            Self::Summary | Self::Reasoning => ChatEvent::Reasoning(text),
            Self::Text => ChatEvent::Text(text),
            Self::Refusal => ChatEvent::Refusal(text),
        }
    }
}

/// How an event names the item that it belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Name<'a> {
    /// Its place in the output.
    pub(super) index: Option<u64>,
    /// Its id, which may be empty.
    pub(super) id: &'a str,
}

/// The items of one answer.
#[derive(Default)]
pub(super) struct Items {
    items: Vec<Known>,
    by_index: HashMap<u64, usize>,
    by_id: HashMap<String, usize>,
    by_kind: HashMap<Kind, OfKind>,
    calls: usize,
    parts: usize,
    /// Bytes that are kept: ids, and arguments of calls that are not announced yet.
    held: usize,
    /// Whether a whole text did not begin with the pieces that were passed on.
    disagrees: bool,
    /// The characters of the text that was passed on last; 0 once something else followed it.
    open_text: usize,
    tools: ProviderToolUsage,
}

/// The items of one kind, in the order in which they began.
#[derive(Default)]
struct OfKind {
    places: Vec<usize>,
    /// How many of the first ones stood in the whole answer.
    settled: usize,
}

/// What of a text has been passed on.
#[derive(Default)]
struct Said {
    passed: Passed,
    /// The characters before it in its part of our answer.
    base: usize,
    citations: usize,
    logprobs: usize,
}

struct Known {
    kind: Kind,
    has_id: bool,
    /// Whether it has come as a whole.
    is_whole: bool,
    /// Whether it stood in the whole answer.
    is_settled: bool,
    texts: BTreeMap<(Field, u64), Said>,
    /// The number of the call, once it is announced.
    call: Option<usize>,
    arguments: Passed,
    /// The arguments that came before the call was announced.
    waiting: String,
    /// Id and name of the call, while it is not announced.
    head: (String, String),
    /// Whether the token of its reasoning, or what only its provider understands, has been passed on.
    is_told: bool,
}

impl Items {
    /// Whether a whole text did not begin with the pieces that were passed on.
    pub(super) fn disagrees(&self) -> bool {
        self.disagrees
    }

    /// How often the provider ran tools of its own.
    pub(super) fn tools(&self) -> ProviderToolUsage {
        self.tools
    }

    /// Whether any item has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// An item begins. Its content comes in later events, so that it is not read here.
    pub(super) fn begin(
        &mut self,
        name: Name<'_>,
        item: &Item<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Some(kind) = Kind::named(&item.kind.0) else {
            return Ok(());
        };
        let place = match self.find(name, kind) {
            Some(place) if self.by_id.get(name.id) == Some(&place) => place,
            // Its content came before it.
            Some(place) if !self.items[place].has_id && !self.items[place].is_whole => {
                self.identify(place, name.id)?;
                place
            }
            // One with the same number and another id is another item.
            Some(_) | None => self.add(name, kind)?,
        };
        self.head(place, item, false, events)
    }

    /// More of a text. Reads nothing of an empty piece.
    pub(super) fn piece(
        &mut self,
        name: Name<'_>,
        (field, part): (Field, u64),
        piece: Cow<'_, str>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if piece.is_empty() {
            return Ok(());
        }
        let place = self.find_or_add(name, field.kind())?;
        self.pass_text(place, (field, part), piece, events)
    }

    /// A source of a text.
    pub(super) fn citation(
        &mut self,
        name: Name<'_>,
        part: u64,
        annotation: &RawValue,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let place = self.find_or_add(name, Kind::Message)?;
        let said = self.text(place, (Field::Text, part))?;
        said.citations += 1;
        let citation = about_text::citation(annotation, said.base);
        events.push(ChatEvent::Citation(Box::new(citation)));
        Ok(())
    }

    /// How likely more tokens of a text were.
    pub(super) fn logprobs(
        &mut self,
        name: Name<'_>,
        part: u64,
        logprobs: Option<&RawValue>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let logprobs = about_text::after(0, logprobs)?;
        if logprobs.is_empty() {
            return Ok(());
        }
        let place = self.find_or_add(name, Kind::Message)?;
        self.pass_logprobs(place, part, &logprobs, events)
    }

    /// The whole of a text.
    pub(super) fn whole(
        &mut self,
        name: Name<'_>,
        part: (Field, u64),
        whole: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if whole.is_empty() {
            return Ok(());
        }
        let place = self.find_or_add(name, part.0.kind())?;
        self.complete(place, part, whole, events)
    }

    /// More of the arguments of a call.
    pub(super) fn arguments(
        &mut self,
        name: Name<'_>,
        kind: Kind,
        piece: Cow<'_, str>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if piece.is_empty() {
            return Ok(());
        }
        let place = self.find_or_add(name, kind)?;
        self.pass_arguments(place, piece, events)
    }

    /// The whole arguments of a call.
    pub(super) fn whole_arguments(
        &mut self,
        name: Name<'_>,
        kind: Kind,
        whole: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let place = self.find_or_add(name, kind)?;
        self.complete_arguments(place, whole, events)
    }

    /// The whole of an item.
    pub(super) fn done(
        &mut self,
        name: Name<'_>,
        sent: &Sent<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Some(kind) = Kind::named(&sent.item.kind.0) else {
            return Ok(());
        };
        let place = self.find_or_add(name, kind)?;
        self.item(place, sent, events)
    }

    /// The items of the whole answer.
    pub(super) fn settle(
        &mut self,
        output: &[&RawValue],
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        for (index, raw) in (0..).zip(output) {
            let sent = Sent::read(raw);
            let item = &sent.item;
            let Some(kind) = Kind::named(&item.kind.0) else {
                continue;
            };
            let place = match self.open(index, &item.id.0, kind) {
                Some(place) => place,
                None => self.add(Name::default(), kind)?,
            };
            self.items[place].is_settled = true;
            self.item(place, &sent, events)?;
        }
        Ok(())
    }

    /// Nothing more will come: announces the calls that never had an id or a name.
    pub(super) fn finish(&mut self, events: &mut Vec<ChatEvent>) {
        for place in 0..self.items.len() {
            let known = &self.items[place];
            let is_call = matches!(known.kind, Kind::Function | Kind::Custom);
            let has_something = !known.waiting.is_empty() || !known.head.1.is_empty();
            if is_call && known.call.is_none() && has_something {
                self.announce(place, events);
            }
        }
    }

    /// The item that an item of the whole answer repeats: the one with its id, the one with its number, else the next
    /// of its kind.
    fn open(&mut self, index: u64, id: &str, kind: Kind) -> Option<usize> {
        let items = &self.items;
        let is_open = |place: &usize| items[*place].kind == kind && !items[*place].is_settled;
        let of_id = self.by_id.get(id).copied().filter(is_open);
        let of_index = self.by_index.get(&index).copied().filter(is_open);
        let of_kind = self.by_kind.entry(kind).or_default();
        while (of_kind.places.get(of_kind.settled)).is_some_and(|place| items[*place].is_settled) {
            of_kind.settled += 1;
        }
        let next = of_kind.places.get(of_kind.settled).copied();
        of_id.or(of_index).or(next)
    }

    fn find(&self, name: Name<'_>, kind: Kind) -> Option<usize> {
        let is_of_kind = |place: &usize| self.items[*place].kind == kind;
        let of_index = name
            .index
            .and_then(|index| self.by_index.get(&index).copied());
        let of_id = self.by_id.get(name.id).copied();
        let found = of_index.filter(is_of_kind).or(of_id.filter(is_of_kind));
        if found.is_some() || name.index.is_some() {
            return found;
        }
        // Without a number, the item that has not come as a whole; some hosts rotate the ids.
        let latest = self.by_kind.get(&kind)?.places.last().copied();
        latest.filter(|place| name.id.is_empty() || !self.items[*place].is_whole)
    }

    fn find_or_add(&mut self, name: Name<'_>, kind: Kind) -> Result<usize, UpstreamError> {
        match self.find(name, kind) {
            Some(place) => Ok(place),
            None => self.add(name, kind),
        }
    }

    fn add(&mut self, name: Name<'_>, kind: Kind) -> Result<usize, UpstreamError> {
        let place = self.items.len();
        if place == MAX_PARTS {
            return Err(too_many_parts());
        }
        self.items.push(Known {
            kind,
            has_id: false,
            is_whole: false,
            is_settled: false,
            texts: BTreeMap::new(),
            call: None,
            arguments: Passed::default(),
            waiting: String::new(),
            head: Default::default(),
            is_told: false,
        });
        if let Some(index) = name.index {
            self.by_index.insert(index, place);
        }
        self.by_kind.entry(kind).or_default().places.push(place);
        self.identify(place, name.id)?;
        Ok(place)
    }

    fn identify(&mut self, place: usize, id: &str) -> Result<(), UpstreamError> {
        if !id.is_empty() {
            self.items[place].has_id = true;
            self.held += id.len();
            self.by_id.insert(id.to_owned(), place);
        }
        check_held(self.held)
    }

    /// Completes an item by the whole of it.
    fn item(
        &mut self,
        place: usize,
        sent: &Sent<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Sent { item, raw } = sent;
        self.items[place].is_whole = true;
        match self.items[place].kind {
            Kind::Message => {
                for (part, said) in (0..).zip(reply::parts(item.content)?) {
                    match &*said.kind.0 {
                        "output_text" | "text" | "" => {
                            self.complete(place, (Field::Text, part), &said.text.0, events)?;
                            self.complete_about(place, part, &said, events)?;
                        }
                        "refusal" => {
                            self.complete(place, (Field::Refusal, part), &said.refusal.0, events)?;
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
            Kind::Reasoning => {
                for (part, said) in (0..).zip(reply::parts(item.summary)?) {
                    self.complete(place, (Field::Summary, part), &said.text.0, events)?;
                }
                for (part, said) in (0..).zip(reply::parts(item.content)?) {
                    self.complete(place, (Field::Reasoning, part), &said.text.0, events)?;
                }
                self.sign(place, item, events);
                Ok(())
            }
            Kind::Function => {
                self.head(place, item, true, events)?;
                self.complete_arguments(place, &reply::arguments(item.arguments), events)
            }
            Kind::Custom => {
                self.head(place, item, true, events)?;
                self.complete_arguments(place, &item.input.0, events)
            }
            Kind::Provider => {
                self.give_part(place, item, raw, events);
                Ok(())
            }
        }
    }

    fn text(&mut self, place: usize, part: (Field, u64)) -> Result<&mut Said, UpstreamError> {
        let known = &mut self.items[place];
        if !known.texts.contains_key(&part) {
            self.parts += 1;
            if self.parts > MAX_PARTS {
                return Err(too_many_parts());
            }
        }
        Ok(known.texts.entry(part).or_default())
    }

    fn complete(
        &mut self,
        place: usize,
        part: (Field, u64),
        whole: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if whole.is_empty() {
            return Ok(());
        }
        match self.text(place, part)?.passed.rest_of(whole) {
            Some("") => Ok(()),
            Some(rest) => self.pass_text(place, part, Cow::Borrowed(rest), events),
            None => {
                self.disagrees = true;
                Ok(())
            }
        }
    }

    fn pass_text(
        &mut self,
        place: usize,
        part: (Field, u64),
        piece: Cow<'_, str>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let before = self.open_text;
        let said = self.text(place, part)?;
        if said.passed.length() == 0 {
            said.base = before;
        }
        said.passed.add(&piece);
        self.open_text = match part.0 {
            Field::Text => before + piece.chars().count(),
            Field::Summary | Field::Reasoning | Field::Refusal => 0,
        };
        events.push(part.0.event(piece.into_owned()));
        Ok(())
    }

    /// Completes what is said about a text by the whole of it.
    fn complete_about(
        &mut self,
        place: usize,
        part: u64,
        whole: &reply::Part<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let said = self.text(place, (Field::Text, part))?;
        let (base, citations, logprobs) = (said.base, said.citations, said.logprobs);
        let new = about_text::after(citations, whole.annotations)?;
        said.citations += new.len();
        events.extend(new.into_iter().map(|annotation| {
            ChatEvent::Citation(Box::new(about_text::citation(annotation, base)))
        }));
        let new = about_text::after(logprobs, whole.logprobs)?;
        self.pass_logprobs(place, part, &new, events)
    }

    fn pass_logprobs(
        &mut self,
        place: usize,
        part: u64,
        written: &[&RawValue],
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        self.text(place, (Field::Text, part))?.logprobs += written.len();
        let read = written
            .iter()
            .filter_map(|written| about_text::logprob(written));
        let logprobs: Vec<_> = read.collect();
        if !logprobs.is_empty() {
            events.push(ChatEvent::Logprobs(logprobs));
        }
        Ok(())
    }

    /// Appends an item that only its provider understands, or the picture that it holds, once.
    fn give_part(
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
    fn sign(&mut self, place: usize, item: &Item<'_>, events: &mut Vec<ChatEvent>) {
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

    /// Reads id and name of a call, and announces it if both are known or `is_whole`.
    fn head(
        &mut self,
        place: usize,
        item: &Item<'_>,
        is_whole: bool,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let known = &mut self.items[place];
        if !matches!(known.kind, Kind::Function | Kind::Custom) || known.call.is_some() {
            return Ok(());
        }
        check_call(&item.call_id.0, &item.name.0)?;
        let (id, name) = &mut known.head;
        for (kept, new) in [(id, &item.call_id), (name, &item.name)] {
            if !new.is_absent() {
                self.held += new.0.len();
                self.held -= kept.len();
                *kept = new.0.to_string();
            }
        }
        let (id, name) = &known.head;
        if is_whole || (!id.is_empty() && !name.is_empty()) {
            self.announce(place, events);
        }
        check_held(self.held)
    }

    fn announce(&mut self, place: usize, events: &mut Vec<ChatEvent>) {
        let number = self.calls;
        let known = &mut self.items[place];
        let (id, name) = mem::take(&mut known.head);
        let waiting = mem::take(&mut known.waiting);
        self.held -= id.len() + name.len() + waiting.len();
        self.calls += 1;
        self.open_text = 0;
        known.call = Some(number);
        events.push(ChatEvent::ToolCall {
            id,
            name,
            signature: match known.kind {
                Kind::Custom => Bytes::from_static(CUSTOM_CALL.as_bytes()),
                Kind::Function | Kind::Message | Kind::Reasoning | Kind::Provider => Bytes::new(),
            },
        });
        if !waiting.is_empty() {
            events.push(ChatEvent::ToolArguments {
                call: number,
                fragment: waiting,
            });
        }
    }

    fn pass_arguments(
        &mut self,
        place: usize,
        piece: Cow<'_, str>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let known = &mut self.items[place];
        known.arguments.add(&piece);
        match known.call {
            Some(call) => {
                let fragment = piece.into_owned();
                events.push(ChatEvent::ToolArguments { call, fragment });
                Ok(())
            }
            None => {
                self.held += piece.len();
                known.waiting.push_str(&piece);
                check_held(self.held)
            }
        }
    }

    fn complete_arguments(
        &mut self,
        place: usize,
        whole: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        if whole.is_empty() {
            return Ok(());
        }
        match self.items[place].arguments.rest_of(whole) {
            Some("") => Ok(()),
            Some(rest) => self.pass_arguments(place, Cow::Borrowed(rest), events),
            None => {
                self.disagrees = true;
                Ok(())
            }
        }
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
