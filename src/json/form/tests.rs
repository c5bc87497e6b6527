//! Is what is read and written here the JSON of protobuf? Another implementation says so, for every message.

use std::fmt::Write as _;
use std::path::Path;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage as _, Value,
};

use crate::error::Error;
use crate::grpc::translated::{REQUEST, RESPONSE, STATUS, STREAM_RESPONSE, descriptors};

use super::*;

const EXCESS: &str = "too many";

fn types() -> JsonTypes {
    JsonTypes::read(descriptors()).expect("the contract's descriptors")
}

/// The other implementation.
fn pool() -> DescriptorPool {
    let mut pool = DescriptorPool::new();
    for set in descriptors() {
        pool.decode_file_descriptor_set(set).expect("descriptors");
    }
    pool
}

fn written(types: &JsonTypes, message: &DynamicMessage) -> String {
    let place = types
        .place(message.descriptor().full_name())
        .expect("a message of the contract");
    let mut text = Vec::new();
    write(types, place, &message.encode_to_vec(), &mut text).expect("an encoding");
    String::from_utf8(text).expect("JSON is text")
}

fn read_as(types: &JsonTypes, name: &str, json: &str) -> Result<Vec<u8>, Error> {
    let place = types.place(name).expect("a message of the contract");
    read(types, place, json.as_bytes(), 1000, EXCESS)
}

fn fault(json: &str) -> (String, String) {
    match read_as(&types(), REQUEST, json) {
        Err(Error::InvalidRequest(violations)) => {
            let violation = violations.into_iter().next().expect("a violation");
            (violation.field, violation.what)
        }
        other => panic!("{json}: {other:?}"),
    }
}

/// Makes messages up.
struct Maker {
    random: fastrand::Rng,
    /// Whether every field is set, and to what it is set always.
    is_sample: bool,
}

/// Any finite number: most take all 17 digits, which a reader in a hurry rounds.
fn finite(random: &mut fastrand::Rng) -> f64 {
    loop {
        let number = f64::from_bits(random.u64(..));
        if number.is_finite() {
            return number;
        }
    }
}

impl Maker {
    fn message(&mut self, of: &MessageDescriptor, depth: usize) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        match of.full_name() {
            "google.protobuf.Duration" => {
                let (seconds, nanos) = match self.is_sample {
                    true => (1, 500_000_000),
                    false => (
                        self.random.i64(0..100_000),
                        self.random.i32(0..1_000_000_000),
                    ),
                };
                let sign = if !self.is_sample && self.random.bool() {
                    -1
                } else {
                    1
                };
                message.set_field_by_number(1, Value::I64(sign * seconds));
                message.set_field_by_number(2, Value::I32(sign as i32 * nanos));
                return message;
            }
            "google.protobuf.Timestamp" => {
                let seconds = match self.is_sample {
                    true => 1_795_867_203,
                    false => self.random.i64(-62_135_596_800..253_402_300_799),
                };
                message.set_field_by_number(1, Value::I64(seconds));
                message.set_field_by_number(2, Value::I32(120_000_000));
                return message;
            }
            "google.protobuf.Value" => {
                let fields: Vec<_> = of.fields().collect();
                let field = match (self.is_sample, depth) {
                    (true, _) => &fields[2],
                    (false, 0) => &fields[self.random.usize(0..4)],
                    (false, _) => &fields[self.random.usize(0..fields.len())],
                };
                let value = match field.number() {
                    // JSON has no other numbers.
                    2 => Value::F64(finite(&mut self.random)),
                    _ => self.single(&field.kind(), depth),
                };
                message.set_field(field, value);
                return message;
            }
            _ => {}
        }
        let mut chosen = Vec::new();
        for field in of.fields() {
            if let Some(choice) = field.containing_oneof().filter(|of| !of.is_synthetic()) {
                if chosen.contains(&choice) {
                    continue;
                }
                if !self.is_sample && self.random.bool() {
                    continue;
                }
                chosen.push(choice);
            }
            let is_message = matches!(field.kind(), Kind::Message(_));
            if (is_message && depth == 0) || (!self.is_sample && self.random.u8(0..3) == 0) {
                continue;
            }
            let value = self.field(&field, depth);
            message.set_field(&field, value);
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        let count = if self.is_sample {
            2
        } else {
            self.random.usize(1..4)
        };
        if let Kind::Message(entry) = field.kind()
            && field.is_map()
        {
            let value = entry.map_entry_value_field();
            let count = if self.is_sample { 1 } else { count };
            let entries = (0..count).map(|index| {
                (
                    MapKey::String(format!("key {index}")),
                    self.single(&value.kind(), depth),
                )
            });
            return Value::Map(entries.collect());
        }
        if field.is_list() {
            return Value::List(
                (0..count)
                    .map(|_| self.single(&field.kind(), depth))
                    .collect(),
            );
        }
        self.single(&field.kind(), depth)
    }

    fn single(&mut self, kind: &Kind, depth: usize) -> Value {
        let random = &mut self.random;
        if self.is_sample {
            return match kind {
                Kind::Double => Value::F64(0.25),
                Kind::Float => Value::F32(0.25),
                Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(7),
                Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(9_007_199_254_740_993),
                Kind::Uint32 | Kind::Fixed32 => Value::U32(7),
                Kind::Uint64 | Kind::Fixed64 => Value::U64(u64::MAX),
                Kind::Bool => Value::Bool(true),
                Kind::String => Value::String("text".to_owned()),
                Kind::Bytes => Value::Bytes(vec![0xfb, 0xff, 1, 2].into()),
                Kind::Enum(of) => {
                    Value::EnumNumber(of.values().nth(1).map_or(0, |value| value.number()))
                }
                Kind::Message(of) => Value::Message(self.message(of, depth - 1)),
            };
        }
        match kind {
            Kind::Double => Value::F64(match random.bool() {
                true => finite(random),
                false => *random
                    .choice(&[0.1, 1.0, -2.5, 5e-324, f64::INFINITY, f64::MAX])
                    .unwrap(),
            }),
            Kind::Float => Value::F32(
                *random
                    .choice(&[0.1, 1.0, 16_777_216.0, f32::MIN_POSITIVE, f32::NEG_INFINITY])
                    .unwrap(),
            ),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(random.i32(..)),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(random.i64(..)),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(random.u32(..)),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(random.u64(..)),
            Kind::Bool => Value::Bool(random.bool()),
            Kind::String => {
                Value::String((0..random.usize(0..6)).map(|_| random.char(..)).collect())
            }
            Kind::Bytes => Value::Bytes(
                (0..random.usize(0..6))
                    .map(|_| random.u8(..))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            Kind::Enum(of) => {
                let values: Vec<_> = of.values().map(|value| value.number()).collect();
                Value::EnumNumber(*random.choice(&values).unwrap())
            }
            Kind::Message(of) => Value::Message(self.message(of, depth - 1)),
        }
    }
}

#[test]
fn every_message_is_written_and_read_as_another_implementation_does() {
    let (types, pool) = (types(), pool());
    let mut maker = Maker {
        random: fastrand::Rng::with_seed(7),
        is_sample: false,
    };
    for name in [
        REQUEST,
        RESPONSE,
        STREAM_RESPONSE,
        "modelway.v1.CallFailure",
    ] {
        let of = pool
            .get_message_by_name(name)
            .expect("a message of the contract");
        for _ in 0..300 {
            // Encoded and decoded, since what has its default is not set then.
            let encoded = maker.message(&of, 6).encode_to_vec();
            let message = DynamicMessage::decode(of.clone(), &encoded[..]).expect("an encoding");

            let ours = written(&types, &message);
            let mut reader = serde_json::Deserializer::from_str(&ours);
            let read = DynamicMessage::deserialize(of.clone(), &mut reader);
            let read = read.unwrap_or_else(|error| panic!("{error}: {ours}"));
            assert!(read == message, "{ours}");

            if name == REQUEST {
                let theirs = serde_json::to_string(&message).expect("JSON");
                for json in [&ours, &theirs] {
                    let place = types.place(name).expect("it is known");
                    let encoded = read_json(&types, place, json);
                    let again = DynamicMessage::decode(of.clone(), &encoded[..]);
                    assert!(again.expect("an encoding") == message, "{json}");
                }
            }
        }
    }
}

fn read_json(types: &JsonTypes, place: usize, json: &str) -> Vec<u8> {
    read(types, place, json.as_bytes(), usize::MAX, EXCESS)
        .unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// All messages that are part of these, by name.
fn parts_of(roots: &[&str]) -> Vec<MessageDescriptor> {
    let pool = pool();
    let mut found: Vec<MessageDescriptor> = Vec::new();
    let mut open: Vec<_> = roots
        .iter()
        .filter_map(|name| pool.get_message_by_name(name))
        .collect();
    while let Some(message) = open.pop() {
        if message.is_map_entry() || found.contains(&message) {
            continue;
        }
        for field in message.fields() {
            if let Kind::Message(of) = field.kind() {
                open.push(of);
            }
        }
        found.push(message);
    }
    found.sort_by(|one, other| one.full_name().cmp(other.full_name()));
    found
}

/// `UPDATE_SNAPSHOTS=1 cargo test --lib json::form` writes the file anew.
#[test]
fn the_json_of_each_message_is_as_the_golden_file_shows_it() {
    let types = types();
    let mut maker = Maker {
        random: fastrand::Rng::with_seed(7),
        is_sample: true,
    };
    let mut golden = String::new();
    for of in parts_of(&[
        REQUEST,
        RESPONSE,
        STREAM_RESPONSE,
        "modelway.v1.CallFailure",
    ]) {
        if !of.full_name().starts_with("modelway.") {
            continue;
        }
        let json = written(&types, &maker.message(&of, 2));
        let pretty: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        writeln!(golden, "// {}\n{pretty:#}\n", of.full_name()).expect("a text");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/json/form/golden.jsonc");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &golden).expect("it can be written");
    }
    let kept = std::fs::read_to_string(&path).expect("the golden file");

    assert_eq!(
        golden, kept,
        "run with UPDATE_SNAPSHOTS=1 and look at the difference"
    );
}

#[test]
fn no_message_has_more_fields_than_are_told_apart() {
    for message in parts_of(&[REQUEST, RESPONSE, STREAM_RESPONSE, STATUS]) {
        assert!(message.fields().count() <= 128, "{}", message.full_name());
    }
    // A request has nothing that is only written.
    for message in parts_of(&[REQUEST]) {
        let name = message.full_name();
        assert!(
            !["google.protobuf.Any", "google.protobuf.Timestamp"].contains(&name),
            "{name}"
        );
    }
}

/// The request that a text says, as the generated code reads it.
fn request(json: &str) -> crate::grpc::v1::GenerateRequest {
    let encoded =
        read_as(&types(), REQUEST, json).unwrap_or_else(|error| panic!("{error}: {json}"));
    crate::grpc::v1::GenerateRequest::decode(&encoded[..]).expect("an encoding")
}

#[test]
fn every_legal_spelling_is_read() {
    let expected = request(
        r#"{"scenario":"s","toolChoice":{},"sampling":{"maxOutputTokens":5,"seed":"-9223372036854775808","temperature":1.5},"priority":"PRIORITY_BATCH","limits":{"maxTimeToFirstToken":"1.5s"}}"#,
    );
    for json in [
        r#"{"scenario":"s","tool_choice":{},"sampling":{"max_output_tokens":5,"seed":-9223372036854775808,"temperature":"1.5"},"priority":3,"limits":{"max_time_to_first_token":"1.500s"}}"#,
        r#" { "scenario" : "\u0073", "toolChoice":{}, "sampling":{"maxOutputTokens":5.0,"seed":"-9223372036854775808","temperature":15e-1}, "priority":"PRIORITY_BATCH","limits":{"maxTimeToFirstToken":"1.500000000s"}} "#,
        r#"{"scenario":"s","model":null,"messages":null,"toolChoice":{},"sampling":{"maxOutputTokens":"5","seed":"-9223372036854775808","temperature":1.5,"topP":null},"priority":"PRIORITY_BATCH","limits":{"maxTimeToFirstToken":"1.5s"}}"#,
    ] {
        assert_eq!(request(json), expected, "{json}");
    }
    let data = |json: &str| {
        let json = format!(r#"{{"messages":[{{"parts":[{{"image":{{"data":"{json}"}}}}]}}]}}"#);
        let part = request(&json).messages.remove(0).parts.remove(0);
        match part.part {
            Some(crate::grpc::v1::content_part::Part::Image(media)) => match media.source {
                Some(crate::grpc::v1::media::Source::Data(data)) => data.to_vec(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    for text in ["+/8BAg==", "+/8BAg", "-_8BAg", "-_8BAg=="] {
        assert_eq!(data(text), [0xfb, 0xff, 1, 2], "{text}");
    }
}

#[test]
fn each_fault_is_told_with_its_path() {
    for (json, path, what) in [
        ("", "message", "not JSON"),
        ("{", "message", "not JSON"),
        ("[]", "message", "expected an object"),
        ("null", "message", "expected an object"),
        ("\"secret\"", "message", "expected an object"),
        ("{} {}", "message", "not JSON"),
        (r#"{"scenario":"a\ud800"}"#, "scenario", "not JSON"),
        (r#"{"scenario":"a"#, "scenario", "not JSON"),
        (
            r#"{"scenario":5}"#,
            "scenario",
            "expected a string; another number was sent",
        ),
        (
            r#"{"scenario":["a"]}"#,
            "scenario",
            "expected a string; a list",
        ),
        (
            r#"{"scenari":"a"}"#,
            "scenari",
            "there is no such field; there are scenario, model, messages",
        ),
        (r#"{"scenario":"a","scenario":"b"}"#, "scenario", "twice"),
        (
            r#"{"toolChoice":{},"tool_choice":{}}"#,
            "tool_choice",
            "twice",
        ),
        (r#"{"messages":{}}"#, "messages", "expected a list"),
        (
            r#"{"messages":[{},null]}"#,
            "messages[1]",
            "cannot be `null`",
        ),
        (
            r#"{"messages":[{},{"parts":[{"text":"a","image":{}}]}]}"#,
            "messages[1].parts[0].image",
            "`text` is set already",
        ),
        (
            r#"{"messages":[{"parts":[{"txt":"a"}]}]}"#,
            "messages[0].parts[0].txt",
            "no such field",
        ),
        (
            r#"{"messages":[{"role":"USER"}]}"#,
            "messages[0].role",
            "ROLE_USER",
        ),
        (
            r#"{"messages":[{"role":1.5}]}"#,
            "messages[0].role",
            "or its number",
        ),
        (
            r#"{"sampling":{"maxOutputTokens":2147483648}}"#,
            "sampling.max_output_tokens",
            "32 bits",
        ),
        (
            r#"{"sampling":{"seed":9223372036854775808}}"#,
            "sampling.seed",
            "64 bits",
        ),
        (r#"{"sampling":{"seed":1e30}}"#, "sampling.seed", "64 bits"),
        (
            r#"{"sampling":{"temperature":1e999}}"#,
            "sampling.temperature",
            "not JSON",
        ),
        (
            r#"{"sampling":{"temperature":"1e999"}}"#,
            "sampling.temperature",
            "expected a number",
        ),
        (
            r#"{"sampling":{"temperature":"inf"}}"#,
            "sampling.temperature",
            "expected a number",
        ),
        (
            r#"{"limits":{"maxTimeToFirstToken":"5"}}"#,
            "limits.max_time_to_first_token",
            "such as `1.5s`",
        ),
        (
            r#"{"messages":[{"parts":[{"image":{"data":"a"}}]}]}"#,
            "messages[0].parts[0].image.data",
            "base64",
        ),
        (
            r#"{"providerOptions":{"a":1}}"#,
            "provider_options",
            "expected a list",
        ),
    ] {
        let (field, told) = fault(json);

        assert_eq!(field, path, "{json}: {told}");
        assert!(told.contains(what), "{json}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
    // Not UTF-8.
    let types = types();
    let place = types.place(REQUEST).expect("it is known");
    let refused = read(&types, place, b"{\"scenario\":\"\xff\"}", 10, EXCESS);
    assert!(refused.is_err());
}

#[test]
fn a_text_is_read_only_as_far_as_its_elements_are_counted() {
    let types = types();
    let place = types.place(REQUEST).expect("it is known");
    let messages = "{},".repeat(2_000_000);
    let json = format!(r#"{{"messages":[{messages}{{}}]}}"#);

    let refused = read(&types, place, json.as_bytes(), 1000, EXCESS);

    let Err(Error::InvalidRequest(violations)) = refused else {
        panic!("it was read");
    };
    assert_eq!(
        (&*violations[0].field, &*violations[0].what),
        ("message", EXCESS)
    );
    let deep = format!(
        r#"{{"tools":[{{"function":{{"parameters":{}"#,
        r#"{"a":"#.repeat(100_000)
    );
    assert!(fault(&deep).1.len() < 2000);
}

#[test]
fn a_text_within_an_error_is_short_and_none_of_its_values_is_shown() {
    let long = "x".repeat(100_000);
    for json in [
        format!(r#"{{"{long}":1}}"#),
        format!(r#"{{"messages":"{long}"}}"#),
        format!(r#"{{"sampling":{{"seed":"{long}"}}}}"#),
        format!(r#"{{"messages":[{{"role":"{long}"}}]}}"#),
    ] {
        let (field, what) = fault(&json);

        assert!(field.len() < 200 && what.len() < 2000, "{}", what.len());
        assert!(!what.contains("xxxx"), "{what}");
    }
}
