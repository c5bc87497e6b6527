//! Is every fault told by the path of its field and by its remedy, and no other?

use super::*;
use crate::check::MAX_FAULTS;
use crate::error::Violation;

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
        (
            "idempotency_key",
            "use at most 128 printable ASCII characters",
            v1::GenerateRequest {
                idempotency_key: "x".repeat(129),
                ..good()
            },
        ),
        (
            "priority",
            "use PRIORITY_CRITICAL, PRIORITY_DEFAULT, PRIORITY_BATCH or PRIORITY_SHADOW",
            v1::GenerateRequest {
                priority: 5,
                ..good()
            },
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
        parts: vec![v1::ContentPart {
            part: None,
            ..v1::ContentPart::default()
        }],
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
fn a_conversation_does_not_end_with_what_the_model_said() {
    use v1::Role;

    assert_faults([(
        "messages[1].role",
        "the last message must come from the user or a tool: models do not continue a given beginning",
        talk([user("Hello"), say(Role::Assistant, "Good")]),
    )]);
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
            "a user message holds `text`, `image`, `document`, `audio` and `video` parts only",
            talk([message(Role::User, [reasoning("openai")])]),
        ),
        (
            "messages[0].parts[1]",
            "an assistant message holds no `document` and no `tool_result` parts",
            talk([
                message(
                    Role::Assistant,
                    [
                        Piece::Text("Look".to_owned()),
                        Piece::Document(v1::Media {
                            source: uri("https://example.com/a.pdf"),
                            ..v1::Media::default()
                        }),
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
            "messages[1].parts[2].tool_result.tool_call_id",
            no_call,
            talk([
                message(Role::Assistant, [call("1"), call("1")]),
                message(Role::Tool, [found("1"), found("1"), found("1")]),
            ]),
        ),
        (
            "messages[0].parts[1].tool_call",
            no_result,
            talk([
                message(Role::Assistant, [call("1"), call("1")]),
                message(Role::Tool, [found("1")]),
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
            "a tool result holds `text`, `image`, `document`, `audio` and `video` parts only",
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
            "set `data`, `uri` or `file`",
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
            "set `data`, `uri` or `file`",
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
            "set one kind of tool, such as `function`",
            with_tools([v1::Tool {
                tool: None,
                ..v1::Tool::default()
            }]),
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
            "set `mode`, `function_name` or `allowed`",
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
