//! How does a JSON text become the encoding of a message? In one pass, and every fault is named with its path.

mod fault;
mod primitive;
mod scalar;

use std::collections::HashSet;
use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::error::{Error, excerpt};

use self::primitive::Primitive;
use super::base;
use super::types::{JsonField, JsonKind, JsonTypes, OwnForm, Repeat};

/// Reads a message of this type. `excess` is the refusal of a text with more than `max_fields` fields and elements.
///
/// # Errors
/// [`Error::InvalidRequest`] with the path of the first fault.
pub fn read(
    types: &JsonTypes,
    place: usize,
    json: &[u8],
    max_fields: usize,
    excess: &str,
) -> Result<Vec<u8>, Error> {
    let mut reading = FormReading {
        types,
        out: Vec::with_capacity(json.len().min(64 * 1024)),
        path: Vec::new(),
        left: max_fields,
        excess,
        fault: None,
    };
    let mut reader = serde_json::Deserializer::from_slice(json);
    let root = ValueReader {
        reading: &mut reading,
        slot: Slot::Root(place),
    };
    let read = root.deserialize(&mut reader).and_then(|_| reader.end());
    match read {
        Ok(()) => Ok(reading.out),
        Err(error) => Err(reading.refusal(&error)),
    }
}

/// What has been read so far.
struct FormReading<'t> {
    types: &'t JsonTypes,
    out: Vec<u8>,
    path: Vec<PathStep<'t>>,
    /// Fields and elements that may still come.
    left: usize,
    excess: &'t str,
    /// The first fault that is not one of syntax.
    fault: Option<String>,
}

/// A step on the way to a value.
enum PathStep<'t> {
    Field(&'t str),
    Key(String),
    Index(usize),
}

impl<'t> FormReading<'t> {
    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.path.clear();
                Err(self.fail(self.excess.to_owned()))
            }
        }
    }
}

// The fields of `google.protobuf.Value` and of what it holds.
const VALUE_NULL: u32 = 1;
const VALUE_NUMBER: u32 = 2;
const VALUE_TEXT: u32 = 3;
const VALUE_BOOL: u32 = 4;
const VALUE_OBJECT: u32 = 5;
const VALUE_LIST: u32 = 6;
/// The field of `Struct` and of `ListValue`.
const ITEMS: u32 = 1;
const ENTRY_KEY: u32 = 1;
const ENTRY_VALUE: u32 = 2;

/// Where a value stands.
#[derive(Clone, Copy)]
enum Slot<'t> {
    /// The whole text, a message of this type.
    Root(usize),
    /// A field, which may be a list or a map.
    Field(&'t JsonField),
    /// An element of a list, or the value of a map's entry.
    Item(&'t JsonField),
    /// A value in the field of this number whose type is `google.protobuf.Value`.
    Any(u32),
}

/// Reads one value. Its result is whether it was set: `null` sets nothing.
struct ValueReader<'r, 't> {
    reading: &'r mut FormReading<'t>,
    slot: Slot<'t>,
}

impl<'de> DeserializeSeed<'de> for ValueReader<'_, '_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> ValueReader<'_, 't> {
    fn primitive<E: serde::de::Error>(self, sent: Primitive<'_>) -> Result<bool, E> {
        let Self { reading, slot } = self;
        match slot {
            Slot::Field(field) if field.repeat == Repeat::List => {
                return Err(reading.fail(format!("expected a list; {} was sent", sent.described())));
            }
            Slot::Field(field) if field.repeat == Repeat::Map => {
                return Err(
                    reading.fail(format!("expected an object; {} was sent", sent.described()))
                );
            }
            Slot::Field(field) | Slot::Item(field) => reading.scalar(field, sent)?,
            Slot::Any(number) => reading.own_value(number, sent),
            Slot::Root(_) => {
                return Err(
                    reading.fail(format!("expected an object; {} was sent", sent.described()))
                );
            }
        }
        Ok(true)
    }

    /// The type of the value, if that is a message.
    fn message(&self) -> Option<usize> {
        match self.slot {
            Slot::Root(place) => Some(place),
            Slot::Field(JsonField {
                kind: JsonKind::Message(place),
                repeat: Repeat::Once,
                ..
            })
            | Slot::Item(JsonField {
                kind: JsonKind::Message(place),
                ..
            }) => Some(*place),
            Slot::Field(_) | Slot::Item(_) | Slot::Any(_) => None,
        }
    }

    fn own_form(&self) -> Option<OwnForm> {
        match self.slot {
            Slot::Any(_) => Some(OwnForm::Value),
            _ => self.reading.own_form(self.message()?),
        }
    }

    fn number(&self) -> u32 {
        match self.slot {
            Slot::Field(field) | Slot::Item(field) => field.number,
            Slot::Any(number) => number,
            Slot::Root(_) => 0,
        }
    }

    /// The refusal of a list or of an object.
    fn refused<E: serde::de::Error>(self, sent: &str) -> E {
        match self.slot {
            Slot::Field(field) if field.repeat == Repeat::List => self
                .reading
                .fail(format!("expected a list; {sent} was sent")),
            Slot::Field(field) if field.repeat == Repeat::Map => self
                .reading
                .fail(format!("expected an object; {sent} was sent")),
            Slot::Field(field) | Slot::Item(field) => self.reading.unexpected(field.kind, sent),
            Slot::Root(_) | Slot::Any(_) => self
                .reading
                .fail(format!("expected an object; {sent} was sent")),
        }
    }
}

impl<'de> Visitor<'de> for ValueReader<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<bool, E> {
        self.primitive(Primitive::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<bool, E> {
        self.primitive(Primitive::Unsigned(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<bool, E> {
        self.primitive(Primitive::Signed(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<bool, E> {
        self.primitive(Primitive::Real(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<bool, E> {
        self.primitive(Primitive::Text(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<bool, E> {
        if self.own_form() == Some(OwnForm::Value) {
            let number = self.number();
            let began = base::open(&mut self.reading.out, number);
            self.reading.varint(VALUE_NULL, 0);
            base::close(&mut self.reading.out, began);
            return Ok(true);
        }
        match self.slot {
            Slot::Field(JsonField {
                kind: JsonKind::Enum(place),
                number,
                ..
            }) if self
                .reading
                .types
                .choices(*place)
                .is_some_and(|of| of.is_null) =>
            {
                self.reading.varint(*number, 0);
                Ok(true)
            }
            // The field keeps its default.
            Slot::Field(_) => Ok(false),
            Slot::Item(_) => Err(self
                .reading
                .fail("an element cannot be `null`; leave it out".to_owned())),
            Slot::Root(_) | Slot::Any(_) => Err(self.refused("`null`")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let (item, closes) = match self.slot {
            Slot::Field(field) if field.repeat == Repeat::List => (Slot::Item(field), vec![]),
            _ => {
                let number = self.number();
                let form = self.own_form();
                let out = &mut self.reading.out;
                match form {
                    Some(OwnForm::List) => (Slot::Any(ITEMS), vec![base::open(out, number)]),
                    Some(OwnForm::Value) => {
                        let value = base::open(out, number);
                        (Slot::Any(ITEMS), vec![base::open(out, VALUE_LIST), value])
                    }
                    _ => return Err(self.refused("a list")),
                }
            }
        };
        let reading = self.reading;
        for index in 0.. {
            reading.path.push(PathStep::Index(index));
            let read = items.next_element_seed(ItemReader(ValueReader {
                reading,
                slot: item,
            }))?;
            reading.path.pop();
            if read.is_none() {
                break;
            }
        }
        for began in closes {
            base::close(&mut reading.out, began);
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<bool, A::Error> {
        let number = self.number();
        if let Slot::Field(field) = self.slot
            && field.repeat == Repeat::Map
        {
            self.reading.map(field, entries)?;
            return Ok(true);
        }
        match (self.own_form(), self.message()) {
            (Some(OwnForm::Object), _) => {
                let began = base::open(&mut self.reading.out, number);
                self.reading.object(entries)?;
                base::close(&mut self.reading.out, began);
            }
            (Some(OwnForm::Value), _) => {
                let value = base::open(&mut self.reading.out, number);
                let object = base::open(&mut self.reading.out, VALUE_OBJECT);
                self.reading.object(entries)?;
                base::close(&mut self.reading.out, object);
                base::close(&mut self.reading.out, value);
            }
            (None, Some(place)) => match self.slot {
                Slot::Root(_) => self.reading.fields(place, entries)?,
                _ => {
                    let began = base::open(&mut self.reading.out, number);
                    self.reading.fields(place, entries)?;
                    base::close(&mut self.reading.out, began);
                }
            },
            _ => return Err(self.refused("an object")),
        }
        Ok(true)
    }
}

impl<'t> FormReading<'t> {
    /// Reads the fields of a message.
    fn fields<'de, A: MapAccess<'de>>(
        &mut self,
        place: usize,
        mut entries: A,
    ) -> Result<(), A::Error> {
        let mut seen: u128 = 0;
        let mut chosen: Vec<(i32, &'t str)> = Vec::new();
        while let Some((index, field)) = entries.next_key_seed(KeyReader {
            reading: self,
            place,
        })? {
            self.path.push(PathStep::Field(&field.name));
            self.count()?;
            let bit = 1u128.checked_shl(index as u32).unwrap_or(0);
            if seen & bit != 0 {
                return Err(self.fail("it stands twice in its object".to_owned()));
            }
            seen |= bit;
            let is_set = entries.next_value_seed(ValueReader {
                reading: self,
                slot: Slot::Field(field),
            })?;
            if let Some(choice) = field.choice.filter(|_| is_set) {
                if let Some((_, other)) = chosen.iter().find(|(of, _)| *of == choice) {
                    return Err(self.fail(format!(
                        "`{other}` is set already, and only one of them can be"
                    )));
                }
                chosen.push((choice, &field.name));
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Reads the entries of a `google.protobuf.Struct`.
    fn object<'de, A: MapAccess<'de>>(&mut self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.enter(&key, &mut seen)?;
            let began = base::open(&mut self.out, ITEMS);
            encode_key(ENTRY_KEY, WireType::LengthDelimited, &mut self.out);
            encode_varint(key.len() as u64, &mut self.out);
            self.out.extend_from_slice(key.as_bytes());
            seen.insert(key);
            entries.next_value_seed(ValueReader {
                reading: self,
                slot: Slot::Any(ENTRY_VALUE),
            })?;
            base::close(&mut self.out, began);
            self.path.pop();
        }
        Ok(())
    }

    /// Reads the entries of a map.
    fn map<'de, A: MapAccess<'de>>(
        &mut self,
        field: &'t JsonField,
        mut entries: A,
    ) -> Result<(), A::Error> {
        let entry = match field.kind {
            JsonKind::Message(place) => self.types.message(place),
            _ => None,
        };
        let members = entry.and_then(|entry| {
            Some((
                entry.field_numbered(ENTRY_KEY)?,
                entry.field_numbered(ENTRY_VALUE)?,
            ))
        });
        let Some((key_field, value_field)) = members else {
            return Err(A::Error::custom("a map without key and value"));
        };
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.enter(&key, &mut seen)?;
            let began = base::open(&mut self.out, field.number);
            let key_value = match (key_field.kind, key.as_str()) {
                (JsonKind::Bool, "true") => Primitive::Bool(true),
                (JsonKind::Bool, "false") => Primitive::Bool(false),
                (_, text) => Primitive::Text(text),
            };
            self.scalar(key_field, key_value)?;
            seen.insert(key);
            entries.next_value_seed(ValueReader {
                reading: self,
                slot: Slot::Item(value_field),
            })?;
            base::close(&mut self.out, began);
            self.path.pop();
        }
        Ok(())
    }

    /// Steps to the value of a key that must be new.
    fn enter<E: serde::de::Error>(
        &mut self,
        key: &str,
        seen: &mut HashSet<String>,
    ) -> Result<(), E> {
        // Only an error needs the whole key.
        self.path.push(PathStep::Key(excerpt(key).into_owned()));
        self.count()?;
        match seen.contains(key) {
            true => Err(self.fail("it stands twice in its object".to_owned())),
            false => Ok(()),
        }
    }
}

/// Reads an element, which counts.
struct ItemReader<'r, 't>(ValueReader<'r, 't>);

impl<'de> DeserializeSeed<'de> for ItemReader<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.reading.count()?;
        self.0.deserialize(deserializer).map(|_| ())
    }
}

/// Finds the field that a key names.
struct KeyReader<'r, 't> {
    reading: &'r mut FormReading<'t>,
    place: usize,
}

impl<'de, 't> DeserializeSeed<'de> for KeyReader<'_, 't> {
    type Value = (usize, &'t JsonField);

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for KeyReader<'_, 't> {
    type Value = (usize, &'t JsonField);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        let Self { reading, place } = self;
        let message = reading.types.message(place);
        if let Some(found) = message.and_then(|message| message.field_named(key)) {
            return Ok(found);
        }
        let fields = message.map_or(&[][..], |message| &message.fields);
        let names: Vec<_> = fields.iter().map(|field| field.key.as_str()).collect();
        reading.path.push(PathStep::Key(key.to_owned()));
        let what = match names.is_empty() {
            true => "there is no such field; the object has none".to_owned(),
            false => format!("there is no such field; there are {}", names.join(", ")),
        };
        Err(reading.fail(what))
    }
}
