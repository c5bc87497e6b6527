//! How are the elements of a message counted as it arrives, without decoding it?
//!
//! A message that is refused here never reaches the decoder. One that passes is well formed, except that texts
//! may not be UTF-8. The wire format: <https://protobuf.dev/programming-guides/encoding/>.

use std::fmt::Write as _;

use crate::error::Error;

use super::contract::{Field, FieldKind};
use super::{Contract, CountedElement, ElementCount, ElementLimits, RpcMethod};

/// How deep messages may be nested; the decoder has the same limit.
const MAX_DEPTH: usize = 100;

/// The elements of fields with smaller numbers are counted, so that a refusal can name their index.
const COUNTED_FIELDS: usize = 16;

/// The state of the walk.
#[derive(Debug)]
pub(in crate::grpc) struct Walk {
    /// Bytes read.
    at: usize,
    /// The nested messages around the current position, the outermost first.
    levels: Vec<Level>,
    next: Next,
    /// The number that is being read, and its bytes so far.
    number: u64,
    digits: u32,
    count: ElementCount,
}

#[derive(Debug)]
struct Level {
    of: Inside,
    /// Where the level ends; `usize::MAX` for a message of unknown length.
    end: usize,
    /// The number of the current field; 0 between fields.
    field: u64,
    /// How often each field has occurred.
    seen: [u32; COUNTED_FIELDS],
}

/// What a level of nesting is.
#[derive(Clone, Copy, Debug)]
enum Inside {
    /// A message of the type with this index.
    Message(usize),
    /// An unknown group, which is skipped.
    Group(u64),
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Key,
    Number,
    Size(Sized),
    Bytes(usize),
}

/// A value with a length before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sized {
    Text,
    Message(usize),
    /// Many numbers in a row.
    Numbers,
}

enum WalkError {
    Excess(CountedElement),
    Unreadable(&'static str),
}

impl Walk {
    /// Begins with the request of a method, whose length may be known.
    pub(in crate::grpc) fn new(method: RpcMethod, length: Option<usize>) -> Self {
        // Most requests are not deeper.
        let mut levels = Vec::with_capacity(6);
        let end = length.unwrap_or(usize::MAX);
        levels.push(Level::new(Inside::Message(method.message), end));
        Self {
            at: 0,
            levels,
            next: Next::Key,
            number: 0,
            digits: 0,
            count: ElementCount::default(),
        }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with the field: there are too many elements, or the message is malformed.
    pub(in crate::grpc) fn read(
        &mut self,
        contract: &Contract,
        limits: &ElementLimits,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let read = self.advance(contract, limits, bytes);
        read.map_err(|refusal| self.error(contract, limits, &refusal))
    }

    /// Ends the message.
    ///
    /// # Errors
    /// As [`Walk::read`].
    pub(in crate::grpc) fn finish(
        self,
        contract: &Contract,
        limits: &ElementLimits,
    ) -> Result<ElementCount, Error> {
        let is_whole = self.levels.len() == 1 && self.next == Next::Key && self.digits == 0;
        if is_whole {
            return Ok(self.count);
        }
        Err(self.error(
            contract,
            limits,
            &WalkError::Unreadable("it ends too early"),
        ))
    }

    fn advance(
        &mut self,
        contract: &Contract,
        limits: &ElementLimits,
        mut bytes: &[u8],
    ) -> Result<(), WalkError> {
        while !bytes.is_empty() {
            if let Next::Bytes(left) = self.next {
                let step = left.min(bytes.len());
                bytes = &bytes[step..];
                self.at += step;
                if step == left {
                    self.end_field()?;
                } else {
                    self.next = Next::Bytes(left - step);
                }
                continue;
            }
            let Some(number) = self.digit(bytes[0])? else {
                bytes = &bytes[1..];
                continue;
            };
            bytes = &bytes[1..];
            match self.next {
                Next::Key => self.begin_field(contract, limits, number)?,
                Next::Number => self.end_field()?,
                Next::Size(what) => self.begin_sized(limits, what, number)?,
                Next::Bytes(_) => {}
            }
        }
        Ok(())
    }

    /// Reads a byte of a number; returns the number if that was its last byte.
    fn digit(&mut self, byte: u8) -> Result<Option<u64>, WalkError> {
        self.at += 1;
        // The tenth byte can hold one bit.
        if self.digits == 9 && byte > 1 {
            return Err(WalkError::Unreadable("a number is too long"));
        }
        self.number |= u64::from(byte & 0x7f) << (7 * self.digits);
        self.digits += 1;
        if byte < 0x80 {
            self.digits = 0;
            return Ok(Some(std::mem::take(&mut self.number)));
        }
        if self.at == self.top().end {
            return Err(WalkError::Unreadable("it ends within a number"));
        }
        Ok(None)
    }

    fn begin_field(
        &mut self,
        contract: &Contract,
        limits: &ElementLimits,
        key: u64,
    ) -> Result<(), WalkError> {
        self.add(limits, CountedElement::Field, 1)?;
        let number = key >> 3;
        if number == 0 || key > u64::from(u32::MAX) {
            return Err(WalkError::Unreadable("a field has an invalid number"));
        }
        let field = match self.top().of {
            Inside::Message(place) => contract.field(place, number),
            Inside::Group(_) => None,
        };
        if let Some(Field { counted, .. }) = field {
            let top = self.top_mut();
            top.field = number;
            if let Some(seen) = usize::try_from(number)
                .ok()
                .and_then(|number| top.seen.get_mut(number))
            {
                *seen = seen.saturating_add(1);
            }
            if let Some(element) = counted {
                self.add(limits, *element, 1)?;
            }
        }
        let kind = field.map(|field| (field.kind, field.is_repeated));
        self.next = match (key & 7, kind) {
            (0, None | Some((FieldKind::Varint, _))) => Next::Number,
            (1, None | Some((FieldKind::Fixed64, _))) => return self.begin_bytes(8),
            (5, None | Some((FieldKind::Fixed32, _))) => return self.begin_bytes(4),
            (2, None | Some((FieldKind::Text, _))) => Next::Size(Sized::Text),
            (2, Some((FieldKind::Message(place), _))) => Next::Size(Sized::Message(place)),
            (2, Some((FieldKind::Varint | FieldKind::Fixed32 | FieldKind::Fixed64, true))) => {
                Next::Size(Sized::Numbers)
            }
            (3, None) => {
                let end = self.top().end;
                return self.enter(Inside::Group(number), end);
            }
            (4, None) => return self.end_group(number),
            (0..=5, Some(_)) => return Err(WalkError::Unreadable("the field has another type")),
            _ => return Err(WalkError::Unreadable("a field has an unknown wire type")),
        };
        if self.at == self.top().end {
            return Err(WalkError::Unreadable("it ends too early"));
        }
        Ok(())
    }

    fn begin_sized(
        &mut self,
        limits: &ElementLimits,
        what: Sized,
        size: u64,
    ) -> Result<(), WalkError> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match what {
            Sized::Message(place) if size > 0 => {
                let end = self.end_of(size)?;
                self.next = Next::Key;
                self.enter(Inside::Message(place), end)
            }
            Sized::Numbers => {
                self.add(limits, CountedElement::Field, size)?;
                self.begin_bytes(size)
            }
            Sized::Text | Sized::Message(_) => self.begin_bytes(size),
        }
    }

    fn begin_bytes(&mut self, size: usize) -> Result<(), WalkError> {
        self.end_of(size)?;
        if size == 0 {
            return self.end_field();
        }
        self.next = Next::Bytes(size);
        Ok(())
    }

    /// The end of a value of this size that begins here.
    fn end_of(&self, size: usize) -> Result<usize, WalkError> {
        let end = self.at.checked_add(size);
        end.filter(|end| *end <= self.top().end)
            .ok_or(WalkError::Unreadable("it ends too early"))
    }

    fn enter(&mut self, of: Inside, end: usize) -> Result<(), WalkError> {
        if self.levels.len() > MAX_DEPTH {
            return Err(WalkError::Unreadable("messages are nested too deeply"));
        }
        if matches!(of, Inside::Group(_)) && self.at == end {
            return Err(WalkError::Unreadable("it ends within a group"));
        }
        self.levels.push(Level::new(of, end));
        Ok(())
    }

    fn end_group(&mut self, number: u64) -> Result<(), WalkError> {
        match self.top().of {
            Inside::Group(open) if open == number => {
                self.levels.pop();
                self.end_field()
            }
            Inside::Group(_) | Inside::Message(_) => {
                Err(WalkError::Unreadable("a group ends that did not begin"))
            }
        }
    }

    /// Ends a field, and the messages that end with it.
    fn end_field(&mut self) -> Result<(), WalkError> {
        self.next = Next::Key;
        self.top_mut().field = 0;
        while self.levels.len() > 1 && self.at == self.top().end {
            if matches!(self.top().of, Inside::Group(_)) {
                return Err(WalkError::Unreadable("it ends within a group"));
            }
            self.levels.pop();
            self.top_mut().field = 0;
        }
        Ok(())
    }

    fn add(
        &mut self,
        limits: &ElementLimits,
        element: CountedElement,
        more: usize,
    ) -> Result<(), WalkError> {
        let count = self.count.of(element);
        *count = count.saturating_add(more);
        if *count > limits.of(element) {
            return Err(WalkError::Excess(element));
        }
        Ok(())
    }

    fn top(&self) -> &Level {
        &self.levels[self.levels.len() - 1]
    }

    fn top_mut(&mut self) -> &mut Level {
        let top = self.levels.len() - 1;
        &mut self.levels[top]
    }

    fn error(&self, contract: &Contract, limits: &ElementLimits, error: &WalkError) -> Error {
        match error {
            // Without an index: which field happens to exceed the limit says nothing.
            WalkError::Excess(CountedElement::Field) => {
                Error::invalid("message", limits.excess(CountedElement::Field))
            }
            WalkError::Excess(element) => {
                Error::invalid(self.path(contract, false), limits.excess(*element))
            }
            WalkError::Unreadable(why) => Error::invalid(
                self.path(contract, true),
                format!("it cannot be read: {why}"),
            ),
        }
    }

    /// The path of the current position, such as `messages[3].parts`; `message` at the top. A limit is reported
    /// for the field, without an index.
    fn path(&self, contract: &Contract, with_last_index: bool) -> String {
        let mut path = String::new();
        for (depth, level) in self.levels.iter().enumerate() {
            let Inside::Message(place) = level.of else {
                break;
            };
            let Some(field) = contract.field(place, level.field) else {
                break;
            };
            if depth > 0 {
                path.push('.');
            }
            path.push_str(&field.name);
            let is_last = depth + 1 == self.levels.len();
            let seen = usize::try_from(level.field)
                .ok()
                .and_then(|number| level.seen.get(number));
            if let Some(seen) = seen
                && field.is_repeated
                && (with_last_index || !is_last)
            {
                // Writing to a string does not fail.
                let _ = write!(path, "[{}]", seen.saturating_sub(1));
            }
        }
        if path.is_empty() {
            path.push_str("message");
        }
        path
    }
}

impl Level {
    fn new(of: Inside, end: usize) -> Self {
        Self {
            of,
            end,
            field: 0,
            seen: [0; COUNTED_FIELDS],
        }
    }
}
