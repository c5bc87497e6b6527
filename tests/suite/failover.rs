//! Is a call answered as long as any target can answer it, and told the truth if none can?

mod faults;
mod refused;
mod unexplained;

use std::fmt::Write as _;
use std::time::Duration;

use modelway::grpc::v1::SamplingParams;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::simulator::{Settings, Simulator, WireName, text};
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::support::{Gateway, METHODS, Method, ask, details, line, lines, nobody, text_of};

const FORMATS: [&str; 3] = ["openai", "anthropic", "gemini"];

/// For what would never end by itself. Only a wait for something that never comes may end by these: a target that
/// answers has no short limit.
const SHORT_WAITS: &str = r#"{ first_event = "300ms", first_content = "400ms" }"#;

/// A scenario `s` of these targets, in this order; a name says how its model behaves.
fn config(targets: &[&str]) -> String {
    let mut config = format!("[scenarios.s]\ntargets = {targets:?}\n");
    for target in targets {
        writeln!(config, "[models.\"{target}\"]\nmax_output_tokens = 1000").unwrap();
        if target.ends_with("+hang") {
            writeln!(config, "timeouts = {SHORT_WAITS}").unwrap();
        }
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
        timeout = "6s"
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
    config.push_str("[scenarios.short]\ntimeout = \"1900ms\"\n");
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
        for method in METHODS {
            let config = config(&[&primary, &backup]).replacen(
                "[scenarios.s]",
                "[scenarios.s]\nmax_attempts = 2",
                1,
            );
            let gateway = Gateway::start(&config).await;

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
            assert_eq!(gateway.simulator.requests().len(), 2);
        }
    }
}

#[tokio::test]
async fn a_provider_that_nobody_can_connect_to_is_left_for_the_backup() {
    let refusing = nobody();
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
        max_attempts = 2
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
    let trail = [
        "1 PRIMARY refusing/one FAILED PROVIDER_UNREACHABLE",
        "2 RETRY refusing/one FAILED PROVIDER_UNREACHABLE",
    ];
    assert_eq!(lines(&details(&failed).failure.unwrap().attempts), trail);
}

#[tokio::test]
async fn a_target_that_cannot_do_what_is_asked_is_no_reason_to_leave_another() {
    let refusing = nobody();
    let gateway = Gateway::start(&format!(
        r#"
        [providers.refusing]
        wire_format = "openai_chat"
        base_url = "http://{refusing}/v1"
        auth = "none"
        [models."refusing/one"]
        [models."openai/without-seed"]
        unsupported = ["seed"]
        [scenarios.s]
        targets = ["refusing/one", "openai/without-seed"]
        "#
    ))
    .await;
    let mut request = ask("s", "Hello");
    request.sampling = Some(SamplingParams {
        seed: Some(7),
        ..SamplingParams::default()
    });

    let failed = gateway.generate(request).await.unwrap_err();

    let trail = [
        "1 PRIMARY refusing/one FAILED PROVIDER_UNREACHABLE",
        "2 RETRY refusing/one FAILED PROVIDER_UNREACHABLE",
        "3 RETRY refusing/one FAILED PROVIDER_UNREACHABLE",
    ];
    assert_eq!(lines(&details(&failed).failure.unwrap().attempts), trail);
}

#[tokio::test]
async fn what_keeps_coming_without_any_content_is_cut_off() {
    let gateway = Gateway::start(
        r#"
        [models."openai/gpt+pings"]
        timeouts = { first_content = "3h" }
        [models."openai/backup"]
        [scenarios.s]
        targets = ["openai/gpt+pings", "openai/backup"]
        timeout = "5h"
        max_timeout = "5h"
        "#,
    )
    .await;

    let response = gateway.generate(ask("s", "Hello")).await.unwrap();

    let trail = [
        "1 PRIMARY openai/gpt+pings FAILED PROVIDER_BAD_RESPONSE",
        "2 FAILOVER openai/backup SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn an_error_that_is_told_slowly_is_not_heard_to_its_end() {
    let target = "openai/gpt+status=503+slice=1+drip=1s";
    let gateway = Gateway::start(&format!(
        "[models.\"{target}\"]\n[models.\"openai/backup\"]\n\
         [scenarios.s]\ntargets = [\"{target}\", \"openai/backup\"]"
    ))
    .await;

    let call = gateway.generate(ask("s", "Hello"));
    // It would take more than a minute.
    let response = timeout(Duration::from_secs(20), call)
        .await
        .unwrap()
        .unwrap();

    let trail = [
        format!("1 PRIMARY {target} FAILED PROVIDER_OVERLOADED"),
        "2 FAILOVER openai/backup SUCCEEDED".to_owned(),
    ];
    assert_eq!(lines(&response.attempts), trail);
}

#[tokio::test]
async fn the_same_target_is_tried_again_after_the_wait_it_asks_for() {
    let config = config(&["openai/gpt"]);
    let gateway = Gateway::start(&format!("[throttle]\nbase_wait = \"10ms\"\n{config}")).await;
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
async fn the_same_target_is_waited_for_as_long_as_it_asks_or_as_the_throttle_makes_of_it() {
    let throttles = [
        r#"base_wait = "100ms""#,
        r#"base_wait = "1ms"
        max_wait = "1ms""#,
    ];
    for throttle in throttles {
        let config = config(&["openai/gpt"]);
        let gateway = Gateway::start(&format!("[throttle]\n{throttle}\n{config}")).await;
        let limited = "status=429+retry-after=50ms".parse().unwrap();
        let healthy = "tokens=24".parse().unwrap();
        gateway.simulator.script("gpt", [limited, healthy]);

        let began = Instant::now();
        let response = gateway.generate(ask("s", "Hello")).await.unwrap();

        assert!(began.elapsed() >= Duration::from_millis(50), "{throttle}");
        let trail = [
            "1 PRIMARY openai/gpt FAILED PROVIDER_RATE_LIMITED",
            "2 RETRY openai/gpt SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail, "{throttle}");
    }
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
async fn a_call_and_its_attempts_tell_how_long_they_took() {
    let gateway = Gateway::start_scenario(
        &[
            "openai/gpt+delay=50ms+status=500",
            // The rest takes much longer than may be asserted, since the first token may be read late.
            "openai/backup+delay=50ms+gap=100ms+tokens=11",
        ],
        "",
    )
    .await;
    for method in METHODS {
        let began = Instant::now();
        let response = gateway.call(method, ask("s", "Hello")).await.unwrap();
        let took = began.elapsed();

        let delay = Duration::from_millis(50);
        let time = |told: Option<prost_types::Duration>| Duration::try_from(told.unwrap()).unwrap();
        let [failed, answered] = &response.attempts[..] else {
            panic!("{response:?}")
        };
        assert_eq!(failed.time_to_first_token, None);
        assert!(time(failed.latency) >= delay);
        let first_token = time(answered.time_to_first_token);
        assert!(first_token >= delay);
        assert!(time(answered.latency) >= first_token + delay);
        assert!(time(response.latency) >= time(failed.latency) + time(answered.latency));
        assert!(time(response.latency) <= took);
    }
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
