//! Does a good request arrive as it was meant, field by field?

use serde_json::json;

use super::*;
use crate::chat::{
    self, FunctionTool, ImageDetail, MediaSource, Part, ReasoningEffort, ReasoningOptions,
    ResponseFormat, Role, Sampling, Tool, ToolChoice,
};
use crate::dispatch::AskedLimits;

/// A request that sets every field there is.
pub(in crate::grpc) fn complete() -> v1::GenerateRequest {
    use v1::Role;
    let strict = v1::FunctionTool {
        name: "look_up".to_owned(),
        description: "Looks something up".to_owned(),
        parameters: Some(schema(r#"{"type": "object", "b": 1, "a": 1.50}"#)),
        strict: true,
    };
    v1::GenerateRequest {
        stream_options: Some(v1::StreamOptions {
            on_interruption: v1::OnInterruption::Restart.into(),
        }),
        scenario: "general".to_owned(),
        model: String::new(),
        messages: vec![
            say(Role::System, "Be brief"),
            message(
                Role::User,
                [
                    Piece::Text("What is this?".to_owned()),
                    Piece::Image(v1::Media {
                        source: data(b"png"),
                        media_type: "image/png".to_owned(),
                        filename: "cat.png".to_owned(),
                        detail: v1::ImageDetail::High.into(),
                    }),
                    Piece::Document(v1::Media {
                        source: uri("gs://bucket/cat.pdf"),
                        media_type: "application/pdf".to_owned(),
                        filename: String::new(),
                        detail: v1::ImageDetail::Low.into(),
                    }),
                ],
            ),
            message(
                Role::Assistant,
                [
                    Piece::Reasoning(v1::Reasoning {
                        text: "hm".to_owned(),
                        signature: Bytes::from_static(b"signed"),
                        provider: "anthropic".to_owned(),
                    }),
                    Piece::ToolCall(v1::ToolCall {
                        id: "1".to_owned(),
                        name: "look_up".to_owned(),
                        arguments_json: "{\"cut".to_owned(),
                        signature: Bytes::from_static(b"stamped"),
                        provider: "gemini".to_owned(),
                    }),
                ],
            ),
            message(
                Role::Tool,
                [Piece::ToolResult(v1::ToolResult {
                    tool_call_id: "1".to_owned(),
                    content: vec![v1::ContentPart {
                        part: Some(Piece::Text("a cat".to_owned())),
                        ..v1::ContentPart::default()
                    }],
                    is_error: true,
                })],
            ),
            message(
                Role::Assistant,
                [Piece::Refusal("I'd rather not".to_owned())],
            ),
            user("Please"),
        ],
        tools: vec![
            v1::Tool {
                tool: Some(v1::tool::Tool::Function(strict)),
                cache_breakpoint: Some(v1::CacheBreakpoint {
                    retention: v1::CacheRetention::Long.into(),
                }),
                provider_options: vec![options()],
            },
            function("ping", None),
        ],
        tool_choice: choose(v1::tool_choice::Choice::FunctionName("ping".to_owned())),
        parallel_tool_calls: Some(false),
        response_format: Some(v1::ResponseFormat {
            format: Some(v1::response_format::Format::JsonSchema(
                v1::JsonSchemaFormat {
                    description: String::new(),
                    name: "animal".to_owned(),
                    schema: Some(schema("{}")),
                    strict: true,
                },
            )),
        }),
        sampling: Some(v1::SamplingParams {
            max_output_tokens: Some(100),
            temperature: Some(0.0),
            top_p: Some(1.0),
            top_k: Some(40),
            frequency_penalty: Some(-2.0),
            presence_penalty: Some(2.0),
            seed: Some(-7),
            stop_sequences: vec!["END".to_owned()],
            top_logprobs: Some(5),
        }),
        reasoning: Some(v1::ReasoningOptions {
            effort: v1::ReasoningEffort::Max.into(),
            max_reasoning_tokens: Some(50),
            include_reasoning: true,
        }),
        labels: [("product".to_owned(), "search".to_owned())].into(),
        limits: Some(v1::CallLimits {
            max_cost: Some(v1::Cost {
                currency_code: "USD".to_owned(),
                amount_nanos: 500,
                ..v1::Cost::default()
            }),
            max_attempts: Some(2),
            max_time_to_first_token: Some(prost_types::Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
            max_gap_between_chunks: seconds(3),
        }),
        idempotency_key: "order 7".to_owned(),
        conversation_id: "talk 7".to_owned(),
        priority: v1::Priority::Batch.into(),
        end_user_id: "user 7".to_owned(),
        prompt_cache_key: "key 7".to_owned(),
        prompt_cache_retention: v1::CacheRetention::Short.into(),
        service_tier: v1::ServiceTier::Flex.into(),
        verbosity: v1::Verbosity::High.into(),
        provider_options: vec![options()],
        include_provider_metadata: true,
    }
}

#[test]
fn a_complete_request_is_taken_over_field_by_field() {
    let CallRequest {
        selector,
        request,
        limits,
        interruption,
        priority,
        labels,
        conversation_id,
    } = parse(complete()).unwrap();

    assert_eq!(selector, Selector::Scenario("general".to_owned()));
    assert_eq!(interruption, crate::dispatch::Interruption::Restart);
    assert_eq!(priority, crate::caller::Priority::Batch);
    assert_eq!(labels, [("product".into(), "search".into())].into());
    assert_eq!(conversation_id, "talk 7");
    let chat::ChatRequest {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
        marks,
        end_user_id,
        prompt_cache_key,
        prompt_cache_retention,
        service_tier,
        verbosity,
        options,
        wants_metadata,
    } = request;
    let mark = marks.of_tool(0).unwrap();
    assert_eq!(mark.cache, Some(chat::CacheRetention::Long));
    assert_eq!(mark.options, options);
    assert_eq!(
        options,
        [chat::ProviderOptions {
            target: "anthropic".to_owned(),
            fields: r#"{"b": 1.0, "a": 2}"#.to_owned(),
            optional: true,
        }]
    );
    assert_eq!((&*end_user_id, &*prompt_cache_key), ("user 7", "key 7"));
    assert_eq!(prompt_cache_retention, Some(chat::CacheRetention::Short));
    assert_eq!(service_tier, Some(chat::ServiceTier::Flex));
    assert_eq!(verbosity, Some(chat::Verbosity::High));
    assert!(wants_metadata);
    assert_eq!(messages, neutral_messages());
    assert_eq!(
        tools,
        [
            Tool::Function(FunctionTool {
                name: "look_up".to_owned(),
                description: "Looks something up".to_owned(),
                parameters: Some(r#"{"type": "object", "b": 1, "a": 1.50}"#.to_owned()),
                strict: true,
            }),
            Tool::Function(FunctionTool {
                name: "ping".to_owned(),
                description: String::new(),
                parameters: None,
                strict: false,
            }),
        ]
    );
    assert_eq!(tool_choice, ToolChoice::Function("ping".to_owned()));
    assert_eq!(parallel_tool_calls, Some(false));
    assert_eq!(
        response_format,
        ResponseFormat::JsonSchema {
            description: String::new(),
            name: "animal".to_owned(),
            schema: "{}".to_owned(),
            strict: true,
        }
    );
    assert_eq!(
        sampling,
        Sampling {
            max_output_tokens: Some(100),
            temperature: Some(0.0),
            top_p: Some(1.0),
            top_k: Some(40),
            frequency_penalty: Some(-2.0),
            presence_penalty: Some(2.0),
            seed: Some(-7),
            stop_sequences: vec!["END".to_owned()],
            top_logprobs: Some(5),
        }
    );
    assert_eq!(
        reasoning,
        ReasoningOptions {
            effort: Some(ReasoningEffort::Max),
            max_tokens: Some(50),
            include: true,
        }
    );
    assert_eq!(
        limits,
        AskedLimits {
            max_cost: Some(500),
            max_attempts: Some(2),
            first_content: Some(std::time::Duration::from_millis(1500)),
            progress_idle: Some(std::time::Duration::from_secs(3)),
        }
    );
}

fn options() -> v1::ProviderOptions {
    v1::ProviderOptions {
        target: "anthropic".to_owned(),
        fields: Some(v1::JsonObject {
            value: Some(v1::json_object::Value::Text(
                r#"{"b": 1.0, "a": 2}"#.to_owned(),
            )),
        }),
        optional: true,
    }
}

fn neutral_messages() -> Vec<chat::Message> {
    let message = |role, parts| chat::Message { role, parts };
    vec![
        message(Role::System, vec![Part::Text("Be brief".to_owned())]),
        message(
            Role::User,
            vec![
                Part::Text("What is this?".to_owned()),
                Part::Image(chat::Media {
                    source: MediaSource::Data(Bytes::from_static(b"png")),
                    media_type: "image/png".to_owned(),
                    filename: "cat.png".to_owned(),
                    detail: ImageDetail::High,
                }),
                Part::Document(chat::Media {
                    source: MediaSource::Uri("gs://bucket/cat.pdf".to_owned()),
                    media_type: "application/pdf".to_owned(),
                    filename: String::new(),
                    detail: ImageDetail::Low,
                }),
            ],
        ),
        message(
            Role::Assistant,
            vec![
                Part::Reasoning(chat::Reasoning {
                    text: "hm".to_owned(),
                    signature: Bytes::from_static(b"signed"),
                    provider: "anthropic".to_owned(),
                }),
                Part::ToolCall(chat::ToolCall {
                    id: "1".to_owned(),
                    name: "look_up".to_owned(),
                    arguments: "{\"cut".to_owned(),
                    signature: Bytes::from_static(b"stamped"),
                    provider: "gemini".to_owned(),
                }),
            ],
        ),
        message(
            Role::Tool,
            vec![Part::ToolResult(chat::ToolResult {
                tool_call_id: "1".to_owned(),
                tool_name: "look_up".to_owned(),
                content: vec![Part::Text("a cat".to_owned())],
                is_error: true,
            })],
        ),
        message(
            Role::Assistant,
            vec![Part::Refusal("I'd rather not".to_owned())],
        ),
        message(Role::User, vec![Part::Text("Please".to_owned())]),
    ]
}

#[test]
fn what_is_left_out_is_left_to_the_provider() {
    let CallRequest {
        selector: _,
        request,
        limits,
        interruption: _,
        priority,
        labels,
        conversation_id,
    } = parse(good()).unwrap();

    let messages = vec![chat::Message {
        role: Role::User,
        parts: vec![Part::Text("Hello".to_owned())],
    }];
    assert_eq!(
        request,
        chat::ChatRequest {
            messages,
            ..chat::ChatRequest::default()
        }
    );
    assert_eq!(limits, AskedLimits::default());
    assert_eq!(priority, crate::caller::Priority::Default);
    assert!(labels.is_empty());
    assert_eq!(conversation_id, "");
}

#[test]
fn a_schema_given_as_an_object_becomes_json_with_whole_numbers() {
    use prost_types::value::Kind;
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let list = prost_types::ListValue {
        values: vec![value(Kind::BoolValue(true)), value(Kind::NullValue(0))],
    };
    let inner = prost_types::Struct {
        fields: [("half".to_owned(), value(Kind::NumberValue(0.5)))].into(),
    };
    let object = prost_types::Struct {
        fields: [
            (
                "type".to_owned(),
                value(Kind::StringValue("object".to_owned())),
            ),
            ("maxLength".to_owned(), value(Kind::NumberValue(12.0))),
            ("list".to_owned(), value(Kind::ListValue(list))),
            ("inner".to_owned(), value(Kind::StructValue(inner))),
            ("unset".to_owned(), prost_types::Value { kind: None }),
        ]
        .into(),
    };
    let parameters = v1::JsonSchema {
        schema: Some(v1::json_schema::Schema::Object(object)),
    };

    let parsed = parse(with_tools([function("f", Some(parameters))])).unwrap();

    let text = parsed.request.tools[0]
        .function()
        .unwrap()
        .parameters
        .clone()
        .unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        json!({
            "type": "object",
            "maxLength": 12,
            "list": [true, null],
            "inner": {"half": 0.5},
            "unset": null,
        })
    );
    assert!(text.contains(r#""maxLength":12,"#), "{text}");
}

#[test]
fn a_format_of_json_without_a_name_is_called_answer() {
    let parsed = parse(formatted(answer_of("", Some(schema("{}"))))).unwrap();

    assert_eq!(
        parsed.request.response_format,
        ResponseFormat::JsonSchema {
            description: String::new(),
            name: "answer".to_owned(),
            schema: "{}".to_owned(),
            strict: false,
        }
    );
}

#[test]
fn a_model_may_be_named_in_place_of_a_scenario() {
    let request = v1::GenerateRequest {
        scenario: String::new(),
        model: "openai/gpt".to_owned(),
        ..good()
    };

    assert_eq!(
        parse(request).unwrap().selector,
        Selector::Model("openai/gpt".to_owned())
    );
}

#[test]
fn an_answer_that_said_nothing_may_be_appended_and_ids_may_come_again() {
    let turn = |name: &str| {
        let call = Piece::ToolCall(v1::ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            ..v1::ToolCall::default()
        });
        [
            super::message(v1::Role::Assistant, [call]),
            super::message(v1::Role::Tool, [found("1")]),
        ]
    };
    let empty = v1::Message {
        role: v1::Role::Assistant.into(),
        ..v1::Message::default()
    };
    let mut request = good();
    request.messages.push(empty);
    request.messages.extend(turn("look_up"));
    request.messages.extend(turn("write_down"));

    let parsed = parse(request).unwrap();

    assert_eq!(parsed.request.messages[1].parts, []);
    let names: Vec<_> = parsed.request.messages[2..]
        .iter()
        .filter_map(|message| match &message.parts[..] {
            [Part::ToolResult(result)] => Some(result.tool_name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["look_up", "write_down"]);
}
