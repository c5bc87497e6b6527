//! Targets for tests of this module: all that is said of them is what a test is about.

use std::sync::Arc;

use http::HeaderMap;

use crate::features::Features;
use crate::provider::{Auth, Provider};
use crate::wire::openai_chat::OpenAiChat;

use super::asked::Asked;
use super::dispatcher::Lane;
use super::retry_budget;
use super::target::{Scenario, Target, Timeouts, UpstreamMode};
use super::tokens::Budget;
use crate::health::guard::{Guard, ProviderGuard, changes};
use crate::health::scopes;

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
    };
    Target {
        id: model.to_owned(),
        provider: Arc::new(provider),
        wire_format: Arc::new(OpenAiChat::default()),
        model: model.to_owned(),
        features: Features::ALL,
        context_window_tokens: None,
        max_output_tokens: None,
        price: None,
        upstream_mode: UpstreamMode::default(),
        timeouts: Timeouts::default(),
    }
}

/// A scenario of these models, each at a provider of its own.
pub(crate) fn lane(models: &[&str], settings: scopes::Settings) -> Arc<Lane> {
    let targets: Vec<_> = models.iter().map(|model| Arc::new(target(model))).collect();
    let guard = |target: &Arc<Target>| {
        let name = target.provider.name.clone();
        let provider = ProviderGuard::new(name, vec![target.id.clone()], settings, changes());
        Arc::new(Guard::new(Arc::clone(target), Arc::new(provider), 0))
    };
    let guards = targets.iter().map(guard).collect();
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
    };
    Arc::new(Lane {
        scenario: Arc::new(scenario),
        guards,
        budget: Arc::new(Budget::new(retry)),
        hedging: None,
    })
}

/// A request that every target can answer.
pub(crate) fn asked() -> Arc<Asked> {
    Arc::new(Asked::new(Arc::default(), true, 0))
}
