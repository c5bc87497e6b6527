//! Targets and routes for the tests of this module.

use std::sync::Arc;

use http::HeaderMap;

use crate::chat::ChatRequest;
use crate::features::Features;
use crate::provider::{Auth, Provider};
use crate::wire::openai_chat::OpenAiChat;

use super::asked::AskedRequest;
use super::drains::Drains;
use super::generation::{Alive, TableGeneration};
use super::lengths::{Answers, Prompts};
use super::needs::Needs;
use super::prices::CurrentPrices;
use super::retry_budget;
use super::routes::{GuardedTarget, Route};
use super::target::{
    Charging, OptionsPolicy, Scenario, SpendingPolicy, Target, Timeouts, UpstreamMode,
};
use super::tokens::Budget;
use super::waste::{self, WasteBucket};
use crate::health::HealthByName;
use crate::health::scopes;
use crate::wire::options::AllowedOptions;

/// A model that can do everything.
pub(crate) fn target(model: &str) -> Target {
    let provider = Provider {
        name: format!("provider of {model}"),
        base_url: String::new(),
        auth: Auth::None,
        headers: HeaderMap::new(),
        secret_headers: Vec::new(),
        query: Vec::new(),
        propagate_trace: false,
        link: Arc::default(),
        options: AllowedOptions::default(),
    };
    Target {
        id: model.to_owned(),
        provider: Arc::new(provider),
        wire_format: Arc::new(OpenAiChat::default()),
        model: model.to_owned(),
        paths: None,
        body: None,
        features: Features::ALL,
        output_modalities: Vec::new(),
        context_window_tokens: None,
        max_output_tokens: None,
        prices: CurrentPrices::default(),
        charging: Charging::default(),
        upstream_mode: UpstreamMode::default(),
        timeouts: Timeouts::default(),
    }
}

/// A scenario of these models, each at a provider of its own.
pub(crate) fn route(models: &[&str], settings: scopes::Settings) -> Arc<Route> {
    let targets: Vec<_> = models.iter().map(|model| Arc::new(target(model))).collect();
    let health = HealthByName::new(settings);
    let guarded = |target: &Arc<Target>| {
        Arc::new(GuardedTarget {
            target: Arc::clone(target),
            health: health.guard(&target.provider.name, &target.id),
            prompts: Prompts::default(),
            answers: Answers::default(),
        })
    };
    let guarded = targets.iter().map(guarded).collect();
    let retry = retry_budget::Settings::default();
    let scenario = Scenario {
        name: "specimen".to_owned(),
        description: String::new(),
        targets,
        default_timeout: Scenario::DEFAULT_TIMEOUT,
        max_timeout: Scenario::MAX_TIMEOUT,
        max_attempts: 3,
        first_content: None,
        content_filter_failover: false,
        empty_answer_failover: true,
        retry,
        retry_first: None,
        hedge: None,
        provider_options: OptionsPolicy::default(),
        spending: SpendingPolicy::default(),
        waste: waste::Settings::default(),
    };
    Arc::new(Route {
        scenario: Arc::new(scenario),
        answers: models.iter().map(|_| Answers::default()).collect(),
        targets: guarded,
        budget: Arc::new(Budget::new(retry)),
        waste: Arc::new(WasteBucket::new(waste::Settings::default())),
        hedging: None,
        generation: TableGeneration::begin(Vec::new(), &Alive::default(), &Drains::default()),
    })
}

/// A request that every target can answer.
pub(crate) fn asked() -> Arc<AskedRequest> {
    Arc::new(asked_for(ChatRequest::default()))
}

/// This request, by a caller who wants the whole answer.
pub(crate) fn asked_for(request: ChatRequest) -> AskedRequest {
    let needs = Needs::of(&request);
    AskedRequest::new(Arc::new(request), needs, true, 0, "")
}
