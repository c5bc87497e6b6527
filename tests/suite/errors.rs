//! What does a caller get when its call fails?

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderMap;
use modelway::error::UpstreamErrorKind;
use modelway::grpc::v1::{BreakerState, GenerateRequest, Role, SamplingParams, SetBreakerRequest};
use modelway::simulator::Behaviour;
use tonic::{Code, Request, Status};

use crate::support::{
    Details, Gateway, METHODS, Method, ask, assert_snapshot, details, lines, message,
};

const CONFIG: &str = r#"
[server]
max_message_bytes = "64KiB"

[breaker]
consecutive_failures = 1000
min_samples = 1000
min_commits = 1000

[catalog]
allow_model = true

[models."openai/m"]
unsupported = ["top_k"]
timeouts = {}
[models."anthropic/m"]
max_output_tokens = 1000
timeouts = {}
[models."gemini/m"]
timeouts = {}

[scenarios.one]
targets = ["openai/m"]
[scenarios.thrifty]
targets = ["openai/m", "anthropic/m"]
retry = { ratio = 0.0, burst = 0 }
[scenarios.persistent]
targets = ["openai/m", "anthropic/m", "gemini/m"]
max_attempts = 3
"#;

const PROVIDERS: [&str; 3] = ["openai", "anthropic", "gemini"];

async fn start(behaviour: &str) -> Gateway {
    // Only what never comes ends by a limit that is short.
    let timeouts = match behaviour {
        "hang" | "silence" => "timeouts = { first_event = '500ms' }",
        "role-only" | "stall=5" => "timeouts = { byte_idle = '500ms' }",
        _ => "",
    };
    let gateway = Gateway::start(&CONFIG.replace("timeouts = {}", timeouts)).await;
    gateway.simulator.set("m", behave(behaviour));
    gateway
}

fn behave(behaviour: &str) -> Behaviour {
    behaviour.parse().unwrap()
}

fn ask_model(model: &str) -> GenerateRequest {
    GenerateRequest {
        scenario: String::new(),
        model: model.to_owned(),
        ..ask("", "Hello")
    }
}

/// The failure of a call by each method; both must tell the same.
async fn failure(gateway: &Gateway, request: GenerateRequest) -> Details {
    let [unary, streamed] = METHODS.map(|method| gateway.call(method, request.clone()));
    let unary = details(&unary.await.unwrap_err());
    let streamed = details(&streamed.await.unwrap_err());
    assert_eq!(unary.code, streamed.code);
    assert_eq!(unary.reason, streamed.reason);
    assert_eq!(unary.message, streamed.message);
    assert_eq!(unary.pushback.is_some(), streamed.pushback.is_some());
    unary
}

#[test]
fn the_meaning_of_every_kind_of_failure() {
    let mut table = String::from(
        "kind               failover        same_target  health             billing    reason                    code\n",
    );
    for kind in UpstreamErrorKind::ALL {
        let verdict = kind.verdict();
        writeln!(
            table,
            "{:18} {:15} {:12} {:18} {:10} {:25} {}",
            format!("{kind:?}"),
            format!("{:?}", verdict.failover),
            format!("{:?}", verdict.same_target),
            format!("{:?}", verdict.health),
            format!("{:?}", verdict.billing),
            verdict.reason.name(),
            verdict.reason.code().name(),
        )
        .unwrap();
    }

    assert_snapshot("verdicts.txt", &table);
}

/// Everything that a provider can do wrong before its first content.
const FAULTS: [&str; 29] = [
    "status=400",
    "status=401",
    "status=402",
    "status=403",
    "status=404",
    "status=418",
    "status=429",
    "status=429+retry-after=7s",
    "status=500",
    "status=502",
    "status=503",
    "status=503+retry-after=90s",
    "status=529",
    "context-length",
    "content-filter",
    "quota",
    "hang",
    "reset",
    "silence",
    "role-only",
    "error",
    "cut",
    "disconnect",
    "reset=0",
    "malformed",
    "html",
    "empty",
    "long-line",
    "error-body",
];

#[tokio::test]
async fn what_each_fault_of_a_provider_is_reported_as() {
    let mut table = String::new();
    for fault in FAULTS {
        let gateway = start(fault).await;
        let mut calls = Vec::new();
        for provider in PROVIDERS {
            calls.push(gateway.stream(ask_model(&format!("{provider}/m"))));
        }
        for (provider, streamed) in PROVIDERS
            .iter()
            .zip(futures_util::future::join_all(calls).await)
        {
            let told = match streamed.failure {
                None => "OK".to_owned(),
                Some(status) => row(&details(&status)),
            };
            writeln!(table, "{fault:27} {provider:10} {told}").unwrap();
        }
    }

    assert_snapshot("failures.txt", &table);
}

fn row(details: &Details) -> String {
    let attempts = &details.failure.as_ref().unwrap().attempts;
    let last = attempts.last().unwrap();
    let wait = match details.retry_after {
        Some(wait) => format!(" after {} s", wait.as_secs_f64()),
        None => String::new(),
    };
    let row = format!(
        "{:19} {:25} {:24}{wait}",
        format!("{:?}", details.code),
        details.reason,
        last.provider_status,
    );
    row.trim_end().to_owned()
}

#[tokio::test]
async fn a_failure_names_the_call_and_lists_its_attempts() {
    let gateway = start("status=503").await;

    let details = failure(&gateway, ask("persistent", "Hello")).await;

    assert_eq!(details.code, Code::Unavailable);
    assert_eq!(details.reason, "PROVIDER_OVERLOADED");
    assert_eq!(details.domain, "modelway.v1");
    assert_eq!(details.message, "the provider is overloaded (HTTP 503)");
    assert_eq!(details.info["provider_status"], "503");
    let failure = details.failure.unwrap();
    assert_eq!(details.info["call_id"], failure.call_id);
    assert_eq!(failure.trace_id.len(), 32);
    assert_eq!(
        lines(&failure.attempts),
        [
            "1 PRIMARY openai/m FAILED PROVIDER_OVERLOADED",
            "2 FAILOVER anthropic/m FAILED PROVIDER_OVERLOADED",
            "3 FAILOVER gemini/m FAILED PROVIDER_OVERLOADED",
        ]
    );
    for attempt in &failure.attempts {
        assert_eq!(attempt.span_id.len(), 16);
        assert!(attempt.latency.is_some());
        assert_eq!(attempt.usage, None);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let gateway = start("hang").await;

    let scenario = failure(&gateway, ask("nonsense", "Hello")).await;
    let model = failure(&gateway, ask_model("openai/nonsense")).await;

    assert_eq!(scenario.code, Code::NotFound);
    assert_eq!(scenario.reason, "SCENARIO_NOT_FOUND");
    let resource = ("modelway.v1.Scenario".to_owned(), "nonsense".to_owned());
    assert_eq!(scenario.resource, Some(resource));
    assert_eq!(model.code, Code::NotFound);
    assert_eq!(model.reason, "MODEL_NOT_FOUND");
    let resource = ("modelway.v1.Model".to_owned(), "openai/nonsense".to_owned());
    assert_eq!(model.resource, Some(resource));
    assert_eq!((scenario.pushback, model.pushback), (None, None));
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn a_request_that_is_wrong_is_told_every_field() {
    let gateway = start("hang").await;
    let request = GenerateRequest {
        messages: vec![message(Role::User, "")],
        sampling: Some(SamplingParams {
            temperature: Some(3.0),
            ..SamplingParams::default()
        }),
        ..ask("one", "")
    };

    let details = failure(&gateway, request).await;

    assert_eq!(details.code, Code::InvalidArgument);
    assert_eq!(details.reason, "INVALID_REQUEST");
    let violation = |field: &str, what: &str| (field.to_owned(), what.to_owned());
    assert_eq!(
        details.violations,
        [
            violation("messages[0]", "set `text` or `parts`"),
            violation("sampling.temperature", "must lie between 0 and 2"),
        ]
    );
    assert_eq!(details.pushback, None);
}

#[tokio::test]
async fn a_model_is_not_named_where_only_scenarios_are() {
    let config = CONFIG.replace("allow_model = true", "allow_model = false");
    let gateway = Gateway::start(&config).await;

    let details = failure(&gateway, ask_model("openai/m")).await;

    assert_eq!(details.reason, "INVALID_REQUEST");
    assert_eq!(details.violations[0].0, "model");
}

#[tokio::test]
async fn what_no_target_can_do_is_told_for_each_of_them() {
    let gateway = start("hang").await;
    let request = GenerateRequest {
        sampling: Some(SamplingParams {
            top_k: Some(5),
            ..SamplingParams::default()
        }),
        ..ask("one", "Hello")
    };

    let details = failure(&gateway, request).await;

    assert_eq!(details.code, Code::FailedPrecondition);
    assert_eq!(details.reason, "CAPABILITY_UNSUPPORTED");
    assert_eq!(details.preconditions, ["`openai/m`: it lacks `top_k`"]);
    assert_eq!(
        lines(&details.failure.unwrap().attempts),
        ["0 PRIMARY openai/m SKIPPED CAPABILITY_UNSUPPORTED"]
    );
    assert_eq!(gateway.simulator.requests().len(), 0);
}

#[tokio::test]
async fn an_empty_retry_budget_is_told_with_what_it_kept_from_being_answered() {
    let gateway = start("status=500").await;

    let details = failure(&gateway, ask("thrifty", "Hello")).await;

    assert_eq!(details.code, Code::Unavailable);
    assert_eq!(details.reason, "RETRY_BUDGET_EXHAUSTED");
    assert!(
        details
            .message
            .starts_with("the provider failed (HTTP 500)")
    );
    assert_eq!(
        lines(&details.failure.unwrap().attempts),
        [
            "1 PRIMARY openai/m FAILED PROVIDER_ERROR",
            "0 FAILOVER anthropic/m SKIPPED RETRY_BUDGET_EXHAUSTED",
        ]
    );
}

#[tokio::test]
async fn where_all_breakers_are_open_a_caller_is_told_when_to_come_back() {
    let gateway = start("tokens=1").await;
    let held_open = SetBreakerRequest {
        provider: "openai".to_owned(),
        model: "openai/m".to_owned(),
        state: BreakerState::ForcedOpen.into(),
        ttl: Some(Duration::from_secs(60).try_into().unwrap()),
        ..SetBreakerRequest::default()
    };
    gateway.operations().set_breaker(held_open).await.unwrap();

    let details = failure(&gateway, ask("one", "Hello")).await;

    assert_eq!(details.code, Code::Unavailable);
    assert_eq!(details.reason, "NO_PROVIDER_AVAILABLE");
    let wait = details.retry_after.unwrap();
    assert!(wait > Duration::from_secs(30) && wait <= Duration::from_secs(60));
    assert!(details.pushback.unwrap() > 30_000);
    assert_eq!(
        lines(&details.failure.unwrap().attempts),
        ["0 PRIMARY openai/m SKIPPED BREAKER_OPEN"]
    );
}

#[tokio::test]
async fn a_client_does_not_repeat_what_was_tried_already() {
    for method in METHODS {
        let gateway = start("status=429+retry-after=7s").await;

        let status = gateway.call(method, ask("one", "Hello")).await;

        let details = details(&status.unwrap_err());
        assert_eq!(details.reason, "PROVIDER_RATE_LIMITED");
        assert_eq!(details.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(details.pushback, Some(-1));
    }
}

#[tokio::test]
async fn no_caller_is_asked_to_wait_longer_than_the_service_would() {
    let gateway = start("status=503+retry-after=3600s").await;

    let status = gateway.generate(ask("one", "Hello")).await.unwrap_err();

    assert_eq!(details(&status).retry_after, Some(Duration::from_secs(120)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_with_a_status_after_its_beginning() {
    for fault in [
        "cut=5",
        "disconnect=5",
        "reset=5",
        "gap=2ms+error=5",
        "gap=2ms+malformed=5",
        "stall=5",
    ] {
        for provider in PROVIDERS {
            let gateway = start(fault).await;

            let streamed = gateway.stream(ask_model(&format!("{provider}/m"))).await;

            assert!(!streamed.text().is_empty(), "{fault} {provider}");
            let status = streamed.failure.unwrap();
            let details = details(&status);
            assert_eq!(details.code, Code::Unavailable, "{fault} {provider}");
            assert_eq!(details.reason, "STREAM_INTERRUPTED");
            assert_eq!((details.pushback, details.retry_after), (Some(-1), None));
            assert_eq!(details.failure.unwrap().attempts.len(), 1);
            assert!(status.metadata().contains_key("x-modelway-call-id"));
        }
    }
}

#[tokio::test]
async fn answers_and_failures_carry_the_ids_of_both_sides() {
    let gateway = start("tokens=1").await;
    let named = |request| {
        let mut request = Request::new(request);
        let metadata = request.metadata_mut();
        metadata.insert("x-request-id", "mine-7".parse().unwrap());
        request
    };
    let mut client = gateway.generation();

    let unary = client.generate(named(ask("one", "Hello"))).await.unwrap();
    let streamed = client
        .stream_generate(named(ask("one", "Hello")))
        .await
        .unwrap();
    let refused = client
        .generate(named(ask("nonsense", "Hello")))
        .await
        .unwrap_err();
    gateway.simulator.set("m", behave("status=500"));
    let failed = client
        .stream_generate(named(ask("one", "Hello")))
        .await
        .unwrap_err();

    let call_id = unary.get_ref().call_id.as_str();
    assert_eq!(unary.metadata().get("x-modelway-call-id").unwrap(), call_id);
    let all = [
        unary.metadata(),
        streamed.metadata(),
        refused.metadata(),
        failed.metadata(),
    ];
    for metadata in all {
        assert_eq!(metadata.get("x-request-id").unwrap(), "mine-7");
        assert!(metadata.contains_key("x-modelway-call-id"));
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_it_is_read() {
    let gateway = start("tokens=1").await;
    let request = ask("one", &"x".repeat(65 * 1024));

    for method in METHODS {
        let status = gateway.call(method, request.clone()).await.unwrap_err();

        assert_eq!(status.code(), Code::InvalidArgument);
        let details = details(&status);
        assert_eq!(details.reason, "INVALID_REQUEST");
        assert_eq!(details.violations[0].0, "message");
    }
    assert_eq!(gateway.simulator.requests().len(), 0);
}

/// What a status takes in the trailers, as HPACK counts it.
fn size(status: &Status) -> usize {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum()
}

#[tokio::test]
async fn a_status_stays_small_whatever_happened() {
    let gateway = start("status=503").await;
    let wrong_everywhere = GenerateRequest {
        messages: vec![message(Role::Unspecified, ""); 200],
        ..ask("one", "")
    };
    let table = [
        ("every field wrong", wrong_everywhere),
        ("a long scenario", ask(&"s".repeat(30_000), "Hello")),
        (
            "a scenario of odd letters",
            ask(&"é\n".repeat(10_000), "Hello"),
        ),
        ("a long model", ask_model(&"m".repeat(30_000))),
        ("many attempts", ask("persistent", "Hello")),
    ];

    for (what, request) in table {
        let status = gateway.generate(request).await.unwrap_err();

        assert!(size(&status) < 4096, "{what}: {} bytes", size(&status));
        assert!(!details(&status).reason.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_status_stays_small_whatever_the_provider_calls_its_model() {
    // In turns: what comes in one breath with the first word has interrupted nothing.
    let broken = "gap=5ms+cut=5";
    let gateway = start(broken).await;
    let boastful = Behaviour {
        reported_model: Some("m".repeat(30_000)),
        ..behave(broken)
    };
    gateway.simulator.set("m", boastful);

    let streamed = gateway.stream(ask("one", "Hello")).await;

    let status = streamed.failure.unwrap();
    assert_eq!(details(&status).reason, "STREAM_INTERRUPTED");
    assert!(size(&status) < 4096, "{} bytes", size(&status));
}

#[tokio::test]
async fn a_status_about_many_targets_stays_small() {
    let models: Vec<String> = (0..40)
        .map(|n| format!("openai/model-number-{n}"))
        .collect();
    let mut config = String::new();
    for model in &models {
        writeln!(config, "[models.\"{model}\"]\nunsupported = [\"top_k\"]").unwrap();
    }
    writeln!(
        config,
        "[scenarios.many]\ntargets = {models:?}\nmax_attempts = 10"
    )
    .unwrap();
    writeln!(config, "[breaker]\nconsecutive_failures = 1").unwrap();
    let gateway = Gateway::start(&config).await;
    for model in &models {
        let name = model.trim_start_matches("openai/");
        gateway.simulator.set(name, behave("status=503"));
    }
    let unsupported = GenerateRequest {
        sampling: Some(SamplingParams {
            top_k: Some(5),
            ..SamplingParams::default()
        }),
        ..ask("many", "Hello")
    };

    let lacking = gateway.generate(unsupported).await.unwrap_err();
    let mut failed = Vec::new();
    for method in [Method::Generate; 5] {
        failed.push(
            gateway
                .call(method, ask("many", "Hello"))
                .await
                .unwrap_err(),
        );
    }

    assert_eq!(details(&lacking).reason, "CAPABILITY_UNSUPPORTED");
    for status in [lacking].iter().chain(&failed) {
        assert!(size(status) < 4096, "{} bytes", size(status));
    }
}
