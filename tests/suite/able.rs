//! Does a target that cannot take the request count for nothing, and does finding that out cost next to nothing?

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;
use modelway::grpc::v1::content_part::Part;
use modelway::grpc::v1::{
    BreakerState, ExplainPlanRequest, ExplainPlanResponse, GenerateRequest, Media, Role,
    SamplingParams, SetBreakerRequest, media,
};
use modelway::simulator::{Behaviour, Received};
use tokio::time::{Instant, timeout};

use crate::support::{Gateway, METHODS, Timerless, ask, details, lines, parts, quickest};

fn behave(behaviour: &str) -> Behaviour {
    behaviour.parse().unwrap()
}

/// A request with one stop sequence more than OpenAI's format takes, which no feature tells.
fn wordy(scenario: &str) -> GenerateRequest {
    GenerateRequest {
        sampling: Some(SamplingParams {
            stop_sequences: ["A", "B", "C", "D", "E"].map(str::to_owned).to_vec(),
            ..SamplingParams::default()
        }),
        ..ask(scenario, "Hello")
    }
}

async fn plan(gateway: &Gateway, request: GenerateRequest) -> ExplainPlanResponse {
    let request = ExplainPlanRequest {
        request: Some(request),
    };
    let plan = gateway.operations().explain_plan(request).await;
    plan.unwrap().into_inner()
}

#[tokio::test]
async fn a_probe_needs_no_token_for_a_failover_to_a_target_that_cannot_take_the_request() {
    let gateway = Gateway::start_scenario(
        &["gemini/flash", "openai/backup"],
        r#"
        max_attempts = 2
        retry = { ratio = 0.1, burst = 1 }
        [breaker]
        consecutive_failures = 1
        consecutive_failures_busy = 1
        open_base = "1ms"
        "#,
    )
    .await;
    let script = [behave("status=500"), Behaviour::default()];
    gateway.simulator.script("flash", script);
    // Takes the only token.
    gateway.generate(ask("s", "Hello")).await.unwrap();
    while !plan(&gateway, wordy("s")).await.targets[0].eligible {}

    let response = gateway.generate(wordy("s")).await.unwrap();

    assert_eq!(
        lines(&response.attempts),
        ["1 PROBE gemini/flash SUCCEEDED"]
    );
}

#[tokio::test]
async fn a_target_need_not_leave_time_for_one_that_cannot_take_the_request() {
    let gateway = Gateway::start_scenario(&["gemini/flash", "openai/backup"], "").await;
    // More than the three fifths of the time that it would have otherwise.
    gateway.simulator.set("flash", behave("first=4s"));
    let client = Timerless::connect(gateway.address).await;
    let calls = METHODS.map(|method| client.call(method, wordy("s"), "6S"));
    for response in join_all(calls).await {
        assert_eq!(
            lines(&response.unwrap().attempts),
            ["1 PRIMARY gemini/flash SUCCEEDED"]
        );
    }
}

#[tokio::test]
async fn a_failure_is_followed_by_a_retry_where_the_other_target_cannot_take_the_request() {
    let gateway = Gateway::start_scenario(&["gemini/flash", "openai/backup"], "").await;
    for method in METHODS {
        let script = [behave("status=500"), Behaviour::default()];
        gateway.simulator.script("flash", script);

        let response = gateway.call(method, wordy("s")).await.unwrap();

        let trail = [
            "1 PRIMARY gemini/flash FAILED PROVIDER_ERROR",
            "2 RETRY gemini/flash SUCCEEDED",
        ];
        assert_eq!(lines(&response.attempts), trail);
    }
}

#[tokio::test]
async fn the_last_resort_is_a_target_that_can_take_the_request() {
    let gateway = Gateway::start_scenario(
        &["openai/gpt", "gemini/flash"],
        r#"
        [breaker]
        consecutive_failures = 1
        consecutive_failures_busy = 1
        open_base = "60s"
        "#,
    )
    .await;
    // The first target has mostly answered, so that it would be the last resort of others.
    for _ in 0..20 {
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }
    gateway.simulator.set("gpt", behave("status=500"));
    gateway.simulator.set("flash", behave("status=500"));
    gateway.generate(ask("s", "Hello")).await.unwrap_err();
    gateway.simulator.set("flash", Behaviour::default());
    let answered = async {
        loop {
            if let Ok(response) = gateway.generate(wordy("s")).await {
                return response;
            }
        }
    };

    let response = timeout(Duration::from_secs(60), answered).await.unwrap();

    let trail = [
        "0 PRIMARY openai/gpt SKIPPED BREAKER_OPEN",
        "0 FAILOVER gemini/flash SKIPPED BREAKER_OPEN",
        "1 LAST_RESORT gemini/flash SUCCEEDED",
    ];
    assert_eq!(lines(&response.attempts), trail);
}

const CLOSED: usize = 100;

/// A hundred targets that an operator holds closed off, and behind them one that answers.
async fn mostly_closed() -> Gateway {
    let mut config = String::new();
    let mut targets = Vec::new();
    for number in 0..CLOSED {
        let provider = ["openai", "anthropic", "gemini"][number % 3];
        let target = format!("{provider}/closed-{number}");
        writeln!(config, "[models.\"{target}\"]\nmax_output_tokens = 1000").unwrap();
        targets.push(target);
    }
    config.push_str("[models.\"openai/open\"]\n");
    let listed = format!("{targets:?}").replace(']', ", \"openai/open\"]");
    write!(
        config,
        "[scenarios.s]\ntargets = {listed}\n[scenarios.closed]\ntargets = {targets:?}\n\
         [server]\npredrain = \"0s\"\nmax_message_bytes = \"64MiB\"\nruntimes = 1\n"
    )
    .unwrap();
    let gateway = Gateway::start(&config).await;
    for target in targets {
        let held = SetBreakerRequest {
            provider: target.split('/').next().unwrap().to_owned(),
            model: target,
            state: BreakerState::ForcedOpen.into(),
            ..SetBreakerRequest::default()
        };
        gateway.operations().set_breaker(held).await.unwrap();
    }
    gateway
}

fn with_image(scenario: &str, bytes: usize) -> GenerateRequest {
    let image = Media {
        source: Some(media::Source::Data(vec![7; bytes].into())),
        media_type: "image/png".to_owned(),
        ..Media::default()
    };
    let mut request = ask(scenario, "What is this?");
    request
        .messages
        .push(parts(Role::User, [Part::Image(image)]));
    request
}

#[tokio::test]
async fn a_large_request_is_spelled_for_no_target_that_is_closed_off_and_for_no_explanation() {
    const LARGE: usize = 8 * 1024 * 1024;
    let gateway = mostly_closed().await;
    let took = async |scenario, bytes| {
        let began = Instant::now();
        let answered = gateway.generate(with_image(scenario, bytes)).await;
        let called = began.elapsed();
        let plan = plan(&gateway, with_image(scenario, bytes)).await;
        (called, began.elapsed() - called, answered, plan)
    };
    took("s", LARGE).await.2.unwrap(); // connects

    let (one, _, answered, plan) = took("s", LARGE).await;
    // A hundred spellings would take many times as long as one way with one of them, each time.
    let limit = 3 * one;
    let longer = quickest(limit, async || {
        let (none, explained, refused, _) = took("closed", LARGE).await;
        println!("spelled once {one:?}, never {none:?}, explained {explained:?}");
        assert_eq!(
            details(&refused.unwrap_err()).reason,
            "NO_PROVIDER_AVAILABLE"
        );
        none.max(explained)
    });

    assert!(longer.await < limit);
    assert_eq!(answered.unwrap().attempts.len(), CLOSED + 1);
    let eligible = plan.targets.iter().filter(|target| target.eligible);
    assert_eq!(eligible.count(), 1);
}

#[tokio::test]
async fn of_two_reasons_to_pass_a_target_over_the_one_is_told_that_costs_less_to_find() {
    let gateway = mostly_closed().await;

    let plan = plan(&gateway, wordy("s")).await;
    let failure = gateway.generate(wordy("closed")).await.unwrap_err();

    let (last, others) = plan.targets.split_last().unwrap();
    assert_eq!(
        last.detail,
        "it cannot express `sampling.stop_sequences`: at most four stop sequences are accepted"
    );
    let reasons: Vec<_> = others
        .iter()
        .map(|target| target.skip_reason().as_str_name())
        .collect();
    assert!(
        reasons
            .iter()
            .all(|reason| *reason == "ERROR_REASON_BREAKER_OPEN")
    );
    assert_eq!(details(&failure).reason, "NO_PROVIDER_AVAILABLE");
}

#[tokio::test]
async fn a_large_request_reaches_each_target_whole_and_under_its_own_name() {
    let gateway = Gateway::start_scenario(
        &["openai/one", "openai/two", "gemini/three", "gemini/four"],
        "max_attempts = 4",
    )
    .await;
    for model in ["one", "two", "three"] {
        gateway.simulator.set(model, behave("status=500"));
    }
    for method in METHODS {
        gateway.call(method, with_image("s", 50_000)).await.unwrap();
    }

    let requests = gateway.simulator.requests();
    let body = |request: &Received| {
        let mut json = request.json();
        if let Some(fields) = json.as_object_mut() {
            fields.remove("model");
        }
        json.to_string()
    };
    let models: Vec<_> = requests
        .iter()
        .map(|request| request.model.as_str())
        .collect();
    assert_eq!(
        models,
        ["one", "two", "three", "four", "one", "two", "three", "four"]
    );
    for pair in requests.chunks(2) {
        assert_eq!(body(&pair[0]), body(&pair[1]));
        assert!(body(&pair[0]).len() > 50_000);
    }
}
