//! What is known of the items of an answer, and what does a whole item or a whole answer add to it?
//!
//! A stream tells everything several times: piece by piece, then the whole text, the whole part, the whole item, and
//! in the end the whole answer. Hosts leave out some of it, count items differently, and some give an item another id
//! in every event. So an item is found by its number, by its id or by its place among those of its kind, and whatever
//! comes first is passed on; later ones only add what is missing.

mod calls;
mod closing;
mod found;
mod texts;

use std::collections::{BTreeMap, HashMap};
use std::mem;

use serde_json::value::RawValue;

use crate::chat::{ChatEvent, ProviderToolUsage};
use crate::error::UpstreamError;

use self::texts::Said;
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
    /// The place of the message whose text or refusal was passed on last; `None` once something else followed it.
    open_message: Option<usize>,
    tools: ProviderToolUsage,
}

/// The items of one kind, in the order in which they began.
#[derive(Default)]
struct OfKind {
    places: Vec<usize>,
    /// How many of the first ones stood in the whole answer.
    settled: usize,
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
    /// Whether what closes it has been passed on: the phase of a message, the token of reasoning, or what only its
    /// provider understands.
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

    /// Completes an item by the whole of it.
    fn item(
        &mut self,
        place: usize,
        sent: &Sent<'_>,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let Sent { item, raw } = sent;
        let is_first = !mem::replace(&mut self.items[place].is_whole, true);
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
                        _ if is_first => {
                            events.push(ChatEvent::LeftOut("output.content".into()));
                        }
                        _ => {}
                    }
                }
                self.give_phase(place, item, events);
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
}
