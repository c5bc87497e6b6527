//! When is a call of a tool announced, and what of its arguments has been passed on?

use std::borrow::Cow;
use std::mem;

use bytes::Bytes;

use crate::chat::ChatEvent;
use crate::error::UpstreamError;
use crate::wire::json::MaybeAbsent;
use crate::wire::reported::{check_call, check_held};

use super::super::opaque::CUSTOM_CALL;
use super::super::reply::Item;
use super::{Items, Kind, Name};

impl Items {
    /// More of the arguments of a call.
    pub(in crate::wire::openai_responses) fn arguments(
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
    pub(in crate::wire::openai_responses) fn whole_arguments(
        &mut self,
        name: Name<'_>,
        kind: Kind,
        whole: &str,
        events: &mut Vec<ChatEvent>,
    ) -> Result<(), UpstreamError> {
        let place = self.find_or_add(name, kind)?;
        self.complete_arguments(place, whole, events)
    }

    /// Nothing more will come: announces the calls that never had an id or a name.
    pub(in crate::wire::openai_responses) fn finish(&mut self, events: &mut Vec<ChatEvent>) {
        for place in 0..self.items.len() {
            let known = &self.items[place];
            let is_call = matches!(known.kind, Kind::Function | Kind::Custom);
            let has_something = !known.waiting.is_empty() || !known.head.1.is_empty();
            if is_call && known.call.is_none() && has_something {
                self.announce(place, events);
            }
        }
    }

    /// Reads id and name of a call, and announces it if both are known or `is_whole`.
    pub(super) fn head(
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
        known.call = Some(number);
        events.push(ChatEvent::ToolCall {
            id,
            name,
            signature: match known.kind {
                Kind::Custom => Bytes::from_static(CUSTOM_CALL.as_bytes()),
                Kind::Function | Kind::Message | Kind::Reasoning | Kind::Provider => Bytes::new(),
            },
        });
        self.close_text();
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

    pub(super) fn complete_arguments(
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
