//! May a web page read the answer? Every answer to an allowed page says so, whatever went wrong.

use modelway::simulator::Behaviour;

use super::http::{Head, Http1, post, post_json};
use crate::support::{Gateway, ONE_MODEL};

const PAGE: &str = "https://app.example.com";
const ASK: &str = r#"{"scenario":"one","messages":[{"role":"ROLE_USER","text":"Hello"}]}"#;
const GENERATE: &str = "/modelway.v1.GenerationService/Generate";

async fn start(origins: &str) -> Gateway {
    Gateway::start(&format!("[cors]\norigins = {origins}\n[server]\npredrain = '0s'\nmax_message_bytes = '64KiB'\n{ONE_MODEL}")).await
}

fn preflight(path: &str, origin: &str) -> Vec<u8> {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: content-type,x-grpc-web,grpc-timeout\r\n\r\n"
    )
    .into_bytes()
}

async fn asked(gateway: &Gateway, request: &[u8]) -> Head {
    Http1::connect(gateway.address).await.ask(request).await.0
}

fn assert_readable(head: &Head) {
    assert_eq!(head.get("access-control-allow-origin"), PAGE, "{head:?}");
    assert!(
        head.get("access-control-expose-headers")
            .contains("grpc-status-details-bin")
    );
    assert!(
        head.get("access-control-expose-headers")
            .contains("x-modelway-call-id")
    );
    assert!(head.get("vary").contains("origin"), "{head:?}");
    assert_eq!(head.get("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn an_allowed_page_can_read_every_answer() {
    let gateway = start(&format!("['{PAGE}', 'http://localhost:3000']")).await;
    gateway
        .simulator
        .set("first", "status=503".parse::<Behaviour>().unwrap());
    let origin = format!("origin: {PAGE}\r\n");
    let json =
        |path: &str, more: &str, body: &str| post_json(path, &format!("{origin}{more}"), body);
    let large = "x".repeat(17 * 1024);
    let many: String = (0..70).map(|index| format!("x-{index}: 1\r\n")).collect();
    let body = format!(r#"{{"scenario":"{}"}}"#, "x".repeat(70_000));
    for (request, status) in [
        (json("/v1/generate", "", "{"), 400),
        (
            json("/v1/generate", "x-modelway-timeout-ms: soon\r\n", ASK),
            400,
        ),
        (json("/v1/generate", "", &ASK.replace("one", "nobody")), 404),
        (json("/nothing", "", ASK), 404),
        (json("/metrics", "", ASK), 404),
        (
            format!("GET /v1/generate HTTP/1.1\r\nhost: localhost\r\n{origin}\r\n").into_bytes(),
            405,
        ),
        (json("/v1/generate", "", &body), 413),
        (
            post(
                "/v1/generate",
                &format!("{origin}content-type: text/plain\r\n"),
                b"{}",
            ),
            415,
        ),
        (
            post(
                GENERATE,
                &format!("{origin}content-type: application/json\r\n"),
                b"{}",
            ),
            415,
        ),
        (
            post(
                GENERATE,
                &format!("{origin}content-type: application/grpc\r\n"),
                b"",
            ),
            415,
        ),
        (
            json("/v1/generate", &format!("x-large: {large}\r\n"), ASK),
            431,
        ),
        (json("/v1/generate", &many, ASK), 431),
        (json("/v1/generate", "", ASK), 503),
        (json("/v1/stream", "", ASK), 503),
        (
            post(
                GENERATE,
                &format!("{origin}content-type: application/grpc-web\r\n"),
                b"",
            ),
            200,
        ),
    ] {
        let text = String::from_utf8_lossy(&request[..60.min(request.len())]).into_owned();
        let mut http = Http1::connect(gateway.address).await;
        let (head, body) = http.ask(&request).await;

        assert_eq!(
            head.status,
            status,
            "{text}: {}",
            String::from_utf8_lossy(&body)
        );
        assert_readable(&head);
        if status != 200 {
            let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(told["code"].is_u64(), "{told}");
            assert_eq!(
                told["details"][0]["@type"], "type.googleapis.com/google.rpc.ErrorInfo",
                "{told}"
            );
        }
    }
}

#[tokio::test]
async fn a_page_can_read_a_stream_that_breaks_and_a_refusal_while_the_service_goes_down() {
    let mut gateway = start(&format!("['{PAGE}']")).await;
    gateway
        .simulator
        .set("first", "cut=3+gap=20ms".parse::<Behaviour>().unwrap());
    let lines = format!("origin: {PAGE}\r\n");
    let mut http = Http1::connect(gateway.address).await;

    let (head, body) = http.ask(&post_json("/v1/stream", &lines, ASK)).await;

    assert_eq!(head.status, 200);
    assert_readable(&head);
    let (events, _) = super::http::events(&body);
    let last = events.last().unwrap();
    assert_eq!(last.name, "error");
    assert_eq!(
        last.data["details"][0]["reason"], "STREAM_INTERRUPTED",
        "{}",
        last.data
    );

    // A call keeps the connection open while the service goes down.
    gateway.simulator.set(
        "first",
        "tokens=2+first=500ms".parse::<Behaviour>().unwrap(),
    );
    http.send(&post_json("/v1/generate", &lines, ASK)).await;
    gateway.simulator.wait_for(|log| log.len() == 2).await;
    gateway.stop();
    let head = http.head().await;
    assert_eq!(head.status, 200);
    assert_readable(&head);
    gateway.stopped().await;
}

#[tokio::test]
async fn an_allowed_page_is_told_what_it_may_send() {
    let gateway = start(&format!("['{PAGE}']")).await;
    for path in ["/v1/generate", "/v1/stream", GENERATE] {
        let head = asked(&gateway, &preflight(path, PAGE)).await;

        assert_eq!(head.status, 204, "{path}");
        assert_readable(&head);
        assert_eq!(head.get("access-control-allow-methods"), "POST");
        let allowed: Vec<_> = head
            .get("access-control-allow-headers")
            .split(", ")
            .collect();
        for name in [
            "content-type",
            "x-grpc-web",
            "x-user-agent",
            "grpc-timeout",
            "authorization",
            "x-request-id",
            "traceparent",
            "tracestate",
            "x-modelway-timeout-ms",
        ] {
            assert!(allowed.contains(&name), "{name}");
        }
        assert_eq!(head.get("access-control-max-age"), "7200");
    }
    let head = asked(&gateway, &preflight("/nothing", PAGE)).await;
    assert_eq!(head.status, 404);
    assert_readable(&head);
}

#[tokio::test]
async fn another_page_is_not_allowed_and_without_pages_there_is_no_header() {
    let gateway = start(&format!("['{PAGE}']")).await;
    for origin in [
        "https://evil.example.com",
        "null",
        "https://app.example.com:8443",
        "http://app.example.com",
    ] {
        let head = asked(&gateway, &preflight("/v1/generate", origin)).await;
        assert_eq!(head.status, 403, "{origin}");
        assert_eq!(head.get("access-control-allow-origin"), "");

        let head = asked(
            &gateway,
            &post_json("/v1/generate", &format!("origin: {origin}\r\n"), ASK),
        )
        .await;
        assert_eq!(head.get("access-control-allow-origin"), "", "{origin}");
        assert_eq!(head.get("vary"), "origin");
    }

    let gateway = start("[]").await;
    let head = asked(&gateway, &preflight("/v1/generate", PAGE)).await;
    assert_eq!(head.status, 405);
    let head = asked(
        &gateway,
        &post_json("/v1/generate", &format!("origin: {PAGE}\r\n"), ASK),
    )
    .await;
    assert_eq!(head.status, 200);
    assert_eq!(
        (head.get("access-control-allow-origin"), head.get("vary")),
        ("", "")
    );

    let gateway = start("['*']").await;
    let head = asked(
        &gateway,
        &post_json("/v1/generate", "origin: https://any.example\r\n", ASK),
    )
    .await;
    assert_eq!(head.get("access-control-allow-origin"), "*");
}
