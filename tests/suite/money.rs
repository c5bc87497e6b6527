//! Is nothing sent that its caller's limits do not let through, and does every caller learn why?

use std::time::SystemTime;

use modelway::error::LimitUnit;
use modelway::grpc::v1::{
    self, Attempt, BillingClass, CallLimits, Cost, CostSource, FinishReason, GenerateRequest,
    UsageSource,
};
use modelway::identity::Labels;
use modelway::limits::{
    Enforcement, Limit, LimitDimension, LimitMatch, LimitState, LimitWindow, Now, Zone,
};
use modelway::simulator::Behaviour;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Code;

use crate::support::posted::post;
use crate::support::{Gateway, METHODS, Method, ask, details, number_from};

const CENT: i64 = 10_000_000;
const DOLLAR: i64 = 1_000_000_000;

/// Models that cost a fee for each attempt and nothing for tokens, so that what is set aside is what is charged.
const FEES: &str = r#"
[models."openai/dear"]
price = { input = 0, output = 0, request = 1 }
[models."openai/cheap"]
price = { input = 0, output = 0, request = 0.01 }
[models."openai/free"]
price = { input = 0, output = 0 }
[models."openai/unpriced"]
[scenarios.dear]
targets = ["openai/dear"]
[scenarios.cheap]
targets = ["openai/cheap"]
[scenarios.both]
targets = ["openai/dear", "openai/cheap"]
[scenarios.free]
targets = ["openai/free"]
[scenarios.unpriced]
targets = ["openai/unpriced"]
"#;

fn now() -> Now {
    Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    }
}

fn limit(id: &str, unit: LimitUnit, amount: i64, window: LimitWindow) -> Limit {
    Limit {
        id: id.into(),
        description: String::new(),
        matching: LimitMatch {
            labels: Labels::new(),
            ..LimitMatch::default()
        },
        per: Vec::new(),
        unit,
        amount,
        window: Some(window),
        zone: Zone::UTC,
        thresholds: Vec::new(),
        enforcement: Enforcement::Hard,
        unknown_ceiling: None,
    }
}

fn money(id: &str, amount: i64) -> Limit {
    limit(id, LimitUnit::Money, amount, LimitWindow::Total)
}

/// Attempts, as the provider counts them: the first limit on requests that names a provider.
fn attempts_at(provider: &str) -> Limit {
    let mut limit = limit(
        "attempts",
        LimitUnit::Requests,
        1_000_000,
        LimitWindow::Total,
    );
    limit.matching.providers = vec![provider.into()];
    limit
}

impl Gateway {
    /// From now on these limits hold, with nothing used.
    fn limit(&self, limits: impl Into<Vec<Limit>>) {
        self.limits.change(limits.into(), [], now());
    }

    fn state(&self, id: &str) -> LimitState {
        let states = self.limits.states(now());
        let of_limit = states.into_iter().find(|state| &*state.limit.id == id);
        of_limit.expect("a counter of this limit")
    }
}

/// The attempts of a call that were sent, however it ended.
async fn call(gateway: &Gateway, method: Method, request: GenerateRequest) -> (Code, Vec<Attempt>) {
    match gateway.call(method, request).await {
        Ok(response) => (Code::Ok, response.attempts),
        Err(status) => {
            let failure = details(&status).failure;
            (
                status.code(),
                failure.map_or_else(Vec::new, |failure| failure.attempts),
            )
        }
    }
}

fn cost_of(attempts: &[Attempt]) -> i64 {
    let costs = attempts.iter().filter_map(|attempt| attempt.cost.as_ref());
    costs.map(|cost| cost.amount_nanos).sum()
}

/// More runs by `MODELWAY_MONEY_RUNS=50`.
#[tokio::test]
async fn a_thousand_calls_at_once_with_money_for_a_hundred_are_a_hundred_requests() {
    const CALLS: usize = 1000;
    let runs = number_from("MODELWAY_MONEY_RUNS", 2);
    let gateway = Gateway::start(FEES).await;
    gateway
        .simulator
        .set("cheap", "tokens=3".parse::<Behaviour>().unwrap());
    let mut channels = Vec::new();
    for _ in 0..10 {
        channels.push(gateway.channel_from([127, 0, 0, 1].into()).await);
    }
    let (mut overspent, mut reserved, mut drift) = (0, 0, 0);
    for run in 0..runs {
        let id = format!("run-{run}");
        gateway.limit([money(&id, 100 * CENT)]);
        let mut calls = JoinSet::new();
        for number in 0..CALLS {
            let channel = channels[number % channels.len()].clone();
            calls.spawn(async move {
                let mut client =
                    modelway::grpc::v1::generation_service_client::GenerationServiceClient::new(
                        channel,
                    );
                client.generate(ask("cheap", "Hello")).await
            });
        }
        let (mut answered, mut refused, mut cost) = (0, 0, 0);
        while let Some(outcome) = calls.join_next().await {
            match outcome.unwrap() {
                Ok(response) => {
                    answered += 1;
                    cost += cost_of(&response.into_inner().attempts);
                }
                Err(status) => {
                    assert_eq!(
                        details(&status).reason,
                        "CALLER_QUOTA_EXHAUSTED",
                        "{status:?}"
                    );
                    refused += 1;
                }
            }
        }
        let state = gateway.state(&id);
        assert_eq!((answered, refused), (100, CALLS - 100), "run {run}");
        overspent += (state.used - state.amount).max(0);
        reserved += state.reserved;
        drift += (state.used - cost).abs();
        let last = gateway
            .simulator
            .requests()
            .last()
            .map_or(0, |last| last.number + 1);
        assert_eq!(
            last,
            100 * (run + 1),
            "requests at the simulator after run {run}"
        );
    }
    println!(
        "{CALLS} calls at once with money for 100, {runs} runs: 100 dispatched in each, overspent {overspent}, \
         reserved {reserved}, drift {drift} nano-USD"
    );
    assert_eq!((overspent, reserved, drift), (0, 0, 0));
}

#[tokio::test]
async fn a_target_that_a_limit_does_not_let_through_is_passed_over_for_a_cheaper_one() {
    for method in METHODS {
        let gateway = Gateway::start(FEES).await;
        gateway.limit([money("team-month", DOLLAR / 2)]);

        let response = gateway.call(method, ask("both", "Hello")).await.unwrap();

        let [skipped, answered] = &response.attempts[..] else {
            panic!("{:?}", response.attempts);
        };
        assert_eq!((skipped.number, &*skipped.limit_id), (0, "team-month"));
        assert_eq!(answered.cost.as_ref().unwrap().amount_nanos, CENT);
        assert_eq!(answered.reserved.as_ref().unwrap().amount_nanos, CENT);
        assert!(gateway.simulator.requests_for("dear").is_empty());
        let state = gateway.state("team-month");
        assert_eq!((state.used, state.reserved), (CENT, 0));
    }
}

#[tokio::test]
async fn a_declared_zero_passes_an_empty_budget_and_an_unknown_price_does_not() {
    let mut admitted = Vec::new();
    for scenario in ["free", "unpriced", "cheap"] {
        let gateway = Gateway::start(FEES).await;
        gateway.limit([money("empty", 0)]);

        let outcome = gateway.call(Method::Generate, ask(scenario, "Hello")).await;

        admitted.push((outcome.is_ok(), gateway.simulator.requests().len()));
        if let Err(status) = outcome {
            let told = details(&status);
            let expected = match scenario {
                "unpriced" => (Code::FailedPrecondition, "PRICE_UNKNOWN"),
                _ => (Code::ResourceExhausted, "CALLER_QUOTA_EXHAUSTED"),
            };
            assert_eq!((told.code, &*told.reason), expected);
            assert_eq!(told.pushback, Some(-1));
            assert_eq!(told.retry_after, None);
        }
    }
    println!("empty budget: free, unknown, priced: {admitted:?}");
    assert_eq!(admitted, [(true, 1), (false, 0), (false, 0)]);
}

#[tokio::test]
async fn a_spent_budget_says_which_limit_it_is_and_is_not_tried_again() {
    use tonic_types::StatusExt as _;
    let gateway = Gateway::start(FEES).await;
    let of_the_caller = Limit {
        per: vec![LimitDimension::Caller],
        ..money("team-month", CENT / 2)
    };
    gateway.limit([of_the_caller]);

    let status = gateway
        .call(Method::Generate, ask("cheap", "Hello"))
        .await
        .unwrap_err();

    let told = details(&status);
    assert_eq!(
        (told.code, &*told.reason),
        (Code::ResourceExhausted, "CALLER_QUOTA_EXHAUSTED")
    );
    assert_eq!((told.retry_after, told.pushback), (None, Some(-1)));
    let quota = status.get_details_quota_failure().expect("a QuotaFailure");
    assert_eq!(quota.violations[0].subject, "limit/team-month");
    let denials = told.failure.unwrap().limits;
    let [denial] = &denials[..] else {
        panic!("{denials:?}");
    };
    assert_eq!(
        (&*denial.limit_id, denial.unit()),
        ("team-month", v1::LimitUnit::Money)
    );
    assert_eq!((denial.requested, denial.remaining), (CENT, CENT / 2));

    // Of a limit that is not the caller's own, it learns no amounts.
    gateway.limit([money("of-all", CENT / 2)]);
    let outcome = gateway.call(Method::Generate, ask("cheap", "Hello")).await;
    let denials = details(&outcome.unwrap_err()).failure.unwrap().limits;
    let amounts = (denials[0].requested, denials[0].remaining);
    assert_eq!((&*denials[0].limit_id, amounts), ("of-all", (0, 0)));

    let body =
        r#"{"scenario":"cheap","messages":[{"role":"ROLE_USER","parts":[{"text":"Hello"}]}]}"#;
    let json = [("content-type", "application/json")];
    let answer = post(&gateway, "/v1/generate", body.as_bytes(), &json).await;
    assert_eq!(answer.status(), 429, "{answer:?}");
    assert_eq!(answer.headers()["x-should-retry"], "false");
    assert!(!answer.headers().contains_key("retry-after"));
    assert!(gateway.simulator.requests().is_empty());
}

#[tokio::test]
async fn a_limit_of_a_minute_says_when_to_come_back() {
    let gateway = Gateway::start(FEES).await;
    gateway.limit([limit("minute", LimitUnit::Requests, 1, LimitWindow::Minute)]);
    gateway
        .call(Method::Generate, ask("cheap", "Hello"))
        .await
        .unwrap();

    let status = gateway
        .call(Method::Generate, ask("cheap", "Hello"))
        .await
        .unwrap_err();

    let told = details(&status);
    assert_eq!(
        (told.code, &*told.reason),
        (Code::ResourceExhausted, "CALLER_RATE_LIMITED")
    );
    let wait = told.retry_after.expect("a wait").as_millis();
    assert!((1..=60_000).contains(&wait), "{wait} ms");
    let pushback = told.pushback.expect("a pushback");
    assert!((1..=60_000).contains(&pushback), "{pushback} ms");
    assert_eq!(gateway.simulator.requests().len(), 1);
}

/// A call that may cost so much, in nano-USD.
fn capped(scenario: &str, nanos: i64) -> GenerateRequest {
    GenerateRequest {
        limits: Some(CallLimits {
            max_cost: Some(Cost {
                currency_code: "USD".to_owned(),
                amount_nanos: nanos,
                ..Cost::default()
            }),
            ..CallLimits::default()
        }),
        ..ask(scenario, "Hello")
    }
}

#[tokio::test]
async fn an_answer_is_shortened_to_what_its_call_may_cost() {
    const CONFIG: &str = r#"
    [models."openai/m"]
    context_window_tokens = 10_000
    price = { input = 0, output = 10, request = 0 }
    [scenarios.m]
    targets = ["openai/m"]
    "#;
    // What the call may cost, the tokens that the provider is asked for.
    for (nanos, tokens) in [
        (20 * 10_000, Some(20)),
        (16 * 10_000, Some(16)),
        (15 * 10_000, None),
    ] {
        for method in METHODS {
            let gateway = Gateway::start(CONFIG).await;
            gateway
                .simulator
                .set("m", "tokens=100".parse::<Behaviour>().unwrap());

            let outcome = gateway.call(method, capped("m", nanos)).await;

            let requests = gateway.simulator.requests();
            let Some(tokens) = tokens else {
                let told = details(&outcome.unwrap_err());
                assert_eq!(
                    (told.code, &*told.reason),
                    (Code::FailedPrecondition, "COST_CAP_EXCEEDED")
                );
                assert_eq!(told.pushback, Some(-1));
                assert!(requests.is_empty());
                continue;
            };
            let response = outcome.unwrap();
            assert_eq!(requests[0].json()["max_completion_tokens"], tokens);
            assert_eq!(
                response.finish_reason(),
                FinishReason::CostCap,
                "{response:?}"
            );
            assert!(cost_of(&response.attempts) <= nanos);
            assert_eq!(response.warnings[0].field, "sampling.max_output_tokens");
        }
    }
}

#[tokio::test]
async fn an_answer_is_shortened_to_what_a_limit_has_left_where_the_scenario_says_so() {
    let config = |fit| {
        format!(
            r#"
            [models."openai/m"]
            context_window_tokens = 10_000
            price = {{ input = 0, output = 10, request = 0 }}
            [scenarios.m]
            targets = ["openai/m"]
            max_output_tokens = 5000
            fit_output = {fit}
            "#
        )
    };
    // Whether it is shortened, the tokens that are left, the tokens that the provider is asked for.
    for (fit, left, tokens) in [
        (true, 300, Some(300)),
        (true, 255, None),
        (false, 300, None),
        (false, 5000, Some(5000)),
    ] {
        let gateway = Gateway::start(&config(fit)).await;
        gateway.limit([money("left", left * 10_000)]);

        let outcome = gateway.call(Method::Generate, ask("m", "Hello")).await;

        let requests = gateway.simulator.requests();
        let asked = requests
            .first()
            .map(|request| request.json()["max_completion_tokens"].as_i64());
        assert_eq!(asked.flatten(), tokens, "{fit} {left}");
        assert_eq!(outcome.is_ok(), tokens.is_some());
        if let Ok(response) = outcome {
            assert_eq!(response.warnings.len(), usize::from(fit));
        }
    }
}

#[tokio::test]
async fn what_a_provider_does_not_count_is_estimated_and_the_same_wherever_it_is_shown() {
    const CONFIG: &str = r#"
    [models."openai/m"]
    price = { input = 1, output = 10 }
    [scenarios.m]
    targets = ["openai/m"]
    "#;
    for (behaviour, class) in [
        ("no-usage", BillingClass::Uncertain),
        ("cut=5", BillingClass::Partial),
        ("reset", BillingClass::Uncertain),
    ] {
        for method in METHODS {
            let gateway = Gateway::start(CONFIG).await;
            gateway
                .simulator
                .set("m", behaviour.parse::<Behaviour>().unwrap());
            gateway.limit([money("all", 1000 * DOLLAR)]);

            let (_, attempts) = call(&gateway, method, ask("m", "Hello")).await;

            let first = &attempts[0];
            assert_eq!(first.billing_class(), class, "{behaviour} {method:?}");
            let usage = first.usage.as_ref().unwrap();
            assert_eq!(
                usage.source(),
                UsageSource::Estimated,
                "{behaviour} {method:?}"
            );
            let cost = first.cost.as_ref().unwrap();
            assert_eq!(
                cost.source(),
                CostSource::Estimated,
                "{behaviour} {method:?}"
            );
            let expected = usage.input_tokens * 1_000 + usage.output_tokens * 10_000;
            assert_eq!(cost.amount_nanos, expected);
            assert!(usage.input_tokens > 0 && cost.amount_nanos > 0);
            let state = gateway.state("all");
            assert_eq!(
                (state.used, state.reserved),
                (cost_of(&attempts), 0),
                "{behaviour}"
            );
        }
    }
}

#[tokio::test]
async fn every_request_that_reaches_a_provider_was_set_aside_for_and_is_told() {
    const CONFIG: &str = r#"
    [models."openai/flaky"]
    price = { input = 0, output = 0, request = 0.01 }
    timeouts = { first_event = "300ms", first_content = "300ms" }
    [models."openai/steady"]
    price = { input = 0, output = 0, request = 0.02 }
    [scenarios.s]
    targets = ["openai/flaky", "openai/steady"]
    retry_first = {}
    hedge = { max_cost = 0.05, min_delay = "50ms", ratio = 1.0, burst = 50 }
    "#;
    let gateway = Gateway::start(CONFIG).await;
    gateway.limit([attempts_at("openai"), money("all", 1000 * DOLLAR)]);
    let behaviours = [
        "status=503",
        "cut=3",
        "tokens=2",
        "silence",
        "no-usage",
        "reset",
        "status=429",
    ];
    let script = behaviours.iter().cycle().take(60);
    gateway.simulator.script(
        "flaky",
        script.map(|text| text.parse::<Behaviour>().unwrap()),
    );
    let (mut told, mut cost) = (0, 0);
    for number in 0..60 {
        let (_, attempts) =
            call(&gateway, METHODS[number % METHODS.len()], ask("s", "Hello")).await;
        told += attempts.iter().filter(|attempt| attempt.number > 0).count();
        cost += cost_of(&attempts);
    }
    let received = gateway.simulator.requests().len();
    let (counted, money) = (gateway.state("attempts"), gateway.state("all"));
    println!(
        "requests at the simulator {received}, attempts told {told}, counted {}, difference {}",
        counted.used,
        received.abs_diff(told)
    );
    assert_eq!(received, told);
    assert_eq!(counted.used, told as i64);
    assert_eq!((money.used, money.reserved, counted.reserved), (cost, 0, 0));
}
