use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::*;
use crate::chat::{
    self, ImageDetail, MediaSource, Part, ReasoningEffort, ReasoningOptions, ResponseFormat, Role,
    Sampling, Tool, ToolChoice,
};
use v1::content_part::Part as Piece;

fn say(role: v1::Role, text: &str) -> v1::Message {
    v1::Message {
        role: role.into(),
        text: text.to_owned(),
        parts: Vec::new(),
    }
}

fn message(role: v1::Role, pieces: impl IntoIterator<Item = Piece>) -> v1::Message {
    let part = |piece| v1::ContentPart { part: Some(piece) };
    v1::Message {
        role: role.into(),
        text: String::new(),
        parts: pieces.into_iter().map(part).collect(),
    }
}

fn user(text: &str) -> v1::Message {
    say(v1::Role::User, text)
}

fn call(id: &str) -> Piece {
    Piece::ToolCall(v1::ToolCall {
        id: id.to_owned(),
        name: "look_up".to_owned(),
        arguments_json: "{}".to_owned(),
        ..v1::ToolCall::default()
    })
}

fn result(id: &str, pieces: impl IntoIterator<Item = Piece>) -> Piece {
    let part = |piece| v1::ContentPart { part: Some(piece) };
    Piece::ToolResult(v1::ToolResult {
        tool_call_id: id.to_owned(),
        content: pieces.into_iter().map(part).collect(),
        is_error: false,
    })
}

fn found(id: &str) -> Piece {
    result(id, [Piece::Text("found".to_owned())])
}

fn image(source: Option<v1::media::Source>, media_type: &str) -> Piece {
    Piece::Image(v1::Media {
        source,
        media_type: media_type.to_owned(),
        ..v1::Media::default()
    })
}

fn data(bytes: &'static [u8]) -> Option<v1::media::Source> {
    Some(v1::media::Source::Data(Bytes::from_static(bytes)))
}

fn uri(uri: &str) -> Option<v1::media::Source> {
    Some(v1::media::Source::Uri(uri.to_owned()))
}

fn schema(text: &str) -> v1::JsonSchema {
    v1::JsonSchema {
        schema: Some(v1::json_schema::Schema::Text(text.to_owned())),
    }
}

fn function(name: &str, parameters: Option<v1::JsonSchema>) -> v1::Tool {
    v1::Tool {
        tool: Some(v1::tool::Tool::Function(v1::FunctionTool {
            name: name.to_owned(),
            parameters,
            ..v1::FunctionTool::default()
        })),
    }
}

fn choose(choice: v1::tool_choice::Choice) -> Option<v1::ToolChoice> {
    Some(v1::ToolChoice {
        choice: Some(choice),
    })
}

fn answer_of(name: &str, schema: Option<v1::JsonSchema>) -> Option<v1::response_format::Format> {
    Some(v1::response_format::Format::JsonSchema(
        v1::JsonSchemaFormat {
            name: name.to_owned(),
            schema,
            strict: false,
        },
    ))
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// A request in which nothing is wrong.
fn good() -> v1::GenerateRequest {
    v1::GenerateRequest {
        scenario: "general".to_owned(),
        messages: vec![user("Hello")],
        ..v1::GenerateRequest::default()
    }
}

fn talk(messages: impl IntoIterator<Item = v1::Message>) -> v1::GenerateRequest {
    v1::GenerateRequest {
        messages: messages.into_iter().collect(),
        ..good()
    }
}

fn sampled(sampling: v1::SamplingParams) -> v1::GenerateRequest {
    v1::GenerateRequest {
        sampling: Some(sampling),
        ..good()
    }
}

fn limited(limits: v1::CallLimits) -> v1::GenerateRequest {
    v1::GenerateRequest {
        limits: Some(limits),
        ..good()
    }
}

fn with_tools(tools: impl IntoIterator<Item = v1::Tool>) -> v1::GenerateRequest {
    v1::GenerateRequest {
        tools: tools.into_iter().collect(),
        ..good()
    }
}

fn formatted(format: Option<v1::response_format::Format>) -> v1::GenerateRequest {
    v1::GenerateRequest {
        response_format: Some(v1::ResponseFormat { format }),
        ..good()
    }
}

fn faults(request: v1::GenerateRequest) -> Vec<(String, String)> {
    match parse(request) {
        Ok(_) => Vec::new(),
        Err(Error::InvalidRequest(violations)) => violations
            .into_iter()
            .map(|Violation { field, what }| (field, what))
            .collect(),
        Err(other) => panic!("{other}"),
    }
}

/// Each request has one fault, which is told by these words.
fn assert_faults<const N: usize>(table: [(&str, &str, v1::GenerateRequest); N]) {
    for (field, what, request) in table {
        assert_eq!(
            faults(request),
            [(field.to_owned(), what.to_owned())],
            "{field}"
        );
    }
}

#[test]
fn a_request_names_one_policy_and_says_something() {
    let selected = |scenario: &str, model: &str| v1::GenerateRequest {
        scenario: scenario.to_owned(),
        model: model.to_owned(),
        ..good()
    };
    let conversation = |id: String| v1::GenerateRequest {
        conversation_id: id,
        ..good()
    };

    assert_faults([
        (
            "scenario",
            "set `scenario`, or `model` to bypass it",
            selected("", ""),
        ),
        (
            "model",
            "set either `scenario` or `model`, not both",
            selected("general", "openai/gpt"),
        ),
        ("messages", "add at least one message", talk([])),
        (
            "conversation_id",
            "use at most 128 printable ASCII characters",
            conversation("x".repeat(129)),
        ),
        (
            "conversation_id",
            "use at most 128 printable ASCII characters",
            conversation("two\nlines".to_owned()),
        ),
    ]);
}

#[test]
fn messages_have_a_role_and_either_text_or_parts() {
    use v1::Role;
    let nobody = v1::Message {
        role: 99,
        ..user("Hello")
    };
    let both = v1::Message {
        text: "Hello".to_owned(),
        ..message(Role::User, [Piece::Text("Hello".to_owned())])
    };
    let no_kind = v1::Message {
        parts: vec![v1::ContentPart { part: None }],
        ..message(Role::User, [])
    };

    assert_faults([
        (
            "messages[0].role",
            "use ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL",
            talk([say(Role::Unspecified, "Hello")]),
        ),
        (
            "messages[0].role",
            "use ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT or ROLE_TOOL",
            talk([nobody]),
        ),
        (
            "messages[1]",
            "set `text` or `parts`",
            talk([user("Hello"), user("")]),
        ),
        (
            "messages[0]",
            "set either `text` or `parts`, not both",
            talk([both]),
        ),
        (
            "messages[0].parts[0]",
            "set one kind of part, such as `text`",
            talk([no_kind]),
        ),
        (
            "messages[0].parts[0].text",
            "must not be empty; leave the part out",
            talk([message(Role::User, [Piece::Text(String::new())])]),
        ),
        (
            "messages[0].parts[0].refusal",
            "must not be empty; leave the part out",
            talk([
                message(Role::Assistant, [Piece::Refusal(String::new())]),
                user("Why?"),
            ]),
        ),
    ]);
}

#[test]
fn messages_stand_in_an_order_that_every_provider_takes() {
    use v1::Role;

    assert_faults([
        (
            "messages[1].role",
            "system messages must stand before all others",
            talk([user("Hello"), say(Role::System, "Be brief"), user("Well?")]),
        ),
        (
            "messages",
            "add a user message after the system messages",
            talk([say(Role::System, "Be brief")]),
        ),
        (
            "messages[1].role",
            "the last message must come from the user or a tool: models do not continue a given beginning",
            talk([user("Hello"), say(Role::Assistant, "Good")]),
        ),
    ]);
}

#[test]
fn each_role_holds_its_own_kinds_of_parts() {
    use v1::Role;
    let reasoning = |provider: &str| {
        Piece::Reasoning(v1::Reasoning {
            provider: provider.to_owned(),
            text: "hm".to_owned(),
            ..v1::Reasoning::default()
        })
    };

    assert_faults([
        (
            "messages[0].parts[0]",
            "a system message holds `text` parts only",
            talk([
                message(Role::System, [image(data(b"png"), "image/png")]),
                user("Hello"),
            ]),
        ),
        (
            "messages[0].parts[0]",
            "a user message holds `text`, `image` and `document` parts only",
            talk([message(Role::User, [reasoning("openai")])]),
        ),
        (
            "messages[0].parts[1]",
            "an assistant message holds `text`, `reasoning`, `refusal` and `tool_call` parts only",
            talk([
                message(
                    Role::Assistant,
                    [
                        Piece::Text("Look".to_owned()),
                        image(data(b"png"), "image/png"),
                    ],
                ),
                user("Nice"),
            ]),
        ),
        (
            "messages[0].text",
            "a tool message holds `tool_result` parts only",
            talk([say(Role::Tool, "42"), user("Hello")]),
        ),
        (
            "messages[0].parts[0].reasoning.provider",
            "name the provider that produced the reasoning, as the answer did",
            talk([message(Role::Assistant, [reasoning("")]), user("Go on")]),
        ),
    ]);
}

#[test]
fn every_tool_call_has_one_result_right_after_it() {
    use v1::Role;
    let signed = |provider: &str| {
        Piece::ToolCall(v1::ToolCall {
            id: "1".to_owned(),
            name: "look_up".to_owned(),
            signature: Bytes::from_static(b"signed"),
            provider: provider.to_owned(),
            ..v1::ToolCall::default()
        })
    };
    let nameless = Piece::ToolCall(v1::ToolCall {
        id: "1".to_owned(),
        ..v1::ToolCall::default()
    });
    let no_call =
        "must be the id of a tool call in the assistant message before, each answered once";
    let no_result = "has no result; add a ROLE_TOOL message with one right after it";

    assert_faults([
        (
            "messages[1].parts[0].tool_result.tool_call_id",
            no_call,
            talk([user("Hello"), message(Role::Tool, [found("1")])]),
        ),
        (
            "messages[1].parts[1].tool_result.tool_call_id",
            no_call,
            talk([
                message(Role::Assistant, [call("1")]),
                message(Role::Tool, [found("1"), found("1")]),
            ]),
        ),
        (
            "messages[0].parts[1].tool_call",
            no_result,
            talk([
                message(Role::Assistant, [call("1"), call("2")]),
                message(Role::Tool, [found("1")]),
                user("And?"),
            ]),
        ),
        (
            "messages[0].parts[0].tool_call",
            no_result,
            talk([message(Role::Assistant, [call("1")]), user("And?")]),
        ),
        (
            "messages[0].parts[1].tool_call.id",
            "another tool call of the conversation has the same id",
            talk([
                message(Role::Assistant, [call("1"), call("1")]),
                message(Role::Tool, [found("1"), found("1")]),
            ]),
        ),
        (
            "messages[0].parts[0].tool_call.id",
            "give the call the id that the answer gave it",
            talk([
                message(Role::Assistant, [call("")]),
                message(Role::Tool, [found("")]),
            ]),
        ),
        (
            "messages[0].parts[0].tool_call.name",
            "name the tool that is called",
            talk([
                message(Role::Assistant, [nameless]),
                message(Role::Tool, [found("1")]),
            ]),
        ),
        (
            "messages[0].parts[0].tool_call.provider",
            "name the provider that produced the signature",
            talk([
                message(Role::Assistant, [signed("")]),
                message(Role::Tool, [found("1")]),
            ]),
        ),
        (
            "messages[1].parts[0].tool_result.content[1]",
            "a tool result holds `text`, `image` and `document` parts",
            talk([
                message(Role::Assistant, [call("1")]),
                message(
                    Role::Tool,
                    [result(
                        "1",
                        [
                            Piece::Text("found".to_owned()),
                            Piece::Refusal("no".to_owned()),
                        ],
                    )],
                ),
            ]),
        ),
    ]);
}

#[test]
fn media_say_where_their_bytes_are_and_what_they_are() {
    use v1::Role;
    let show = |piece| talk([message(Role::User, [piece])]);
    let detailed = Piece::Image(v1::Media {
        source: data(b"png"),
        media_type: "image/png".to_owned(),
        detail: 7,
        ..v1::Media::default()
    });
    let document = Piece::Document(v1::Media {
        source: data(b"%PDF"),
        ..v1::Media::default()
    });

    assert_faults([
        (
            "messages[0].parts[0].image",
            "set `data` or `uri`",
            show(image(None, "image/png")),
        ),
        (
            "messages[0].parts[0].image.data",
            "must not be empty",
            show(image(data(b""), "image/png")),
        ),
        (
            "messages[0].parts[0].image.media_type",
            "name the media type of the data, such as `image/png`",
            show(image(data(b"png"), "")),
        ),
        (
            "messages[0].parts[0].image.media_type",
            "name the media type of the data, such as `image/png`",
            show(image(data(b"png"), "png")),
        ),
        (
            "messages[0].parts[0].document.media_type",
            "name the media type of the data, such as `image/png`",
            show(document),
        ),
        (
            "messages[0].parts[0].image.uri",
            "must begin with `https://`, `http://` or `gs://`; send other content as `data`",
            show(image(uri("file:///etc/passwd"), "")),
        ),
        (
            "messages[0].parts[0].image.media_type",
            "must look like `image/png`",
            show(image(uri("https://example.com/cat"), "cat")),
        ),
        (
            "messages[0].parts[0].image.detail",
            "use IMAGE_DETAIL_LOW or IMAGE_DETAIL_HIGH, or leave it out",
            show(detailed),
        ),
        (
            "messages[1].parts[0].tool_result.content[0].image",
            "set `data` or `uri`",
            talk([
                message(Role::Assistant, [call("1")]),
                message(Role::Tool, [result("1", [image(None, "")])]),
            ]),
        ),
    ]);
}

#[test]
fn tools_have_names_of_their_own_and_schemas_that_are_objects() {
    use v1::tool_choice::Choice;
    let chosen = |choice, tools: Vec<v1::Tool>| v1::GenerateRequest {
        tool_choice: choice,
        ..with_tools(tools)
    };
    let name = "use 1 to 64 letters, digits, `_` or `-`";

    assert_faults([
        (
            "tools[0]",
            "set `function`",
            with_tools([v1::Tool { tool: None }]),
        ),
        (
            "tools[0].function.name",
            name,
            with_tools([function("", None)]),
        ),
        (
            "tools[0].function.name",
            name,
            with_tools([function("look up", None)]),
        ),
        (
            "tools[0].function.name",
            name,
            with_tools([function(&"x".repeat(65), None)]),
        ),
        (
            "tools[1].function.name",
            "another tool has the same name",
            with_tools([function("look_up", None), function("look_up", None)]),
        ),
        (
            "tools[0].function.parameters",
            "set `text` or `object`",
            with_tools([function("f", Some(v1::JsonSchema { schema: None }))]),
        ),
        (
            "tools[0].function.parameters.text",
            "is not JSON: see line 2 column 1",
            with_tools([function("f", Some(schema("{\n]")))]),
        ),
        (
            "tools[0].function.parameters.text",
            "must be a JSON object",
            with_tools([function("f", Some(schema("true")))]),
        ),
        (
            "tool_choice",
            "set `mode` or `function_name`",
            chosen(Some(v1::ToolChoice { choice: None }), Vec::new()),
        ),
        (
            "tool_choice.mode",
            "use TOOL_CHOICE_MODE_AUTO, TOOL_CHOICE_MODE_NONE or TOOL_CHOICE_MODE_REQUIRED",
            chosen(choose(Choice::Mode(0)), Vec::new()),
        ),
        (
            "tool_choice.mode",
            "TOOL_CHOICE_MODE_REQUIRED needs at least one of `tools`",
            chosen(
                choose(Choice::Mode(v1::ToolChoiceMode::Required.into())),
                Vec::new(),
            ),
        ),
        (
            "tool_choice.function_name",
            "must be the name of one of `tools`",
            chosen(
                choose(Choice::FunctionName("other".to_owned())),
                vec![function("look_up", None)],
            ),
        ),
    ]);
}

#[test]
fn a_response_format_is_complete() {
    assert_faults([
        (
            "response_format",
            "set `text`, `json_object` or `json_schema`",
            formatted(None),
        ),
        (
            "response_format.json_schema.name",
            "use 1 to 64 letters, digits, `_` or `-`",
            formatted(answer_of("my answer", Some(schema("{}")))),
        ),
        (
            "response_format.json_schema.schema",
            "set the schema that the answer must follow",
            formatted(answer_of("", None)),
        ),
        (
            "response_format.json_schema.schema.text",
            "must be a JSON object",
            formatted(answer_of("", Some(schema("[]")))),
        ),
    ]);
}

#[test]
fn numbers_lie_within_their_range() {
    use v1::SamplingParams as Params;
    let params = Params::default;
    let limits = v1::CallLimits::default;
    let reasoned = |options| v1::GenerateRequest {
        reasoning: Some(options),
        ..good()
    };

    for temperature in [-0.1, 2.1, f64::NAN, f64::INFINITY] {
        assert_faults([(
            "sampling.temperature",
            "must lie between 0 and 2",
            sampled(Params {
                temperature: Some(temperature),
                ..params()
            }),
        )]);
    }
    for tokens in [0, -1, i32::MIN] {
        assert_faults([(
            "sampling.max_output_tokens",
            "must be at least 1",
            sampled(Params {
                max_output_tokens: Some(tokens),
                ..params()
            }),
        )]);
    }
    for (seconds, nanos) in [(0, 0), (-1, 0), (0, -1), (1, i32::MIN), (i64::MIN, 0)] {
        assert_faults([(
            "limits.max_time_to_first_token",
            "must be more than 0 seconds",
            limited(v1::CallLimits {
                max_time_to_first_token: Some(prost_types::Duration { seconds, nanos }),
                ..limits()
            }),
        )]);
    }
    assert_faults([
        (
            "sampling.top_p",
            "must lie between 0 and 1",
            sampled(Params {
                top_p: Some(1.1),
                ..params()
            }),
        ),
        (
            "sampling.top_k",
            "must be at least 1",
            sampled(Params {
                top_k: Some(0),
                ..params()
            }),
        ),
        (
            "sampling.frequency_penalty",
            "must lie between -2 and 2",
            sampled(Params {
                frequency_penalty: Some(-2.5),
                ..params()
            }),
        ),
        (
            "sampling.presence_penalty",
            "must lie between -2 and 2",
            sampled(Params {
                presence_penalty: Some(2.5),
                ..params()
            }),
        ),
        (
            "sampling.stop_sequences",
            "use at most 16",
            sampled(Params {
                stop_sequences: vec!["stop".to_owned(); 17],
                ..params()
            }),
        ),
        (
            "sampling.stop_sequences[1]",
            "must not be empty",
            sampled(Params {
                stop_sequences: vec!["stop".to_owned(), String::new()],
                ..params()
            }),
        ),
        (
            "reasoning.effort",
            "use one of the values of ReasoningEffort",
            reasoned(v1::ReasoningOptions {
                effort: 77,
                ..v1::ReasoningOptions::default()
            }),
        ),
        (
            "reasoning.max_reasoning_tokens",
            "must be at least 1",
            reasoned(v1::ReasoningOptions {
                max_reasoning_tokens: Some(0),
                ..v1::ReasoningOptions::default()
            }),
        ),
        (
            "limits.max_gap_between_chunks",
            "must be more than 0 seconds",
            limited(v1::CallLimits {
                max_gap_between_chunks: seconds(-5),
                ..limits()
            }),
        ),
        (
            "limits.max_attempts",
            "must be at least 1",
            limited(v1::CallLimits {
                max_attempts: Some(0),
                ..limits()
            }),
        ),
    ]);
}

#[test]
fn all_faults_are_told_at_once() {
    let request = v1::GenerateRequest {
        scenario: String::new(),
        messages: vec![say(v1::Role::Unspecified, "Hello"), user("")],
        tools: vec![function("look up", Some(schema("nonsense")))],
        sampling: Some(v1::SamplingParams {
            temperature: Some(9.0),
            ..v1::SamplingParams::default()
        }),
        conversation_id: "é".to_owned(),
        ..v1::GenerateRequest::default()
    };

    let fields: Vec<String> = faults(request)
        .into_iter()
        .map(|(field, _)| field)
        .collect();

    assert_eq!(
        fields,
        [
            "scenario",
            "tools[0].function.name",
            "tools[0].function.parameters.text",
            "messages[0].role",
            "messages[1]",
            "sampling.temperature",
            "conversation_id",
        ]
    );
}

#[test]
fn one_fault_does_not_draw_others_after_it() {
    use v1::Role;
    let mut both = message(Role::Assistant, [call("1")]);
    both.text = "Let me see".to_owned();
    let roleless = message(Role::Unspecified, [call("1")]);

    for (field, first) in [("messages[0]", both), ("messages[0].role", roleless)] {
        let request = talk([first, message(Role::Tool, [found("1")])]);

        let fields: Vec<String> = faults(request)
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, [field]);
    }
}

#[test]
fn a_request_that_is_wrong_everywhere_is_not_described_for_ever() {
    let request = talk((0..10_000).map(|_| user("")));

    assert_eq!(faults(request).len(), MAX_FAULTS);
}

/// A request that sets every field there is.
fn complete() -> v1::GenerateRequest {
    use v1::Role;
    let strict = v1::FunctionTool {
        name: "look_up".to_owned(),
        description: "Looks something up".to_owned(),
        parameters: Some(schema(r#"{"type": "object", "b": 1, "a": 1.50}"#)),
        strict: true,
    };
    v1::GenerateRequest {
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
            },
            function("ping", None),
        ],
        tool_choice: choose(v1::tool_choice::Choice::FunctionName("ping".to_owned())),
        parallel_tool_calls: Some(false),
        response_format: Some(v1::ResponseFormat {
            format: Some(v1::response_format::Format::JsonSchema(
                v1::JsonSchemaFormat {
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
        }),
        reasoning: Some(v1::ReasoningOptions {
            effort: v1::ReasoningEffort::Max.into(),
            max_reasoning_tokens: Some(50),
            include_reasoning: true,
        }),
        limits: Some(v1::CallLimits {
            max_attempts: Some(2),
            max_time_to_first_token: Some(prost_types::Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
            max_gap_between_chunks: seconds(3),
        }),
        conversation_id: "talk 7".to_owned(),
    }
}

#[test]
fn a_complete_request_is_taken_over_field_by_field() {
    let Parsed {
        selector,
        request,
        limits,
        conversation_id,
    } = parse(complete()).unwrap();

    assert_eq!(selector, Selector::Scenario("general".to_owned()));
    assert_eq!(conversation_id, "talk 7");
    let chat::ChatRequest {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
    } = request;
    assert_eq!(messages, neutral_messages());
    assert_eq!(
        tools,
        [
            Tool {
                name: "look_up".to_owned(),
                description: "Looks something up".to_owned(),
                parameters: Some(r#"{"type": "object", "b": 1, "a": 1.50}"#.to_owned()),
                strict: true,
            },
            Tool {
                name: "ping".to_owned(),
                description: String::new(),
                parameters: None,
                strict: false,
            },
        ]
    );
    assert_eq!(tool_choice, ToolChoice::Function("ping".to_owned()));
    assert_eq!(parallel_tool_calls, Some(false));
    assert_eq!(
        response_format,
        ResponseFormat::JsonSchema {
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
        Limits {
            max_attempts: Some(2),
            first_content: Some(std::time::Duration::from_millis(1500)),
            progress_idle: Some(std::time::Duration::from_secs(3)),
        }
    );
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
    let Parsed {
        selector: _,
        request,
        limits,
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
    assert_eq!(limits, Limits::default());
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

    let text = parsed.request.tools[0].parameters.clone().unwrap();
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

/// The complete request in bytes, with some of them changed: most still decode, to something odd.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20);
    changes.prop_map(|changes| {
        let mut bytes = complete().encode_to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

fn odd_numbers() -> impl Strategy<Value = v1::GenerateRequest> {
    let duration = || {
        prop::option::of((any::<i64>(), any::<i32>())).prop_map(|duration| {
            duration.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos })
        })
    };
    let limits = (any::<Option<i32>>(), duration(), duration()).prop_map(
        |(max_attempts, max_time_to_first_token, max_gap_between_chunks)| v1::CallLimits {
            max_attempts,
            max_time_to_first_token,
            max_gap_between_chunks,
        },
    );
    let sampling = (
        any::<Option<f64>>(),
        any::<Option<i32>>(),
        any::<Option<i64>>(),
    )
        .prop_map(|(temperature, top_k, seed)| v1::SamplingParams {
            temperature,
            top_k,
            seed,
            ..v1::SamplingParams::default()
        });
    (limits, sampling).prop_map(|(limits, sampling)| v1::GenerateRequest {
        limits: Some(limits),
        sampling: Some(sampling),
        ..good()
    })
}

/// What is refused is said to be so for at least one named field; what is accepted keeps its promises.
fn parse_soundly(request: v1::GenerateRequest) {
    match parse(request) {
        Ok(parsed) => {
            assert!(!parsed.request.messages.is_empty());
            for message in &parsed.request.messages {
                assert!(!message.parts.is_empty());
            }
            let temperature = parsed.request.sampling.temperature;
            assert!(temperature.is_none_or(|value| (0.0..=2.0).contains(&value)));
            assert_ne!(parsed.limits.first_content, Some(std::time::Duration::ZERO));
        }
        Err(Error::InvalidRequest(violations)) => {
            assert!((1..=MAX_FAULTS).contains(&violations.len()));
            for Violation { field, what } in violations {
                assert!(!field.is_empty() && !what.is_empty());
            }
        }
        Err(other) => panic!("{other}"),
    }
}

proptest! {
    #[test]
    fn no_message_makes_the_parser_panic(bytes in damaged()) {
        if let Ok(request) = v1::GenerateRequest::decode(bytes.as_slice()) {
            parse_soundly(request);
        }
    }

    #[test]
    fn no_number_makes_the_parser_panic(request in odd_numbers()) {
        parse_soundly(request);
    }
}
