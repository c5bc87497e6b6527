//! Does every call leave one line in the log that says how it ended, whatever ends it?

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use modelway::grpc::v1::{GenerateRequest, Priority};
use modelway::simulator::Behaviour;
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::SpanData;
use serde_json::Value;
use tokio::time::timeout;
use tonic::Request;

use crate::support::frames::{END_HEADERS, HEADERS, Wire, frame, head};
use crate::support::log::Log;
use crate::support::posted::{framed, http2};
use crate::support::recorder::Recorder;
use crate::support::{Gateway, METHODS, Method, ask, details};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[catalog]
allow_model = true
[breaker]
consecutive_failures = 100000
min_samples = 100000
min_commits = 100000
[throttle]
base_wait = "1ms"
max_wait = "1ms"
[models."openai/model"]
price = { input = 1, output = 10 }
[models."anthropic/backup"]
max_output_tokens = 100
[scenarios.only]
targets = ["openai/model"]
[scenarios.both]
targets = ["openai/model", "anthropic/backup"]
retry = { ratio = 1, burst = 1000 }
"#;

async fn gateway() -> Gateway {
    Gateway::start(CONFIG).await
}

fn behave(gateway: &Gateway, model: &str, behaviour: &str) {
    let behaviour = behaviour.parse::<Behaviour>().unwrap();
    gateway.simulator.set(model, behaviour);
}

async fn make(gateway: &Gateway, method: Method, request: GenerateRequest) {
    // The log tells how it ends.
    let _ = gateway.call(method, request).await;
}

/// The line of the call that is made next.
async fn line_of(log: &Log, gateway: &Gateway, method: Method, request: GenerateRequest) -> Value {
    let before = log.calls(0).await.len();
    make(gateway, method, request).await;
    log.calls(before + 1).await.pop().unwrap()
}

#[tokio::test]
async fn every_call_leaves_one_line_with_its_caller_its_end_and_who_answered() {
    for method in METHODS {
        let log = Log::default();
        let _subscriber = log.listen("info");
        let gateway = gateway().await;
        behave(&gateway, "model", "tokens=2");
        let answered = line_of(&log, &gateway, method, ask("only", "Hello")).await;
        behave(&gateway, "model", "status=400");
        let failed = line_of(&log, &gateway, method, ask("only", "Hello")).await;
        let unknown = line_of(&log, &gateway, method, ask("my secret", "Hello")).await;
        let named = GenerateRequest {
            model: "openai/model".to_owned(),
            priority: Priority::Batch.into(),
            ..ask("", "Hello")
        };
        let named = line_of(&log, &gateway, method, named).await;

        for line in [&answered, &failed, &unknown, &named] {
            assert_eq!(line["caller"], "127.0.0.1");
            assert_eq!(line["door"], "grpc");
            assert_eq!(line["method"], format!("{method:?}"));
            assert_eq!(line["call_id"].as_str().unwrap().len(), 32);
            assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
            assert!(line["total_ms"].is_number(), "{line}");
            assert_eq!(line["level"], "INFO");
        }
        assert_eq!(answered["code"], "OK");
        assert_eq!(answered["reason"], "OK");
        assert_eq!(answered["blame"], "none");
        assert_eq!(answered["scenario"], "only");
        assert_eq!(answered["provider"], "openai");
        assert_eq!(answered["model"], "model");
        assert_eq!(answered["finish_reason"], "stop");
        assert_eq!(answered["output_tokens"], 2);
        assert_eq!(answered["cost_usd"], "0.000021000");
        assert_eq!(answered["cost_source"], "price_table");
        assert_eq!(answered.get("tried"), None);
        assert!(answered["first_content_ms"].is_number(), "{answered}");
        let is_stream = method == Method::StreamGenerate;
        assert_eq!(answered.get("messages").is_some(), is_stream);
        assert_eq!(failed["code"], "INVALID_ARGUMENT");
        assert_eq!(failed["reason"], "INVALID_REQUEST");
        assert_eq!(failed["blame"], "caller");
        assert_eq!(failed["attempts"], 1);
        assert_eq!(failed["tried"][0]["outcome"], "failed");
        assert!(
            failed["tried"][0]["provider_request_id"].is_string(),
            "{failed}"
        );
        assert_eq!(unknown["reason"], "SCENARIO_NOT_FOUND");
        assert_eq!(unknown["scenario"], "unknown");
        assert_eq!(unknown["attempts"], 0);
        assert_eq!(unknown.get("provider"), None);
        assert_eq!(named["model_asked"], "openai/model");
        assert_eq!(named["priority"], "batch");
    }
}

#[tokio::test]
async fn a_rescued_call_says_so_and_what_was_wasted_on_the_way() {
    for method in METHODS {
        let log = Log::default();
        let _subscriber = log.listen("info");
        let gateway = gateway().await;
        behave(&gateway, "model", "status=503");

        let line = line_of(&log, &gateway, method, ask("both", "Hello")).await;

        assert_eq!(line["rescued"], true);
        assert_eq!(line["attempts"], 2);
        assert_eq!(line["provider"], "anthropic");
        let tried = line["tried"].as_array().unwrap();
        let tried: Vec<_> = tried
            .iter()
            .map(|one| {
                (
                    one["target"].as_str(),
                    one["kind"].as_str(),
                    one["outcome"].as_str(),
                )
            })
            .collect();
        assert_eq!(
            tried,
            [
                (Some("openai/model"), Some("primary"), Some("failed")),
                (
                    Some("anthropic/backup"),
                    Some("failover"),
                    Some("succeeded")
                ),
            ]
        );
        assert_eq!(line["wasted_usd"], "0.000000000");
        // The backup has no price.
        assert_eq!(line["cost_source"], "unknown");
    }
}

#[tokio::test]
async fn the_callers_own_id_and_its_deadline_stand_in_the_line() {
    let log = Log::default();
    let _subscriber = log.listen("info");
    let gateway = gateway().await;
    behave(&gateway, "model", "hang");
    // Less than `admission.min_time_left`: the caller has itself to blame. Then more.
    for (seconds, blame) in [(0.2, "caller"), (1.2, "deadline")] {
        let mut request = Request::new(ask("only", "Hello"));
        request.set_timeout(Duration::from_secs_f64(seconds));
        request
            .metadata_mut()
            .insert("x-request-id", "mine-7".parse().unwrap());
        let before = log.calls(0).await.len();
        // The client may give up by itself before it has read the status.
        gateway.generation().generate(request).await.unwrap_err();

        let line = log.calls(before + 1).await.pop().unwrap();
        assert_eq!(line["request_id"], "mine-7");
        assert_eq!(line["reason"], "DEADLINE_EXCEEDED");
        assert_eq!(line["blame"], blame, "{line}");
        let given = line["deadline_ms"].as_f64().unwrap();
        assert!((given - seconds * 1e3).abs() < 50.0, "{line}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_leaves_a_line_and_is_told_its_ids() {
    let log = Log::default();
    let _subscriber = log.listen("info");
    let gateway = gateway().await;
    let client = http2();
    let unreadable = framed(0, b"\xff\xff\xff");
    let path = "/modelway.v1.GenerationService/Generate";
    for (message, encoding, reason) in [
        (unreadable.clone(), "identity", "INVALID_REQUEST"),
        (unreadable.clone(), "br", "UNIMPLEMENTED"),
        (vec![0, 0, 0], "identity", "INVALID_REQUEST"),
        (Vec::new(), "identity", "UNIMPLEMENTED"),
    ] {
        let before = log.calls(0).await.len();
        let response = client
            .post(format!("http://{}{path}", gateway.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-request-id", "mine")
            .header("grpc-encoding", encoding)
            .body(message)
            .send()
            .await
            .unwrap();

        let line = log.calls(before + 1).await.pop().unwrap();
        assert_eq!(line["reason"], reason, "{line}");
        assert_eq!(line["blame"], "caller");
        assert_eq!(line["request_id"], "mine");
        assert_eq!(line.get("scenario"), None);
        let told = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        assert_eq!(told("x-modelway-call-id"), line["call_id"].as_str());
        assert_eq!(told("x-request-id"), Some("mine"));
    }
}

#[tokio::test]
async fn a_caller_that_leaves_is_cancelled_with_the_tokens_that_were_reported() {
    let log = Log::default();
    let _subscriber = log.listen("info");
    let gateway = gateway().await;
    behave(&gateway, "model", "tokens=30+gap=5ms");
    for messages in [0, 1, 2, 5, 20] {
        let before = log.calls(0).await.len();
        let mut client = gateway.generation();
        let stream = client.stream_generate(ask("only", "Hello"));
        let mut stream = stream.await.unwrap().into_inner();
        for _ in 0..messages {
            stream.message().await.unwrap();
        }
        drop(stream);

        let line = log.calls(before + 1).await.pop().unwrap();
        assert_eq!(line["code"], "CANCELLED", "{line}");
        assert_eq!(line["blame"], "caller");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["tried"][0]["outcome"], "cancelled");
        assert!(line["messages"].as_u64().unwrap() >= messages, "{line}");
        // What was not counted is estimated, and never less than what arrived.
        assert!(line["input_tokens"].as_u64().unwrap() > 0, "{line}");
        assert!(line["output_tokens"].as_u64() > Some(0), "{line}");
        assert_eq!(line["cost_source"], "estimated");
    }
}

#[tokio::test]
async fn a_head_without_a_body_whose_connection_ends_leaves_a_line() {
    let log = Log::default();
    let _subscriber = log.listen("info");
    let gateway = gateway().await;
    let mut connection = Wire::open(gateway.address).await;
    let head = head("/modelway.v1.GenerationService/StreamGenerate");
    connection
        .send(&frame(HEADERS, END_HEADERS, 1, &head))
        .await;
    // The service has seen the head once it answers what was sent after it.
    let others = gateway.call(Method::Generate, ask("only", "Hello"));
    timeout(PROMPTLY, others).await.unwrap().unwrap();
    drop(connection);

    let calls = log.calls(2).await;
    let line = calls.iter().find(|line| line["code"] == "CANCELLED");
    let line = line.unwrap_or_else(|| panic!("{calls:#?}"));
    assert_eq!(line["attempts"], 0);
    assert_eq!(line["method"], "StreamGenerate");
}

#[tokio::test]
async fn the_lines_the_spans_and_the_metrics_count_the_same_calls() {
    const ROUNDS: usize = 150;
    const AT_ONCE: usize = 16;
    const BEHAVIOURS: [&str; 12] = [
        "tokens=3",
        "tokens=20",
        "status=400",
        "status=429",
        "status=500",
        "status=503",
        "error=1",
        "cut=1",
        "reset",
        "malformed=1",
        "empty",
        "disconnect=1",
    ];
    let log = Log::default();
    let _subscriber = log.listen("info");
    let spans = Recorder::start();
    let gateway = gateway().await;
    let mut draws = fastrand::Rng::with_seed(7);
    for _ in 0..ROUNDS {
        behave(
            &gateway,
            "model",
            BEHAVIOURS[draws.usize(..BEHAVIOURS.len())],
        );
        behave(
            &gateway,
            "backup",
            BEHAVIOURS[draws.usize(..BEHAVIOURS.len())],
        );
        let calls: Vec<_> = (0..AT_ONCE)
            .map(|_| (draws.usize(..2), draws.usize(..6), draws.u64(..6)))
            .collect();
        let calls = calls.into_iter().map(async |(method, kind, read)| {
            let request = match kind {
                0 => ask("none", "Hello"),
                1 => GenerateRequest::default(),
                2 => ask("only", "Hello"),
                _ => ask("both", "Hello"),
            };
            if kind == 3 {
                // Whoever has the head of the stream leaves after some messages.
                let stream = gateway.generation().stream_generate(request).await;
                if let Ok(stream) = stream {
                    let mut stream = stream.into_inner();
                    for _ in 0..read {
                        let _ = stream.message().await;
                    }
                }
                return;
            }
            make(&gateway, METHODS[method], request).await;
        });
        timeout(PROMPTLY, join_all(calls)).await.expect("they end");
        // The queue of spans has not room for all.
        spans.take_in();
    }

    let total = ROUNDS * AT_ONCE;
    let summed_up = || {
        let refused = log
            .lines()
            .into_iter()
            .filter(|line| line["message"] == "refused");
        refused
            .map(|line| line["count"].as_u64().unwrap() as usize)
            .sum::<usize>()
    };
    let ended = async {
        while log.calls(0).await.len() + summed_up() < total {
            gateway.sum_up();
            tokio::task::yield_now().await;
        }
    };
    timeout(PROMPTLY, ended).await.expect("every call ends");
    gateway.sum_up();
    let calls = log.calls(0).await;
    assert_eq!(calls.len() + summed_up(), total);
    let mut ids: Vec<_> = calls
        .iter()
        .map(|line| line["call_id"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), calls.len(), "each has an id of its own");
    let is_call = |span: &&SpanData| span.span_kind == SpanKind::Server;
    assert_eq!(spans.spans().iter().filter(is_call).count(), total);
    let counted = gateway.scraped().sum("modelway_calls_total", &[]);
    assert_eq!(counted, total as f64);
    println!(
        "{} lines and {} in sums for {total} calls",
        calls.len(),
        summed_up()
    );
}

#[tokio::test]
async fn every_line_of_a_failing_call_names_it_and_joins_its_status() {
    const CALLS: usize = 1000;
    const AT_ONCE: usize = 50;
    let log = Log::default();
    let _subscriber = log.listen("debug");
    let gateway = gateway().await;
    behave(&gateway, "model", "status=500");
    behave(&gateway, "backup", "status=503");
    let mut told = Vec::new();
    while told.len() < CALLS {
        // Most of the time of a call is a pause before its last attempt.
        let calls = (0..AT_ONCE).map(|number| {
            let method = METHODS[number % 2];
            gateway.call(method, ask("both", "Hello"))
        });
        let failed = timeout(PROMPTLY, join_all(calls)).await.expect("they end");
        let ids = failed.into_iter().map(|failed| {
            let failure = details(&failed.unwrap_err()).failure;
            failure.unwrap().call_id
        });
        told.extend(ids);
    }

    let joined: HashSet<_> = told.iter().map(String::as_str).collect();
    assert_eq!(joined.len(), CALLS);
    let lines = log.calls(CALLS).await;
    assert_eq!(lines.len(), CALLS);
    for line in &lines {
        for tried in line["tried"].as_array().unwrap() {
            let failed = tried["outcome"] == "failed";
            assert_eq!(tried["provider_request_id"].is_string(), failed, "{line}");
        }
    }
    let lines = log.lines();
    for line in &lines {
        let Some(call_id) = line.get("call_id") else {
            let target = line["target"].as_str().unwrap();
            let of_calls = [
                "modelway::dispatch",
                "modelway::call",
                "modelway::telemetry",
                "modelway::serving",
            ];
            assert!(!of_calls.iter().any(|of| target.starts_with(of)), "{line}");
            continue;
        };
        assert!(joined.contains(call_id.as_str().unwrap()), "{line}");
        if line["message"] == "attempt failed" {
            assert!(line["provider_request_id"].is_string(), "{line}");
        }
    }
    let of_first = |message: &str| {
        let of_call = lines.iter().filter(|line| line["call_id"] == told[0]);
        of_call.filter(|line| line["message"] == message).count()
    };
    assert_eq!(of_first("attempt begins"), 3);
    assert_eq!(of_first("attempt failed"), 3);
    assert_eq!(of_first("call"), 1);
    let is_of_others = |line: &Value| line["target"].as_str().unwrap().starts_with("h2");
    assert!(!lines.iter().any(is_of_others), "no frames");
}
