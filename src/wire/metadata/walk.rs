//! Finds the values of a JSON text that no decoder reads, and their places in a whole answer.
//!
//! The text is read once and nothing of it is copied: a number of any length and a string stay as they are written.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{AnswerFields, To};

/// One step on the way to a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ValueStep<'a> {
    /// The member of an object.
    Member(Cow<'a, str>),
    /// The item of a list.
    Item(usize),
}

/// Takes a value: its place, its path and its JSON text.
type Take<'t> = dyn FnMut(&[ValueStep<'_>], &str, &str) + 't;

/// Finds the values of an event, which may also be called by this name, or of a whole answer. Null and an empty text say
/// nothing. A text that is not JSON has no values.
pub(super) fn leaves(fields: &AnswerFields, name: &str, json: &str, take: &mut Take<'_>) {
    let json = json.trim_ascii();
    // From here on the text is known to be JSON that is not too deep.
    if !json.starts_with(['{', '[']) || serde_json::from_str::<IgnoredAny>(json).is_err() {
        return;
    }
    let mut walk = MetadataWalk {
        fields,
        name,
        json,
        at: 0,
        place: Vec::new(),
        path: String::new(),
        is_unread: false,
        take,
    };
    // Some hosts write all events of a stream as one list.
    match walk.is_at(b'[') {
        true => walk.items(|walk, _| walk.event()),
        false => walk.event(),
    }
}

struct MetadataWalk<'a, 't> {
    fields: &'a AnswerFields,
    /// The name of the event, if it has no type.
    name: &'a str,
    json: &'a str,
    /// How much of the text has been read.
    at: usize,
    place: Vec<ValueStep<'a>>,
    path: String,
    /// Whether nothing here is read by a decoder.
    is_unread: bool,
    take: &'t mut Take<'t>,
}

/// A value in so many others is kept as one text.
const MOST_DEPTH: usize = 48;

impl<'a> MetadataWalk<'a, '_> {
    /// Reads an event or a whole answer.
    fn event(&mut self) {
        let own = self.peek("type").map(unquoted);
        let kind = own.unwrap_or(Cow::Borrowed(self.name));
        let fields = self.fields;
        let moved: Vec<_> = (fields.moved.iter())
            .filter(|moved| moved.event == kind)
            .map(|moved| {
                let steps = moved.to.iter().map(|to| match to {
                    To::Member(name) => ValueStep::Member(Cow::Borrowed(*name)),
                    To::Item(member) => ValueStep::Item(self.position(member).unwrap_or(0)),
                });
                (moved.member, steps.collect::<Vec<_>>())
            })
            .collect();
        self.members(
            |walk, name| match moved.iter().find(|(member, _)| *member == name) {
                Some((_, steps)) => walk.moved(steps),
                None => walk.member(name),
            },
        );
    }

    /// Reads a value that stands elsewhere in a whole answer.
    fn moved(&mut self, steps: &[ValueStep<'a>]) {
        for step in steps {
            if let ValueStep::Member(name) = step {
                self.enter_path(name);
            }
            self.place.push(step.clone());
        }
        self.unless_known(Self::value);
        self.place.clear();
        self.path.clear();
    }

    /// Reads a member of an object.
    fn member(&mut self, name: Cow<'a, str>) {
        let before = self.path.len();
        let renamed = self.fields.renamed.iter();
        let mut renamed = renamed.filter_map(|(path, name)| {
            let (parent, own) = path.rsplit_once('.')?;
            Some((parent, own, *name))
        });
        let name = renamed
            .find(|(parent, own, _)| *parent == self.path && *own == name)
            .map_or(name, |(_, _, renamed)| Cow::Borrowed(renamed));
        self.enter_path(&name);
        self.place.push(ValueStep::Member(name));
        self.unless_known(Self::value);
        self.place.pop();
        self.path.truncate(before);
    }

    fn enter_path(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        match name.contains('.') {
            // It must not pass for a path.
            true => self.path.extend(["\"", name, "\""]),
            false => self.path.push_str(name),
        }
    }

    fn unless_known(&mut self, read: impl FnOnce(&mut Self)) {
        match !self.is_unread && self.fields.is_known(&self.path) {
            true => _ = self.skip(),
            false => read(self),
        }
    }

    /// Reads a value of any kind.
    fn value(&mut self) {
        if self.place.len() < MOST_DEPTH {
            if self.is_at(b'{') {
                return self.members(Self::member);
            }
            if self.is_at(b'[') {
                let is_numbered = self.fields.numbered.contains(&&*self.path);
                let is_first_only = self.fields.first_only.contains(&&*self.path);
                return self.items(|walk, place| {
                    let told = is_numbered.then(|| walk.position("index")).flatten();
                    let position = told.unwrap_or(place);
                    let before = walk.is_unread;
                    walk.is_unread |= is_first_only && position > 0;
                    walk.place.push(ValueStep::Item(position));
                    walk.value();
                    walk.place.pop();
                    walk.is_unread = before;
                });
            }
        }
        let leaf = self.skip();
        if !matches!(leaf, "null" | "\"\"" | "{}" | "[]") {
            (self.take)(&self.place, &self.path, leaf);
        }
    }

    /// Reads the members of an object: `read` reads the value of each.
    fn members(&mut self, mut read: impl FnMut(&mut Self, Cow<'a, str>)) {
        self.at += 1;
        while self.next_is(b'"') {
            let name = unquoted(self.string());
            self.next_is(b':');
            self.at += 1;
            self.next_is(b' ');
            read(self, name);
            if self.next_is(b',') {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    /// Reads the items of a list: `read` reads each, which has this position.
    fn items(&mut self, mut read: impl FnMut(&mut Self, usize)) {
        self.at += 1;
        let mut position = 0;
        while self.at < self.json.len() && !self.next_is(b']') {
            read(self, position);
            position += 1;
            if self.next_is(b',') {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    /// The text of a member of the object that stands here, which is not read yet.
    fn peek(&mut self, wanted: &str) -> Option<&'a str> {
        if !self.is_at(b'{') {
            return None;
        }
        let start = self.at;
        let mut found = None;
        self.members(|walk, name| {
            let value = walk.skip();
            if name == wanted {
                found = Some(value);
            }
        });
        self.at = start;
        found
    }

    /// The position that an object tells by this member.
    fn position(&mut self, member: &str) -> Option<usize> {
        self.peek(member)?.parse().ok()
    }

    /// Passes over a value. Returns its text.
    fn skip(&mut self) -> &'a str {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => _ = self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => break,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        self.json.get(start..self.at).unwrap_or_default()
    }

    /// Passes over a string. Returns its text, in quotes.
    fn string(&mut self) -> &'a str {
        let start = self.at;
        self.at += 1;
        let mut is_escaped = false;
        while let Some(byte) = self.byte() {
            self.at += 1;
            match byte {
                b'"' if !is_escaped => break,
                _ => is_escaped = byte == b'\\' && !is_escaped,
            }
        }
        self.json.get(start..self.at).unwrap_or_default()
    }

    /// Passes over white space. Returns whether this stands behind it.
    fn next_is(&mut self, byte: u8) -> bool {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.is_at(byte)
    }

    fn is_at(&self, byte: u8) -> bool {
        self.byte() == Some(byte)
    }

    fn byte(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }
}

/// The text that a string in quotes stands for; that of another value as it is.
fn unquoted(written: &str) -> Cow<'_, str> {
    let inner = written
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(_) => serde_json::from_str(written).map_or(Cow::Borrowed(written), Cow::Owned),
        None => Cow::Borrowed(written),
    }
}
