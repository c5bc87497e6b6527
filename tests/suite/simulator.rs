//! Does the simulated provider do what its scripts say, as the real providers would?

mod conversation;
mod faults;
mod log;
mod page;
mod sequences;
mod structured;
mod tools;

use std::time::Duration;

use modelway::simulator::WireName::{Anthropic, Gemini, OpenAiChat, OpenAiResponses};
use modelway::simulator::{
    Behaviour, Ending, Fault, Finish, Received, RefusalReason, Settings, Simulator, ToolCall,
    WireName, text,
};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

const WIRES: [WireName; 4] = [OpenAiChat, Anthropic, Gemini, OpenAiResponses];

async fn start() -> Simulator {
    Simulator::start(Settings::default()).await.unwrap()
}

fn client() -> Client {
    client_builder().build().unwrap()
}

fn client_builder() -> ClientBuilder {
    // Fails if another test was faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy()
}

/// A request of eight words.
fn body(wire: WireName, model: &str, stream: bool) -> Value {
    let system = "Answer in one word.";
    let user = "What is this all";
    match wire {
        OpenAiChat => json!({
            "model": model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": [{"type": "text", "text": user}]},
            ],
            "stream": stream,
            "stream_options": {"include_usage": true},
        }),
        OpenAiResponses => json!({
            "model": model,
            "instructions": system,
            "input": [{"role": "user", "content": [{"type": "input_text", "text": user}]}],
            "include": ["reasoning.encrypted_content"],
            "stream": stream,
        }),
        Anthropic => json!({
            "model": model,
            "max_tokens": 1000,
            "system": system,
            "messages": [{"role": "user", "content": user}],
            "stream": stream,
        }),
        Gemini => json!({
            "systemInstruction": {"parts": [{"text": system}]},
            "contents": [{"role": "user", "parts": [{"text": user}]}],
        }),
    }
}

fn request(simulator: &Simulator, wire: WireName, model: &str, stream: bool) -> RequestBuilder {
    let base = simulator.base_url(wire);
    let url = match (wire, stream) {
        (OpenAiChat, _) => format!("{base}/chat/completions"),
        (OpenAiResponses, _) => format!("{base}/responses"),
        (Anthropic, _) => format!("{base}/messages"),
        (Gemini, false) => format!("{base}/models/{model}:generateContent"),
        (Gemini, true) => format!("{base}/models/{model}:streamGenerateContent?alt=sse"),
    };
    client()
        .post(url)
        .header("anthropic-version", "2023-06-01")
        .body(body(wire, model, stream).to_string())
}

async fn send(simulator: &Simulator, wire: WireName, model: &str, stream: bool) -> Response {
    request(simulator, wire, model, stream)
        .send()
        .await
        .unwrap()
}

async fn whole(simulator: &Simulator, wire: WireName, model: &str) -> Value {
    let body = send(simulator, wire, model, false)
        .await
        .text()
        .await
        .unwrap();
    serde_json::from_str(&body).unwrap()
}

/// The data of each event.
async fn stream(simulator: &Simulator, wire: WireName, model: &str) -> Vec<String> {
    events(
        &send(simulator, wire, model, true)
            .await
            .text()
            .await
            .unwrap(),
    )
}

fn events(body: &str) -> Vec<String> {
    let data = |line: &str| line.strip_prefix("data: ").map(str::to_owned);
    body.lines().filter_map(data).collect()
}

fn text_of_event(wire: WireName, event: &str) -> String {
    let event: Value = serde_json::from_str(event).unwrap_or_default();
    let text = match wire {
        OpenAiChat => &event["choices"][0]["delta"]["content"],
        OpenAiResponses if event["type"] == "response.output_text.delta" => &event["delta"],
        OpenAiResponses => &Value::Null,
        Anthropic => &event["delta"]["text"],
        Gemini => &event["candidates"][0]["content"]["parts"][0]["text"],
    };
    text.as_str().unwrap_or("").to_owned()
}

fn text_of(wire: WireName, events: &[String]) -> String {
    let texts: Vec<String> = events
        .iter()
        .map(|event| text_of_event(wire, event))
        .collect();
    texts.concat()
}

/// Reads until the text so far is this one.
async fn read_until(wire: WireName, response: &mut Response, expected: &str) {
    let mut bytes = Vec::new();
    loop {
        let so_far = events(&String::from_utf8_lossy(&bytes));
        if text_of(wire, &so_far) == expected {
            return;
        }
        bytes.extend(response.chunk().await.unwrap().expect("more text"));
    }
}

#[tokio::test]
async fn every_format_answers_whole() {
    let simulator = start().await;

    let openai = whole(&simulator, OpenAiChat, "sim").await;
    let anthropic = whole(&simulator, Anthropic, "sim").await;
    let gemini = whole(&simulator, Gemini, "sim").await;
    let responses = whole(&simulator, OpenAiResponses, "sim").await;

    assert_eq!(openai["object"], "chat.completion");
    assert_eq!(openai["model"], "sim");
    assert_eq!(openai["choices"][0]["message"]["content"], text(24));
    assert_eq!(openai["choices"][0]["finish_reason"], "stop");
    assert_eq!(openai["usage"]["prompt_tokens"], 8);
    assert_eq!(openai["usage"]["completion_tokens"], 24);
    assert_eq!(anthropic["type"], "message");
    assert_eq!(
        anthropic["content"],
        json!([{"type": "text", "text": text(24)}])
    );
    assert_eq!(anthropic["stop_reason"], "end_turn");
    assert_eq!(anthropic["usage"]["input_tokens"], 8);
    assert_eq!(anthropic["usage"]["output_tokens"], 24);
    let candidate = &gemini["candidates"][0];
    assert_eq!(candidate["content"]["parts"], json!([{"text": text(24)}]));
    assert_eq!(candidate["finishReason"], "STOP");
    assert_eq!(gemini["usageMetadata"]["totalTokenCount"], 32);
    assert_eq!(responses["object"], "response");
    assert_eq!(responses["status"], "completed");
    assert_eq!(responses["output"][0]["content"][0]["text"], text(24));
    assert_eq!(responses["usage"]["input_tokens"], 8);
    assert_eq!(responses["usage"]["output_tokens"], 24);
}

#[tokio::test]
async fn every_format_streams_the_same_text() {
    let simulator = start().await;

    for wire in WIRES {
        let events = stream(&simulator, wire, "sim").await;

        assert_eq!(text_of(wire, &events), text(24), "{wire:?}");
        let end: Vec<&str> = events.iter().rev().take(3).map(String::as_str).collect();
        match wire {
            OpenAiChat => {
                assert_eq!(end[0], "[DONE]");
                assert!(end[1].contains(r#""choices":[],"usage":{"prompt_tokens":8,"#));
                assert!(end[2].contains(r#""finish_reason":"stop""#));
            }
            Anthropic => {
                assert_eq!(end[0], r#"{"type":"message_stop"}"#);
                assert!(end[1].contains(r#""stop_reason":"end_turn""#));
                assert!(end[1].contains(r#""output_tokens":24"#));
            }
            OpenAiResponses => {
                assert!(end[0].contains(r#""type":"response.completed""#));
                assert!(end[0].contains(r#""output_tokens":24"#));
                assert!(end[0].contains(r#""sequence_number":31}"#), "{}", end[0]);
            }
            Gemini => {
                assert!(end[0].contains(r#""finishReason":"STOP""#));
                assert!(end[0].contains(r#""totalTokenCount":32"#));
            }
        }
    }
}

#[tokio::test]
async fn framing_and_headers_are_those_of_each_provider() {
    let simulator = start().await;
    let table = [
        (
            OpenAiChat,
            "text/event-stream; charset=utf-8",
            Some("x-request-id"),
        ),
        (
            Anthropic,
            "text/event-stream; charset=utf-8",
            Some("request-id"),
        ),
        (Gemini, "text/event-stream", None),
        (
            OpenAiResponses,
            "text/event-stream; charset=utf-8",
            Some("x-request-id"),
        ),
    ];

    for (wire, content_type, id_header) in table {
        let response = send(&simulator, wire, "sim", true).await;

        assert_eq!(response.headers()["content-type"], content_type);
        assert!(!response.headers().contains_key("content-length"));
        for header in ["x-request-id", "request-id"] {
            let expected = id_header == Some(header);
            assert_eq!(
                response.headers().contains_key(header),
                expected,
                "{wire:?}"
            );
        }
        let body = response.text().await.unwrap();
        assert_eq!(body.contains("\r\n\r\n"), wire == Gemini);
        assert_eq!(body.contains("event: ping"), wire == Anthropic);
    }
}

#[tokio::test]
async fn gemini_without_sse_streams_a_json_array() {
    let simulator = start().await;
    let url = format!(
        "{}/models/sim:streamGenerateContent",
        simulator.base_url(Gemini)
    );

    let response = client()
        .post(url)
        .body(body(Gemini, "", true).to_string())
        .send();
    let body = response.await.unwrap().text().await.unwrap();

    let array: Vec<Value> = serde_json::from_str(&body).unwrap();
    let events: Vec<String> = array.iter().map(Value::to_string).collect();
    assert_eq!(text_of(Gemini, &events), text(24));
}

#[tokio::test]
async fn a_forced_tool_is_called() {
    let simulator = start().await;
    let schema = json!({"type": "object"});
    let openai = json!({
        "tools": [{"type": "function", "function": {"name": "look", "parameters": schema}}],
        "tool_choice": "required",
    });
    let anthropic = json!({
        "tools": [{"name": "look", "input_schema": schema}],
        "tool_choice": {"type": "tool", "name": "look"},
    });
    let gemini = json!({
        "tools": [{"functionDeclarations": [{"name": "look"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    });

    let responses = json!({
        "tools": [{"type": "function", "name": "look", "parameters": schema, "strict": false}],
        "tool_choice": {"type": "function", "name": "look"},
    });

    for (wire, more) in WIRES
        .into_iter()
        .zip([openai, anthropic, gemini, responses])
    {
        let mut body = body(wire, "sim", false);
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let response = request(&simulator, wire, "sim", false)
            .body(body.to_string())
            .send();
        let answer: Value =
            serde_json::from_str(&response.await.unwrap().text().await.unwrap()).unwrap();

        let (name, finish) = match wire {
            OpenAiChat => {
                let choice = &answer["choices"][0];
                assert_eq!(choice["message"]["content"], Value::Null);
                let call = &choice["message"]["tool_calls"][0];
                (&call["function"]["name"], &choice["finish_reason"])
            }
            OpenAiResponses => (&answer["output"][0]["name"], &answer["status"]),
            Anthropic => (&answer["content"][0]["name"], &answer["stop_reason"]),
            Gemini => {
                let candidate = &answer["candidates"][0];
                let call = &candidate["content"]["parts"][0]["functionCall"];
                (&call["name"], &candidate["finishReason"])
            }
        };
        assert_eq!(name, "look");
        assert!(
            ["tool_calls", "tool_use", "STOP", "completed"].contains(&finish.as_str().unwrap())
        );
    }
}

#[tokio::test]
async fn parallel_calls_are_streamed_in_fragments() {
    let simulator = start().await;
    let call = |name: &str, arguments: &str| ToolCall {
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let calls = [
        call("add", r#"{"first":1,"second":2}"#),
        call("sub", r#"{"first":3,"second":4}"#),
    ];
    let behaviour = Behaviour {
        calls: calls.to_vec(),
        ..Behaviour::default()
    };
    simulator.set("sim", behaviour);

    let openai = stream(&simulator, OpenAiChat, "sim").await;
    let anthropic = stream(&simulator, Anthropic, "sim").await;
    let gemini = stream(&simulator, Gemini, "sim").await;

    let mut of_openai = [String::new(), String::new()];
    for event in &openai[..openai.len() - 1] {
        let event: Value = serde_json::from_str(event).unwrap();
        let call = &event["choices"][0]["delta"]["tool_calls"][0];
        if let Some(index) = call["index"].as_u64() {
            let fragment = call["function"]["arguments"].as_str().unwrap();
            of_openai[usize::try_from(index).unwrap()] += fragment;
        }
    }
    let mut of_anthropic = [String::new(), String::new()];
    for event in &anthropic {
        let event: Value = serde_json::from_str(event).unwrap();
        if let Some(fragment) = event["delta"]["partial_json"].as_str() {
            let index = event["index"].as_u64().unwrap();
            of_anthropic[usize::try_from(index).unwrap()] += fragment;
        }
    }
    let arguments = calls.map(|call| call.arguments);
    assert_eq!(of_openai, arguments);
    assert_eq!(of_anthropic, arguments);
    assert!(gemini[1].contains(r#""functionCall":{"name":"add","args":{"first":1,"second":2}}"#));
    assert!(gemini[2].contains(r#""functionCall":{"name":"sub","args":{"first":3,"second":4}}"#));
}

#[tokio::test]
async fn reasoning_comes_first_and_is_signed() {
    let simulator = start().await;
    let model = "sim+reasoning=3+tokens=2";

    let openai = whole(&simulator, OpenAiChat, model).await;
    let anthropic = stream(&simulator, Anthropic, model).await;
    let gemini = stream(&simulator, Gemini, model).await;
    let responses = whole(&simulator, OpenAiResponses, model).await;

    let reasoning = &responses["output"][0];
    assert_eq!(reasoning["summary"][0]["text"], text(3));
    assert!(reasoning["encrypted_content"].is_string());
    let message = &openai["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], text(3));
    assert_eq!(openai["usage"]["completion_tokens"], 5);
    assert_eq!(
        openai["usage"]["completion_tokens_details"]["reasoning_tokens"],
        3
    );
    let kinds: Vec<String> = anthropic
        .iter()
        .filter_map(|event| {
            serde_json::from_str::<Value>(event).unwrap()["delta"]["type"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    let thought = "thinking_delta";
    let said = "text_delta";
    assert_eq!(
        kinds,
        [thought, thought, thought, "signature_delta", said, said]
    );
    assert!(gemini[1].contains(r#""thought":true"#));
    let last: Value = serde_json::from_str(gemini.last().unwrap()).unwrap();
    let part = &last["candidates"][0]["content"]["parts"][0];
    assert!(part["thoughtSignature"].is_string());
    assert_eq!(last["usageMetadata"]["candidatesTokenCount"], 2);
    assert_eq!(last["usageMetadata"]["thoughtsTokenCount"], 3);
}

#[tokio::test]
async fn json_is_answered_where_it_is_asked_for() {
    let simulator = start().await;
    let mut body = body(OpenAiChat, "sim+tokens=2", false);
    body["response_format"] = json!({"type": "json_object"});

    let response = request(&simulator, OpenAiChat, "", false)
        .body(body.to_string())
        .send();
    let answer = response.await.unwrap().text().await.unwrap();

    let answer: Value = serde_json::from_str(&answer).unwrap();
    let content = &answer["choices"][0]["message"]["content"];
    assert_eq!(content, r#"{"answer":"alpha bravo"}"#);
}

#[tokio::test]
async fn finish_model_and_text_can_be_scripted() {
    let simulator = start().await;
    let behaviour = Behaviour {
        text: Some("Grüße, Welt!".to_owned()),
        finish: Some(Finish::ContentFilter),
        reported_model: Some("another".to_owned()),
        ..Behaviour::default()
    };
    simulator.set("sim", behaviour);

    let answer = whole(&simulator, Gemini, "sim").await;

    let candidate = &answer["candidates"][0];
    assert_eq!(candidate["content"]["parts"][0]["text"], "Grüße, Welt!");
    assert_eq!(candidate["finishReason"], "SAFETY");
    assert_eq!(answer["modelVersion"], "another");
}

#[tokio::test]
async fn what_a_provider_would_not_accept_is_refused() {
    let simulator = start().await;
    let sent = |wire, body: Value, path: &str| {
        let url = format!("{}{path}", simulator.base_url(wire));
        client().post(url).body(body.to_string()).send()
    };
    let user = json!([{"role": "user", "content": "Hello"}]);
    let table = [
        (
            OpenAiChat,
            json!({"model": "sim"}),
            "/chat/completions",
            "messages",
        ),
        (
            OpenAiChat,
            json!({"messages": user}),
            "/chat/completions",
            "model",
        ),
        (
            Anthropic,
            json!({"model": "sim"}),
            "/messages",
            "anthropic-version",
        ),
        (Gemini, json!({}), "/models/sim:generateContent", "contents"),
        (
            Gemini,
            json!({}),
            "/models/sim:embedContent",
            "nothing is served",
        ),
        (
            Gemini,
            json!({"contents": [1]}),
            "/models/s+x=1:generateContent",
            "`x`",
        ),
    ];

    for (wire, body, path, word) in table {
        let response = sent(wire, body, path).await.unwrap();

        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let message = response.text().await.unwrap();
        assert!(message.contains(word), "{word} in {message}");
    }
}

#[tokio::test]
async fn a_header_changes_what_the_name_says() {
    let simulator = start().await;

    let response = request(&simulator, OpenAiChat, "sim+tokens=2", true)
        .header("x-simulate", "tokens=3")
        .send();
    let body = response.await.unwrap().text().await.unwrap();

    assert_eq!(text_of(OpenAiChat, &events(&body)), text(3));
}

#[tokio::test]
async fn a_script_is_followed_in_order_and_can_be_replaced() {
    let simulator = start().await;
    let refusal = |refusal| Behaviour::from(Fault::Refuse(refusal));
    simulator.script(
        "sim",
        [
            refusal(RefusalReason::ServerError),
            refusal(RefusalReason::Overloaded),
        ],
    );

    let mut statuses = Vec::new();
    for _ in 0..3 {
        let response = send(&simulator, Anthropic, "sim", true).await;
        statuses.push(response.status().as_u16());
    }
    simulator.set("sim", Behaviour::default());
    let after = send(&simulator, Anthropic, "sim", true).await;

    assert_eq!(statuses, [500, 529, 529]);
    assert_eq!(after.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn time_passes_before_the_head_and_between_tokens() {
    let simulator = start().await;
    let model = "sim+delay=1000s+first=100s+gap=10s+tokens=3";

    for (stream, until_head) in [(true, 1000), (false, 1120)] {
        let start = tokio::time::Instant::now();
        let response = send(&simulator, OpenAiChat, model, stream).await;
        let head = start.elapsed();
        response.text().await.unwrap();
        let all = start.elapsed();

        // A paused clock leaps to the next timer, which may be somebody else's.
        assert!(head >= Duration::from_secs(until_head), "{head:?}");
        assert!(all >= Duration::from_secs(1120), "{all:?}");
    }
}

#[tokio::test]
async fn http2_is_spoken_without_tls() {
    let simulator = start().await;
    let client = client_builder().http2_prior_knowledge().build().unwrap();
    let url = format!("{}/chat/completions", simulator.base_url(OpenAiChat));

    let body = body(OpenAiChat, "sim", true).to_string();
    let response = client.post(url).body(body).send().await.unwrap();

    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let body = response.text().await.unwrap();
    assert_eq!(text_of(OpenAiChat, &events(&body)), text(24));
    assert_eq!(simulator.requests()[0].path, "/openai/v1/chat/completions");
}
