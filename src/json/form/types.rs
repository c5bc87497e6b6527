//! Which fields does each message of the contract have, and how are they named in JSON? Read from its descriptors.

use std::collections::HashMap;

use prost::{DecodeError, Message as _};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// All types of the contract.
#[derive(Debug, Default)]
pub struct JsonTypes {
    messages: Vec<JsonMessage>,
    enums: Vec<JsonEnum>,
    /// Indices of messages by their full names, such as `modelway.v1.Message`.
    by_name: HashMap<String, usize>,
}

/// A type of message.
#[derive(Debug, Default)]
pub(super) struct JsonMessage {
    pub(super) own_form: Option<OwnForm>,
    /// Whether it holds the key and the value of an entry of a map.
    is_entry: bool,
    /// In the order of their numbers.
    pub(super) fields: Vec<JsonField>,
    /// Indices in `fields` by name in JSON and by name in the contract.
    by_key: HashMap<String, usize>,
}

/// A message of protobuf itself that has a form of its own in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnForm {
    /// `google.protobuf.Any`
    Any,
    /// `google.protobuf.Duration`
    Duration,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// `google.protobuf.Struct`
    Object,
    /// `google.protobuf.Value`
    Value,
    /// `google.protobuf.ListValue`
    List,
}

impl OwnForm {
    fn of(name: &str) -> Option<Self> {
        match name {
            "google.protobuf.Any" => Some(Self::Any),
            "google.protobuf.Duration" => Some(Self::Duration),
            "google.protobuf.Timestamp" => Some(Self::Timestamp),
            "google.protobuf.Struct" => Some(Self::Object),
            "google.protobuf.Value" => Some(Self::Value),
            "google.protobuf.ListValue" => Some(Self::List),
            _ => None,
        }
    }
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct JsonField {
    pub(super) number: u32,
    /// Its name in the contract, which errors show.
    pub(super) name: String,
    /// Its name in JSON.
    pub(super) key: String,
    pub(super) kind: JsonKind,
    pub(super) repeat: Repeat,
    /// Index of the choice that it belongs to: at most one member of a choice is set.
    pub(super) choice: Option<i32>,
}

/// How often a field occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// At most once.
    Once,
    /// Any number of times: an array.
    List,
    /// Any number of times, each with a key: an object. The field's type is a message of key and value.
    Map,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonKind {
    Bool,
    /// 32 bits.
    Int32,
    Uint32,
    Sint32,
    Fixed32,
    Sfixed32,
    /// 64 bits: a string in JSON.
    Int64,
    Uint64,
    Sint64,
    Fixed64,
    Sfixed64,
    Float,
    Double,
    Text,
    Bytes,
    /// The enum with this index.
    Enum(usize),
    /// The message with this index.
    Message(usize),
}

/// A type of enum.
#[derive(Debug, Default)]
pub(super) struct JsonEnum {
    /// `google.protobuf.NullValue`, whose form is `null`.
    pub(super) is_null: bool,
    /// In the order of declaration.
    pub(super) values: Vec<(String, i32)>,
}

impl JsonEnum {
    pub(super) fn name(&self, number: i32) -> Option<&str> {
        let found = self.values.iter().find(|(_, value)| *value == number);
        found.map(|(name, _)| name.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<i32> {
        let found = self.values.iter().find(|(value, _)| value == name);
        found.map(|(_, number)| *number)
    }
}

impl JsonMessage {
    /// The field with this name, in either spelling, and its index.
    pub(super) fn field_named(&self, key: &str) -> Option<(usize, &JsonField)> {
        let index = *self.by_key.get(key)?;
        Some((index, self.fields.get(index)?))
    }

    pub(super) fn field_numbered(&self, number: u32) -> Option<&JsonField> {
        let found = self
            .fields
            .binary_search_by_key(&number, |field| field.number);
        self.fields.get(found.ok()?)
    }
}

impl JsonTypes {
    /// Reads descriptor sets, which may repeat each other.
    ///
    /// # Errors
    /// A set does not decode.
    pub fn read<'s>(sets: impl IntoIterator<Item = &'s [u8]>) -> Result<Self, DecodeError> {
        let mut types = Self::default();
        let mut enums = HashMap::new();
        let mut found = Vec::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set)?.file {
                let scope = file.package().to_owned();
                types.note_enums(&scope, file.enum_type, &mut enums);
                types.note(&scope, file.message_type, &mut enums, &mut found);
            }
        }
        for (place, descriptor) in found {
            types.fill(place, descriptor, &enums);
        }
        Ok(types)
    }

    /// The index of the message with this full name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn message(&self, place: usize) -> Option<&JsonMessage> {
        self.messages.get(place)
    }

    pub(super) fn choices(&self, place: usize) -> Option<&JsonEnum> {
        self.enums.get(place)
    }

    fn note_enums(
        &mut self,
        scope: &str,
        descriptors: Vec<EnumDescriptorProto>,
        enums: &mut HashMap<String, usize>,
    ) {
        for descriptor in descriptors {
            let name = format!("{scope}.{}", descriptor.name());
            let values = descriptor.value.iter();
            let values = values.map(|value| (value.name().to_owned(), value.number()));
            self.enums.push(JsonEnum {
                is_null: name == "google.protobuf.NullValue",
                values: values.collect(),
            });
            enums.insert(name, self.enums.len() - 1);
        }
    }

    /// Gives each message a place, so that fields can refer to it.
    fn note(
        &mut self,
        scope: &str,
        descriptors: Vec<DescriptorProto>,
        enums: &mut HashMap<String, usize>,
        found: &mut Vec<(usize, DescriptorProto)>,
    ) {
        for mut descriptor in descriptors {
            let name = format!("{scope}.{}", descriptor.name());
            self.note_enums(&name, std::mem::take(&mut descriptor.enum_type), enums);
            let nested = std::mem::take(&mut descriptor.nested_type);
            self.note(&name, nested, enums, found);
            if self.by_name.contains_key(&name) {
                continue;
            }
            let options = descriptor.options.as_ref();
            self.messages.push(JsonMessage {
                own_form: OwnForm::of(&name),
                is_entry: options.is_some_and(|options| options.map_entry()),
                ..JsonMessage::default()
            });
            let place = self.messages.len() - 1;
            found.push((place, descriptor));
            self.by_name.insert(name, place);
        }
    }

    fn fill(&mut self, place: usize, message: DescriptorProto, enums: &HashMap<String, usize>) {
        let described = message.field.iter().map(|field| self.field(field, enums));
        let mut fields: Vec<_> = described.collect();
        fields.sort_by_key(|field| field.number);
        let mut by_key = HashMap::new();
        for (index, field) in fields.iter().enumerate() {
            by_key.insert(field.name.clone(), index);
            by_key.insert(field.key.clone(), index);
        }
        self.messages[place].fields = fields;
        self.messages[place].by_key = by_key;
    }

    fn field(&self, field: &FieldDescriptorProto, enums: &HashMap<String, usize>) -> JsonField {
        let type_name = field.type_name().trim_start_matches('.');
        let message = || self.place(type_name).unwrap_or(usize::MAX);
        let kind = match field.r#type() {
            Type::Bool => JsonKind::Bool,
            Type::Int32 => JsonKind::Int32,
            Type::Uint32 => JsonKind::Uint32,
            Type::Sint32 => JsonKind::Sint32,
            Type::Fixed32 => JsonKind::Fixed32,
            Type::Sfixed32 => JsonKind::Sfixed32,
            Type::Int64 => JsonKind::Int64,
            Type::Uint64 => JsonKind::Uint64,
            Type::Sint64 => JsonKind::Sint64,
            Type::Fixed64 => JsonKind::Fixed64,
            Type::Sfixed64 => JsonKind::Sfixed64,
            Type::Float => JsonKind::Float,
            Type::Double => JsonKind::Double,
            Type::String => JsonKind::Text,
            Type::Bytes => JsonKind::Bytes,
            Type::Enum => JsonKind::Enum(enums.get(type_name).copied().unwrap_or(usize::MAX)),
            // proto3 has no groups.
            Type::Message | Type::Group => JsonKind::Message(message()),
        };
        let is_map = match kind {
            JsonKind::Message(place) => self.message(place).is_some_and(|of| of.is_entry),
            _ => false,
        };
        let repeat = match (field.label() == Label::Repeated, is_map) {
            (false, _) => Repeat::Once,
            (true, false) => Repeat::List,
            (true, true) => Repeat::Map,
        };
        let key = match field.json_name() {
            "" => lower_camel(field.name()),
            name => name.to_owned(),
        };
        JsonField {
            // An illegal number never matches one on the wire.
            number: u32::try_from(field.number()).unwrap_or(0),
            name: field.name().to_owned(),
            key,
            kind,
            repeat,
            choice: match field.proto3_optional() {
                true => None,
                false => field.oneof_index,
            },
        }
    }
}

/// `text_delta` becomes `textDelta`.
fn lower_camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut begins_word = false;
    for letter in name.chars() {
        match letter {
            '_' => begins_word = true,
            _ if begins_word => {
                camel.push(letter.to_ascii_uppercase());
                begins_word = false;
            }
            _ => camel.push(letter),
        }
    }
    camel
}
