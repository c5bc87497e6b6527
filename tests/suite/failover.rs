//! Is a call answered as long as any target can answer it, and told the truth if none can?

use std::fmt::Write as _;
use std::sync::Arc;

use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{GenerateRequest, SamplingParams};
use modelway::simulator::{Settings, Simulator, WireName, text};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{Gateway, METHODS, Method, ask, details, line, lines, text_of};

const FORMATS: [&str; 3] = ["openai", "anthropic", "gemini"];

/// What the trail says of a fault before the first content, for each of [`FORMATS`].
const EARLY_FAULTS: &[(&str, [&str; 3])] = &[
    ("status=401", ["PROVIDER_AUTH_FAILED"; 3]),
    ("status=402", ["PROVIDER_QUOTA_EXHAUSTED"; 3]),
    ("status=403", ["PROVIDER_AUTH_FAILED"; 3]),
    ("status=404", ["PROVIDER_ERROR"; 3]),
    ("status=429", ["PROVIDER_RATE_LIMITED"; 3]),
    ("status=429+retry-after=1s", ["PROVIDER_RATE_LIMITED"; 3]),
    ("quota", ["PROVIDER_QUOTA_EXHAUSTED"; 3]),
    ("status=500", ["PROVIDER_ERROR"; 3]),
    ("status=502", ["PROVIDER_ERROR"; 3]),
    ("status=503", ["PROVIDER_OVERLOADED"; 3]),
    ("status=503+retry-after=30s", ["PROVIDER_OVERLOADED"; 3]),
    ("status=529", ["PROVIDER_OVERLOADED"; 3]),
    ("hang", ["PROVIDER_TIMEOUT"; 3]),
    ("silence", ["PROVIDER_TIMEOUT"; 3]),
    ("pings=20ms", ["PROVIDER_TIMEOUT"; 3]),
    ("role-only", ["PROVIDER_TIMEOUT"; 3]),
    ("stall=0", ["PROVIDER_TIMEOUT"; 3]),
    ("reset", ["PROVIDER_UNREACHABLE"; 3]),
    ("disconnect=0", ["PROVIDER_UNREACHABLE"; 3]),
    ("reset=0", ["PROVIDER_UNREACHABLE"; 3]),
    (
        "error=0",
        [
            "PROVIDER_ERROR",
            "PROVIDER_OVERLOADED",
            "PROVIDER_OVERLOADED",
        ],
    ),
    ("cut=0", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("malformed=0", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("half-character=0", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("html", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("empty", ["PROVIDER_BAD_RESPONSE"; 3]),
];

/// The same for faults after five tokens.
const LATE_FAULTS: &[(&str, [&str; 3])] = &[
    (
        "error=5",
        [
            "PROVIDER_ERROR",
            "PROVIDER_OVERLOADED",
            "PROVIDER_OVERLOADED",
        ],
    ),
    ("cut=5", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("disconnect=5", ["PROVIDER_UNREACHABLE"; 3]),
    ("reset=5", ["PROVIDER_UNREACHABLE"; 3]),
    ("stall=5", ["PROVIDER_TIMEOUT"; 3]),
    ("malformed=5", ["PROVIDER_BAD_RESPONSE"; 3]),
    ("half-character=5", ["PROVIDER_BAD_RESPONSE"; 3]),
    // All tokens, but not the provider's own end.
    ("cut=24", ["PROVIDER_BAD_RESPONSE"; 3]),
];

/// For what would never end by itself. Only a wait for something that never comes may end by these.
const SHORT_WAITS: &str = r#"{ first_event = "300ms", first_content = "400ms" }"#;
const SHORT_IDLE: &str = r#"{ byte_idle = "300ms" }"#;

/// A scenario for each fault and format: a primary that suffers it, and a healthy backup.
fn matrix(faults: &[(&str, [&str; 3])]) -> String {
    let mut config = r#"[models."openai/backup"]"#.to_owned();
    for format in FORMATS {
        for (fault, reasons) in faults {
            let scenario = scenario(format, fault);
            let primary = format!("{format}/{format}+{fault}");
            let timeouts = match (reasons[0], fault.starts_with("stall=5")) {
                ("PROVIDER_TIMEOUT", false) => SHORT_WAITS,
                ("PROVIDER_TIMEOUT", true) => SHORT_IDLE,
                _ => "{}",
            };
            write!(
                config,
                r#"
                [models."{primary}"]
                max_output_tokens = 1000
                timeouts = {timeouts}
                [scenarios.{scenario}]
                targets = ["{primary}", "openai/backup"]
                "#
            )
            .unwrap();
        }
    }
    config
}

fn scenario(format: &str, fault: &str) -> String {
    format!("{format}-{}", fault.replace(['=', '+'], "-"))
}

/// Runs `check` for every fault and format, all at the same time.
async fn for_each_fault<F>(
    faults: &'static [(&str, [&'static str; 3])],
    check: impl Fn(Arc<Gateway>, &'static str, &'static str, &'static str) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let gateway = Arc::new(Gateway::start(&matrix(faults)).await);
    let mut checks = JoinSet::new();
    for (fault, reasons) in faults {
        for (format, reason) in FORMATS.into_iter().zip(*reasons) {
            checks.spawn(check(Arc::clone(&gateway), format, fault, reason));
        }
    }
    while let Some(checked) = checks.join_next().await {
        checked.unwrap();
    }
}

#[tokio::test]
async fn every_fault_before_the_first_content_is_answered_by_the_backup() {
    for_each_fault(EARLY_FAULTS, |gateway, format, fault, reason| async move {
        let primary = format!("{format}+{fault}");
        for method in METHODS {
            let request = ask(&scenario(format, fault), "Hello");

            let response = gateway.call(method, request).await;

            let response = response.unwrap_or_else(|status| panic!("{primary}: {status:?}"));
            assert_eq!(text_of(&response), text(24), "{primary} {method:?}");
            let trail = [
                format!("1 PRIMARY {format}/{primary} FAILED {reason}"),
                "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
            ];
            assert_eq!(lines(&response.attempts), trail, "{method:?}");
            assert_eq!(response.provider, "openai");
            assert_eq!(response.model, "backup");
        }
        let asked = gateway.simulator.requests_for(&primary).len();
        assert_eq!(
            asked,
            METHODS.len(),
            "{primary} is asked once for each call"
        );
    })
    .await;
}

#[tokio::test]
async fn a_unary_answer_that_breaks_off_is_replaced_by_a_whole_one() {
    for_each_fault(LATE_FAULTS, |gateway, format, fault, reason| async move {
        let primary = format!("{format}+{fault}");
        let request = ask(&scenario(format, fault), "Hello");

        let response = gateway.generate(request).await;

        let response = response.unwrap_or_else(|status| panic!("{primary}: {status:?}"));
        assert_eq!(text_of(&response), text(24), "{primary}");
        let trail = [
            format!("1 PRIMARY {format}/{primary} FAILED {reason}"),
            "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
        ];
        assert_eq!(lines(&response.attempts), trail);
        assert_eq!(gateway.simulator.requests_for(&primary).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so_and_is_never_continued_by_another() {
    for_each_fault(LATE_FAULTS, |gateway, format, fault, reason| async move {
        let primary = format!("{format}+{fault}");
        let request = ask(&scenario(format, fault), "Hello");

        let streamed = gateway.stream(request).await;

        let received = streamed.text();
        let begun = text(24).starts_with(&received) && !received.is_empty();
        assert!(begun, "{primary}: {received}");
        let failure = details(&streamed.failure.unwrap());
        assert_eq!(failure.code, Code::Unavailable, "{primary}");
        assert_eq!(failure.reason, "STREAM_INTERRUPTED", "{primary}");
        assert_eq!(failure.pushback, Some(-1));
        let trail = [format!("1 PRIMARY {format}/{primary} FAILED {reason}")];
        assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
        assert_eq!(gateway.simulator.requests_for("backup").len(), 0);
    })
    .await;
}

/// A scenario `s` of these targets, in this order; a name says how its model behaves.
fn config(targets: &[&str]) -> String {
    let mut config = format!("[scenarios.s]\ntargets = {targets:?}\n");
    for target in targets {
        writeln!(config, "[models.\"{target}\"]\nmax_output_tokens = 1000").unwrap();
        writeln!(config, "timeouts = {SHORT_WAITS}").unwrap();
    }
    config
}

#[tokio::test]
async fn a_target_that_is_read_whole_and_hangs_leaves_time_for_the_backup() {
    let gateway = Gateway::start(
        r#"
        [models."openai/gpt+hang"]
        upstream_mode = "whole"
        [models."openai/backup"]
        upstream_mode = "whole"
        [scenarios.s]
        targets = ["openai/gpt+hang", "openai/backup"]
        timeout = "2s"
        "#,
    )
    .await;

    let response = gateway.generate(ask("s", "Hello")).await.unwrap();

    assert_eq!(text_of(&response), text(24));
    let trail = [
        "1 PRIMARY openai/gpt+hang FAILED PROVIDER_TIMEOUT",
        "2 FAILOVER openai/backup SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn a_call_with_little_time_is_failed_over_too() {
    let mut config = config(&["openai/gpt+status=503", "openai/backup"]);
    config.push_str("[scenarios.short]\ntimeout = \"1500ms\"\n");
    config.push_str("targets = [\"openai/gpt+status=503\", \"openai/backup\"]\n");
    let gateway = Gateway::start(&config).await;
    for method in METHODS {
        let response = gateway.call(method, ask("short", "Hello")).await.unwrap();

        assert_eq!(text_of(&response), text(24));
    }
}

#[tokio::test]
async fn the_last_targets_failure_is_told_if_none_answers() {
    let table = [
        (
            "status=500",
            "status=503",
            Code::Unavailable,
            "PROVIDER_OVERLOADED",
        ),
        (
            "status=503",
            "status=500",
            Code::Unavailable,
            "PROVIDER_ERROR",
        ),
        (
            "status=500",
            "status=429",
            Code::Unavailable,
            "PROVIDER_RATE_LIMITED",
        ),
        ("status=500", "hang", Code::Unavailable, "PROVIDER_TIMEOUT"),
        (
            "status=500",
            "reset",
            Code::Unavailable,
            "PROVIDER_UNREACHABLE",
        ),
        (
            "status=500",
            "cut=0",
            Code::Unavailable,
            "PROVIDER_BAD_RESPONSE",
        ),
        (
            "hang",
            "status=401",
            Code::FailedPrecondition,
            "PROVIDER_AUTH_FAILED",
        ),
        (
            "reset",
            "quota",
            Code::FailedPrecondition,
            "PROVIDER_QUOTA_EXHAUSTED",
        ),
        (
            "status=500",
            "status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
    ];
    for (primary, backup, code, reason) in table {
        let primary = format!("openai/one+{primary}");
        let backup = format!("anthropic/two+{backup}");
        let gateway = Gateway::start(&config(&[&primary, &backup])).await;
        for method in METHODS {
            let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();

            let failure = details(&failure);
            assert_eq!(failure.code, code, "{primary}, {backup}");
            assert_eq!(failure.reason, reason, "{primary}, {backup}");
            assert_eq!(failure.domain, "modelway.v1");
            assert_eq!(failure.pushback, Some(-1));
            let attempts = failure.failure.unwrap().attempts;
            assert_eq!(attempts.len(), 2, "{primary}, {backup}");
            assert_eq!(
                line(&attempts[1]),
                format!("2 FAILOVER {backup} FAILED {reason}")
            );
        }
        assert_eq!(gateway.simulator.requests().len(), 2 * METHODS.len());
    }
}

#[tokio::test]
async fn a_provider_that_nobody_can_connect_to_is_left_for_the_backup() {
    // Bound and not listening: connections are refused, and nobody else gets the port.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let refusing = nobody.local_addr().unwrap();
    // Speaks HTTP where TLS is expected.
    let plain = Simulator::start(Settings::default()).await.unwrap();
    let without_tls = plain
        .base_url(WireName::OpenAiChat)
        .replace("http:", "https:");
    let gateway = Gateway::start(&format!(
        r#"
        [providers.refusing]
        wire_format = "openai_chat"
        base_url = "http://{refusing}/v1"
        auth = "none"
        [providers.without-tls]
        wire_format = "openai_chat"
        base_url = "{without_tls}"
        auth = "none"

        [models."refusing/one"]
        [models."without-tls/two"]
        [models."openai/backup"]

        [scenarios.s]
        targets = ["refusing/one", "without-tls/two", "openai/backup"]
        [scenarios.alone]
        targets = ["refusing/one"]
        "#
    ))
    .await;

    let rescued = gateway.generate(ask("s", "Hello")).await.unwrap();
    let failed = gateway.generate(ask("alone", "Hello")).await.unwrap_err();

    let trail = [
        "1 PRIMARY refusing/one FAILED PROVIDER_UNREACHABLE",
        "2 FAILOVER without-tls/two FAILED PROVIDER_UNREACHABLE",
        "3 FAILOVER openai/backup SUCCEEDED",
    ];
    assert_eq!(lines(&rescued.attempts), trail);
    // Nothing was sent: without another target the same one may be tried once more.
    let trail = [
        "1 PRIMARY refusing/one FAILED PROVIDER_UNREACHABLE",
        "2 RETRY refusing/one FAILED PROVIDER_UNREACHABLE",
    ];
    assert_eq!(lines(&details(&failed).failure.unwrap().attempts), trail);
}

#[tokio::test]
async fn the_same_target_is_tried_again_after_the_wait_it_asks_for() {
    let gateway = Gateway::start(&config(&["openai/gpt"])).await;
    let limited = "status=429+retry-after=20ms".parse().unwrap();
    let healthy = "tokens=24".parse().unwrap();
    gateway.simulator.script("gpt", [limited, healthy]);

    let response = gateway.generate(ask("s", "Hello")).await.unwrap();

    assert_eq!(text_of(&response), text(24));
    let trail = [
        "1 PRIMARY openai/gpt FAILED PROVIDER_RATE_LIMITED",
        "2 RETRY openai/gpt SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn a_target_that_asks_for_a_long_wait_is_not_waited_for() {
    let model = "openai/gpt+status=429+retry-after=20s";
    let gateway = Gateway::start(&config(&[model])).await;

    let failure = gateway.generate(ask("s", "Hello")).await.unwrap_err();

    let failure = details(&failure);
    assert_eq!(failure.reason, "PROVIDER_RATE_LIMITED");
    assert_eq!(failure.retry_after.unwrap().as_secs(), 20);
    assert_eq!(gateway.simulator.requests().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_itself_is_asked_of_nobody_else() {
    let table = [
        (
            "openai/gpt+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "anthropic/claude+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "gemini/flash+status=400",
            Code::InvalidArgument,
            "INVALID_REQUEST",
        ),
        (
            "openai/gpt+content-filter",
            Code::FailedPrecondition,
            "CONTENT_BLOCKED",
        ),
        (
            "gemini/flash+content-filter",
            Code::FailedPrecondition,
            "CONTENT_BLOCKED",
        ),
    ];
    for (primary, code, reason) in table {
        let gateway = Gateway::start(&config(&[primary, "openai/backup"])).await;
        for method in METHODS {
            let failure = gateway.call(method, ask("s", "Hello")).await.unwrap_err();

            let failure = details(&failure);
            assert_eq!(failure.code, code, "{primary}");
            assert_eq!(failure.reason, reason, "{primary}");
            let trail = [format!("1 PRIMARY {primary} FAILED {reason}")];
            assert_eq!(lines(&failure.failure.unwrap().attempts), trail);
        }
        assert_eq!(gateway.simulator.requests_for("backup").len(), 0);
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_goes_only_to_a_larger_window() {
    let gateway = Gateway::start(
        r#"
        [models."openai/small+context-length"]
        context_window_tokens = 8000
        [models."openai/small-too"]
        context_window_tokens = 8000
        [models."openai/unknown"]
        [models."gemini/large"]
        context_window_tokens = 1000000

        [scenarios.with-larger]
        targets = ["openai/small+context-length", "openai/small-too", "openai/unknown", "gemini/large"]
        [scenarios.without]
        targets = ["openai/small+context-length", "openai/small-too"]
        "#,
    )
    .await;
    for method in METHODS {
        let answered = gateway.call(method, ask("with-larger", "Hello")).await;
        let failed = gateway.call(method, ask("without", "Hello")).await;

        let trail = [
            "1 PRIMARY openai/small+context-length FAILED CONTEXT_LENGTH_EXCEEDED",
            "0 FAILOVER openai/small-too SKIPPED CONTEXT_LENGTH_EXCEEDED",
            "0 FAILOVER openai/unknown SKIPPED CONTEXT_LENGTH_EXCEEDED",
            "2 FAILOVER gemini/large SUCCEEDED",
        ];
        assert_eq!(lines(&answered.unwrap().attempts), trail);
        let failed = details(&failed.unwrap_err());
        assert_eq!(failed.code, Code::InvalidArgument);
        assert_eq!(failed.reason, "CONTEXT_LENGTH_EXCEEDED");
        assert_eq!(lines(&failed.failure.unwrap().attempts), trail[..2]);
    }
    assert_eq!(gateway.simulator.requests_for("small-too").len(), 0);
    assert_eq!(gateway.simulator.requests_for("unknown").len(), 0);
}

/// A request that needs `top_k`, which OpenAI's format cannot express.
fn ask_with_top_k(scenario: &str) -> GenerateRequest {
    GenerateRequest {
        sampling: Some(SamplingParams {
            top_k: Some(40),
            ..SamplingParams::default()
        }),
        ..ask(scenario, "Hello")
    }
}

#[tokio::test]
async fn a_target_that_lacks_a_feature_is_skipped_before_anything_is_sent() {
    let gateway = Gateway::start(
        r#"
        [models."openai/gpt"]
        [models."gemini/without"]
        unsupported = ["top_k"]
        [models."gemini/flash"]

        [scenarios.s]
        targets = ["openai/gpt", "gemini/without", "gemini/flash"]
        [scenarios.none]
        targets = ["openai/gpt", "gemini/without"]
        "#,
    )
    .await;
    for method in METHODS {
        let answered = gateway.call(method, ask_with_top_k("s")).await.unwrap();
        let failed = gateway.call(method, ask_with_top_k("none")).await;

        let trail = [
            "0 PRIMARY openai/gpt SKIPPED CAPABILITY_UNSUPPORTED",
            "0 FAILOVER gemini/without SKIPPED CAPABILITY_UNSUPPORTED",
            "1 FAILOVER gemini/flash SUCCEEDED",
        ];
        assert_eq!(lines(&answered.attempts), trail);
        assert!(answered.attempts[0].detail.contains("top_k"));
        let failed = details(&failed.unwrap_err());
        assert_eq!(failed.code, Code::FailedPrecondition);
        assert_eq!(failed.reason, "CAPABILITY_UNSUPPORTED");
        assert_eq!(failed.preconditions.len(), 2);
        assert_eq!(failed.pushback, None);
    }
    assert_eq!(gateway.simulator.requests_for("gpt").len(), 0);
    assert_eq!(gateway.simulator.requests_for("without").len(), 0);
}

#[tokio::test]
async fn another_model_than_the_one_that_was_asked_shows() {
    for format in FORMATS {
        let target = format!("{format}/asked+as=other-model");
        let gateway = Gateway::start(&config(&[&target])).await;
        for method in METHODS {
            let response = gateway.call(method, ask("s", "Hello")).await.unwrap();

            assert_eq!(response.model, "asked+as=other-model");
            assert_eq!(response.response_model, "other-model");
            assert_eq!(response.attempts[0].response_model, "other-model");
        }
    }
}

#[tokio::test]
async fn a_call_makes_no_more_attempts_than_it_may() {
    let targets = [
        "openai/a+status=500",
        "openai/b+status=500",
        "openai/c+status=500",
        "openai/d",
    ];
    let gateway = Gateway::start(&config(&targets)).await;
    let mut limited = ask("s", "Hello");
    limited.limits = Some(modelway::grpc::v1::CallLimits {
        max_attempts: Some(1),
        ..Default::default()
    });

    let by_scenario = gateway.generate(ask("s", "Hello")).await.unwrap_err();
    let by_caller = gateway.generate(limited).await.unwrap_err();

    let attempts = |status| details(status).failure.unwrap().attempts.len();
    assert_eq!(attempts(&by_scenario), 3);
    assert_eq!(attempts(&by_caller), 1);
    assert_eq!(gateway.simulator.requests_for("d").len(), 0);
}

#[tokio::test]
async fn the_events_of_a_stream_tell_the_failed_attempt_before_the_first_delta() {
    let gateway = Gateway::start(&config(&["openai/gpt+status=503", "anthropic/claude"])).await;

    let streamed = gateway.stream(ask("s", "Hello")).await;

    let mut told = Vec::new();
    for event in &streamed.events {
        let event = match event {
            Event::Started(_) => "started".to_owned(),
            Event::AttemptStarted(attempt) => format!("attempt {} started", attempt.number),
            Event::AttemptEnded(ended) => {
                let attempt = ended.attempt.as_ref().unwrap();
                let follows = ended.will_continue;
                format!(
                    "attempt {} ended, another follows: {follows}",
                    attempt.number
                )
            }
            Event::Completed(_) => "completed".to_owned(),
            _ => "deltas".to_owned(),
        };
        if told.last() != Some(&event) {
            told.push(event);
        }
    }
    let expected = [
        "started",
        "attempt 1 started",
        "attempt 1 ended, another follows: true",
        "attempt 2 started",
        "deltas",
        "attempt 2 ended, another follows: false",
        "completed",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn tokens_of_a_failed_attempt_are_part_of_the_sum() {
    let gateway = Gateway::start(&config(&["anthropic/claude+cut=5", "openai/gpt"])).await;

    let response = gateway
        .call(Method::Generate, ask("s", "One two three"))
        .await
        .unwrap();

    let input = |usage: &Option<_>| {
        let usage: &modelway::grpc::v1::TokenUsage = usage.as_ref().unwrap();
        usage.input_tokens
    };
    assert_eq!(input(&response.attempts[0].usage), 3);
    assert_eq!(input(&response.attempts[1].usage), 3);
    assert_eq!(input(&response.usage), 6);
}
