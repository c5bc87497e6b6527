//! Tools, their calls and results, and answers in JSON.

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{
    ContentPart, FinishReason, FunctionTool, GenerateRequest, GenerateResponse, JsonSchema,
    JsonSchemaFormat, ResponseFormat, Role, Tool, ToolCall, ToolChoice, ToolResult, json_schema,
    response_format, tool, tool_choice,
};
use serde_json::{Value, json};

use crate::support::{METHODS, ask, part, parts, text_of};

use super::{FORMATS, SIGNATURE, assert_received, received, start};

fn schema(text: &str) -> Option<JsonSchema> {
    Some(JsonSchema {
        schema: Some(json_schema::Schema::Text(text.to_owned())),
    })
}

/// What every provider takes as it is written.
const ANSWER: &str = r#"{"type":"object","properties":{"query":{"type":"string"},"at":{"type":"number","default":1.50}},"required":["query","at"],"additionalProperties":false}"#;

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
        ..Tool::default()
    }
}

/// A question with two tools at hand.
pub(super) fn ask_with_tools(scenario: &str) -> GenerateRequest {
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

fn tool_calls(response: &GenerateResponse) -> Vec<ToolCall> {
    let output = response.output.as_ref().unwrap();
    let call = |part: &ContentPart| match &part.part {
        Some(Part::ToolCall(call)) => Some(call.clone()),
        _ => None,
    };
    output.parts.iter().filter_map(call).collect()
}

/// The conversation with the answer and a result for each of its tool calls.
fn with_results(mut request: GenerateRequest, response: &GenerateResponse) -> GenerateRequest {
    let result = |call: ToolCall| {
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
            let arguments = calls.iter().map(|call| {
                let sent: Value = serde_json::from_str(&call.arguments_json).unwrap();
                assert!(sent["query"].is_string(), "{format} {method:?}: {sent}");
                sent
            });
            let arguments = arguments.last().unwrap();
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
            schema: schema(ANSWER),
            strict: true,
            ..JsonSchemaFormat::default()
        };
        let request = GenerateRequest {
            response_format: Some(ResponseFormat {
                format: Some(response_format::Format::JsonSchema(format_of_answer)),
            }),
            ..ask(format, "Hello")
        };

        let response = gateway.generate(request).await.unwrap();

        let answer: Value = serde_json::from_str(&text_of(&response)).unwrap();
        assert!(answer["query"].is_string(), "{format}: {answer}");
    }
    let schema: Value = serde_json::from_str(ANSWER).unwrap();
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
