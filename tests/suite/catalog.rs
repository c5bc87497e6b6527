//! Can callers and operators see what may be asked and what would become of it?

use modelway::grpc::v1::{
    Breaker, BreakerState, CallLimits, Cost, CostSource, ErrorReason, ExplainPlanRequest,
    GenerateRequest, GetModelRequest, GetScenarioRequest, HedgePolicy, ListBreakersRequest,
    ListModelsRequest, ListScenariosRequest, Modality, Model, ModelPrice, PlannedTarget,
    RetryFirstPolicy, RetryPolicy, SamplingParams, Scenario, ScenarioTarget, ServiceTier,
    TierPrice,
};
use modelway::simulator::Behaviour;
use tonic::Code;

use crate::support::{Gateway, ask, details};

const CONFIG: &str = r#"
[breaker]
consecutive_failures = 1

[models."anthropic/claude"]
model = "claude-sim"
context_window_tokens = 200_000
max_output_tokens = 64_000
price = { input = 3.0, output = 15.0, cache_read_input = 0.3, cache_write_input = 3.75 }
[models."gemini/flash"]
[models."openai/gpt"]
unsupported = ["top_k", "seed"]
[models."openai/mini"]

[scenarios.general]
description = "Everyday questions"
targets = ["openai/gpt", "anthropic/claude", "gemini/flash"]
timeout = "90s"
max_attempts = 2
retry = { ratio = 0.1, burst = 7 }
[scenarios.cheap]
targets = ["openai/mini"]
provider_options = "refuse"
"#;

async fn models(gateway: &Gateway, request: ListModelsRequest) -> (Vec<String>, String) {
    let page = gateway.catalog().list_models(request).await.unwrap();
    let page = page.into_inner();
    let ids = page.models.into_iter().map(|model| model.id).collect();
    (ids, page.next_page_token)
}

#[tokio::test]
async fn models_are_listed_in_pages_and_by_provider() {
    let gateway = Gateway::start(CONFIG).await;
    let page = |page_size, page_token: &str, provider: &str| ListModelsRequest {
        page_size,
        page_token: page_token.to_owned(),
        provider: provider.to_owned(),
    };

    let (all, end) = models(&gateway, page(0, "", "")).await;
    let (first, token) = models(&gateway, page(3, "", "")).await;
    let (rest, end_of_rest) = models(&gateway, page(3, &token, "")).await;
    let (of_openai, _) = models(&gateway, page(0, "", "openai")).await;
    let (of_nobody, _) = models(&gateway, page(0, "", "nobody")).await;

    let ids = [
        "anthropic/claude",
        "gemini/flash",
        "openai/gpt",
        "openai/mini",
    ];
    assert_eq!(all, ids);
    assert_eq!(first, ids[..3]);
    assert_eq!(rest, ids[3..]);
    assert_eq!((end.as_str(), end_of_rest.as_str()), ("", ""));
    assert_eq!(of_openai, ids[2..]);
    assert!(of_nobody.is_empty());
    for size in [-1, 1001] {
        let refused = gateway.catalog().list_models(page(size, "", "")).await;
        let details = details(&refused.unwrap_err());
        assert_eq!(details.code, Code::InvalidArgument);
        assert_eq!(details.violations[0].0, "page_size");
    }
}

fn usd(amount_nanos: i64) -> Option<Cost> {
    Some(Cost {
        currency_code: "USD".to_owned(),
        amount_nanos,
        source: CostSource::PriceTable.into(),
        prices_version: String::new(),
    })
}

#[tokio::test]
async fn a_model_shows_what_it_reads_and_writes_what_callers_may_set_and_what_its_tiers_cost() {
    let own = r#"
[providers.own]
simulated = true
wire_format = "gemini"
provider_options = ["safetySettings", "generationConfig.responseModalities"]
[models."own/draws"]
input_modalities = ["text", "image"]
output_modalities = ["image", "audio"]
price = { input = 1.0, output = 2.0, cache_write_long_input = 3.0, tiers = { flex = { input = 0.5, output = 1.0 } } }

[scenarios.draws]
targets = ["own/draws"]
"#;
    let gateway = Gateway::start(own).await;

    let request = GetModelRequest {
        id: "own/draws".to_owned(),
    };
    let shown = gateway.catalog().get_model(request).await.unwrap();

    let draws = shown.into_inner().model.unwrap();
    assert_eq!(draws.input_modalities, [i32::from(Modality::Image)]);
    assert!(draws.features.contains(&"image_data".to_owned()));
    assert!(!draws.features.contains(&"document_data".to_owned()));
    let written = [Modality::Image, Modality::Audio].map(i32::from);
    assert_eq!(draws.output_modalities, written);
    assert_eq!(
        draws.allowed_provider_options,
        ["safetySettings", "generationConfig.responseModalities"]
    );
    let price = draws.price.unwrap();
    assert_eq!(price.cache_write_long_input, usd(3_000_000_000));
    let flex = TierPrice {
        tier: ServiceTier::Flex.into(),
        input: usd(500_000_000),
        output: usd(1_000_000_000),
        // Not written, so not known.
        cache_read_input: None,
        cache_write_input: None,
        cache_write_long_input: None,
    };
    assert_eq!(price.tiers, [flex]);
}

#[tokio::test]
async fn a_model_is_shown_with_all_that_is_known_of_it() {
    let gateway = Gateway::start(CONFIG).await;
    let get = async |id: &str| {
        let request = GetModelRequest { id: id.to_owned() };
        let response = gateway.catalog().get_model(request).await;
        response.map(|response| response.into_inner().model.unwrap())
    };

    let known = get("anthropic/claude").await.unwrap();
    let bare = get("openai/gpt").await.unwrap();
    let missing = get("openai/nonsense").await.unwrap_err();

    let modalities = [Modality::Image, Modality::Document].map(i32::from);
    assert!(
        modalities
            .iter()
            .all(|modality| known.input_modalities.contains(modality))
    );
    let Model { features, .. } = known.clone();
    assert!(features.contains(&"tools".to_owned()));
    assert_eq!(
        known,
        Model {
            id: "anthropic/claude".to_owned(),
            provider: "anthropic".to_owned(),
            provider_model: "claude-sim".to_owned(),
            context_window_tokens: 200_000,
            max_output_tokens: 64_000,
            price: Some(ModelPrice {
                input: usd(3_000_000_000),
                output: usd(15_000_000_000),
                cache_read_input: usd(300_000_000),
                cache_write_input: usd(3_750_000_000),
                ..ModelPrice::default()
            }),
            features,
            wire_format: "anthropic".to_owned(),
            input_modalities: known.input_modalities.clone(),
            ..Model::default()
        }
    );
    assert_eq!(bare.provider_model, "gpt");
    assert_eq!(bare.price, None);
    assert!(!bare.features.contains(&"seed".to_owned()));
    let details = details(&missing);
    assert_eq!(details.code, Code::NotFound);
    assert_eq!(details.reason, "MODEL_NOT_FOUND");
    assert_eq!(details.resource.unwrap().1, "openai/nonsense");
}

#[tokio::test]
async fn scenarios_are_listed_and_shown() {
    let gateway = Gateway::start(CONFIG).await;
    let mut client = gateway.catalog();
    let get = |id: &str| GetScenarioRequest { id: id.to_owned() };

    let first = ListScenariosRequest {
        page_size: 1,
        page_token: String::new(),
    };
    let first = client.list_scenarios(first).await.unwrap().into_inner();
    let second = ListScenariosRequest {
        page_size: 1,
        page_token: first.next_page_token.clone(),
    };
    let second = client.list_scenarios(second).await.unwrap().into_inner();
    let shown = client.get_scenario(get("general")).await.unwrap();
    let missing = client.get_scenario(get("nonsense")).await.unwrap_err();

    let target = |model: &str| ScenarioTarget {
        model: model.to_owned(),
    };
    let general = Scenario {
        id: "general".to_owned(),
        description: "Everyday questions".to_owned(),
        targets: ["openai/gpt", "anthropic/claude", "gemini/flash"]
            .map(target)
            .to_vec(),
        max_attempts: 2,
        timeout: Some(prost_types::Duration {
            seconds: 90,
            nanos: 0,
        }),
        retry: Some(RetryPolicy {
            ratio: 0.1,
            burst: 7,
        }),
        retry_first: None,
        hedge: None,
        refuses_provider_options: false,
    };
    assert_eq!(first.scenarios[0].id, "cheap");
    assert!(first.scenarios[0].refuses_provider_options);
    assert_eq!(second.scenarios, std::slice::from_ref(&general));
    assert_eq!(second.next_page_token, "");
    assert_eq!(shown.into_inner().scenario, Some(general));
    let details = details(&missing);
    assert_eq!(details.code, Code::NotFound);
    assert_eq!(details.reason, "SCENARIO_NOT_FOUND");
}

/// A line for each target: what would be done with it.
fn plan(targets: &[PlannedTarget]) -> Vec<String> {
    let line = |target: &PlannedTarget| {
        let state = target.breaker_state().as_str_name();
        let state = state.trim_start_matches("BREAKER_STATE_");
        let PlannedTarget { model, detail, .. } = target;
        match target.skip_reason() {
            ErrorReason::Unspecified => format!("{model} {state}"),
            reason => {
                let reason = reason.as_str_name().trim_start_matches("ERROR_REASON_");
                // How long a breaker stays open is drawn at random.
                let detail = detail.split(" for another").next().unwrap();
                format!("{model} {state} {reason}: {detail}")
            }
        }
    };
    targets.iter().map(line).collect()
}

#[tokio::test]
async fn a_plan_is_explained_without_sending_anything() {
    let gateway = Gateway::start(CONFIG).await;
    let unavailable = "status=503".parse::<Behaviour>().unwrap();
    gateway.simulator.set("claude-sim", unavailable);
    let request = GenerateRequest {
        sampling: Some(SamplingParams {
            top_k: Some(5),
            ..SamplingParams::default()
        }),
        ..ask("general", "Hello")
    };
    gateway.generate(request.clone()).await.unwrap();
    let sent = gateway.simulator.requests().len();

    let request = ExplainPlanRequest {
        request: Some(request),
    };
    let explained = gateway.operations().explain_plan(request).await.unwrap();

    let explained = explained.into_inner();
    assert_eq!(
        plan(&explained.targets),
        [
            "openai/gpt CLOSED CAPABILITY_UNSUPPORTED: it lacks `top_k`",
            "anthropic/claude OPEN BREAKER_OPEN: its breaker is open",
            "gemini/flash CLOSED",
        ]
    );
    let eligible: Vec<bool> = explained
        .targets
        .iter()
        .map(|target| target.eligible)
        .collect();
    assert_eq!(eligible, [false, false, true]);
    assert!(explained.targets[1].next_probe_time.is_some());
    assert_eq!(explained.max_attempts, 2);
    assert_eq!(explained.timeout.unwrap().seconds, 90);
    assert_eq!(explained.retry_tokens, 6);
    assert_eq!(gateway.simulator.requests().len(), sent);
}

#[tokio::test]
async fn what_a_scenario_does_besides_is_shown_by_catalog_and_plan() {
    let gateway = Gateway::start(
        r#"
        [models."openai/gpt"]
        [models."gemini/flash"]
        price = { input = 1.0, output = 1.0 }
        [scenarios.careful]
        targets = ["openai/gpt", "gemini/flash"]
        max_attempts = 4
        retry = { ratio = 0.1, burst = 7 }
        retry_first = { times = 2, longest_wait = "1500ms" }
        hedge = { max_cost = 0.003, min_delay = "700ms", ratio = 0.05, burst = 3 }
        "#,
    )
    .await;
    let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let retry = Some(RetryPolicy {
        ratio: 0.1,
        burst: 7,
    });
    let retry_first = Some(RetryFirstPolicy {
        times: 2,
        longest_wait: duration(1, 500_000_000),
    });
    let hedge = Some(HedgePolicy {
        max_cost: Some(Cost {
            currency_code: "USD".to_owned(),
            amount_nanos: 3_000_000,
            source: CostSource::PriceTable.into(),
            prices_version: String::new(),
        }),
        min_delay: duration(0, 700_000_000),
        ratio: 0.05,
        burst: 3,
    });

    let get = GetScenarioRequest {
        id: "careful".to_owned(),
    };
    let shown = gateway.catalog().get_scenario(get).await.unwrap();
    let explain = ExplainPlanRequest {
        request: Some(ask("careful", "Hello")),
    };
    let plan = gateway.operations().explain_plan(explain).await.unwrap();

    let shown = shown.into_inner().scenario.unwrap();
    assert_eq!(
        (shown.retry, shown.retry_first, shown.hedge.clone()),
        (retry, retry_first, hedge.clone())
    );
    let plan = plan.into_inner();
    assert_eq!(
        (plan.retry, plan.retry_first, plan.hedge),
        (retry, retry_first, hedge)
    );
}

#[tokio::test]
async fn a_plan_tells_which_features_a_target_cannot_combine() {
    let gateway = Gateway::start(CONFIG).await;
    let request = GenerateRequest {
        sampling: Some(SamplingParams {
            temperature: Some(0.5),
            top_p: Some(0.9),
            ..SamplingParams::default()
        }),
        ..ask("general", "Hello")
    };

    let explain = ExplainPlanRequest {
        request: Some(request),
    };
    let explained = gateway.operations().explain_plan(explain).await.unwrap();

    assert_eq!(
        plan(&explained.into_inner().targets),
        [
            "openai/gpt CLOSED",
            "anthropic/claude CLOSED CAPABILITY_UNSUPPORTED: it cannot combine `temperature` with `top_p`",
            "gemini/flash CLOSED",
        ]
    );
}

#[tokio::test]
async fn a_plan_counts_the_attempts_that_the_caller_allows() {
    let gateway = Gateway::start(CONFIG).await;
    for (allowed, expected) in [(1, 1), (2, 2), (9, 2)] {
        let request = GenerateRequest {
            limits: Some(CallLimits {
                max_attempts: Some(allowed),
                ..CallLimits::default()
            }),
            ..ask("general", "Hello")
        };
        let request = ExplainPlanRequest {
            request: Some(request),
        };

        let explained = gateway.operations().explain_plan(request).await.unwrap();

        assert_eq!(explained.into_inner().max_attempts, expected);
    }
}

#[tokio::test]
async fn a_plan_for_a_wrong_request_is_refused_like_the_request() {
    let gateway = Gateway::start(CONFIG).await;

    let empty = gateway
        .operations()
        .explain_plan(ExplainPlanRequest::default())
        .await;
    let unknown = ExplainPlanRequest {
        request: Some(ask("nonsense", "Hello")),
    };
    let unknown = gateway.operations().explain_plan(unknown).await;

    let details_of_empty = details(&empty.unwrap_err());
    assert_eq!(details_of_empty.reason, "INVALID_REQUEST");
    assert_eq!(details_of_empty.violations.len(), 2);
    assert_eq!(details(&unknown.unwrap_err()).reason, "SCENARIO_NOT_FOUND");
}

#[tokio::test]
async fn breakers_are_listed_with_what_they_have_seen() {
    let gateway = Gateway::start(CONFIG).await;
    let unavailable = "status=503".parse::<Behaviour>().unwrap();
    gateway.simulator.set("gpt", unavailable);
    gateway.generate(ask("general", "Hello")).await.unwrap();
    let list = async |provider: &str| {
        let request = ListBreakersRequest {
            provider: provider.to_owned(),
        };
        let response = gateway.operations().list_breakers(request).await.unwrap();
        response.into_inner().breakers
    };

    let all = list("").await;
    let of_openai = list("openai").await;

    let row = |breaker: &Breaker| {
        let seen = (breaker.window_calls, breaker.window_failures);
        (
            breaker.model.clone(),
            breaker.state(),
            seen,
            breaker.opened_total,
        )
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let expected = |model: &str, state, seen, opened| (model.to_owned(), state, seen, opened);
    assert_eq!(
        rows,
        [
            expected("", BreakerState::Closed, (1, 0), 0),
            expected("anthropic/claude", BreakerState::Closed, (1, 0), 0),
            expected("", BreakerState::Closed, (0, 0), 0),
            expected("gemini/flash", BreakerState::Closed, (0, 0), 0),
            expected("", BreakerState::Closed, (1, 0), 0),
            expected("openai/gpt", BreakerState::Open, (1, 1), 1),
            expected("openai/mini", BreakerState::Closed, (0, 0), 0),
        ]
    );
    assert!(all.iter().all(|breaker| breaker.state_since.is_some()));
    let probes: Vec<bool> = all
        .iter()
        .map(|breaker| breaker.next_probe_time.is_some())
        .collect();
    assert_eq!(probes, [false, false, false, false, false, true, false]);
    let providers: Vec<&str> = all.iter().map(|breaker| &*breaker.provider).collect();
    let expected = [
        "anthropic",
        "anthropic",
        "gemini",
        "gemini",
        "openai",
        "openai",
        "openai",
    ];
    assert_eq!(providers, expected);
    assert_eq!(of_openai.len(), 3);
}
