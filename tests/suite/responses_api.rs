//! Is a call answered through OpenAI's Responses API: with tools, with reasoning that is sent back, and with failover to
//! another format and back?

mod sent_back;

use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{
    ContentPart, FinishReason, FunctionTool, GenerateRequest, GenerateResponse, ReasoningOptions,
    Role, Tool, ToolResult, tool,
};
use modelway::simulator::{Behaviour, Fault, RefusalReason, text};
use serde_json::{Value, json};

use crate::support::{Gateway, METHODS, Method, ask, lines, message, part, parts, text_of};

const CONFIG: &str = r#"
[providers.responses]
simulated = true
wire_format = "openai_responses"

[models."responses/gpt"]
max_output_tokens = 1000
[models."responses/gpt-whole"]
max_output_tokens = 1000
upstream_mode = "whole"
[models."anthropic/claude"]
max_output_tokens = 8000

[scenarios.streamed]
targets = ["responses/gpt", "anthropic/claude"]
[scenarios.whole]
targets = ["responses/gpt-whole"]
[scenarios.alone]
targets = ["responses/gpt"]
"#;

fn behaviour(text: &str) -> Behaviour {
    text.parse().unwrap()
}

/// The kinds of the items that a model of the Responses API was sent last.
fn sent(gateway: &Gateway, model: &str) -> (Vec<String>, Value) {
    let body = gateway.simulator.requests_for(model).last().unwrap().json();
    let items = body["input"].as_array().unwrap();
    let kind = |item: &Value| match item["type"].as_str().unwrap() {
        "message" => item["role"].as_str().unwrap().to_owned(),
        kind => kind.to_owned(),
    };
    (items.iter().map(kind).collect(), body)
}

fn asked(scenario: &str) -> GenerateRequest {
    let function = FunctionTool {
        name: "lookup".to_owned(),
        ..FunctionTool::default()
    };
    GenerateRequest {
        tools: vec![Tool {
            tool: Some(tool::Tool::Function(function)),
            ..Tool::default()
        }],
        reasoning: Some(ReasoningOptions {
            include_reasoning: true,
            ..ReasoningOptions::default()
        }),
        ..ask(scenario, "Hello")
    }
}

fn output(response: &GenerateResponse) -> Vec<&Part> {
    let parts = &response.output.as_ref().unwrap().parts;
    parts.iter().filter_map(|part| part.part.as_ref()).collect()
}

fn answered(mut request: GenerateRequest, response: &GenerateResponse) -> GenerateRequest {
    request.messages.push(response.output.clone().unwrap());
    let results: Vec<_> = output(response)
        .into_iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(Part::ToolResult(ToolResult {
                tool_call_id: call.id.clone(),
                content: vec![text_part("42")],
                is_error: false,
            })),
            _ => None,
        })
        .collect();
    request.messages.push(match results.is_empty() {
        true => message(Role::User, "Go on"),
        false => parts(Role::Tool, results),
    });
    request
}

fn text_part(text: &str) -> ContentPart {
    part(Part::Text(text.to_owned()))
}

#[tokio::test]
async fn a_tool_loop_sends_the_reasoning_back_before_its_call() {
    for (scenario, model) in [("streamed", "gpt"), ("whole", "gpt-whole")] {
        for method in METHODS {
            let gateway = Gateway::start(CONFIG).await;
            let steps = ["reasoning=3+call=lookup", "tokens=4"].map(behaviour);
            gateway.simulator.script(model, steps);
            let request = asked(scenario);

            let called = gateway.call(method, request.clone()).await.unwrap();
            let next = answered(request, &called);
            let told = gateway.call(method, next).await.unwrap();

            assert_eq!(called.finish_reason(), FinishReason::ToolCalls);
            let [Part::Reasoning(reasoning), Part::ToolCall(call)] = output(&called)[..] else {
                panic!("{called:?}");
            };
            assert_eq!((&*reasoning.text, &*call.name), (&*text(3), "lookup"));
            let said = text_of(&told);
            assert!(said.starts_with("lookup returned: "), "{said}");
            let (kinds, body) = sent(&gateway, model);
            assert_eq!(
                kinds,
                ["user", "reasoning", "function_call", "function_call_output"]
            );
            assert_eq!(body["input"][1]["summary"][0]["text"], text(3));
            assert_eq!(body["input"][2]["call_id"], body["input"][3]["call_id"]);
            assert_eq!(body["store"], false);
            assert_eq!(body["reasoning"], json!({"summary": "auto"}));
        }
    }
}

#[tokio::test]
async fn a_conversation_moves_to_another_format_and_back_with_its_own_reasoning() {
    let gateway = Gateway::start(CONFIG).await;
    let thoughtful = || behaviour("reasoning=2+tokens=3");
    let mut down = behaviour("tokens=1");
    down.fault = Some(Fault::Refuse(RefusalReason::Unavailable));
    gateway
        .simulator
        .script("gpt", [thoughtful(), down, thoughtful()]);
    gateway.simulator.set("claude", thoughtful());
    let request = GenerateRequest {
        tools: Vec::new(),
        ..asked("streamed")
    };

    let first = gateway.generate(request.clone()).await.unwrap();
    let request = answered(request, &first);
    let second = gateway.generate(request.clone()).await.unwrap();
    let request = answered(request, &second);
    let third = gateway.generate(request).await.unwrap();

    assert_eq!(
        lines(&first.attempts),
        ["1 PRIMARY responses/gpt SUCCEEDED"]
    );
    assert_eq!(
        lines(&second.attempts),
        [
            "1 PRIMARY responses/gpt FAILED PROVIDER_OVERLOADED",
            "2 FAILOVER anthropic/claude SUCCEEDED",
        ]
    );
    assert_eq!(
        lines(&third.attempts),
        ["1 PRIMARY responses/gpt SUCCEEDED"]
    );
    let claude = gateway
        .simulator
        .requests_for("claude")
        .pop()
        .unwrap()
        .json();
    assert_eq!(
        claude["messages"][1]["content"],
        json!([{"type": "text", "text": text(3)}])
    );
    let (kinds, _) = sent(&gateway, "gpt");
    assert_eq!(
        kinds,
        [
            "user",
            "reasoning",
            "assistant",
            "user",
            "assistant",
            "user"
        ]
    );
    assert!(
        third
            .warnings
            .iter()
            .any(|warning| warning.field == "messages.parts.reasoning")
    );
}

#[tokio::test]
async fn a_stream_that_breaks_is_never_a_whole_answer() {
    for fault in [
        "cut=2",
        "error=2",
        "disconnect=2",
        "reset=2",
        "malformed=2",
        "no-end",
    ] {
        let gateway = Gateway::start(CONFIG).await;
        gateway
            .simulator
            .set("gpt", behaviour(&format!("tokens=5+{fault}")));

        let streamed = gateway
            .call(Method::StreamGenerate, ask("alone", "Hello"))
            .await;
        let backed = gateway.generate(ask("streamed", "Hello")).await.unwrap();

        assert!(streamed.is_err(), "{fault}");
        assert_eq!(backed.attempts.len(), 2, "{fault}");
        assert_eq!(text_of(&backed), text(24), "{fault}");
    }
}

#[tokio::test]
async fn small_deviations_of_a_host_leave_its_answer_alone() {
    for deviation in ["plain", "whole", "slice=1", "no-usage", "as=gpt-2026"] {
        let gateway = Gateway::start(CONFIG).await;
        gateway
            .simulator
            .set("gpt", behaviour(&format!("tokens=5+{deviation}")));
        for method in METHODS {
            let response = gateway.call(method, ask("alone", "Hello")).await.unwrap();

            assert_eq!(text_of(&response), text(5), "{deviation}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_by_its_limit_says_so() {
    let gateway = Gateway::start(CONFIG).await;
    let mut request = ask("alone", "Hello");
    request.sampling.get_or_insert_default().max_output_tokens = Some(3);

    let response = gateway.generate(request).await.unwrap();

    assert_eq!(response.finish_reason(), FinishReason::MaxTokens);
    assert_eq!(text_of(&response).split_whitespace().count(), 16);
    assert_eq!(response.warnings[0].field, "sampling.max_output_tokens");
}

#[tokio::test]
async fn what_the_api_lacks_skips_the_target() {
    let gateway = Gateway::start(CONFIG).await;
    let mut request = ask("streamed", "Hello");
    request.sampling.get_or_insert_default().stop_sequences = vec!["END".to_owned()];

    let response = gateway.generate(request).await.unwrap();

    assert_eq!(response.attempts.last().unwrap().model, "claude");
    assert!(gateway.simulator.requests_for("gpt").is_empty());
}
