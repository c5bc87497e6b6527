//! Which methods does the contract have, and which fields do their requests have? Read from its descriptors.

use std::collections::{BTreeMap, HashMap};

use prost::{DecodeError, Message as _};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::error::excerpt;

use super::CountedElement;

/// The fields whose elements are counted.
#[rustfmt::skip] // a table
const COUNTED: [(&str, &str, CountedElement); 39] = [
    ("modelway.v1.GenerateRequest", "messages", CountedElement::Message),
    ("modelway.v1.GenerateRequest", "tools", CountedElement::Tool),
    ("modelway.v1.GenerateRequest", "provider_options", CountedElement::ProviderOptions),
    ("modelway.v1.GenerateRequest", "labels", CountedElement::Label),
    ("modelway.v1.Message", "parts", CountedElement::Part),
    ("modelway.v1.ToolResult", "content", CountedElement::Part),
    ("modelway.v1.ContentPart", "tool_call", CountedElement::ToolCall),
    ("modelway.v1.ContentPart", "provider_options", CountedElement::ProviderOptions),
    ("modelway.v1.ContentPart", "citations", CountedElement::OfAnswer),
    ("modelway.v1.ContentPart", "logprobs", CountedElement::OfAnswer),
    ("modelway.v1.TokenLogprob", "top", CountedElement::OfAnswer),
    ("modelway.v1.Tool", "provider_options", CountedElement::ProviderOptions),
    ("modelway.v1.ProviderTool", "definitions", CountedElement::ProviderOptions),
    ("modelway.v1.WebSearchTool", "allowed_domains", CountedElement::ToolName),
    ("modelway.v1.WebSearchTool", "blocked_domains", CountedElement::ToolName),
    ("modelway.v1.AllowedTools", "function_names", CountedElement::ToolName),
    ("modelway.v1.SamplingParams", "stop_sequences", CountedElement::StopSequence),
    ("modelway.v1.Account", "scopes", CountedElement::Listed),
    ("modelway.v1.Account", "labels", CountedElement::Listed),
    ("modelway.v1.Account", "label_rules", CountedElement::Listed),
    ("modelway.v1.Account", "bindings", CountedElement::Listed),
    ("modelway.v1.Key", "scopes", CountedElement::Listed),
    ("modelway.v1.Scope", "scenarios", CountedElement::Listed),
    ("modelway.v1.Scope", "models", CountedElement::Listed),
    ("modelway.v1.LabelRule", "values", CountedElement::Listed),
    ("modelway.v1.Limit", "per", CountedElement::Listed),
    ("modelway.v1.Limit", "thresholds", CountedElement::Listed),
    ("modelway.v1.LimitMatch", "accounts", CountedElement::Listed),
    ("modelway.v1.LimitMatch", "scenarios", CountedElement::Listed),
    ("modelway.v1.LimitMatch", "providers", CountedElement::Listed),
    ("modelway.v1.LimitMatch", "models", CountedElement::Listed),
    ("modelway.v1.LimitMatch", "labels", CountedElement::Listed),
    ("modelway.v1.GrantLimitRequest", "key", CountedElement::Listed),
    ("modelway.v1.PutPricesRequest", "prices", CountedElement::Listed),
    ("modelway.v1.CallFilter", "labels", CountedElement::Listed),
    ("modelway.v1.QueryUsageRequest", "group_by", CountedElement::Listed),
    ("modelway.v1.QueryUsageRequest", "group_by_labels", CountedElement::Listed),
    ("google.protobuf.Struct", "fields", CountedElement::SchemaValue),
    ("google.protobuf.ListValue", "values", CountedElement::SchemaValue),
];

/// The methods that are served, and the messages they take.
#[derive(Debug, Default)]
pub(in crate::grpc) struct Contract {
    /// By the path of the HTTP request.
    methods: HashMap<String, RpcMethod>,
    pub(super) messages: Vec<MessageType>,
}

/// A method of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) struct RpcMethod {
    /// The index of the type of its request.
    pub(super) message: usize,
    /// Whether the caller streams: it may send any number of messages instead of one.
    pub(in crate::grpc) takes_many: bool,
}

/// A type of message: its fields in the order of their numbers.
#[derive(Debug)]
pub(super) struct MessageType {
    fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Field {
    number: u64,
    pub(super) name: String,
    pub(super) kind: FieldKind,
    pub(super) is_repeated: bool,
    pub(super) counted: Option<CountedElement>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    Varint,
    Fixed32,
    Fixed64,
    /// Text or bytes.
    Text,
    /// A message of the type with this index.
    Message(usize),
}

impl Contract {
    /// Reads descriptor sets, which may repeat each other.
    ///
    /// # Errors
    /// A set does not decode.
    pub(in crate::grpc) fn read<'s>(
        sets: impl IntoIterator<Item = &'s [u8]>,
    ) -> Result<Self, DecodeError> {
        let mut types = HashMap::new();
        let mut services = Vec::new();
        for set in sets {
            for file in FileDescriptorSet::decode(set)?.file {
                let package = format!(".{}", file.package());
                for message in &file.message_type {
                    collect(&package, message, &mut types);
                }
                for service in &file.service {
                    let path = format!("/{}.{}", file.package(), service.name());
                    services.push((path, service.method.clone()));
                }
            }
        }
        let mut contract = Self::default();
        let mut places = HashMap::new();
        for (path, methods) in services {
            for method in methods {
                let message = contract.place(method.input_type(), &types, &mut places);
                let takes_many = method.client_streaming();
                let path = format!("{path}/{}", method.name());
                let method = RpcMethod {
                    message,
                    takes_many,
                };
                contract.methods.insert(path, method);
            }
        }
        Ok(contract)
    }

    /// A contract of one method that takes any number of messages of fields that it does not know.
    #[cfg(test)]
    pub(in crate::grpc) fn of_anything_at(path: &str) -> Self {
        let method = RpcMethod {
            message: 0,
            takes_many: true,
        };
        Self {
            methods: HashMap::from([(path.to_owned(), method)]),
            messages: vec![MessageType { fields: Vec::new() }],
        }
    }

    /// The method of a request with this path.
    pub(in crate::grpc) fn method(&self, path: &str) -> Option<RpcMethod> {
        self.methods.get(path).copied()
    }

    /// The error message for a path without a method. It lists the methods of the service, or of all services.
    pub(in crate::grpc) fn absent(&self, path: &str) -> String {
        let service = path.rsplit_once('/').map_or(path, |(service, _)| service);
        let mut methods: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (service, method) in self.methods.keys().filter_map(|path| path.rsplit_once('/')) {
            methods.entry(service).or_default().push(method);
        }
        let is_known = methods.contains_key(service);
        methods.retain(|name, _| match is_known {
            true => *name == service,
            false => name.starts_with("/modelway."),
        });
        let mut text = format!("there is no method `{}`", excerpt(path));
        let mut before = "; there are ";
        for (service, mut methods) in methods {
            methods.sort_unstable();
            let service = service.trim_start_matches('/');
            text.push_str(&format!("{before}{service}/{{{}}}", methods.join(", ")));
            before = ", ";
        }
        text
    }

    /// A field of the type with this index.
    pub(super) fn field(&self, place: usize, number: u64) -> Option<&Field> {
        let fields = &self.messages.get(place)?.fields;
        let found = fields.binary_search_by_key(&number, |field| field.number);
        fields.get(found.ok()?)
    }

    /// The index of a type. Adds the type and the types of its fields if they are missing.
    fn place(
        &mut self,
        name: &str,
        types: &HashMap<String, DescriptorProto>,
        places: &mut HashMap<String, usize>,
    ) -> usize {
        if let Some(place) = places.get(name) {
            return *place;
        }
        let place = self.messages.len();
        places.insert(name.to_owned(), place);
        self.messages.push(MessageType { fields: Vec::new() });
        let mut fields = Vec::new();
        for field in types.get(name).map_or(&[][..], |message| &message.field) {
            let kind = match kind(field.r#type()) {
                Some(kind) => kind,
                None => FieldKind::Message(self.place(field.type_name(), types, places)),
            };
            fields.push(described(name, field, kind));
        }
        fields.sort_by_key(|field| field.number);
        self.messages[place].fields = fields;
        place
    }
}

#[cfg(test)]
impl MessageType {
    pub(super) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }
}

fn collect(scope: &str, message: &DescriptorProto, types: &mut HashMap<String, DescriptorProto>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, types);
    }
    types.insert(name, message.clone());
}

fn described(message: &str, field: &FieldDescriptorProto, kind: FieldKind) -> Field {
    let counted = COUNTED
        .iter()
        .find(|(of, name, _)| message.strip_prefix('.') == Some(of) && field.name() == *name);
    Field {
        // An illegal number never matches one on the wire.
        number: u64::try_from(field.number()).unwrap_or(0),
        name: field.name().to_owned(),
        kind,
        is_repeated: field.label() == Label::Repeated,
        counted: counted.map(|(.., element)| *element),
    }
}

/// `None` for a message.
fn kind(kind: Type) -> Option<FieldKind> {
    match kind {
        Type::Int32
        | Type::Int64
        | Type::Uint32
        | Type::Uint64
        | Type::Sint32
        | Type::Sint64
        | Type::Bool
        | Type::Enum => Some(FieldKind::Varint),
        Type::Fixed32 | Type::Sfixed32 | Type::Float => Some(FieldKind::Fixed32),
        Type::Fixed64 | Type::Sfixed64 | Type::Double => Some(FieldKind::Fixed64),
        Type::String | Type::Bytes => Some(FieldKind::Text),
        // proto3 has no groups.
        Type::Message | Type::Group => None,
    }
}
