//! Does what a caller asks reach the provider, and the answer the caller, in every wire format?

use std::fmt::Write as _;

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    ContentPart, CostSource, FinishReason, FunctionTool, GenerateRequest, GenerateResponse,
    JsonSchema, JsonSchemaFormat, Media, Message, ReasoningEffort, ReasoningOptions,
    ResponseFormat, Role, SamplingParams, Tool, ToolChoice, ToolResult, UsageSource, json_schema,
    media, response_format, tool, tool_choice,
};
use modelway::simulator::{Behaviour, text};
use serde_json::{Value, json};

use crate::support::{Gateway, METHODS, Method, ask, lines, message, part, parts, text_of};

/// Each format's provider, which is also the name of its scenario and of its model.
const FORMATS: [&str; 3] = ["openai", "anthropic", "gemini"];

/// A scenario for each format, named like it; all models behave like this. Behind `-whole`, answers
/// are not streamed by the provider.
async fn start(behaviour: &str) -> Gateway {
    let mut config = String::new();
    for format in FORMATS {
        for (suffix, mode) in [("", "stream"), ("-whole", "whole")] {
            write!(
                config,
                r#"
                [models."{format}/{format}{suffix}"]
                max_output_tokens = 1000
                upstream_mode = "{mode}"
                price = {{ input = 2.0, output = 10.0 }}
                [scenarios.{format}{suffix}]
                targets = ["{format}/{format}{suffix}"]
                "#
            )
            .unwrap();
        }
    }
    let gateway = Gateway::start(&config).await;
    let behaviour: Behaviour = behaviour.parse().unwrap();
    for format in FORMATS {
        gateway.simulator.set(format, behaviour.clone());
        let whole = format!("{format}-whole");
        gateway.simulator.set(&whole, behaviour.clone());
    }
    gateway
}

/// The body of the last request that the format's provider received.
fn received(gateway: &Gateway, format: &str) -> Value {
    gateway
        .simulator
        .requests_for(format)
        .last()
        .unwrap()
        .json()
}

/// Each row: a format, a place in the body it received, and what must stand there.
fn assert_received(gateway: &Gateway, rows: &[(&str, &str, Value)]) {
    for (format, place, expected) in rows {
        let body = received(gateway, format);
        assert_eq!(body.pointer(place), Some(expected), "{place} of {body:#}");
    }
}

#[tokio::test]
async fn a_text_is_answered_unary_and_streamed_and_read_whole() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        for (suffix, method) in [
            ("", Method::Generate),
            ("", Method::StreamGenerate),
            ("-whole", Method::Generate),
        ] {
            let scenario = format!("{format}{suffix}");

            let response = gateway.call(method, ask(&scenario, "Hello")).await.unwrap();

            assert_eq!(text_of(&response), text(24), "{scenario} {method:?}");
            let expected = [format!("1 PRIMARY {format}/{scenario} SUCCEEDED")];
            assert_eq!(lines(&response.attempts), expected);
            assert_eq!(response.scenario, scenario);
            assert_eq!(response.provider, format);
            assert_eq!(response.model, scenario);
            assert_eq!(response.response_model, scenario);
            assert_eq!(response.finish_reason(), FinishReason::Stop);
            assert_eq!(response.warnings, []);
        }
    }
}

#[tokio::test]
async fn an_unary_call_reads_a_stream_unless_the_target_is_to_be_read_whole() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        for suffix in ["", "-whole"] {
            for method in METHODS {
                let scenario = format!("{format}{suffix}");
                gateway.call(method, ask(&scenario, "Hello")).await.unwrap();

                let requests = gateway.simulator.requests_for(&scenario);

                let whole = suffix == "-whole" && method == Method::Generate;
                assert_eq!(requests.last().unwrap().stream, !whole, "{scenario}");
            }
        }
    }
}

#[tokio::test]
async fn instructions_and_earlier_turns_reach_the_provider_in_its_own_spelling() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        let mut request = ask(format, "");
        request.messages = vec![
            message(Role::System, "Be brief."),
            message(Role::User, "One?"),
            message(Role::Assistant, "Two."),
            message(Role::User, "Three?"),
        ];
        gateway.generate(request).await.unwrap();
    }

    let text = |text| json!([{"type": "text", "text": text}]);
    let turn = |role, text| json!({"role": role, "parts": [{"text": text}]});
    assert_received(
        &gateway,
        &[
            (
                "openai",
                "/messages",
                json!([
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "One?"},
                    {"role": "assistant", "content": "Two."},
                    {"role": "user", "content": "Three?"},
                ]),
            ),
            ("anthropic", "/system", text("Be brief.")),
            (
                "anthropic",
                "/messages",
                json!([
                    {"role": "user", "content": text("One?")},
                    {"role": "assistant", "content": text("Two.")},
                    {"role": "user", "content": text("Three?")},
                ]),
            ),
            (
                "gemini",
                "/systemInstruction/parts",
                json!([{"text": "Be brief."}]),
            ),
            (
                "gemini",
                "/contents",
                json!([
                    turn("user", "One?"),
                    turn("model", "Two."),
                    turn("user", "Three?")
                ]),
            ),
        ],
    );
}

fn media(source: media::Source, media_type: &str, filename: &str) -> Media {
    Media {
        source: Some(source),
        media_type: media_type.to_owned(),
        filename: filename.to_owned(),
        ..Media::default()
    }
}

#[tokio::test]
async fn images_and_documents_reach_the_provider() {
    let gateway = start("tokens=24").await;
    let image = media::Source::Data(b"PNG".as_slice().into());
    let linked = media::Source::Uri("https://example.com/a.png".to_owned());
    let document = media::Source::Data(b"%PDF".as_slice().into());
    for format in FORMATS {
        let shown = [
            Part::Image(media(image.clone(), "image/png", "")),
            Part::Image(media(linked.clone(), "image/png", "")),
            Part::Document(media(document.clone(), "application/pdf", "a.pdf")),
        ];
        let request = GenerateRequest {
            messages: vec![parts(Role::User, shown)],
            ..ask(format, "")
        };
        let response = gateway.generate(request).await.unwrap();

        // Gemini has no place for a file's name, and the caller is told.
        let adapted = response
            .warnings
            .iter()
            .map(|warning| warning.field.as_str());
        let expected = (format == "gemini").then_some("messages.parts.filename");
        assert!(adapted.eq(expected), "{format}: {:?}", response.warnings);
    }

    assert_received(
        &gateway,
        &[
            (
                "openai",
                "/messages/0/content",
                json!([
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,UE5H"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "file", "file": {
                        "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg==",
                    }},
                ]),
            ),
            (
                "anthropic",
                "/messages/0/content",
                json!([
                    {"type": "image", "source": {
                        "type": "base64", "media_type": "image/png", "data": "UE5H",
                    }},
                    {"type": "image", "source": {
                        "type": "url", "url": "https://example.com/a.png",
                    }},
                    {"type": "document", "source": {
                        "type": "base64", "media_type": "application/pdf", "data": "JVBERg==",
                    }, "title": "a.pdf"},
                ]),
            ),
            (
                "gemini",
                "/contents/0/parts",
                json!([
                    {"inlineData": {"mimeType": "image/png", "data": "UE5H"}},
                    {"fileData": {
                        "mimeType": "image/png", "fileUri": "https://example.com/a.png",
                    }},
                    {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
                ]),
            ),
        ],
    );
}

fn schema(text: &str) -> Option<JsonSchema> {
    Some(JsonSchema {
        schema: Some(json_schema::Schema::Text(text.to_owned())),
    })
}

/// Key order and numbers that a careless reader of JSON would change.
const SCHEMA: &str = r#"{"type":"object","properties":{"query":{"type":"string"},"at":{"type":"number","maximum":1.50}},"required":["query"]}"#;

fn function(name: &str) -> Tool {
    let function = FunctionTool {
        name: name.to_owned(),
        description: "Looks it up.".to_owned(),
        parameters: schema(SCHEMA),
        strict: false,
    };
    Tool {
        tool: Some(tool::Tool::Function(function)),
    }
}

/// A question with two tools at hand.
fn ask_with_tools(scenario: &str) -> GenerateRequest {
    GenerateRequest {
        tools: vec![function("lookup"), function("weather")],
        ..ask(scenario, "Hello")
    }
}

#[tokio::test]
async fn tools_and_the_choice_among_them_reach_the_provider() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        let request = GenerateRequest {
            tool_choice: Some(ToolChoice {
                choice: Some(tool_choice::Choice::FunctionName("weather".to_owned())),
            }),
            ..ask_with_tools(format)
        };
        let response = gateway.generate(request).await.unwrap();

        let calls = tool_calls(&response);
        assert_eq!(calls.len(), 1, "{format}");
        assert_eq!(calls[0].name, "weather");
        let sent = gateway.simulator.requests_for(format).pop().unwrap().body;
        let sent = String::from_utf8(sent.to_vec()).unwrap();
        assert!(sent.contains(SCHEMA), "exactly as it was written: {sent}");
    }

    assert_received(
        &gateway,
        &[
            ("openai", "/tools/1/function/name", json!("weather")),
            (
                "openai",
                "/tools/1/function/description",
                json!("Looks it up."),
            ),
            ("openai", "/tool_choice/function/name", json!("weather")),
            ("anthropic", "/tools/1/name", json!("weather")),
            ("anthropic", "/tools/1/description", json!("Looks it up.")),
            ("anthropic", "/tool_choice/name", json!("weather")),
            (
                "gemini",
                "/tools/0/functionDeclarations/1/name",
                json!("weather"),
            ),
            (
                "gemini",
                "/tools/0/functionDeclarations/1/description",
                json!("Looks it up."),
            ),
            (
                "gemini",
                "/toolConfig/functionCallingConfig/allowedFunctionNames",
                json!(["weather"]),
            ),
        ],
    );
}

fn tool_calls(response: &GenerateResponse) -> Vec<modelway::grpc::v1::ToolCall> {
    let output = response.output.as_ref().unwrap();
    let call = |part: &ContentPart| match &part.part {
        Some(Part::ToolCall(call)) => Some(call.clone()),
        _ => None,
    };
    output.parts.iter().filter_map(call).collect()
}

/// The conversation with the answer and a result for each of its tool calls.
fn with_results(mut request: GenerateRequest, response: &GenerateResponse) -> GenerateRequest {
    let result = |call: modelway::grpc::v1::ToolCall| {
        Part::ToolResult(ToolResult {
            tool_call_id: call.id,
            content: vec![part(Part::Text(format!("{} gave 42", call.name)))],
            is_error: false,
        })
    };
    let results = tool_calls(response).into_iter().map(result);
    request.messages.push(response.output.clone().unwrap());
    request.messages.push(parts(Role::Tool, results));
    request
}

#[tokio::test]
async fn parallel_tool_calls_come_back_and_their_results_go_out() {
    let arguments = json!({"query": text(3)});
    for method in METHODS {
        let gateway = start("call=lookup+call=weather").await;
        for format in FORMATS {
            let request = ask_with_tools(format);

            let response = gateway.call(method, request.clone()).await.unwrap();
            let next = with_results(request, &response);
            gateway.call(method, next).await.unwrap();

            assert_eq!(response.finish_reason(), FinishReason::ToolCalls);
            let calls = tool_calls(&response);
            let names: Vec<_> = calls.iter().map(|call| call.name.as_str()).collect();
            assert_eq!(names, ["lookup", "weather"], "{format} {method:?}");
            for call in &calls {
                let sent: Value = serde_json::from_str(&call.arguments_json).unwrap();
                assert_eq!(sent, arguments, "{format} {method:?}");
            }
            assert_ne!(calls[0].id, calls[1].id);
            let second = |value: Value, id: &str| {
                assert_eq!(value, json!(calls[1].id), "{id} in {format}");
            };
            let body = received(&gateway, format);
            match format {
                "openai" => {
                    let [.., lookup, weather] = &body["messages"].as_array().unwrap()[..] else {
                        panic!("{body:#}")
                    };
                    assert_eq!(lookup["content"], "lookup gave 42");
                    assert_eq!(weather["content"], "weather gave 42");
                    second(weather["tool_call_id"].clone(), "the result");
                    second(
                        body["messages"][1]["tool_calls"][1]["id"].clone(),
                        "the call",
                    );
                }
                "anthropic" => {
                    let results = &body["messages"][2]["content"];
                    assert_eq!(results[0]["content"][0]["text"], "lookup gave 42");
                    assert_eq!(results[1]["content"][0]["text"], "weather gave 42");
                    second(results[1]["tool_use_id"].clone(), "the result");
                    second(body["messages"][1]["content"][1]["id"].clone(), "the call");
                    assert_eq!(body["messages"][1]["content"][1]["input"], arguments);
                }
                _ => {
                    let results = &body["contents"][2]["parts"];
                    assert_eq!(results[0]["functionResponse"]["name"], "lookup");
                    assert_eq!(results[1]["functionResponse"]["name"], "weather");
                    let call = &body["contents"][1]["parts"][1]["functionCall"];
                    assert_eq!(call["args"], arguments);
                    assert_eq!(call["name"], "weather");
                }
            }
        }
    }
}

#[tokio::test]
async fn arguments_are_streamed_as_they_come() {
    let gateway = start("call=lookup+call=weather").await;
    // Gemini sends the arguments of a call whole.
    for format in ["openai", "anthropic"] {
        let streamed = gateway.stream(ask_with_tools(format)).await;

        let mut fragments = [0, 0];
        for event in &streamed.events {
            if let Event::ToolCallDelta(delta) = event {
                let part = usize::try_from(delta.part_index).unwrap();
                let is_first = fragments[part] == 0;
                assert_eq!(!delta.id.is_empty(), is_first, "{format}: {delta:?}");
                assert_eq!(!delta.name.is_empty(), is_first, "{format}: {delta:?}");
                fragments[part] += 1;
            }
        }
        assert!(fragments.iter().all(|count| *count > 3), "{fragments:?}");
    }
}

#[tokio::test]
async fn an_answer_in_json_follows_the_schema_that_was_sent() {
    let gateway = start("tokens=5").await;
    for format in FORMATS {
        let format_of_answer = JsonSchemaFormat {
            name: "verdict".to_owned(),
            schema: schema(SCHEMA),
            strict: true,
        };
        let request = GenerateRequest {
            response_format: Some(ResponseFormat {
                format: Some(response_format::Format::JsonSchema(format_of_answer)),
            }),
            ..ask(format, "Hello")
        };

        let response = gateway.generate(request).await.unwrap();

        let answer: Value = serde_json::from_str(&text_of(&response)).unwrap();
        assert_eq!(answer, json!({"answer": text(5)}), "{format}");
    }
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_received(
        &gateway,
        &[
            (
                "openai",
                "/response_format/json_schema/name",
                json!("verdict"),
            ),
            ("openai", "/response_format/json_schema/strict", json!(true)),
            (
                "openai",
                "/response_format/json_schema/schema",
                schema.clone(),
            ),
            (
                "anthropic",
                "/output_config/format/type",
                json!("json_schema"),
            ),
            (
                "gemini",
                "/generationConfig/responseMimeType",
                json!("application/json"),
            ),
            ("gemini", "/generationConfig/responseJsonSchema", schema),
        ],
    );
}

#[tokio::test]
async fn reasoning_is_given_out_and_replayed_with_its_signature_to_its_provider_only() {
    for method in METHODS {
        let gateway = start("reasoning=6+tokens=24").await;
        for format in FORMATS {
            let mut request = GenerateRequest {
                reasoning: Some(ReasoningOptions {
                    effort: ReasoningEffort::Low.into(),
                    include_reasoning: true,
                    ..ReasoningOptions::default()
                }),
                ..ask(format, "Hello")
            };

            let response = gateway.call(method, request.clone()).await.unwrap();
            request.messages.push(response.output.clone().unwrap());
            request.messages.push(message(Role::User, "And then?"));
            for scenario in FORMATS {
                request.scenario = scenario.to_owned();
                gateway.call(method, request.clone()).await.unwrap();
            }

            assert_eq!(text_of(&response), text(24), "{format} {method:?}");
            assert_eq!(reasoning_of(&response), text(6), "{format} {method:?}");
            for other in FORMATS {
                let sent = received(&gateway, other).to_string();
                let is_signed = other == format && format != "openai";
                assert_eq!(sent.contains(SIGNATURE), is_signed, "{format} to {other}");
                assert!(sent.contains(&text(24)), "{format} to {other}");
            }
        }
    }
}

/// What the simulator signs reasoning with; OpenAI's format has no signatures.
const SIGNATURE: &str = "c2ltdWxhdGVkIHNpZ25hdHVyZQ==";

fn reasoning_of(response: &GenerateResponse) -> String {
    let output = response.output.as_ref().unwrap();
    let texts = output.parts.iter().map(|part| match &part.part {
        Some(Part::Reasoning(reasoning)) => reasoning.text.as_str(),
        _ => "",
    });
    texts.collect()
}

#[tokio::test]
async fn a_signature_of_a_tool_call_is_replayed_with_the_call() {
    let gateway = start("call=lookup").await;
    let request = ask_with_tools("gemini");

    let response = gateway.generate(request.clone()).await.unwrap();
    gateway
        .generate(with_results(request, &response))
        .await
        .unwrap();

    let call = json!(SIGNATURE);
    assert_received(
        &gateway,
        &[("gemini", "/contents/1/parts/0/thoughtSignature", call)],
    );
}

#[tokio::test]
async fn tokens_and_their_price_are_told() {
    let gateway = start("reasoning=6+tokens=24").await;
    for format in FORMATS {
        for suffix in ["", "-whole"] {
            for method in METHODS {
                let request = ask(&format!("{format}{suffix}"), "One two three four");

                let response = gateway.call(method, request).await.unwrap();

                let usage = response.usage.unwrap();
                assert_eq!(usage.input_tokens, 4, "{format}");
                assert_eq!(usage.output_tokens, 30, "{format}");
                // Anthropic does not count them apart.
                let reasoning = if format == "anthropic" { 0 } else { 6 };
                assert_eq!(usage.reasoning_output_tokens, reasoning, "{format}");
                assert_eq!(usage.source(), UsageSource::Provider);
                let cost = response.cost.as_ref().unwrap();
                assert_eq!(cost.currency_code, "USD");
                assert_eq!(cost.amount_nanos, (4 * 2 + 30 * 10) * 1000, "{format}");
                assert_eq!(cost.source(), CostSource::PriceTable);
                assert_eq!(response.attempts[0].usage, response.usage);
                assert_eq!(response.attempts[0].cost, response.cost);
            }
        }
    }
}

#[tokio::test]
async fn every_finish_reason_is_told_in_our_words_and_the_providers() {
    let table = [
        (
            "finish=stop",
            FinishReason::Stop,
            ["stop", "end_turn", "STOP"],
        ),
        (
            "finish=length",
            FinishReason::MaxTokens,
            ["length", "max_tokens", "MAX_TOKENS"],
        ),
        (
            "call=lookup",
            FinishReason::ToolCalls,
            ["tool_calls", "tool_use", "STOP"],
        ),
        (
            "finish=content-filter",
            FinishReason::ContentFilter,
            ["content_filter", "refusal", "SAFETY"],
        ),
    ];
    for (behaviour, reason, spelled) in table {
        let gateway = start(behaviour).await;
        for (format, spelled) in FORMATS.into_iter().zip(spelled) {
            for method in METHODS {
                let response = gateway.call(method, ask_with_tools(format)).await.unwrap();

                assert_eq!(response.finish_reason(), reason, "{format} {behaviour}");
                assert_eq!(response.provider_finish_reason, spelled, "{behaviour}");
            }
        }
    }
}

#[tokio::test]
async fn sampling_reaches_the_provider_and_the_token_limit_cuts_the_answer() {
    let gateway = start("tokens=24").await;
    for format in FORMATS {
        let request = GenerateRequest {
            sampling: Some(SamplingParams {
                max_output_tokens: Some(5),
                temperature: Some(0.5),
                stop_sequences: vec!["END".to_owned()],
                ..SamplingParams::default()
            }),
            ..ask(format, "Hello")
        };

        let response = gateway.generate(request).await.unwrap();

        assert_eq!(text_of(&response).trim_end(), text(5), "{format}");
        assert_eq!(
            response.finish_reason(),
            FinishReason::MaxTokens,
            "{format}"
        );
    }
    assert_received(
        &gateway,
        &[
            ("openai", "/max_completion_tokens", json!(5)),
            ("openai", "/temperature", json!(0.5)),
            ("openai", "/stop", json!(["END"])),
            ("anthropic", "/max_tokens", json!(5)),
            ("anthropic", "/temperature", json!(0.5)),
            ("anthropic", "/stop_sequences", json!(["END"])),
            ("gemini", "/generationConfig/maxOutputTokens", json!(5)),
            ("gemini", "/generationConfig/temperature", json!(0.5)),
            ("gemini", "/generationConfig/stopSequences", json!(["END"])),
        ],
    );
}

/// What must be the same however an answer was read: all but ids, times and the attempts' spans.
fn essence(mut response: GenerateResponse) -> (Message, String) {
    let mut output = response.output.take().unwrap();
    for part in &mut output.parts {
        if let Some(Part::ToolCall(call)) = &mut part.part {
            call.id = "id".to_owned();
        }
    }
    let GenerateResponse {
        finish_reason,
        usage,
        cost,
        provider,
        provider_finish_reason,
        warnings,
        stop_sequence,
        ..
    } = response;
    let rest = format!(
        "{finish_reason} {usage:?} {cost:?} {provider} {provider_finish_reason} {warnings:?} \
         {stop_sequence}"
    );
    (output, rest)
}

#[tokio::test]
async fn an_answer_is_the_same_unary_streamed_and_read_whole() {
    for behaviour in [
        "tokens=24",
        "tokens=0",
        "reasoning=6+tokens=24",
        "reasoning=6+call=lookup+call=weather",
        "text=First this.+call=lookup",
        "finish=length",
        "finish=content-filter",
        "slice=7+reasoning=6",
    ] {
        let gateway = start(behaviour).await;
        for format in FORMATS {
            let unary = gateway.generate(ask_with_tools(format)).await.unwrap();
            let streamed = gateway.stream(ask_with_tools(format)).await;
            let whole = ask_with_tools(&format!("{format}-whole"));
            let whole = gateway.generate(whole).await.unwrap();

            let unary = essence(unary);
            let streamed = essence(streamed.into_response().unwrap());
            assert_eq!(streamed, unary, "streamed, {format} {behaviour}");
            assert_eq!(essence(whole), unary, "whole, {format} {behaviour}");
        }
    }
}

#[tokio::test]
async fn a_model_can_be_named_in_place_of_a_scenario_where_that_is_allowed() {
    let allowed = Gateway::start(
        r#"
        catalog.allow_model = true
        models."openai/gpt" = {}
        scenarios.s.targets = ["openai/gpt"]
        "#,
    );
    let request = GenerateRequest {
        model: "openai/gpt".to_owned(),
        ..ask("", "Hello")
    };
    let allowed = allowed.await;

    for method in METHODS {
        let response = allowed.call(method, request.clone()).await.unwrap();

        assert_eq!(text_of(&response), text(24));
        assert_eq!(response.scenario, "");
    }
}
