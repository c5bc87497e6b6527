//! What can callers ask for? Targets, scenarios with their policies, and the catalogue of both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::features::{Features, Modality};
use crate::money::{
    AnswerExpectations, Ceiling, CostFrom, Forecast, ModelTokens, OnDisconnect, PricedRequest,
    PromptExpectations, PromptSize, Reserve, most_nanos,
};
pub use crate::provider::credential::TokenState;

use crate::provider::Provider;
use crate::provider::path::Paths;
use crate::trail::{ClosedOff, Skip};
use crate::wire::WireFormat;
use crate::wire::merge::ExtraFields;

use super::prices::CurrentPrices;
use super::{hedging, retry_budget, waste};

/// A model at a provider, with its properties.
pub struct Target {
    /// Its id in the catalogue, such as `openai/gpt-5`.
    pub id: String,
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// The wire format of its requests and answers. Targets with equal dialects share one.
    pub wire_format: Arc<dyn WireFormat>,
    /// Its name at the provider.
    pub model: String,
    /// Where requests go below the provider's base URL, if not where the wire format says.
    pub paths: Option<Paths>,
    /// What the body of every request says besides.
    pub body: Option<ExtraFields>,
    /// What it can do: what its wire format can express, without what the configuration excludes.
    pub features: Features,
    /// What it answers with besides text.
    pub output_modalities: Vec<Modality>,
    /// Tokens that prompt and answer may have together, where known.
    pub context_window_tokens: Option<u64>,
    /// The most tokens an answer can have, where known.
    pub max_output_tokens: Option<u32>,
    /// What it costs, where known. Exchanged while calls run.
    pub prices: CurrentPrices,
    /// How its attempts are charged for, besides its prices.
    pub charging: Charging,
    /// How a unary call reads the provider's answer.
    pub upstream_mode: UpstreamMode,
    /// How long each step may take.
    pub timeouts: Timeouts,
}

/// How attempts on a target are charged for, besides its prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charging {
    /// Which cost counts where its provider reports one, too.
    pub cost_from: CostFrom,
    /// What its provider charges for an attempt that the service ends.
    pub on_disconnect: OnDisconnect,
    /// What is set aside and charged where no price is known.
    pub unknown_ceiling: Option<Ceiling>,
    /// The most tokens of a picture; `None`: 5,000 until it is learned.
    pub image_tokens: Option<u64>,
    /// The most tokens of a document, of sound or of moving pictures; `None`: the context window until it is learned.
    pub document_tokens: Option<u64>,
}

impl Target {
    /// The most that an attempt with a prompt of so many tokens costs in a scenario, in nano-USD; `None` if no price is
    /// known.
    pub fn most_nanos(
        &self,
        spending: &SpendingPolicy,
        prompt: u64,
        at: SystemTime,
    ) -> Option<i64> {
        let size = PromptSize {
            // As many bytes as a token has at least.
            bytes: prompt.saturating_mul(2),
            ..PromptSize::default()
        };
        let forecast = Forecast::of(
            &size,
            spending.max_output_tokens.map(u64::from),
            &self.tokens(),
            &PromptExpectations::default(),
            &AnswerExpectations::default(),
            spending.reserve,
        );
        let request = PricedRequest {
            tier: None,
            writes_cache: false,
            at,
        };
        let ceiling = self.charging.unknown_ceiling;
        most_nanos(&forecast, &request, self.prices.now().as_deref(), ceiling)
    }

    /// What is known of the tokens of its prompts and answers without experience.
    pub(super) fn tokens(&self) -> ModelTokens {
        ModelTokens {
            context_window: self.context_window_tokens,
            max_output: self.max_output_tokens,
            image: self.charging.image_tokens,
            document: self.charging.document_tokens,
        }
    }

    /// The state of its provider's access token, if it is asked with one.
    pub fn token_state(&self) -> Option<TokenState> {
        self.provider.token().map(|token| token.state())
    }

    /// Why it cannot be asked now although it may be healthy: there is no live access token for its provider.
    pub(super) fn lacks_token(&self) -> Option<Skip> {
        let token = self.provider.token()?;
        let is_live = token.is_live(Instant::now().into_std());
        (!is_live).then_some(Skip::ClosedOff(ClosedOff::Token, None))
    }
}

/// How a unary call reads the provider's answer. Streaming calls always stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamMode {
    /// As a stream that is put together: the first token shows early whether failover is needed.
    #[default]
    Stream,
    /// Whole: cheaper for short, frequent answers. The target's own timeouts do not apply. The limits to the first
    /// content apply to the whole answer.
    Whole,
}

/// How long each step of an attempt may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Between two pieces of the request that the provider accepts.
    pub write_idle: Duration,
    /// From sending to the first event of the answer.
    pub first_event: Duration,
    /// From sending to the first content.
    pub first_content: Duration,
    /// Between any two bytes.
    pub byte_idle: Duration,
    /// Between two events that carry content or usage.
    pub progress_idle: Duration,
    /// A first content that takes longer than this is slow. If most are slow, the breaker opens while there is a
    /// healthier alternative.
    pub slow_first_content: Duration,
    /// Silence after sending that counts as a failure for the breaker although the attempt goes on.
    pub stall_after: Duration,
}

impl Timeouts {
    /// No limit at all.
    pub const UNLIMITED: Self = Self {
        write_idle: Duration::MAX,
        first_event: Duration::MAX,
        first_content: Duration::MAX,
        byte_idle: Duration::MAX,
        progress_idle: Duration::MAX,
        slow_first_content: Duration::MAX,
        stall_after: Duration::MAX,
    };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            write_idle: Duration::from_secs(20),
            first_event: Duration::from_secs(10),
            first_content: Duration::from_secs(20),
            byte_idle: Duration::from_secs(20),
            progress_idle: Duration::from_secs(45),
            slow_first_content: Duration::from_secs(8),
            stall_after: Duration::from_secs(4),
        }
    }
}

/// A task type that callers name: an ordered list of targets and a policy.
pub struct Scenario {
    /// What callers call it.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// In the order in which they are tried; never empty.
    pub targets: Vec<Arc<Target>>,
    /// A call's time if the caller sets no deadline.
    pub default_timeout: Duration,
    /// The most time a call gets, whatever deadline the caller sets.
    pub max_timeout: Duration,
    /// The most attempts of one call, at least 1.
    pub max_attempts: u32,
    /// A limit to the first content, if it is to be tighter than the targets' own.
    pub first_content: Option<Duration>,
    /// Whether another target is tried when a provider's content filter blocks the prompt.
    pub content_filter_failover: bool,
    /// Whether another target is tried when an answer is empty. An empty answer to a tool's result is a good one.
    pub empty_answer_failover: bool,
    /// How many attempts all calls of the scenario may add.
    pub retry: retry_budget::Settings,
    /// Whether the first choice is asked again before another target is.
    pub retry_first: Option<RetryFirst>,
    /// Whether a late first attempt gets a rival on another target.
    pub hedge: Option<hedging::Settings>,
    /// Whether its calls may have fields in providers' own words.
    pub provider_options: OptionsPolicy,
    /// What a call and its attempts may cost.
    pub spending: SpendingPolicy,
    /// What failed attempts may cost.
    pub waste: waste::Settings,
}

/// What the calls of a scenario and their attempts may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpendingPolicy {
    /// The most that all attempts of a call may cost together, in nano-USD; `None`: twice the dearest of them.
    pub max_cost_nanos: Option<i64>,
    /// The most tokens of an answer, which providers are told, too; `None`: what the model gives.
    pub max_output_tokens: Option<u32>,
    /// Whether an answer is shortened to what a limit has left, in place of skipping the target.
    pub fit_output: bool,
    /// How much is set aside for an answer.
    pub reserve: Reserve,
}

/// Whether the calls of a scenario may have fields in providers' own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptionsPolicy {
    /// Those that the provider's configuration allows.
    #[default]
    Allow,
    /// None: a call with any is refused.
    Refuse,
}

/// How a scenario asks its first choice again: for tasks where the model matters more than a second of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryFirst {
    /// How often a call's first choice is asked again before another target is; at least once.
    pub times: u32,
    /// The longest wait before each time. If its provider asks for more, another target comes at once.
    pub longest_wait: Duration,
}

impl Default for RetryFirst {
    fn default() -> Self {
        Self {
            times: 1,
            longest_wait: Duration::from_secs(2),
        }
    }
}

impl Scenario {
    /// The time of a call, unless the configuration or the caller says otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

    /// The most time of a call, unless the configuration says otherwise.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(600);
}

/// Everything that can be asked.
#[derive(Clone, Default)]
pub struct Catalog {
    /// Targets by id.
    pub targets: BTreeMap<String, Arc<Target>>,
    /// Scenarios by name.
    pub scenarios: BTreeMap<String, Arc<Scenario>>,
    /// The wire format of each provider by its name, also of those without models.
    pub wire_formats: BTreeMap<String, &'static str>,
    /// Whether a caller may name a model in place of a scenario.
    pub allow_model: bool,
}
