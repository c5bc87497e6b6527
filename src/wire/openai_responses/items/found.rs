//! To which item does an event belong, or an item of the whole answer?

use std::collections::BTreeMap;

use crate::error::UpstreamError;
use crate::wire::json::too_many_parts;
use crate::wire::limits::MAX_PARTS;
use crate::wire::reported::check_held;

use super::super::passed::Passed;
use super::{Items, Kind, Known, Name};

impl Items {
    /// The item that an item of the whole answer repeats: the one with its id, the one with its number, else the next
    /// of its kind.
    pub(super) fn open(&mut self, index: u64, id: &str, kind: Kind) -> Option<usize> {
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

    pub(super) fn find(&self, name: Name<'_>, kind: Kind) -> Option<usize> {
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

    pub(super) fn find_or_add(
        &mut self,
        name: Name<'_>,
        kind: Kind,
    ) -> Result<usize, UpstreamError> {
        match self.find(name, kind) {
            Some(place) => Ok(place),
            None => self.add(name, kind),
        }
    }

    pub(super) fn add(&mut self, name: Name<'_>, kind: Kind) -> Result<usize, UpstreamError> {
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

    pub(super) fn identify(&mut self, place: usize, id: &str) -> Result<(), UpstreamError> {
        if !id.is_empty() {
            self.items[place].has_id = true;
            self.held += id.len();
            self.by_id.insert(id.to_owned(), place);
        }
        check_held(self.held)
    }
}
