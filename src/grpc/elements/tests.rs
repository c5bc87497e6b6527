use proptest::prelude::*;
use prost::Message as _;

use super::contract::FieldKind;
use super::*;
use crate::error::{Error, Violation};
use crate::grpc::request::tests::accepted::complete;
use crate::grpc::request::tests::arbitrary::damaged;
use crate::grpc::v1;

const GENERATE: &str = "/modelway.v1.GenerationService/Generate";
const EXPLAIN: &str = "/modelway.v1.OperationsService/ExplainPlan";

fn contract() -> Contract {
    Contract::read([v1::FILE_DESCRIPTOR_SET]).unwrap()
}

fn count(path: &str, message: &[u8], limits: &ElementLimits) -> Result<ElementCount, Error> {
    let contract = contract();
    let mut walk = Walk::new(contract.method(path).unwrap(), Some(message.len()));
    walk.read(&contract, limits, message)?;
    walk.finish(&contract, limits)
}

/// The field that is refused, and what is said of it.
fn refusal(path: &str, message: &[u8], limits: &ElementLimits) -> (String, String) {
    match count(path, message, limits) {
        Err(Error::InvalidRequest(mut violations)) => {
            let Violation { field, what } = violations.remove(0);
            (field, what)
        }
        other => panic!("{other:?}"),
    }
}

fn saying(texts: &[&str]) -> v1::GenerateRequest {
    let message = |text: &&str| v1::Message {
        role: 2,
        text: (*text).to_owned(),
        parts: Vec::new(),
    };
    v1::GenerateRequest {
        messages: texts.iter().map(message).collect(),
        ..v1::GenerateRequest::default()
    }
}

#[test]
fn methods_are_found_by_their_paths() {
    let contract = contract();

    assert!(!contract.method(GENERATE).unwrap().takes_many);
    assert!(!contract.method(EXPLAIN).unwrap().takes_many);
    assert_eq!(contract.method("/modelway.v1.GenerationService"), None);
    assert_eq!(
        contract.method("modelway.v1.GenerationService/Generate"),
        None
    );
    assert_eq!(contract.method(""), None);
}

#[test]
fn a_path_of_no_method_is_told_with_those_there_are() {
    let contract = contract();
    let long = format!("/modelway.v1.GenerationService/{}", "x".repeat(10_000));

    assert_eq!(
        contract.absent("/modelway.v1.GenerationService/Sing"),
        "there is no method `/modelway.v1.GenerationService/Sing`; there are modelway.v1.GenerationService/{Generate, StreamGenerate}"
    );
    let elsewhere = contract.absent("/Nothing/At");
    for method in ["GenerationService/{Generate", "ListModels", "ExplainPlan"] {
        assert!(elsewhere.contains(method), "{elsewhere}");
    }
    assert!(contract.absent(&long).len() < 300);
}

#[test]
fn every_repeated_field_of_a_request_has_a_limit_of_its_own() {
    let contract = contract();

    for message in &contract.messages {
        for field in message.fields() {
            assert!(
                !field.is_repeated || field.counted.is_some(),
                "{}: name it in `COUNTED`",
                field.name
            );
            if let FieldKind::Message(place) = field.kind {
                assert!(place < contract.messages.len());
            }
        }
    }
}

#[test]
fn elements_are_counted_wherever_they_stand() {
    let request = complete();
    let parts: usize = request
        .messages
        .iter()
        .map(|message| message.parts.len())
        .sum();

    let count = count(
        GENERATE,
        &request.encode_to_vec(),
        &ElementLimits::default(),
    )
    .unwrap();

    assert_eq!(count.messages, request.messages.len());
    assert_eq!(count.tools, request.tools.len());
    assert_eq!(count.tool_calls, 1);
    // Those within the result of the tool are counted, too.
    assert!(count.parts > parts, "{count:?}");
    assert!(count.fields > count.parts);
}

#[test]
fn each_limit_is_told_with_its_field_and_its_setting() {
    let none = ElementLimits {
        max_messages: 100,
        max_parts: 100,
        max_tool_calls: 100,
        max_tools: 100,
        max_schema_values: 100,
        max_provider_options: 100,
        max_fields: 1000,
    };
    let mut bytes = complete();
    bytes.tools[0] = v1::Tool {
        tool: Some(v1::tool::Tool::Function(v1::FunctionTool {
            parameters: Some(v1::JsonSchema {
                schema: Some(v1::json_schema::Schema::Object(prost_types::Struct {
                    fields: [("a".to_owned(), prost_types::Value::from(1.0))].into(),
                })),
            }),
            ..v1::FunctionTool::default()
        })),
        ..v1::Tool::default()
    };
    let bytes = bytes.encode_to_vec();
    assert!(count(GENERATE, &bytes, &none).is_ok());
    let table = [
        (
            ElementLimits {
                max_messages: 1,
                ..none.clone()
            },
            "messages",
            "max_messages",
        ),
        (
            ElementLimits {
                max_parts: 2,
                ..none.clone()
            },
            "messages[1].parts",
            "max_parts",
        ),
        (
            ElementLimits {
                max_tool_calls: 0,
                ..none.clone()
            },
            "messages[2].parts[1].tool_call",
            "max_tool_calls",
        ),
        (
            ElementLimits {
                max_tools: 0,
                ..none.clone()
            },
            "tools",
            "max_tools",
        ),
        (
            ElementLimits {
                max_schema_values: 0,
                ..none.clone()
            },
            "tools[0].function.parameters.object.fields",
            "max_schema_values",
        ),
        (
            ElementLimits {
                max_fields: 3,
                ..none
            },
            "message",
            "max_fields",
        ),
    ];
    for (limits, expected, setting) in table {
        let (field, what) = refusal(GENERATE, &bytes, &limits);

        assert_eq!(field, expected);
        assert!(what.contains(&format!("`requests.{setting}`")), "{what}");
    }
    let explained = v1::ExplainPlanRequest {
        request: Some(saying(&["a", "b"])),
    };
    let few = ElementLimits {
        max_messages: 1,
        ..ElementLimits::default()
    };
    let (field, _) = refusal(EXPLAIN, &explained.encode_to_vec(), &few);
    assert_eq!(field, "request.messages");
    let stops = v1::GenerateRequest {
        sampling: Some(v1::SamplingParams {
            stop_sequences: vec![String::new(); 17],
            ..v1::SamplingParams::default()
        }),
        ..saying(&["a"])
    };
    let (field, what) = refusal(GENERATE, &stops.encode_to_vec(), &ElementLimits::default());
    assert_eq!(
        (field.as_str(), what.as_str()),
        ("sampling.stop_sequences", "use at most 16")
    );
}

#[test]
fn what_cannot_be_read_is_told_with_its_field() {
    let three = saying(&["a", "b", "c"]).encode_to_vec();
    let mut cut = three.clone();
    let last = cut.len() - 2;
    cut[last] = 0x7f;
    let groups = [0x9b, 0x06].repeat(200);
    for (bytes, field) in [
        (&cut[..], "messages[2].text"),
        (&three[..three.len() - 1], "messages"),
        (&[0x08, 1], "scenario"),
        (&[0x1a, 2, 0x08], "messages"),
        (&[0x1a, 1, 0x08], "messages[0].role"),
        (&[0, 0], "message"),
        (&[0xff; 11], "message"),
        (&[0x0f], "scenario"),
        (&[0x9c, 0x06], "message"),
        (&groups, "message"),
    ] {
        let (refused, what) = refusal(GENERATE, bytes, &ElementLimits::default());

        assert!(
            refused == field || refused.starts_with(&format!("{field}[")),
            "{refused}: {field}"
        );
        assert!(what.starts_with("it cannot be read: "), "{what}");
    }
}

#[test]
fn depth_has_an_end() {
    let nested = |depth| {
        let mut value = prost_types::Value::from(1.0);
        for _ in 0..depth {
            let kind = prost_types::value::Kind::ListValue(prost_types::ListValue {
                values: vec![value],
            });
            value = prost_types::Value { kind: Some(kind) };
        }
        let object = prost_types::Struct {
            fields: [("a".to_owned(), value)].into(),
        };
        v1::GenerateRequest {
            response_format: Some(v1::ResponseFormat {
                format: Some(v1::response_format::Format::JsonSchema(
                    v1::JsonSchemaFormat {
                        schema: Some(v1::JsonSchema {
                            schema: Some(v1::json_schema::Schema::Object(object)),
                        }),
                        ..v1::JsonSchemaFormat::default()
                    },
                )),
            }),
            ..v1::GenerateRequest::default()
        }
        .encode_to_vec()
    };

    for depth in [10, 40, 45, 46, 47, 48, 50, 60] {
        let counted = count(GENERATE, &nested(depth), &ElementLimits::default());
        let decoded = v1::GenerateRequest::decode(&*nested(depth));
        assert_eq!(counted.is_ok(), decoded.is_ok(), "{depth}");
    }
    let (field, _) = refusal(GENERATE, &nested(300), &ElementLimits::default());
    assert!(
        field.starts_with("response_format.json_schema.schema.object.fields[0]"),
        "{field}"
    );
}

/// What the walk accepts, the decoder does but for texts that are no UTF-8, and the other way round.
fn agrees(bytes: &[u8]) {
    let counted = count(GENERATE, bytes, &ElementLimits::default());
    let contract = contract();
    let mut pieces = Walk::new(contract.method(GENERATE).unwrap(), None);
    let in_pieces = bytes
        .chunks(1 + bytes.len() % 3)
        .try_for_each(|piece| pieces.read(&contract, &ElementLimits::default(), piece))
        .and_then(|()| pieces.finish(&contract, &ElementLimits::default()));
    assert_eq!(in_pieces.is_ok(), counted.is_ok());
    if let (Ok(in_pieces), Ok(counted)) = (&in_pieces, &counted) {
        assert_eq!(in_pieces, counted);
    }
    match (v1::GenerateRequest::decode(bytes), counted) {
        (Ok(request), Ok(count)) => {
            assert_eq!(count.messages, request.messages.len());
            assert_eq!(count.tools, request.tools.len());
        }
        (Err(error), Ok(_)) => assert!(error.to_string().contains("UTF-8"), "{error}"),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("{error}: {bytes:?}"),
    }
}

proptest! {
    #[test]
    fn the_walk_agrees_with_the_decoder_on_damaged_messages(bytes in damaged()) {
        agrees(&bytes);
    }

    #[test]
    fn the_walk_agrees_with_the_decoder_on_any_bytes(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..0x30], 0..40),
    ) {
        agrees(&bytes);
    }
}
