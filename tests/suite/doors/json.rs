//! Calls in JSON.

use std::time::Duration;

use modelway::simulator::Behaviour;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::http::{Head, Http1, events, post, post_json};
use super::soon_open;
use crate::support::posted::http2;
use crate::support::{Gateway, ONE_MODEL, ask, quickest};

const ASK: &str = r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"Hello"}]}"#;

#[tokio::test]
async fn a_call_in_json_is_answered_in_json() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let mut http = Http1::connect(gateway.address).await;

    let (head, answer) = http
        .ask_json(&post_json("/v1/generate", "x-request-id: mine\r\n", ASK))
        .await;

    assert_eq!(head.status, 200, "{answer}");
    assert_eq!(head.get("content-type"), "application/json");
    assert_eq!(head.get("x-request-id"), "mine");
    assert_eq!(answer["callId"], head.get("x-modelway-call-id"));
    assert_eq!(answer["finishReason"], "FINISH_REASON_STOP");
    assert!(
        answer["output"]["text"].is_string() || answer["output"]["parts"].is_array(),
        "{answer}"
    );
    // 64 bits are strings.
    assert!(answer["usage"]["inputTokens"].is_string(), "{answer}");
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_is_events_that_end_with_completed() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let mut http = Http1::connect(gateway.address).await;

    let (head, body) = http.ask(&post_json("/v1/stream", "", ASK)).await;

    assert_eq!(head.status, 200);
    assert_eq!(head.get("content-type"), "text/event-stream");
    assert_eq!(head.get("cache-control"), "no-cache, no-transform");
    assert_eq!(head.get("x-accel-buffering"), "no");
    assert_eq!(head.get("content-encoding"), "");
    let (events, _) = events(&body);
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names[..2], ["started", "attemptStarted"]);
    assert_eq!(names.last(), Some(&"completed"));
    assert!(names.contains(&"textDelta"), "{names:?}");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.id, (index + 1).to_string());
        assert_eq!(event.data["sequence"], event.id.as_str());
        assert!(event.data[&event.name].is_object(), "{event:?}");
    }
    assert_eq!(
        events[0].data["started"]["callId"],
        head.get("x-modelway-call-id")
    );
}

#[tokio::test]
async fn a_failure_is_a_status_in_json() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let mut http = Http1::connect(gateway.address).await;
    let nobody = ASK.replace("one", "nobody");
    for path in ["/v1/generate", "/v1/stream"] {
        let (head, status) = http.ask_json(&post_json(path, "", &nobody)).await;

        assert_eq!(head.status, 404, "{status}");
        assert_eq!(head.get("content-type"), "application/json");
        assert_eq!(status["code"], 5);
        let reason = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SCENARIO_NOT_FOUND",
            "domain": "modelway.v1",
        });
        assert_eq!(status["details"][0]["@type"], reason["@type"], "{status}");
        assert_eq!(status["details"][0]["reason"], reason["reason"]);
        assert_ne!(head.get("x-modelway-call-id"), "");
    }
}

async fn asked(gateway: &Gateway, path: &str, lines: &str, body: &str) -> (Head, Value) {
    let mut http = Http1::connect(gateway.address).await;
    http.ask_json(&post_json(path, lines, body)).await
}

/// The reason of a failure, and the field that it names first.
fn told(status: &Value) -> (&str, &str) {
    let details = status["details"].as_array().unwrap();
    let find = |name: &str| {
        let is_it = |detail: &&Value| detail["@type"].as_str().unwrap().ends_with(name);
        details.iter().find(is_it).unwrap_or(&Value::Null)
    };
    let reason = find("ErrorInfo")["reason"].as_str().unwrap_or_default();
    let field = find("BadRequest")["fieldViolations"][0]["field"].as_str();
    (reason, field.unwrap_or_default())
}

#[tokio::test]
async fn a_fault_in_the_text_is_told_with_its_path() {
    let gateway = Gateway::start(ONE_MODEL).await;
    for (body, field) in [
        ("", "message"),
        ("{\"scenario\":\"one\"", "message"),
        (r#"{"scenario":"one","mesages":[]}"#, "mesages"),
        (
            r#"{"scenario":"one","messages":[{"role":"ROLE_USER","parts":[{"txt":"a"}]}]}"#,
            "messages[0].parts[0].txt",
        ),
        (r#"{"scenario":"one","scenario":"two"}"#, "scenario"),
        (
            r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"\ud800"}]}"#,
            "messages[0].text",
        ),
        (
            r#"{"scenario":"one","sampling":{"seed":18446744073709551616}}"#,
            "sampling.seed",
        ),
        // What the gRPC door refuses too.
        (
            r#"{"scenario":"one","model":"two","messages":[{"role":"ROLE_USER","text":"a"}]}"#,
            "model",
        ),
        (
            r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"a"}],"sampling":{"temperature":"NaN"}}"#,
            "sampling.temperature",
        ),
    ] {
        for path in ["/v1/generate", "/v1/stream"] {
            let (head, status) = asked(&gateway, path, "", body).await;

            assert_eq!(head.status, 400, "{body}: {status}");
            assert_eq!(told(&status), ("INVALID_REQUEST", field), "{status}");
            assert_ne!(
                head.get("x-modelway-call-id"),
                "",
                "a refusal has the id of its call"
            );
        }
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn what_a_stranger_tries_is_refused_quickly() {
    let gateway = Gateway::start(&format!(
        "[server]\npredrain = '0s'\nmax_message_bytes = '8MiB'\n{ONE_MODEL}"
    ))
    .await;
    let tools = format!(
        r#"{{"scenario":"one","tools":[{}{{}}]}}"#,
        "{},".repeat(200_000)
    );
    let deep = format!(
        r#"{{"tools":[{{"function":{{"parameters":{}"#,
        "[".repeat(1_000_000)
    );
    let objects = format!(
        r#"{{"scenario":"one","tools":[{{"function":{{"name":"f","object":{}1{}}}}}]}}"#,
        r#"{"a":"#.repeat(60),
        "}".repeat(60)
    );
    let keys: String = (0..300_000)
        .map(|index| format!(r#""{index}":1,"#))
        .collect();
    let wide = format!(
        r#"{{"scenario":"one","providerOptions":[{{"provider":"openai","options":{{"object":{{{keys}"a":1}}}}}}]}}"#
    );
    let digits = format!(
        r#"{{"sampling":{{"temperature":{}}}}}"#,
        "9".repeat(4_000_000)
    );
    let escapes = format!(r#"{{"scenario":"{}"}}"#, r"\u0061".repeat(1_000_000));
    let messages = format!(
        r#"{{"scenario":"one","messages":[{}{{}}]}}"#,
        "{},".repeat(2_500_000)
    );
    for body in [tools, deep, objects, wide, digits, escapes, messages] {
        // What takes the square of its length would take minutes each time.
        let limit = Duration::from_secs(30);
        let took = quickest(limit, async || {
            let started = Instant::now();
            let (head, status) = asked(&gateway, "/v1/generate", "", &body).await;

            assert!(
                matches!(head.status, 400 | 404),
                "{}: {status}",
                &body[..60]
            );
            assert!(status.to_string().len() < 6000);
            started.elapsed()
        });
        assert!(took.await < limit, "{}", &body[..60]);
    }
    let (head, _) = asked(&gateway, "/v1/generate", "", ASK).await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_length_and_as_it_arrives() {
    let gateway = Gateway::start(&format!(
        "[server]\npredrain = '0s'\nmax_message_bytes = '64KiB'\n{ONE_MODEL}"
    ))
    .await;
    let mut http = Http1::connect(gateway.address).await;
    http.send(b"POST /v1/generate HTTP/1.1\r\nhost: l\r\ncontent-type: application/json\r\ncontent-length: 65537\r\n\r\n").await;
    let head = http.head().await;
    assert_eq!(head.status, 413);

    let mut http = Http1::connect(gateway.address).await;
    http.send(b"POST /v1/stream HTTP/1.1\r\nhost: l\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..5 {
        let piece = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
        http.send(piece.as_bytes()).await;
    }
    assert_eq!(http.head().await.status, 413);
}

#[tokio::test]
async fn the_deadline_in_the_head_is_kept() {
    let gateway = Gateway::start(ONE_MODEL).await;
    gateway
        .simulator
        .set("first", "hang".parse::<Behaviour>().unwrap());
    for path in ["/v1/generate", "/v1/stream"] {
        let (head, status) = asked(&gateway, path, "x-modelway-timeout-ms: 200\r\n", ASK).await;

        assert_eq!(head.status, 504, "{status}");
        assert_eq!(told(&status).0, "DEADLINE_EXCEEDED");
    }
    for wrong in ["0", "-1", "1.5", "86400001", "1s", "", "99999999999"] {
        let lines = format!("x-modelway-timeout-ms: {wrong}\r\n");
        let (head, status) = asked(&gateway, "/v1/generate", &lines, ASK).await;

        assert_eq!(head.status, 400, "{wrong}");
        assert_eq!(told(&status).1, "header `x-modelway-timeout-ms`");
    }
    let (head, status) = asked(&gateway, "/v1/stream", "last-event-id: 7\r\n", ASK).await;
    assert_eq!(
        (head.status, told(&status).1),
        (400, "header `last-event-id`")
    );
}

#[tokio::test]
async fn a_silent_stream_opens_and_is_kept_alive_by_comments() {
    let gateway = Gateway::start(&soon_open("50ms")).await;
    for (behaviour, last) in [
        ("first=2s", "completed"),
        ("delay=2s+status=500", "error"),
        ("tokens=2+gap=2s", "completed"),
    ] {
        gateway
            .simulator
            .set("first", behaviour.parse::<Behaviour>().unwrap());
        let mut http = Http1::connect(gateway.address).await;

        let (head, body) = http.ask(&post_json("/v1/stream", "", ASK)).await;

        assert_eq!(head.status, 200);
        assert_ne!(head.get("x-modelway-call-id"), "");
        let (events, comments) = events(&body);
        assert!(comments >= 3, "{behaviour}: {comments}");
        assert_eq!(events.last().unwrap().name, last);
        if last == "error" {
            assert_eq!(events.last().unwrap().data["code"], 14, "{events:?}");
        }
    }
}

#[tokio::test]
async fn a_key_gets_the_same_answer_through_every_door() {
    let gateway = Gateway::start(ONE_MODEL).await;
    let body = ASK.replace('{', "{\"idempotencyKey\":\"k\",").replacen(
        "[{\"idempotencyKey\":\"k\",",
        "[{",
        1,
    );
    let (_, first) = asked(&gateway, "/v1/generate", "", &body).await;
    assert!(first["replayed"].is_null(), "{first}");

    let (_, again) = asked(&gateway, "/v1/generate", "", &body).await;
    let mut over_grpc = ask("one", "Hello");
    over_grpc.idempotency_key = "k".to_owned();
    let answer = gateway.generate(over_grpc.clone()).await.unwrap();

    assert_eq!(
        (&again["replayed"], &again["callId"]),
        (&json!(true), &first["callId"])
    );
    assert_eq!(again["output"], first["output"]);
    assert!(answer.replayed);
    assert_eq!(answer.call_id, first["callId"]);
    assert_eq!(gateway.simulator.requests().len(), 1);

    let (head, status) = asked(
        &gateway,
        "/v1/generate",
        "",
        &body.replace("Hello", "Another"),
    )
    .await;
    assert_eq!(
        (head.status, told(&status).0),
        (409, "IDEMPOTENCY_CONFLICT")
    );
    let (head, status) = asked(&gateway, "/v1/stream", "", &body).await;
    assert_eq!((head.status, told(&status).1), (400, "idempotency_key"));
}

#[tokio::test]
async fn advice_about_another_try_is_in_the_head() {
    let gateway = Gateway::start(ONE_MODEL).await;
    gateway
        .simulator
        .set("first", "status=500".parse::<Behaviour>().unwrap());

    let (head, status) = asked(&gateway, "/v1/generate", "", ASK).await;

    assert_eq!(head.status, 503, "{status}");
    assert_eq!(
        head.get("grpc-retry-pushback-ms"),
        "-1",
        "the service has tried already"
    );
    assert_eq!(head.get("retry-after"), "");
    let failure = &status["details"].as_array().unwrap().last().unwrap();
    assert_eq!(
        failure["@type"],
        "type.googleapis.com/modelway.v1.CallFailure"
    );
    assert_eq!(failure["callId"], head.get("x-modelway-call-id"));
    assert_eq!(failure["attempts"][0]["provider"], "openai");
}

#[tokio::test]
async fn json_is_served_over_http_2_as_well() {
    let gateway = Gateway::start(ONE_MODEL).await;
    for (path, kind) in [
        ("/v1/generate", "application/json"),
        ("/v1/stream", "text/event-stream"),
    ] {
        let request = http2()
            .post(format!("http://{}{path}", gateway.address))
            .header("content-type", "application/json; charset=utf-8")
            .body(ASK);

        let response = request.send().await.unwrap();

        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], kind);
        let body = response.text().await.unwrap();
        assert!(body.contains("FINISH_REASON_STOP"), "{body}");
    }
    for (kind, more) in [
        ("application/json; charset=latin1", ""),
        ("application/connect+json", ""),
        ("text/json", ""),
        ("application/json", "content-encoding: gzip\r\n"),
    ] {
        let request = post(
            "/v1/generate",
            &format!("content-type: {kind}\r\n{more}"),
            ASK.as_bytes(),
        );
        let (head, _) = Http1::connect(gateway.address).await.ask(&request).await;
        assert_eq!(head.status, 415, "{kind}");
    }
}
