//! Calls in JSON.

use serde_json::json;

use super::http::{Http1, events, post_json};
use crate::support::{Gateway, ONE_MODEL};

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
