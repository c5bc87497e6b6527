//! How are requests written?

use serde_json::{Value, json};

use super::*;
use crate::chat::{
    CacheRetention, FunctionTool, ImageDetail, Mark, Marks, Media, MediaSource, PartAt,
    ProviderOptions, ProviderPart, Reasoning, ReasoningEffort, ReasoningOptions, ResponseFormat,
    Sampling, ServiceTier, Tool, ToolCall, ToolChoice, ToolResult, Verbosity, WebSearch,
};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::options::AllowedOptions;

fn written_in(dialect: Dialect, request: &ChatRequest) -> (Value, Vec<String>) {
    let written = OpenAiResponses { dialect }.encode(request, &TO).unwrap();
    assert_eq!(written.path, "/responses");
    let body = serde_json::from_slice(&written.body).unwrap();
    let adapted = written
        .adaptations
        .into_iter()
        .map(|one| one.field.into_owned())
        .collect();
    (body, adapted)
}

fn written(request: &ChatRequest) -> (Value, Vec<String>) {
    written_in(Dialect::default(), request)
}

/// The input that a conversation becomes.
fn input(messages: Vec<Message>) -> (Value, Vec<String>) {
    let (mut body, adapted) = written(&request(messages));
    (body["input"].take(), adapted)
}

fn reasoning(provider: &str, text: &str, signature: &'static str) -> Part {
    Part::Reasoning(Reasoning {
        text: text.to_owned(),
        signature: signature.into(),
        provider: provider.to_owned(),
    })
}

fn call(id: &str, arguments: &str, signature: &'static str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: arguments.to_owned(),
        signature: signature.into(),
        provider: "openai".to_owned(),
    })
}

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.to_owned(),
        tool_name: "f".to_owned(),
        content,
        is_error: false,
    })
}

fn media(source: MediaSource, filename: &str) -> Media {
    Media {
        source,
        media_type: "application/pdf".to_owned(),
        filename: filename.to_owned(),
        detail: ImageDetail::High,
    }
}

#[test]
fn a_request_is_stateless_and_asks_for_reasoning_that_can_be_sent_back() {
    let (body, adapted) = written(&hello());

    let expected = json!({
        "model": "gpt",
        "input": [{"type": "message", "role": "user", "content": "hello"}],
        "include": ["reasoning.encrypted_content"],
        "store": false,
    });
    assert_eq!(body, expected);
    assert!(adapted.is_empty());
    let plain = Dialect {
        reasoning: false,
        ..Dialect::default()
    };
    assert_eq!(written_in(plain, &hello()).0["include"], Value::Null);
}

#[test]
fn a_conversation_becomes_items_in_its_order() {
    let token = r#"{"id":"rs_1","encrypted":"gAAA","summary":[2,1]}"#;
    let data = MediaSource::Data(b"%PDF".as_slice().into());
    let (items, adapted) = input(vec![
        message(Role::System, vec![text("be brief"), text("be kind")]),
        message(
            Role::User,
            vec![
                text("look"),
                Part::Image(media(
                    MediaSource::Uri("https://a.example/i.png".into()),
                    "",
                )),
                Part::Document(media(data, "")),
                Part::Document(media(
                    MediaSource::Uri("https://a.example/d.pdf".into()),
                    "d.pdf",
                )),
            ],
        ),
        message(
            Role::Assistant,
            vec![
                reasoning("openai", "abc", token),
                text("well"),
                Part::Refusal("no".into()),
                call("c1", r#"{"a":1}"#, ""),
                call("c2", "3 + 4", "custom"),
            ],
        ),
        message(
            Role::Tool,
            vec![
                result("c1", vec![text("5")]),
                result(
                    "c2",
                    vec![
                        text("7"),
                        Part::Image(media(MediaSource::Uri("https://a.example/p".into()), "")),
                    ],
                ),
            ],
        ),
    ]);

    assert_eq!(
        items,
        json!([
            {"type": "message", "role": "system", "content": [
                {"type": "input_text", "text": "be brief"},
                {"type": "input_text", "text": "be kind"},
            ]},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "https://a.example/i.png", "detail": "high"},
                {"type": "input_file", "filename": "document", "file_data": "data:application/pdf;base64,JVBERg=="},
                {"type": "input_file", "file_url": "https://a.example/d.pdf"},
            ]},
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA", "summary": [
                {"type": "summary_text", "text": "ab"},
                {"type": "summary_text", "text": "c"},
            ]},
            {"type": "message", "role": "assistant", "content": "well"},
            {"type": "message", "role": "assistant", "content": "no"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\":1}"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "f", "input": "3 + 4"},
            {"type": "function_call_output", "call_id": "c1", "output": "5"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": [
                {"type": "input_text", "text": "7"},
                {"type": "input_image", "image_url": "https://a.example/p", "detail": "high"},
            ]},
        ])
    );
    assert!(adapted.is_empty(), "{adapted:?}");
}

#[test]
fn instructions_stand_where_the_dialect_wants_them() {
    let request = request(vec![
        message(Role::System, vec![text("a"), text("b")]),
        message(Role::System, vec![text("c")]),
        message(Role::User, vec![text("hello")]),
    ]);
    let with = |system_role| {
        let dialect = Dialect {
            system_role,
            ..Dialect::default()
        };
        written_in(dialect, &request).0
    };

    let apart = with(InstructionsRole::Instructions);
    assert_eq!(apart["instructions"], "a\n\nb\n\nc");
    assert_eq!(apart["input"].as_array().unwrap().len(), 1);
    assert_eq!(
        with(InstructionsRole::Developer)["input"][0]["role"],
        "developer"
    );
}

#[test]
fn only_reasoning_that_the_provider_takes_is_sent_back() {
    let encrypted = r#"{"id":"rs_1","encrypted":"gAAA"}"#;
    let plain = r#"{"id":"rs_1","content":[2]}"#;
    let turn = |reasoning, rest: &[Part]| {
        let parts = [&[reasoning], rest].concat();
        request(vec![
            message(Role::User, vec![text("hi")]),
            message(Role::Assistant, parts),
            message(Role::User, vec![text("go on")]),
        ])
    };
    let with = |reasoning_history, request: &ChatRequest| {
        let dialect = Dialect {
            reasoning_history,
            ..Dialect::default()
        };
        let (mut body, adapted) = written_in(dialect, request);
        let item = body["input"][1].take();
        let is_sent = item["type"] == "reasoning";
        assert_eq!(adapted.is_empty(), is_sent, "{adapted:?}");
        is_sent.then_some(item)
    };
    let said = [text("hm")];
    let own = turn(reasoning("openai", "", encrypted), &said);
    let unencrypted = turn(reasoning("openai", "so", plain), &said);

    assert!(with(ReasoningReplay::Encrypted, &own).is_some());
    assert_eq!(with(ReasoningReplay::None, &own), None);
    assert_eq!(with(ReasoningReplay::Encrypted, &unencrypted), None);
    assert_eq!(
        with(ReasoningReplay::Plain, &unencrypted),
        Some(json!({
            "type": "reasoning", "id": "rs_1", "summary": [],
            "content": [{"type": "reasoning_text", "text": "so"}],
        }))
    );
    let foreign = turn(reasoning("anthropic", "", encrypted), &said);
    assert_eq!(with(ReasoningReplay::Encrypted, &foreign), None);
    // The API refuses reasoning that nothing follows.
    let orphan = turn(reasoning("openai", "", encrypted), &[]);
    assert_eq!(with(ReasoningReplay::Encrypted, &orphan), None);
}

#[test]
fn tools_and_formats_say_whether_they_are_enforced() {
    let tool = |parameters: Option<&str>, strict| {
        Tool::from(FunctionTool {
            name: "f".to_owned(),
            description: "does it".to_owned(),
            parameters: parameters.map(str::to_owned),
            strict,
        })
    };
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
    let request = ChatRequest {
        tools: vec![tool(Some(schema), true), tool(None, false)],
        tool_choice: ToolChoice::Function("f".to_owned()),
        parallel_tool_calls: Some(false),
        response_format: ResponseFormat::JsonSchema {
            name: "n".to_owned(),
            schema: schema.to_owned(),
            strict: false,
            description: "why".to_owned(),
        },
        ..hello()
    };

    let (body, _) = written(&request);

    let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false, "required": ["a"]});
    let none =
        json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
    assert_eq!(
        body["tools"],
        json!([
            {"type": "function", "name": "f", "description": "does it", "parameters": closed, "strict": true},
            {"type": "function", "name": "f", "description": "does it", "parameters": none, "strict": false},
        ])
    );
    assert_eq!(
        body["tool_choice"],
        json!({"type": "function", "name": "f"})
    );
    assert_eq!(body["parallel_tool_calls"], false);
    assert_eq!(
        body["text"]["format"],
        json!({"type": "json_schema", "name": "n", "description": "why", "strict": false,
            "schema": {"type": "object", "properties": {"a": {"type": "string"}}}})
    );
}

#[test]
fn json_mode_is_asked_for_in_the_input() {
    let request = ChatRequest {
        response_format: ResponseFormat::JsonObject,
        ..hello()
    };

    let (body, adapted) = written(&request);

    assert_eq!(body["text"]["format"], json!({"type": "json_object"}));
    assert_eq!(body["input"][0]["content"], "Answer with a JSON object.");
    assert_eq!(adapted, ["response_format"]);
}

#[test]
fn reasoning_is_asked_for_with_its_summary_if_it_is_wanted() {
    let with = |effort, include| {
        let request = ChatRequest {
            reasoning: ReasoningOptions {
                effort,
                include,
                ..ReasoningOptions::default()
            },
            ..hello()
        };
        let (mut body, _) = written(&request);
        (body["reasoning"].take(), body["include"] != Value::Null)
    };

    let high = Some(ReasoningEffort::High);
    assert_eq!(with(None, false), (Value::Null, true));
    assert_eq!(with(high, false), (json!({"effort": "high"}), true));
    assert_eq!(
        with(high, true),
        (json!({"effort": "high", "summary": "auto"}), true)
    );
    assert_eq!(with(None, true), (json!({"summary": "auto"}), true));
    let none = Some(ReasoningEffort::None);
    assert_eq!(with(none, true), (json!({"effort": "none"}), false));
}

#[test]
fn a_limit_below_the_least_one_is_raised_with_a_warning() {
    for (limit, expected, is_adapted) in [(1, 16, true), (16, 16, false), (100, 100, false)] {
        let request = ChatRequest {
            sampling: Sampling {
                max_output_tokens: Some(limit),
                ..Sampling::default()
            },
            ..hello()
        };

        let (body, adapted) = written(&request);

        assert_eq!(body["max_output_tokens"], expected);
        assert_eq!(!adapted.is_empty(), is_adapted);
    }
}

#[test]
fn what_the_api_does_not_have_is_a_missing_feature() {
    type Change = fn(&mut ChatRequest);
    let changes: [(Feature, Change); 6] = [
        (Feature::TopK, |request| request.sampling.top_k = Some(1)),
        (Feature::Seed, |request| request.sampling.seed = Some(1)),
        (Feature::FrequencyPenalty, |request| {
            request.sampling.frequency_penalty = Some(1.0)
        }),
        (Feature::PresencePenalty, |request| {
            request.sampling.presence_penalty = Some(1.0)
        }),
        (Feature::StopSequences, |request| {
            request.sampling.stop_sequences = vec!["x".into()]
        }),
        (Feature::ReasoningBudget, |request| {
            request.reasoning.max_tokens = Some(1)
        }),
    ];
    let format = OpenAiResponses::default();
    for (feature, change) in changes {
        let mut request = hello();
        change(&mut request);

        assert!(!format.features().contains(feature));
        let error = format.encode(&request, &TO).unwrap_err();
        assert_eq!(error, Unsupported::Feature(feature));
    }
}

#[test]
fn what_is_said_besides_has_its_fields() {
    let request = ChatRequest {
        end_user_id: "u1".to_owned(),
        prompt_cache_key: "k".to_owned(),
        prompt_cache_retention: Some(CacheRetention::Long),
        service_tier: Some(ServiceTier::Flex),
        verbosity: Some(Verbosity::Low),
        sampling: Sampling {
            top_logprobs: Some(2),
            ..Sampling::default()
        },
        ..hello()
    };

    let (body, adapted) = written(&request);

    assert_eq!(body["safety_identifier"], "u1");
    assert_eq!(body["prompt_cache_key"], "k");
    assert_eq!(body["prompt_cache_retention"], "24h");
    assert_eq!(body["service_tier"], "flex");
    assert_eq!(body["text"], json!({"verbosity": "low"}));
    assert_eq!(body["top_logprobs"], 2);
    assert_eq!(
        body["include"],
        json!([
            "reasoning.encrypted_content",
            "message.output_text.logprobs"
        ])
    );
    assert!(adapted.is_empty(), "{adapted:?}");
    let long = ChatRequest {
        end_user_id: "u".repeat(65),
        ..hello()
    };
    assert_eq!(written(&long).1, ["end_user_id"]);
}

#[test]
fn tools_of_the_provider_are_written_by_their_names_or_in_its_words() {
    let of_provider = |target: &str, optional| {
        Tool::Provider(vec![ProviderOptions {
            target: target.to_owned(),
            fields: r#"{"type":"file_search","vector_store_ids":["v"]}"#.to_owned(),
            optional,
        }])
    };
    let search = |blocked: &[&str]| {
        Tool::WebSearch(WebSearch {
            max_uses: Some(3),
            allowed_domains: vec!["a.example".to_owned()],
            blocked_domains: blocked.iter().map(|site| (*site).to_owned()).collect(),
        })
    };
    let with = |tools| ChatRequest { tools, ..hello() };
    let all = AllowedOptions::all();
    let to = Recipient {
        options: &all,
        ..TO
    };
    let format = OpenAiResponses::default();
    let request = with(vec![
        search(&[]),
        Tool::CodeExecution,
        of_provider("openai_responses", false),
        of_provider("anthropic", true),
    ]);

    let written = format.encode(&request, &to).unwrap();

    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(
        body["tools"],
        json!([
            {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}},
            {"type": "code_interpreter", "container": {"type": "auto"}},
            {"type": "file_search", "vector_store_ids": ["v"]},
        ])
    );
    assert_eq!(body["max_tool_calls"], 3);
    assert_eq!(body["include"][1], "code_interpreter_call.outputs");
    for refused in [
        with(vec![of_provider("anthropic", false)]),
        with(vec![search(&["b.example"])]),
    ] {
        assert!(format.encode(&refused, &to).is_err());
    }
}

#[test]
fn a_choice_among_some_tools_names_them() {
    let function = |name: &str| {
        Tool::from(FunctionTool {
            name: name.to_owned(),
            ..FunctionTool::default()
        })
    };
    let request = ChatRequest {
        tools: vec![function("a"), function("b")],
        tool_choice: ToolChoice::Allowed {
            names: vec!["b".to_owned()],
            required: true,
        },
        ..hello()
    };

    let (body, _) = written(&request);

    assert_eq!(
        body["tool_choice"],
        json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "b"}]})
    );
}

#[test]
fn parts_and_tools_carry_what_is_said_of_them() {
    let options = |fields: &str| ProviderOptions {
        target: "openai".to_owned(),
        fields: fields.to_owned(),
        optional: false,
    };
    let mut marks = Marks::default();
    let at = |part| PartAt {
        message: 0,
        part,
        content: None,
    };
    let cached = Mark {
        cache: Some(CacheRetention::Default),
        options: Vec::new(),
    };
    marks.add_to_part(at(0), cached);
    let mark = |fields| Mark {
        cache: None,
        options: vec![options(fields)],
    };
    marks.add_to_part(at(1), mark(r#"{"a":1}"#));
    marks.add_to_tool(0, mark(r#"{"defer_loading":true}"#));
    let request = ChatRequest {
        tools: vec![Tool::CodeExecution],
        marks,
        ..request(vec![message(Role::User, vec![text("one"), text("two")])])
    };
    let all = AllowedOptions::all();
    let to = Recipient {
        options: &all,
        ..TO
    };
    let written = |cache_breakpoints| {
        let dialect = Dialect {
            cache_breakpoints,
            ..Dialect::default()
        };
        let written = OpenAiResponses { dialect }.encode(&request, &to).unwrap();
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        (body, written.adaptations.len())
    };

    let (body, adapted) = written(true);
    let (uncached, warned) = written(false);

    assert_eq!(
        body["input"][0]["content"],
        json!([
            {"type": "input_text", "text": "one", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "input_text", "text": "two", "a": 1},
        ])
    );
    assert_eq!(body["tools"][0]["defer_loading"], true);
    assert_eq!(
        uncached["input"][0]["content"][0],
        json!({"type": "input_text", "text": "one"})
    );
    assert_eq!((adapted, warned), (0, 1));
}

#[test]
fn a_part_that_its_provider_understands_goes_back_to_it_alone() {
    let part = |provider: &str| {
        Part::Provider(ProviderPart {
            provider: provider.to_owned(),
            kind: "web_search_call".to_owned(),
            content: r#"{"type":"web_search_call","id":"ws_1","status":"completed"}"#.to_owned(),
        })
    };
    let token = r#"{"id":"rs_1","encrypted":"gAAA"}"#;
    let (items, adapted) = input(vec![
        message(Role::User, vec![text("hi")]),
        message(
            Role::Assistant,
            vec![
                reasoning("openai", "", token),
                part("openai"),
                part("other"),
            ],
        ),
    ]);

    assert_eq!(items[1]["type"], "reasoning");
    assert_eq!(
        items[2],
        json!({"type": "web_search_call", "id": "ws_1", "status": "completed"})
    );
    assert_eq!(items.as_array().unwrap().len(), 3);
    assert_eq!(adapted, ["messages.parts.provider_part"]);
}

fn provider_part(kind: &str, content: Value) -> Part {
    Part::Provider(ProviderPart {
        provider: "openai".to_owned(),
        kind: kind.to_owned(),
        content: content.to_string(),
    })
}

#[test]
fn texts_are_sent_back_with_the_phase_behind_them() {
    let phase = |phase: &str| provider_part("message", json!({"type": "message", "phase": phase}));
    let whole = json!({"type": "message", "role": "assistant", "content": "As it was."});
    let (items, adapted) = input(vec![
        message(Role::User, vec![text("hi")]),
        message(
            Role::Assistant,
            vec![
                text("Looking."),
                Part::Refusal("Not there.".to_owned()),
                phase("commentary"),
                call("c", "{}", ""),
                text("Found."),
                phase("final_answer"),
                text("More."),
                // Nothing is said right before it.
                call("d", "{}", ""),
                phase("commentary"),
                provider_part("message", whole.clone()),
            ],
        ),
    ]);

    let said = |text: &str, phase: &str| json!({"type": "message", "role": "assistant", "content": text, "phase": phase});
    let items = items.as_array().unwrap();
    assert_eq!(items[1], said("Looking.", "commentary"));
    assert_eq!(items[2], said("Not there.", "commentary"));
    assert_eq!(items[4], said("Found.", "final_answer"));
    assert_eq!(
        items[5],
        json!({"type": "message", "role": "assistant", "content": "More."})
    );
    assert_eq!(items[7], whole);
    assert_eq!(items.len(), 8);
    assert_eq!(adapted, ["messages.parts.provider_part"]);
}

#[test]
fn a_picture_that_the_provider_made_is_sent_back_as_its_item() {
    let picture = Part::Image(Media {
        media_type: "image/png".to_owned(),
        ..media(MediaSource::Data(b"hi".as_slice().into()), "")
    });
    let about = json!({"type": "image_generation_call", "id": "ig_1", "status": "completed"});
    let token = r#"{"id":"rs_1","encrypted":"gAAA"}"#;
    let (items, adapted) = input(vec![
        message(Role::User, vec![text("draw")]),
        message(
            Role::Assistant,
            vec![
                reasoning("openai", "", token),
                picture.clone(),
                provider_part("image_generation_call", about.clone()),
                // Its item is not known.
                picture,
                // Its picture is lost.
                text("Done."),
                provider_part("image_generation_call", about),
            ],
        ),
    ]);

    let items = items.as_array().unwrap();
    assert_eq!(items[1]["type"], "reasoning");
    assert_eq!(
        items[2],
        json!({"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="})
    );
    assert_eq!(items[3]["content"], "Done.");
    assert_eq!(items.len(), 4);
    assert_eq!(adapted, ["messages.parts", "messages.parts.provider_part"]);
}

#[test]
fn stored_files_are_named_for_the_provider_that_has_them() {
    let file = |provider: &str| {
        let source = MediaSource::File {
            provider: provider.to_owned(),
            id: "file-1".to_owned(),
        };
        request(vec![message(
            Role::User,
            vec![
                Part::Image(media(source.clone(), "")),
                Part::Document(media(source, "a.pdf")),
            ],
        )])
    };

    let (body, _) = written(&file("openai"));

    assert_eq!(
        body["input"][0]["content"],
        json!([
            {"type": "input_image", "file_id": "file-1", "detail": "high"},
            {"type": "input_file", "file_id": "file-1"},
        ])
    );
    assert!(
        OpenAiResponses::default()
            .encode(&file("other"), &TO)
            .is_err()
    );
}

#[test]
fn later_instructions_stand_where_they_were_said() {
    let request = request(vec![
        message(Role::System, vec![text("first")]),
        message(Role::User, vec![text("hi")]),
        message(Role::System, vec![text("later")]),
    ]);
    let dialect = Dialect {
        system_role: InstructionsRole::Instructions,
        ..Dialect::default()
    };

    let (body, _) = written_in(dialect, &request);

    assert_eq!(body["instructions"], "first");
    assert_eq!(body["input"][1]["role"], "developer");
    assert_eq!(body["input"][1]["content"], "later");
}

#[test]
fn what_is_said_of_a_turn_of_the_model_is_said_of_its_item() {
    let mut marks = Marks::default();
    let mark = Mark {
        cache: Some(CacheRetention::Default),
        options: vec![ProviderOptions {
            target: "openai".to_owned(),
            fields: r#"{"phase":"commentary"}"#.to_owned(),
            optional: false,
        }],
    };
    let at = |message| PartAt {
        message,
        part: 0,
        content: None,
    };
    marks.add_to_part(at(0), mark.clone());
    marks.add_to_part(at(1), mark);
    let request = ChatRequest {
        marks,
        ..request(vec![
            message(Role::System, vec![text("be brief")]),
            message(Role::Assistant, vec![text("well")]),
        ])
    };
    let all = AllowedOptions::all();
    let to = Recipient {
        options: &all,
        ..TO
    };
    let dialect = Dialect {
        system_role: InstructionsRole::Instructions,
        cache_breakpoints: true,
        ..Dialect::default()
    };

    let written = OpenAiResponses { dialect }.encode(&request, &to).unwrap();

    let body: Value = serde_json::from_slice(&written.body).unwrap();
    let instruction = &body["input"][0]["content"][0];
    assert_eq!(instruction["prompt_cache_breakpoint"]["mode"], "explicit");
    assert_eq!(instruction["phase"], "commentary");
    assert_eq!(body["input"][1]["phase"], "commentary");
    assert_eq!(written.adaptations.len(), 1);
}
