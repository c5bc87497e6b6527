//! What does a provider say that nothing else in an answer holds? It is collected beside the decoder, where it is wanted.
//!
//! A decoder reads the fields that it knows. This reads the same frames and keeps every other field, so that a field
//! which no decoder knows is never lost. A table for each wire format names what the decoder reads; a field that is
//! missing from the table is told twice, but not dropped. Time is linear in the bytes read, memory is bounded.

mod headers;
mod tree;
mod walk;

use crate::chat::Metadata;

pub use self::headers::telling;
use self::tree::Tree;
use super::WireFormat;

/// Which fields an answer of a wire format has, as far as they need not be told again.
///
/// A path names the objects from the outside in, joined by dots; lists do not show in it. It stands for everything
/// below it. Paths are those of a whole answer; see [`AnswerFields::moved`].
#[derive(Debug)]
pub struct AnswerFields {
    /// What the decoder reads, sorted.
    pub read: &'static [&'static str],
    /// What says nothing about the answer, sorted by path, each with the reason.
    pub bookkeeping: &'static [(&'static str, &'static str)],
    /// Lists of which the decoder reads the first item alone: of the others everything is told.
    pub first_only: &'static [&'static str],
    /// Lists whose objects tell their position by a member `index`.
    pub numbered: &'static [&'static str],
    /// Objects in a stream that are called differently in a whole answer: the path and the name there.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Where the members of events stand in a whole answer.
    pub moved: &'static [Moved],
}

/// Where a member of an event stands in a whole answer.
#[derive(Debug)]
pub struct Moved {
    /// The event's type.
    pub event: &'static str,
    /// The member's name.
    pub member: &'static str,
    /// Its place in a whole answer; none for the answer itself.
    pub to: &'static [To],
}

/// One step on the way to a place in a whole answer.
#[derive(Clone, Copy, Debug)]
pub enum To {
    /// The member of an object.
    Member(&'static str),
    /// The item of a list whose position this member of the event tells.
    Item(&'static str),
}

impl AnswerFields {
    /// Whether a field need not be told again.
    fn is_known(&self, path: &str) -> bool {
        self.read.binary_search(&path).is_ok()
            || (self.bookkeeping)
                .binary_search_by_key(&path, |(path, _)| path)
                .is_ok()
    }
}

/// How many characters are told of the path of a field that was not kept.
const LONGEST_PATH: usize = 200;

/// The most paths that are told of fields that were not kept.
const MOST_PATHS: usize = 32;

/// Collects what one answer says beyond what its decoder reads.
pub(super) struct Collector {
    wire_format: &'static str,
    fields: &'static AnswerFields,
    headers: Vec<(String, String)>,
    tree: Tree,
    not_kept: Vec<String>,
}

impl Collector {
    /// Nothing has been read of an answer with these headers.
    pub(super) fn new(format: &dyn WireFormat, headers: Vec<(String, String)>) -> Self {
        Self {
            wire_format: format.name(),
            fields: format.answer_fields(),
            headers,
            tree: Tree::default(),
            not_kept: Vec::new(),
        }
    }

    /// Reads a frame. One that is not JSON says nothing here.
    pub(super) fn frame(&mut self, name: &str, data: &str) {
        let Self {
            fields,
            tree,
            not_kept,
            ..
        } = self;
        walk::leaves(fields, name, data, &mut |place, path, leaf| {
            if !tree.put(place, leaf) {
                note(not_kept, path);
            }
        });
    }

    /// All that was collected; `None` if there is nothing. `plain` makes plain text of the collected one.
    pub(super) fn finish(self, plain: impl FnOnce(String) -> String) -> Option<Metadata> {
        let metadata = Metadata {
            wire_format: self.wire_format,
            fields: plain(self.tree.into_json()),
            headers: self.headers,
            not_kept: self.not_kept,
        };
        let says_nothing = metadata.fields.is_empty()
            && metadata.headers.is_empty()
            && metadata.not_kept.is_empty();
        (!says_nothing).then_some(metadata)
    }
}

/// Notes the path of a field that was not kept, shortened.
fn note(not_kept: &mut Vec<String>, path: &str) {
    let end = path.char_indices().map(|(at, _)| at).nth(LONGEST_PATH);
    let path = end.map_or(path, |end| &path[..end]);
    if not_kept.len() < MOST_PATHS && !not_kept.iter().any(|noted| noted == path) {
        not_kept.push(path.to_owned());
    }
}

#[cfg(test)]
mod tests;
