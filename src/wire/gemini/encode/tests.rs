//! Which requests do chats become in Gemini's format?

use bytes::Bytes;

use super::super::conversation::output;
use super::*;
use crate::chat::{
    ImageDetail, Media, MediaSource, Message, Part, Reasoning, Role, ToolCall, ToolResult,
};

fn encoded(request: &ChatRequest, generation: Generation) -> Result<WireRequest, Unsupported> {
    let to = Recipient {
        provider: "gemini",
        model: "m",
        max_output_tokens: Some(100),
        stream: true,
    };
    encode(request, &to, asking(generation))
}

fn asking(generation: Generation) -> Asking<'static> {
    Asking {
        generation,
        call_ids: true,
        levels: &Level::ALL,
        budgets: Budgets::WIDEST,
    }
}

fn body(request: &ChatRequest, generation: Generation) -> String {
    let request = encoded(request, generation).unwrap();
    String::from_utf8(request.body.to_vec()).unwrap()
}

/// The `contents` of a request with these messages.
fn contents(messages: Vec<Message>, generation: Generation) -> String {
    let body = body(&chat(messages), generation);
    let contents = body
        .strip_prefix(r#"{"contents":"#)
        .and_then(|body| body.strip_suffix('}'));
    contents.unwrap().to_owned()
}

/// The fields of a request with these options, except its contents.
fn options(request: ChatRequest, generation: Generation) -> String {
    let request = ChatRequest {
        messages: vec![text(Role::User, "hi")],
        ..request
    };
    body(&request, generation).replace(
        r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#,
        "",
    )
}

fn chat(messages: Vec<Message>) -> ChatRequest {
    ChatRequest {
        messages,
        ..ChatRequest::default()
    }
}

fn message<const N: usize>(role: Role, parts: [Part; N]) -> Message {
    Message {
        role,
        parts: parts.into(),
    }
}

fn text(role: Role, text: &str) -> Message {
    message(role, [Part::Text(text.into())])
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        ..ToolCall::default()
    }
}

fn signed(call: ToolCall, signature: &'static str, provider: &str) -> ToolCall {
    ToolCall {
        signature: Bytes::from_static(signature.as_bytes()),
        provider: provider.into(),
        ..call
    }
}

fn result<const N: usize>(id: &str, content: [Part; N]) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.into(),
        tool_name: "f".into(),
        content: content.into(),
        is_error: false,
    })
}

fn reasoning(text: &str, signature: &'static str, provider: &str) -> Part {
    Part::Reasoning(Reasoning {
        text: text.into(),
        signature: Bytes::from_static(signature.as_bytes()),
        provider: provider.into(),
    })
}

fn png() -> Media {
    Media {
        source: MediaSource::Data(Bytes::from_static(&[0xFF, 0xFE, 0xFD])),
        media_type: "image/png".into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    }
}

fn pdf_uri() -> Media {
    Media {
        source: MediaSource::Uri("gs://bucket/a.pdf".into()),
        media_type: "application/pdf".into(),
        ..png()
    }
}

fn tool(strict: bool) -> Tool {
    Tool {
        name: "f".into(),
        description: "does".into(),
        parameters: Some(r#"{"type":"object"}"#.into()),
        strict,
    }
}

fn fields(request: &WireRequest) -> Vec<&'static str> {
    let adaptations = request.adaptations.iter();
    adaptations.map(|adaptation| adaptation.field).collect()
}

#[test]
fn the_path_names_the_model_and_the_method() {
    for (model, stream, expected) in [
        (
            "gemini-2.5-flash",
            false,
            "/models/gemini-2.5-flash:generateContent",
        ),
        (
            "gemini-1.5-pro@001",
            true,
            "/models/gemini-1.5-pro@001:streamGenerateContent?alt=sse",
        ),
        (
            "a/b:c?d é",
            false,
            "/models/a%2Fb%3Ac%3Fd%20%C3%A9:generateContent",
        ),
    ] {
        assert_eq!(path(model, stream), expected);
    }
}

#[test]
fn messages_become_alternating_turns() {
    let messages = vec![
        text(Role::System, "be"),
        text(Role::System, "brief"),
        text(Role::User, "a"),
        text(Role::User, "b"),
        message(
            Role::Assistant,
            [Part::Text("c".into()), Part::Text(String::new())],
        ),
        message(Role::Assistant, [Part::Refusal("no".into())]),
        message(Role::User, [Part::Image(png()), Part::Document(pdf_uri())]),
    ];

    assert_eq!(
        body(&chat(messages), Generation::Third),
        concat!(
            r#"{"systemInstruction":{"parts":[{"text":"be"},{"text":"brief"}]},"contents":["#,
            r#"{"role":"user","parts":[{"text":"a"},{"text":"b"}]},"#,
            r#"{"role":"model","parts":[{"text":"c"},{"text":"no"}]},"#,
            r#"{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"//79"}},"#,
            r#"{"fileData":{"mimeType":"application/pdf","fileUri":"gs://bucket/a.pdf"}}]}]}"#
        )
    );
}

#[test]
fn a_tool_loop_keeps_ids_arguments_and_the_order_of_the_calls() {
    let messages = vec![
        text(Role::User, "go"),
        message(
            Role::Assistant,
            [
                Part::ToolCall(signed(call("1", r#"{"a": 1.50}"#), "sig", "gemini")),
                Part::ToolCall(call("2", "")),
            ],
        ),
        message(
            Role::Tool,
            [result("2", [Part::Text(r#" {"ok":true}"#.into())])],
        ),
        message(
            Role::Tool,
            [result(
                "1",
                [Part::Text("4".into()), Part::Text("2".into())],
            )],
        ),
        text(Role::User, "next"),
    ];

    assert_eq!(
        contents(messages, Generation::Third),
        concat!(
            r#"[{"role":"user","parts":[{"text":"go"}]},"#,
            r#"{"role":"model","parts":["#,
            r#"{"functionCall":{"id":"1","name":"f","args":{"a": 1.50}},"thoughtSignature":"sig"},"#,
            r#"{"functionCall":{"id":"2","name":"f","args":{}}}]},"#,
            r#"{"role":"user","parts":["#,
            r#"{"functionResponse":{"id":"1","name":"f","response":{"result":"4\n2"}}},"#,
            r#"{"functionResponse":{"id":"2","name":"f","response":{"ok":true}}},"#,
            r#"{"text":"next"}]}]"#
        )
    );
}

#[test]
fn a_dialect_without_ids_sends_none() {
    let request = chat(vec![
        message(Role::Assistant, [Part::ToolCall(call("1", "{}"))]),
        message(Role::Tool, [result("1", [])]),
    ]);
    let to = Recipient {
        provider: "gemini",
        model: "m",
        max_output_tokens: None,
        stream: false,
    };
    let without_ids = Asking {
        call_ids: false,
        ..asking(Generation::Second)
    };

    let written = encode(&request, &to, without_ids).unwrap();

    assert_eq!(
        written.body,
        concat!(
            r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":""}}}]}]}"#
        )
    );
}

#[test]
fn a_tool_result_is_an_object_and_says_when_it_is_an_error() {
    for (content, is_error, expected) in [
        (r#"{"a":1}"#, false, r#"{"a":1}"#),
        (r#"{"a":1}"#, true, r#"{"error":{"a":1}}"#),
        ("[1]", false, r#"{"result":"[1]"}"#),
        ("{broken", false, r#"{"result":"{broken"}"#),
        ("it \"broke\"", true, r#"{"error":"it \"broke\""}"#),
    ] {
        assert_eq!(
            serde_json::to_string(&output(&[content], is_error)).unwrap(),
            expected
        );
    }
}

#[test]
fn media_of_a_tool_result_stand_where_the_generation_reads_them() {
    let messages = || {
        vec![
            message(
                Role::Assistant,
                [Part::ToolCall(signed(call("1", "{}"), "sig", "gemini"))],
            ),
            message(
                Role::Tool,
                [result("1", [Part::Image(png()), Part::Document(pdf_uri())])],
            ),
        ]
    };
    let within = r#""response":{"result":""},"parts":[{"inlineData":{"mimeType":"image/png","data":"//79"}}]}},{"fileData":"#;
    let beside = r#""response":{"result":""}}},{"inlineData":{"mimeType":"image/png","data":"//79"}},{"fileData":"#;

    assert!(contents(messages(), Generation::Third).contains(within));
    assert!(contents(messages(), Generation::Second).contains(beside));
}

#[test]
fn what_this_provider_signed_goes_back_to_it() {
    let messages = vec![message(
        Role::Assistant,
        [
            reasoning("hm", "one", "gemini"),
            reasoning("so", "", "gemini"),
            Part::Text("yes".into()),
            reasoning("", "two", "gemini"),
            reasoning("", "", "gemini"),
        ],
    )];

    assert_eq!(
        contents(messages, Generation::Third),
        concat!(
            r#"[{"role":"model","parts":[{"text":"hm","thought":true,"thoughtSignature":"one"},"#,
            r#"{"text":"so","thought":true},{"text":"yes"},{"text":"","thoughtSignature":"two"}]}]"#
        )
    );
}

#[test]
fn what_another_provider_signed_is_left_out_and_told() {
    let request = chat(vec![
        message(
            Role::Assistant,
            [
                reasoning("hm", "one", "other"),
                reasoning("hm", "two", "other"),
                Part::ToolCall(signed(call("1", "{}"), "three", "other")),
                Part::ToolCall(signed(call("2", "{}"), "four", "other")),
            ],
        ),
        message(Role::Tool, [result("1", []), result("2", [])]),
        message(Role::Assistant, [reasoning("hm", "five", "other")]),
    ]);

    let older = encoded(&request, Generation::Second).unwrap();
    let newer = encoded(&request, Generation::Third).unwrap();

    let older_body = String::from_utf8(older.body.to_vec()).unwrap();
    assert!(!older_body.contains("hm") && !older_body.contains("thoughtSignature"));
    assert_eq!(
        fields(&older),
        [
            "messages.parts.reasoning",
            "messages.parts.tool_call.signature"
        ]
    );
    let newer_body = String::from_utf8(newer.body.to_vec()).unwrap();
    assert_eq!(newer_body.matches("thoughtSignature").count(), 1);
    assert!(newer_body.contains(
        r#"{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"skip_thought_signature_validator"}"#
    ));
}

#[test]
fn what_media_lose_is_told() {
    let media = Media {
        filename: "a.png".into(),
        detail: ImageDetail::High,
        ..png()
    };

    let request = chat(vec![message(Role::User, [Part::Image(media)])]);

    assert_eq!(
        fields(&encoded(&request, Generation::Third).unwrap()),
        ["messages.parts.filename", "messages.parts.image.detail"]
    );
}

#[test]
fn tools_and_their_choice_are_written() {
    let declared = r#""tools":[{"functionDeclarations":[{"name":"f","description":"does","parametersJsonSchema":{"type":"object"}}]}]"#;
    for (strict, tool_choice, config) in [
        (false, ToolChoice::Auto, ""),
        (true, ToolChoice::Auto, r#"{"mode":"VALIDATED"}"#),
        (true, ToolChoice::None, r#"{"mode":"NONE"}"#),
        (false, ToolChoice::Required, r#"{"mode":"ANY"}"#),
        (
            true,
            ToolChoice::Function("f".into()),
            r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#,
        ),
    ] {
        let request = ChatRequest {
            tools: vec![tool(strict)],
            tool_choice,
            ..ChatRequest::default()
        };
        let config = match config {
            "" => String::new(),
            config => format!(r#","toolConfig":{{"functionCallingConfig":{config}}}"#),
        };
        assert_eq!(
            options(request, Generation::Second),
            format!("{{,{declared}{config}}}")
        );
    }
    let without_arguments = ChatRequest {
        tools: vec![Tool {
            description: String::new(),
            parameters: None,
            ..tool(false)
        }],
        ..ChatRequest::default()
    };
    assert_eq!(
        options(without_arguments, Generation::Third),
        r#"{,"tools":[{"functionDeclarations":[{"name":"f"}]}]}"#
    );
}

#[test]
fn sampling_and_response_format_are_written() {
    let sampling = Sampling {
        max_output_tokens: Some(50),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(u32::MAX),
        frequency_penalty: Some(-2.0),
        presence_penalty: Some(1.5),
        seed: Some(-7),
        stop_sequences: vec!["END".into()],
    };
    let schema = ResponseFormat::JsonSchema {
        name: "answer".into(),
        schema: r#"{"type":"object"}"#.into(),
        strict: true,
    };
    for (request, config) in [
        (ChatRequest::default(), ""),
        (
            ChatRequest {
                sampling,
                ..ChatRequest::default()
            },
            concat!(
                r#"{"maxOutputTokens":50,"temperature":0.5,"topP":0.9,"topK":2147483647,"#,
                r#""frequencyPenalty":-2.0,"presencePenalty":1.5,"seed":-7,"stopSequences":["END"]}"#
            ),
        ),
        (
            ChatRequest {
                response_format: ResponseFormat::JsonObject,
                ..ChatRequest::default()
            },
            r#"{"responseMimeType":"application/json"}"#,
        ),
        (
            ChatRequest {
                response_format: schema,
                ..ChatRequest::default()
            },
            r#"{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}"#,
        ),
    ] {
        let expected = match config {
            "" => "{}".to_owned(),
            config => format!(r#"{{,"generationConfig":{config}}}"#),
        };
        assert_eq!(options(request, Generation::Third), expected);
    }
}

#[test]
fn thinking_is_a_budget_before_gemini_3_and_a_level_since() {
    use Generation::{Second, Third};
    use ReasoningEffort::{High, Low, Max, Medium, Minimal};
    for (generation, effort, max_tokens, include, config) in [
        (Second, None, None, false, ""),
        (
            Second,
            None,
            Some(5),
            true,
            r#"{"thinkingBudget":5,"includeThoughts":true}"#,
        ),
        (
            Second,
            Some(ReasoningEffort::None),
            None,
            false,
            r#"{"thinkingBudget":0}"#,
        ),
        (
            Second,
            Some(Minimal),
            None,
            false,
            r#"{"thinkingBudget":1024}"#,
        ),
        (
            Second,
            Some(Medium),
            None,
            false,
            r#"{"thinkingBudget":8192}"#,
        ),
        (
            Second,
            Some(High),
            Some(2000),
            false,
            r#"{"thinkingBudget":2000}"#,
        ),
        (
            Second,
            Some(Low),
            Some(2000),
            false,
            r#"{"thinkingBudget":1024}"#,
        ),
        (Third, None, Some(5), false, r#"{"thinkingBudget":5}"#),
        (
            Third,
            Some(Minimal),
            None,
            false,
            r#"{"thinkingLevel":"MINIMAL"}"#,
        ),
        (
            Third,
            Some(Max),
            None,
            true,
            r#"{"thinkingLevel":"HIGH","includeThoughts":true}"#,
        ),
    ] {
        let request = ChatRequest {
            reasoning: ReasoningOptions {
                effort,
                max_tokens,
                include,
            },
            ..ChatRequest::default()
        };
        let expected = match config {
            "" => "{}".to_owned(),
            config => format!(r#"{{,"generationConfig":{{"thinkingConfig":{config}}}}}"#),
        };
        assert_eq!(options(request, generation), expected);
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let sampled = |sampling| ChatRequest {
        messages: vec![text(Role::User, "hi")],
        sampling,
        ..ChatRequest::default()
    };
    let reasoned = |effort, max_tokens| ChatRequest {
        reasoning: ReasoningOptions {
            effort: Some(effort),
            max_tokens,
            include: false,
        },
        ..sampled(Sampling::default())
    };
    for (request, generation, field) in [
        (
            sampled(Sampling {
                stop_sequences: vec!["x".into(); 6],
                ..Sampling::default()
            }),
            Generation::Third,
            "sampling.stop_sequences",
        ),
        (
            sampled(Sampling {
                seed: Some(1 << 31),
                ..Sampling::default()
            }),
            Generation::Third,
            "sampling.seed",
        ),
        (
            sampled(Sampling {
                presence_penalty: Some(2.0),
                ..Sampling::default()
            }),
            Generation::Third,
            "sampling.presence_penalty",
        ),
        (
            reasoned(ReasoningEffort::None, None),
            Generation::Third,
            "reasoning.effort",
        ),
        (
            reasoned(ReasoningEffort::Low, Some(1)),
            Generation::Third,
            "reasoning",
        ),
        (
            ChatRequest {
                tools: vec![tool(false)],
                response_format: ResponseFormat::JsonObject,
                ..sampled(Sampling::default())
            },
            Generation::Second,
            "response_format",
        ),
        (
            chat(vec![text(Role::System, "be")]),
            Generation::Third,
            "messages",
        ),
        (
            chat(vec![message(
                Role::Assistant,
                [Part::Reasoning(Reasoning {
                    signature: Bytes::from_static(&[0xFF]),
                    provider: "gemini".into(),
                    ..Reasoning::default()
                })],
            )]),
            Generation::Third,
            "messages.parts.signature",
        ),
    ] {
        let refused = match encoded(&request, generation) {
            Err(Unsupported::Value { field, .. }) => field,
            Err(Unsupported::Feature(feature)) => feature.name(),
            Err(Unsupported::Together(_)) => "together",
            Ok(_) => "",
        };
        assert_eq!(refused, field);
    }
    let serial = ChatRequest {
        parallel_tool_calls: Some(false),
        ..sampled(Sampling::default())
    };
    assert_eq!(
        encoded(&serial, Generation::Third).unwrap_err(),
        Unsupported::Feature(Feature::SerialToolCalls)
    );
}

#[test]
fn ids_that_come_again_differ_on_the_wire_and_results_follow_their_calls() {
    let result = |text: &str| {
        message(
            Role::Tool,
            [Part::ToolResult(ToolResult {
                tool_call_id: "1".into(),
                tool_name: "f".into(),
                content: vec![Part::Text(text.into())],
                is_error: false,
            })],
        )
    };
    let messages = vec![
        message(Role::Assistant, [Part::ToolCall(call("1", "[1]"))]),
        result("a"),
        message(Role::Assistant, [Part::ToolCall(call("1", r#"{"cut"#))]),
        result("b"),
    ];

    assert_eq!(
        contents(messages, Generation::Second),
        concat!(
            r#"[{"role":"model","parts":[{"functionCall":{"id":"1","name":"f","args":{"arguments":[1]}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"id":"1","name":"f","response":{"result":"a"}}}]},"#,
            r#"{"role":"model","parts":[{"functionCall":{"id":"1_2","name":"f","args":{"arguments":"{\"cut"}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"id":"1_2","name":"f","response":{"result":"b"}}}]}]"#,
        )
    );
}

#[test]
fn an_image_by_another_name_of_its_type_is_the_same_image() {
    let jpg = Media {
        source: MediaSource::Data(Bytes::from_static(b"jpeg")),
        media_type: "image/jpg".into(),
        filename: String::new(),
        detail: ImageDetail::Auto,
    };

    let contents = contents(
        vec![message(Role::User, [Part::Image(jpg)])],
        Generation::Third,
    );

    assert!(
        contents.contains(r#""mimeType":"image/jpeg""#),
        "{contents}"
    );
}

#[test]
fn an_effort_is_the_nearest_level_that_the_model_has() {
    use ReasoningEffort::{High, Low, Max, Medium, Minimal};
    let pro = [Level::Low, Level::High];
    for (effort, levels, expected, is_exact) in [
        (Minimal, &pro[..], "LOW", false),
        (Low, &pro, "LOW", true),
        (Medium, &pro, "LOW", false),
        (High, &pro, "HIGH", true),
        (Max, &pro, "HIGH", true),
        (Minimal, &Level::ALL, "MINIMAL", true),
        (Medium, &Level::ALL, "MEDIUM", true),
    ] {
        let request = ChatRequest {
            reasoning: ReasoningOptions {
                effort: Some(effort),
                ..ReasoningOptions::default()
            },
            ..chat(vec![text(Role::User, "hi")])
        };
        let to = Recipient {
            provider: "gemini",
            model: "m",
            max_output_tokens: None,
            stream: true,
        };
        let asking = Asking {
            levels,
            ..asking(Generation::Third)
        };

        let written = encode(&request, &to, asking).unwrap();

        let body = String::from_utf8(written.body.to_vec()).unwrap();
        let level = format!(r#""thinkingLevel":"{expected}""#);
        assert!(body.contains(&level), "{effort:?}: {body}");
        assert_eq!(written.adaptations.is_empty(), is_exact, "{effort:?}");
    }
}

#[test]
fn a_budget_stays_within_what_the_model_takes() {
    use ReasoningEffort::{High, None as Off};
    let pro = Budgets {
        least: 128,
        most: 32_768,
        can_be_none: false,
    };
    for (budgets, effort, max_tokens, expected) in [
        (pro, None, Some(100_000), Ok(Some(32_768))),
        (pro, None, Some(127), Err("reasoning.max_reasoning_tokens")),
        (pro, Some(Off), None, Err("reasoning.effort")),
        (pro, Some(High), None, Ok(Some(24_576))),
        (pro, None, None, Ok(None)),
        (Budgets::WIDEST, Some(Off), Some(5), Ok(Some(0))),
        (Budgets::WIDEST, None, Some(30_000), Ok(Some(24_576))),
    ] {
        let budget = budget(effort, max_tokens, budgets).map_err(|refused| match refused {
            Unsupported::Value { field, .. } => field,
            other => panic!("{other}"),
        });

        assert_eq!(budget, expected, "{effort:?} {max_tokens:?}");
    }
}
