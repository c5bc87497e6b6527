use serde_json::{Value, json};

use super::*;
use crate::chat::{
    ImageDetail, Media, MediaSource, Message, Part, Reasoning, ReasoningEffort, ReasoningOptions,
    Role, ToolCall, ToolResult,
};
use crate::features::Feature;
use crate::wire::openai_chat::{
    Documents, Effort, ReasoningControl, ReasoningHistory, SystemRole, ToolCallIds,
};

const TO: Recipient<'_> = Recipient {
    provider: "primary",
    model: "m-1",
    max_output_tokens: None,
    stream: false,
};

fn openai() -> Dialect {
    Dialect::default()
}

fn message(role: Role, parts: impl Into<Vec<Part>>) -> Message {
    Message {
        role,
        parts: parts.into(),
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        ..ToolCall::default()
    })
}

fn result(id: &str, name: &str, content: impl Into<Vec<Part>>) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.to_owned(),
        tool_name: name.to_owned(),
        content: content.into(),
        is_error: false,
    })
}

fn reasoning(provider: &str, text: &str, signature: &'static str) -> Part {
    Part::Reasoning(Reasoning {
        text: text.to_owned(),
        signature: Bytes::from_static(signature.as_bytes()),
        provider: provider.to_owned(),
    })
}

fn data(media_type: &str, filename: &str, detail: ImageDetail) -> Media {
    Media {
        source: MediaSource::Data(Bytes::from_static(b"\x00\xff>")),
        media_type: media_type.to_owned(),
        filename: filename.to_owned(),
        detail,
    }
}

fn uri(uri: &str) -> Media {
    Media {
        source: MediaSource::Uri(uri.to_owned()),
        media_type: String::new(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    }
}

fn conversation(messages: impl Into<Vec<Message>>) -> ChatRequest {
    ChatRequest {
        messages: messages.into(),
        ..ChatRequest::default()
    }
}

fn hi() -> ChatRequest {
    conversation([message(Role::User, [text("hi")])])
}

fn with_tool(request: ChatRequest) -> ChatRequest {
    ChatRequest {
        tools: vec![Tool {
            name: "now".into(),
            description: String::new(),
            parameters: None,
            strict: false,
        }],
        ..request
    }
}

/// The body and the fields that were adapted.
fn spelled_to(
    to: &Recipient<'_>,
    dialect: &Dialect,
    request: &ChatRequest,
) -> (Value, Vec<&'static str>) {
    let spelled = encode(dialect, request, to).unwrap();
    let fields = spelled.adaptations.iter().map(|done| done.field).collect();
    (serde_json::from_slice(&spelled.body).unwrap(), fields)
}

fn spelled(dialect: &Dialect, request: &ChatRequest) -> Value {
    let (body, adapted) = spelled_to(&TO, dialect, request);
    assert_eq!(adapted, [""; 0]);
    body
}

/// The written messages alone.
fn messages(dialect: &Dialect, messages: impl Into<Vec<Message>>) -> (Value, Vec<&'static str>) {
    let (mut body, adapted) = spelled_to(&TO, dialect, &conversation(messages));
    (body["messages"].take(), adapted)
}

fn refused(dialect: &Dialect, request: &ChatRequest) -> Unsupported {
    encode(dialect, request, &TO).unwrap_err()
}

#[test]
fn a_plain_request_holds_nothing_that_was_not_asked() {
    let spelled = encode(&openai(), &hi(), &TO).unwrap();

    assert_eq!(
        spelled.body,
        r#"{"model":"m-1","messages":[{"role":"user","content":"hi"}]}"#
    );
    assert_eq!(spelled.path, "/chat/completions");
    assert_eq!(spelled.headers[CONTENT_TYPE], "application/json");
}

#[test]
fn streams_are_asked_to_report_usage_where_the_host_takes_it() {
    let to = Recipient { stream: true, ..TO };
    let silent = Dialect {
        stream_usage: false,
        ..openai()
    };

    let (asked, _) = spelled_to(&to, &openai(), &hi());
    let (unasked, _) = spelled_to(&to, &silent, &hi());

    assert_eq!(asked["stream"], true);
    assert_eq!(asked["stream_options"], json!({ "include_usage": true }));
    assert_eq!(unasked["stream"], true);
    assert_eq!(unasked["stream_options"], Value::Null);
}

#[test]
fn sampling_is_spelled_field_by_field() {
    let request = ChatRequest {
        sampling: Sampling {
            max_output_tokens: Some(100),
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            frequency_penalty: Some(-1.0),
            presence_penalty: Some(1.5),
            seed: Some(-7),
            stop_sequences: vec!["a".into(), "b".into(), "c".into(), "d".into()],
        },
        ..hi()
    };
    let mistral = Dialect {
        output_cap: OutputCap::MaxTokens,
        seed: SeedField::RandomSeed,
        ..openai()
    };

    assert_eq!(
        spelled(&openai(), &request),
        json!({
            "model": "m-1",
            "messages": [{ "role": "user", "content": "hi" }],
            "max_completion_tokens": 100,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "frequency_penalty": -1.0,
            "presence_penalty": 1.5,
            "seed": -7,
            "stop": ["a", "b", "c", "d"],
        })
    );
    let body = spelled(&mistral, &request);
    assert_eq!(body["max_tokens"], 100);
    assert_eq!(body["random_seed"], -7);
    assert_eq!(body["max_completion_tokens"], Value::Null);
    assert_eq!(body["seed"], Value::Null);
}

#[test]
fn a_fifth_stop_sequence_is_refused() {
    let mut request = hi();
    request.sampling.stop_sequences = vec!["x".into(); 5];

    assert_eq!(
        refused(&openai(), &request),
        Unsupported::Value {
            field: "sampling.stop_sequences",
            why: "at most four stop sequences are accepted",
        }
    );
}

#[test]
fn tools_go_in_as_they_were_written() {
    let mut request = hi();
    request.tools = vec![
        Tool {
            name: "weather".into(),
            description: "Tells the weather".into(),
            parameters: Some(
                r#"{ "type": "object", "x": 1.0, "additionalProperties": false }"#.into(),
            ),
            strict: true,
        },
        Tool {
            name: "now".into(),
            description: String::new(),
            parameters: None,
            strict: false,
        },
    ];

    let spelled = encode(&openai(), &request, &TO).unwrap();

    let body = std::str::from_utf8(&spelled.body).unwrap();
    assert!(body.ends_with(concat!(
        r#""tools":[{"type":"function","function":{"name":"weather","#,
        r#""description":"Tells the weather","parameters":{ "type": "object", "x": 1.0, "additionalProperties": false },"#,
        r#""strict":true}},{"type":"function","function":{"name":"now"}}]}"#
    )));
}

#[test]
fn the_choice_of_a_tool_is_spelled_in_the_words_of_the_host() {
    let mistral = Dialect {
        required_tool_choice: RequiredWord::Any,
        ..openai()
    };
    let by_name = json!({ "type": "function", "function": { "name": "now" } });
    let cases = [
        (openai(), ToolChoice::Auto, Value::Null),
        (openai(), ToolChoice::None, json!("none")),
        (openai(), ToolChoice::Required, json!("required")),
        (mistral, ToolChoice::Required, json!("any")),
        (openai(), ToolChoice::Function("now".into()), by_name),
    ];

    for (dialect, tool_choice, expected) in cases {
        let request = ChatRequest {
            tool_choice,
            ..with_tool(hi())
        };

        assert_eq!(spelled(&dialect, &request)["tool_choice"], expected);
    }
}

#[test]
fn what_speaks_of_tools_is_left_out_where_there_are_none() {
    let request = ChatRequest {
        tool_choice: ToolChoice::None,
        parallel_tool_calls: Some(false),
        ..hi()
    };

    let alone = spelled(&openai(), &request);
    let with_tools = spelled(&openai(), &with_tool(request));

    assert_eq!(alone, spelled(&openai(), &hi()));
    assert_eq!(with_tools["parallel_tool_calls"], false);
}

#[test]
fn the_form_of_the_answer_is_spelled() {
    let schema = ResponseFormat::JsonSchema {
        name: "n".into(),
        schema: r#"{"type":"object","additionalProperties":false}"#.into(),
        strict: true,
    };
    let broken = ResponseFormat::JsonSchema {
        name: "n".into(),
        schema: "{".into(),
        strict: false,
    };
    let asking = |response_format| ChatRequest {
        response_format,
        ..hi()
    };

    let (body, adapted) = spelled_to(&TO, &openai(), &asking(ResponseFormat::JsonObject));
    assert_eq!(body["response_format"], json!({ "type": "json_object" }));
    assert_eq!(body["messages"][0]["content"], "Answer with a JSON object.");
    assert_eq!(adapted, ["response_format"]);
    let speaking_of_it = ChatRequest {
        response_format: ResponseFormat::JsonObject,
        ..conversation([message(Role::User, [text("Give me Json!")])])
    };
    let body = spelled(&openai(), &speaking_of_it);
    assert_eq!(body["messages"].as_array().unwrap().len(), 1);
    assert_eq!(
        spelled(&openai(), &asking(schema))["response_format"],
        json!({
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "schema": { "type": "object", "additionalProperties": false },
                "strict": true,
            },
        })
    );
    assert_eq!(
        refused(&openai(), &asking(broken)),
        Unsupported::Value {
            field: "response_format.json_schema.schema",
            why: "it is not JSON",
        }
    );
}

#[test]
fn instructions_bear_the_role_that_the_host_knows() {
    let developer = Dialect {
        system_role: SystemRole::Developer,
        ..openai()
    };
    let instructions = [
        message(Role::System, [text("be brief")]),
        message(Role::System, [text("be"), text("kind")]),
    ];

    assert_eq!(
        messages(&openai(), instructions.clone()).0,
        json!([
            { "role": "system", "content": "be brief\n\nbe\n\nkind" },
        ])
    );
    assert_eq!(messages(&developer, instructions).0[0]["role"], "developer");
}

#[test]
fn images_and_documents_are_sent_in_place() {
    let parts = [
        text("look"),
        Part::Image(data("image/png", "", ImageDetail::Auto)),
        Part::Image(data("image/png", "", ImageDetail::Low)),
        Part::Image(uri("https://example.com/a.jpg")),
        Part::Document(data("application/pdf", "a.pdf", ImageDetail::Auto)),
        Part::Document(data("application/pdf", "", ImageDetail::Auto)),
    ];

    assert_eq!(
        messages(&openai(), [message(Role::User, parts)]).0,
        json!([{ "role": "user", "content": [
            { "type": "text", "text": "look" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AP8+" } },
            { "type": "image_url", "image_url": {
                "url": "data:image/png;base64,AP8+",
                "detail": "low",
            } },
            { "type": "image_url", "image_url": { "url": "https://example.com/a.jpg" } },
            { "type": "file", "file": {
                "filename": "a.pdf",
                "file_data": "data:application/pdf;base64,AP8+",
            } },
            { "type": "file", "file": {
                "filename": "document",
                "file_data": "data:application/pdf;base64,AP8+",
            } },
        ] }])
    );
}

#[test]
fn documents_are_sent_as_the_host_takes_them() {
    let bytes = || data("application/pdf", "a.pdf", ImageDetail::Auto);
    let page = || uri("https://example.com/a.pdf");
    let none = Documents::None;
    let mistral = Documents::DocumentUrl;
    let refuses = |feature| Err(Unsupported::Feature(feature));
    let cases = [
        (none, bytes(), refuses(Feature::DocumentData)),
        (none, page(), refuses(Feature::DocumentUri)),
        (Documents::File, page(), refuses(Feature::DocumentUri)),
        (
            mistral,
            bytes(),
            Ok(json!({
                "type": "document_url",
                "document_url": "data:application/pdf;base64,AP8+",
                "document_name": "a.pdf",
            })),
        ),
        (
            mistral,
            page(),
            Ok(json!({
                "type": "document_url",
                "document_url": "https://example.com/a.pdf",
            })),
        ),
    ];

    for (documents, media, expected) in cases {
        let dialect = Dialect {
            documents,
            ..openai()
        };
        let request = conversation([message(Role::User, [Part::Document(media)])]);
        let spelled = encode(&dialect, &request, &TO).map(|spelled| {
            let body: Value = serde_json::from_slice(&spelled.body).unwrap();
            body["messages"][0]["content"][0].clone()
        });

        assert_eq!(spelled, expected, "{documents:?}");
    }
}

#[test]
fn tool_calls_and_results_keep_their_ids_and_texts() {
    let history = [
        message(
            Role::Assistant,
            [
                text("I look."),
                call("call_a", "weather", r#"{"city": "Oslo"}"#),
                call("call_b", "now", ""),
            ],
        ),
        message(
            Role::Tool,
            [
                result("call_b", "now", [text("noon")]),
                result("call_a", "weather", [text("cold"), text("wet")]),
            ],
        ),
        message(Role::Assistant, [call("call_c", "now", "{}")]),
        message(Role::Tool, [result("call_c", "now", [])]),
    ];

    assert_eq!(
        messages(&openai(), history).0,
        json!([
            { "role": "assistant", "content": "I look.", "tool_calls": [
                { "id": "call_a", "type": "function", "function": {
                    "name": "weather",
                    "arguments": "{\"city\": \"Oslo\"}",
                } },
                { "id": "call_b", "type": "function", "function": {
                    "name": "now",
                    "arguments": "{}",
                } },
            ] },
            { "role": "tool", "tool_call_id": "call_b", "content": "noon" },
            { "role": "tool", "tool_call_id": "call_a", "content": "cold\nwet" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_c", "type": "function", "function": {
                    "name": "now",
                    "arguments": "{}",
                } },
            ] },
            { "role": "tool", "tool_call_id": "call_c", "content": "" },
        ])
    );
}

#[test]
fn a_call_without_id_gets_one_and_its_result_the_same() {
    let history = || {
        [
            message(Role::Assistant, [call("", "a", "{}"), call("", "b", "{}")]),
            message(Role::Tool, [result("", "b", []), result("", "a", [])]),
        ]
    };
    let nine = Dialect {
        tool_call_ids: ToolCallIds::NineAlphanumerics,
        ..openai()
    };
    let ids = |spelled: &Value| {
        [
            spelled[0]["tool_calls"][0]["id"].clone(),
            spelled[0]["tool_calls"][1]["id"].clone(),
            spelled[2]["tool_call_id"].clone(),
            spelled[1]["tool_call_id"].clone(),
        ]
    };

    assert_eq!(
        ids(&messages(&openai(), history()).0),
        ["call_0", "call_1", "call_0", "call_1"]
    );
    let [a, b, of_a, of_b] = ids(&messages(&nine, history()).0);
    assert_eq!((&a, &b), (&of_a, &of_b));
    assert_ne!(a, b);
    assert_eq!(a.as_str().unwrap().len(), 9);
}

#[test]
fn what_a_tool_message_cannot_say_is_refused_or_told() {
    let image = Part::Image(uri("https://example.com/a.jpg"));
    let with_image = conversation([message(Role::Tool, [result("a", "t", [image])])]);
    let failed = Part::ToolResult(ToolResult {
        tool_call_id: "a".into(),
        tool_name: "t".into(),
        content: vec![text("no such city")],
        is_error: true,
    });

    assert_eq!(
        refused(&openai(), &with_image),
        Unsupported::Value {
            field: "messages.parts",
            why: "tool results are text only",
        }
    );
    assert_eq!(
        messages(&openai(), [message(Role::Tool, [failed])]),
        (
            json!([{ "role": "tool", "tool_call_id": "a", "content": "no such city" }]),
            vec!["messages.parts.tool_result.is_error"]
        )
    );
}

#[test]
fn a_refusal_goes_back_as_text() {
    let refusal = Part::Refusal("I cannot.".into());

    assert_eq!(
        messages(&openai(), [message(Role::Assistant, [refusal])]).0,
        json!([{ "role": "assistant", "content": "I cannot." }])
    );
}

#[test]
fn reasoning_goes_back_only_to_whom_made_it_and_takes_it() {
    let taking = |reasoning_history| Dialect {
        reasoning_history,
        ..openai()
    };
    let told = vec!["messages.parts.reasoning"];
    let plain = json!([{ "role": "assistant", "content": "4" }]);
    let cases = [
        (
            ReasoningHistory::None,
            "primary",
            plain.clone(),
            told.clone(),
        ),
        (ReasoningHistory::ReasoningContent, "other", plain, told),
        (
            ReasoningHistory::ReasoningContent,
            "primary",
            json!([{ "role": "assistant", "content": "4", "reasoning_content": "2 + 2" }]),
            vec![],
        ),
        (
            ReasoningHistory::Reasoning,
            "primary",
            json!([{ "role": "assistant", "content": "4", "reasoning": "2 + 2" }]),
            vec![],
        ),
        (
            ReasoningHistory::ReasoningDetails,
            "primary",
            json!([{ "role": "assistant", "content": "4", "reasoning_details": [
                { "type": "reasoning.text", "text": "2 " },
                { "type": "reasoning.text", "text": "+ 2" },
            ] }]),
            vec![],
        ),
    ];

    for (reasoning_history, provider, expected, told) in cases {
        let history = [message(
            Role::Assistant,
            [
                reasoning(provider, "2 ", ""),
                reasoning(provider, "+ 2", ""),
                text("4"),
            ],
        )];

        assert_eq!(
            messages(&taking(reasoning_history), history),
            (expected, told),
            "{reasoning_history:?}"
        );
    }
}

#[test]
fn signed_reasoning_goes_back_as_the_entry_that_signed_it() {
    let openrouter = Dialect {
        reasoning_history: ReasoningHistory::ReasoningDetails,
        ..openai()
    };
    let cases = [
        (
            "2 + 2",
            r#"{"type":"reasoning.text","signature":"s","index":0}"#,
            json!([{ "type": "reasoning.text", "signature": "s", "index": 0, "text": "2 + 2" }]),
        ),
        (
            "2 + 2 and then",
            r#"{"type":"reasoning.text","text":"2 + 2","signature":"s"}"#,
            json!([{ "type": "reasoning.text", "text": "2 + 2", "signature": "s" }]),
        ),
        (
            "2 + 2",
            r#"{"type":"reasoning.encrypted","data":"d"}"#,
            json!([
                { "type": "reasoning.text", "text": "2 + 2" },
                { "type": "reasoning.encrypted", "data": "d" },
            ]),
        ),
        (
            "",
            r#"{"type":"reasoning.encrypted","data":"d"}"#,
            json!([{ "type": "reasoning.encrypted", "data": "d" }]),
        ),
        (
            "2 + 2",
            "not ours",
            json!([{ "type": "reasoning.text", "text": "2 + 2" }]),
        ),
    ];

    for (thought, signature, expected) in cases {
        let parts = [
            reasoning("primary", thought, signature),
            call("c", "now", "{}"),
        ];
        let (spelled, _) = messages(&openrouter, [message(Role::Assistant, parts)]);

        assert_eq!(spelled[0]["reasoning_details"], expected);
    }
}

#[test]
fn a_turn_of_which_nothing_may_be_sent_is_left_out() {
    let history = [
        message(Role::User, [text("hi")]),
        message(Role::Assistant, [reasoning("other", "hm", "s")]),
    ];

    assert_eq!(
        messages(&openai(), history),
        (
            json!([{ "role": "user", "content": "hi" }]),
            vec!["messages.parts.reasoning"]
        )
    );
}

#[test]
fn the_signature_of_a_call_goes_back_only_to_whom_made_it() {
    let signed = |provider: &str| {
        Part::ToolCall(ToolCall {
            id: "c".into(),
            name: "now".into(),
            arguments: "{}".into(),
            signature: Bytes::from_static(b"sig"),
            provider: provider.to_owned(),
        })
    };
    let cases = [
        (
            "primary",
            json!({ "google": { "thought_signature": "sig" } }),
            vec![],
        ),
        (
            "other",
            Value::Null,
            vec!["messages.parts.tool_call.signature"],
        ),
    ];

    for (provider, expected, told) in cases {
        let history = [message(Role::Assistant, [signed(provider)])];
        let (spelled, adapted) = messages(&openai(), history);

        assert_eq!(spelled[0]["tool_calls"][0]["extra_content"], expected);
        assert_eq!(adapted, told);
    }
}

#[test]
fn reasoning_is_asked_for_in_the_fields_of_the_dialect() {
    use ReasoningControl as Control;
    let effort = |effort| ReasoningOptions {
        effort: Some(effort),
        ..ReasoningOptions::default()
    };
    let budget = ReasoningOptions {
        max_tokens: Some(512),
        include: true,
        ..ReasoningOptions::default()
    };
    let both = ReasoningOptions {
        effort: Some(ReasoningEffort::Low),
        ..budget.clone()
    };
    let neither = ReasoningOptions {
        effort: Some(ReasoningEffort::None),
        ..budget.clone()
    };
    let told = || vec!["reasoning.effort"];
    let cases = [
        (
            Control::None,
            ReasoningOptions::default(),
            json!({}),
            vec![],
        ),
        (
            Control::ReasoningEffort,
            effort(ReasoningEffort::Max),
            json!({ "reasoning_effort": "xhigh" }),
            vec![],
        ),
        (
            Control::ReasoningEffort,
            neither.clone(),
            json!({ "reasoning_effort": "none" }),
            vec![],
        ),
        (
            Control::ReasoningObject,
            ReasoningOptions::default(),
            json!({}),
            vec![],
        ),
        (
            Control::ReasoningObject,
            effort(ReasoningEffort::High),
            json!({ "reasoning": { "effort": "high", "exclude": true } }),
            vec![],
        ),
        (
            Control::ReasoningObject,
            both.clone(),
            json!({ "reasoning": { "max_tokens": 512 } }),
            told(),
        ),
        (
            Control::ReasoningObject,
            neither.clone(),
            json!({ "reasoning": { "effort": "none" } }),
            vec![],
        ),
        (
            Control::Thinking,
            effort(ReasoningEffort::Low),
            json!({ "thinking": { "type": "enabled" }, "reasoning_effort": "low" }),
            vec![],
        ),
        (
            Control::Thinking,
            effort(ReasoningEffort::None),
            json!({ "thinking": { "type": "disabled" } }),
            vec![],
        ),
        (
            Control::EnableThinking,
            budget,
            json!({ "enable_thinking": true, "thinking_budget": 512 }),
            vec![],
        ),
        (
            Control::EnableThinking,
            both,
            json!({ "enable_thinking": true, "thinking_budget": 512 }),
            told(),
        ),
        (
            Control::EnableThinking,
            neither,
            json!({ "enable_thinking": false }),
            vec![],
        ),
    ];

    for (control, reasoning, mut expected, told) in cases {
        let dialect = Dialect {
            reasoning: control,
            ..openai()
        };
        let request = ChatRequest {
            reasoning: reasoning.clone(),
            ..hi()
        };
        expected["model"] = json!("m-1");
        expected["messages"] = json!([{ "role": "user", "content": "hi" }]);

        assert_eq!(
            spelled_to(&TO, &dialect, &request),
            (expected, told),
            "{control:?} {reasoning:?}"
        );
    }
}

#[test]
fn reasoning_stays_in_the_answer_where_tools_will_need_it_back() {
    let openrouter = Dialect {
        reasoning: ReasoningControl::ReasoningObject,
        ..openai()
    };
    let request = ChatRequest {
        reasoning: ReasoningOptions {
            max_tokens: Some(512),
            ..ReasoningOptions::default()
        },
        ..with_tool(hi())
    };

    assert_eq!(
        spelled(&openrouter, &request)["reasoning"],
        json!({ "max_tokens": 512 })
    );
}

#[test]
fn an_effort_that_the_host_lacks_is_changed_and_told() {
    let asking = |effort| ChatRequest {
        reasoning: ReasoningOptions {
            effort: Some(effort),
            ..ReasoningOptions::default()
        },
        ..hi()
    };
    let mistral = Dialect {
        efforts: vec![Effort::None, Effort::High],
        ..openai()
    };
    let zai = Dialect {
        reasoning: ReasoningControl::Thinking,
        efforts: vec![],
        ..openai()
    };

    let (of_mistral, told) = spelled_to(&TO, &mistral, &asking(ReasoningEffort::Low));
    assert_eq!(of_mistral["reasoning_effort"], "high");
    assert_eq!(told, ["reasoning.effort"]);
    let (of_zai, told) = spelled_to(&TO, &zai, &asking(ReasoningEffort::Low));
    assert_eq!(of_zai["thinking"]["type"], "enabled");
    assert_eq!(of_zai["reasoning_effort"], Value::Null);
    assert_eq!(told, ["reasoning.effort"]);
}

#[test]
fn reasoning_that_a_dialect_cannot_ask_for_is_refused() {
    let asking = |effort, max_tokens| ChatRequest {
        reasoning: ReasoningOptions {
            effort,
            max_tokens,
            include: false,
        },
        ..hi()
    };
    let none = Dialect {
        reasoning: ReasoningControl::None,
        ..openai()
    };
    let high = Some(ReasoningEffort::High);

    assert_eq!(
        refused(&none, &asking(high, None)),
        Unsupported::Feature(Feature::ReasoningEffort)
    );
    assert_eq!(
        refused(&openai(), &asking(None, Some(512))),
        Unsupported::Feature(Feature::ReasoningBudget)
    );
}

#[test]
fn parts_in_a_message_that_cannot_hold_them_are_refused() {
    let misplaced = [
        (Role::System, Part::Image(uri("https://example.com/a.jpg"))),
        (Role::User, call("c", "now", "{}")),
        (Role::Assistant, result("c", "now", [])),
        (Role::Tool, text("noon")),
    ];

    for (role, part) in misplaced {
        let request = conversation([message(role, [part])]);

        assert!(matches!(
            refused(&openai(), &request),
            Unsupported::Value {
                field: "messages.parts",
                ..
            }
        ));
    }
}

#[test]
fn ids_stay_as_they_are_in_a_later_message_and_differ_within_one() {
    let turn = || {
        [
            message(
                Role::Assistant,
                [call("f:0", "f", "[1]"), call("f:0", "f", "{\"cut")],
            ),
            message(
                Role::Tool,
                [
                    result("f:0", "f", [text("a")]),
                    result("f:0", "f", [text("b")]),
                ],
            ),
        ]
    };

    let (messages, adapted) = messages(&openai(), [turn(), turn()].concat());

    for assistant in [0, 3] {
        let calls = &messages[assistant]["tool_calls"];
        assert_eq!(calls[0]["id"], "f:0");
        assert_eq!(calls[1]["id"], "f:0_2");
        assert_eq!(messages[assistant + 1]["tool_call_id"], "f:0");
        assert_eq!(messages[assistant + 2]["tool_call_id"], "f:0_2");
        assert_eq!(calls[0]["function"]["arguments"], r#"{"arguments":[1]}"#);
        assert_eq!(
            calls[1]["function"]["arguments"],
            r#"{"arguments":"{\"cut"}"#
        );
    }
    assert_eq!(adapted, ["messages.parts.tool_call.arguments_json"]);
}

#[test]
fn an_image_by_another_name_of_its_type_is_the_same_image() {
    let image = Part::Image(data("image/jpg", "", ImageDetail::Auto));

    let (messages, _) = messages(&openai(), [message(Role::User, [image])]);

    let url = messages[0]["content"][0]["image_url"]["url"]
        .as_str()
        .unwrap();
    assert!(url.starts_with("data:image/jpeg;base64,"), "{url}");
}

#[test]
fn texts_beside_nothing_else_are_one_string_in_every_role() {
    let (messages, adapted) = messages(
        &openai(),
        [
            message(Role::User, [text("a"), text("b")]),
            message(Role::Assistant, [text("c"), text("d")]),
            message(Role::User, [text("e\"")]),
        ],
    );

    assert_eq!(
        messages,
        json!([
            { "role": "user", "content": "a\nb" },
            { "role": "assistant", "content": "c\nd" },
            { "role": "user", "content": "e\"" },
        ])
    );
    assert_eq!(adapted, [""; 0]);
}

#[test]
fn instructions_of_ours_join_those_of_the_caller() {
    let request = ChatRequest {
        response_format: ResponseFormat::JsonObject,
        ..conversation([
            message(Role::System, [text("Be kind.")]),
            message(Role::User, [text("hi")]),
        ])
    };

    let (body, _) = spelled_to(&TO, &openai(), &request);

    assert_eq!(
        body["messages"][0]["content"],
        "Be kind.\n\nAnswer with a JSON object."
    );
    assert_eq!(body["messages"][1]["content"], "hi");
}

#[test]
fn a_blank_stands_for_reasoning_that_the_host_demands_beside_calls_and_has_not_made() {
    let demanding = Dialect {
        reasoning_history: ReasoningHistory::ReasoningContent,
        ..openai()
    };
    for (thought, expected, adapted) in [
        (None, " ", vec!["messages.parts.reasoning"]),
        (
            Some(reasoning("elsewhere", "secret", "")),
            " ",
            vec!["messages.parts.reasoning"; 2],
        ),
        (Some(reasoning("primary", "own", "")), "own", vec![]),
    ] {
        let parts: Vec<_> = thought.into_iter().chain([call("1", "f", "{}")]).collect();
        let history = [
            message(Role::Assistant, parts),
            message(Role::Tool, [result("1", "f", [text("r")])]),
            message(Role::Assistant, [text("so")]),
            message(Role::User, [text("and?")]),
        ];

        let (messages, told) = messages(&demanding, history);

        assert_eq!(messages[0]["reasoning_content"], expected);
        assert_eq!(messages[2]["reasoning_content"], Value::Null);
        assert_eq!(told, adapted);
    }
}

#[test]
fn a_word_of_the_assistant_parts_tool_results_from_the_user_where_the_host_demands_one() {
    let history = || {
        [
            message(Role::Assistant, [call("1", "f", "{}")]),
            message(Role::Tool, [result("1", "f", [text("sunny")])]),
            message(Role::User, [text("and tomorrow?")]),
        ]
    };
    let mistral = Dialect {
        tool_call_ids: ToolCallIds::NineAlphanumerics,
        ..openai()
    };
    let newer = Dialect {
        user_after_tool: Some(true),
        ..mistral.clone()
    };
    let like_mistral = Dialect {
        user_after_tool: Some(false),
        ..openai()
    };

    for (dialect, roles) in [
        (&openai(), &["assistant", "tool", "user"][..]),
        (&mistral, &["assistant", "tool", "assistant", "user"]),
        (&newer, &["assistant", "tool", "user"]),
        (&like_mistral, &["assistant", "tool", "assistant", "user"]),
    ] {
        let (messages, adapted) = messages(dialect, history());

        let sent: Vec<_> = messages.as_array().unwrap().iter().collect();
        assert_eq!(
            sent.iter().map(|one| &one["role"]).collect::<Vec<_>>(),
            roles
        );
        assert_eq!(adapted.len(), roles.len() - 3);
    }
}

#[test]
fn a_tool_that_failed_without_a_word_gets_some() {
    let failed = Part::ToolResult(ToolResult {
        tool_call_id: "a".into(),
        tool_name: "t".into(),
        content: vec![text(" ")],
        is_error: true,
    });

    let (messages, _) = messages(&openai(), [message(Role::Tool, [failed])]);

    assert_eq!(
        messages[0]["content"],
        "The tool failed and did not say why."
    );
}

#[test]
fn a_model_that_reasons_unasked_is_told_not_to_beside_what_excludes_reasoning() {
    let kimi = Dialect {
        reasoning: ReasoningControl::Thinking,
        efforts: vec![],
        thinks_unasked: true,
        ..openai()
    };
    let qwen = Dialect {
        reasoning: ReasoningControl::EnableThinking,
        thinks_unasked: true,
        ..openai()
    };
    let forced = ChatRequest {
        tool_choice: ToolChoice::Required,
        ..with_tool(hi())
    };

    let (body, adapted) = spelled_to(&TO, &kimi, &forced);
    assert_eq!(body["thinking"], json!({ "type": "disabled" }));
    assert_eq!(body["tool_choice"], "required");
    assert_eq!(adapted, ["reasoning"]);
    let (body, _) = spelled_to(&TO, &qwen, &forced);
    assert_eq!(body["enable_thinking"], false);
    assert_eq!(spelled(&kimi, &with_tool(hi()))["thinking"], Value::Null);
    let gpt = Dialect {
        thinks_unasked: true,
        excludes: Some(vec![Exclusion(Feature::Tools, Feature::Reasoning)]),
        ..openai()
    };
    let (body, _) = spelled_to(&TO, &gpt, &with_tool(hi()));
    assert_eq!(body["reasoning_effort"], "none");
    assert_eq!(spelled(&gpt, &hi())["reasoning_effort"], Value::Null);
}

#[test]
fn what_is_strict_is_narrowed_and_an_answer_that_cannot_be_held_to_its_schema_is_not_strict() {
    let asking = |schema: &str, strict| ChatRequest {
        response_format: ResponseFormat::JsonSchema {
            name: "n".into(),
            schema: schema.into(),
            strict,
        },
        ..hi()
    };
    let open = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
    let wanting_more = r#"{"type":"object","additionalProperties":true}"#;
    const SCHEMA: &str = "response_format.json_schema.schema";

    for (schema, strict, is_strict, adapted) in [
        (open, false, Value::Null, vec![]),
        (open, true, json!(true), vec![SCHEMA]),
        (wanting_more, false, Value::Null, vec![]),
        (
            wanting_more,
            true,
            Value::Null,
            vec!["response_format.json_schema.strict"],
        ),
    ] {
        let (body, told) = spelled_to(&TO, &openai(), &asking(schema, strict));

        let format = &body["response_format"]["json_schema"];
        assert_eq!(format["strict"], is_strict);
        assert_eq!(told, adapted);
        if told.contains(&SCHEMA) {
            assert_eq!(format["schema"]["required"], json!(["a"]));
        } else {
            assert_eq!(
                format["schema"],
                serde_json::from_str::<Value>(schema).unwrap()
            );
        }
    }
    let strict_tool = ChatRequest {
        tools: vec![Tool {
            name: "t".into(),
            description: String::new(),
            parameters: Some(wanting_more.into()),
            strict: true,
        }],
        ..hi()
    };
    assert!(matches!(
        refused(&openai(), &strict_tool),
        Unsupported::Value {
            field: "tools.parameters",
            ..
        }
    ));
}

#[test]
fn messages_around_one_of_which_nothing_is_left_become_one() {
    let image = || Part::Image(uri("https://example.com/a.png"));
    let around = |before: Part, after: Part| {
        let history = [
            message(Role::User, [before]),
            message(Role::Assistant, [reasoning("elsewhere", "secret", "")]),
            message(Role::User, [after]),
        ];
        messages(&openai(), history).0
    };
    let shown = json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } });
    let said = json!({ "type": "text", "text": "a" });

    for (before, after, content) in [
        (text("a"), text("b"), json!("a\nb")),
        (text("a"), image(), json!([said, shown])),
        (image(), text("a"), json!([shown, said])),
        (image(), image(), json!([shown, shown])),
    ] {
        assert_eq!(
            around(before, after),
            json!([{ "role": "user", "content": content }])
        );
    }
    let apart = [
        message(Role::User, [text("a")]),
        message(Role::User, [text("b")]),
    ];
    assert_eq!(messages(&openai(), apart).0.as_array().unwrap().len(), 2);
}
