//! `CatalogService`: which scenarios and models may a caller use?

use std::sync::Arc;
use std::time::SystemTime;

use tonic::{Request, Response, Status};

use crate::chat::ServiceTier;
use crate::dispatch::target::{OptionsPolicy, Scenario, Target};
use crate::features::Modality;
use crate::money::{PriceKey, Prices};
use crate::serving::control::Control;

use super::caller::identity_of;
use super::v1::catalog_service_server::CatalogService;
use super::{answer, policy, status, v1};

/// The service.
pub(super) struct CatalogQueries {
    control: Arc<Control>,
}

impl CatalogQueries {
    /// Shows the catalogue that `control` knows.
    pub(super) fn new(control: Arc<Control>) -> Self {
        Self { control }
    }
}

#[tonic::async_trait]
impl CatalogService for CatalogQueries {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let identity = Arc::clone(identity_of(&request)?);
        let v1::ListModelsRequest {
            page_size,
            page_token,
            provider,
        } = request.into_inner();
        let page = self
            .control
            .models(&identity, &provider, page_size.into(), &page_token);
        let page = page.map_err(|error| status::of_error(&error))?;
        Ok(Response::new(v1::ListModelsResponse {
            models: page.items.iter().map(model).collect(),
            next_page_token: page.next,
        }))
    }

    async fn get_model(
        &self,
        request: Request<v1::GetModelRequest>,
    ) -> Result<Response<v1::GetModelResponse>, Status> {
        let identity = Arc::clone(identity_of(&request)?);
        let found = self.control.model(&identity, request.into_inner().id);
        let found = found.map_err(|error| status::of_error(&error))?;
        Ok(Response::new(v1::GetModelResponse {
            model: Some(model(&found)),
        }))
    }

    async fn list_scenarios(
        &self,
        request: Request<v1::ListScenariosRequest>,
    ) -> Result<Response<v1::ListScenariosResponse>, Status> {
        let identity = Arc::clone(identity_of(&request)?);
        let v1::ListScenariosRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let page = self
            .control
            .scenarios(&identity, page_size.into(), &page_token);
        let page = page.map_err(|error| status::of_error(&error))?;
        Ok(Response::new(v1::ListScenariosResponse {
            scenarios: page.items.iter().map(scenario).collect(),
            next_page_token: page.next,
        }))
    }

    async fn get_scenario(
        &self,
        request: Request<v1::GetScenarioRequest>,
    ) -> Result<Response<v1::GetScenarioResponse>, Status> {
        let identity = Arc::clone(identity_of(&request)?);
        let found = self.control.scenario(&identity, request.into_inner().id);
        let found = found.map_err(|error| status::of_error(&error))?;
        Ok(Response::new(v1::GetScenarioResponse {
            scenario: Some(scenario(&found)),
        }))
    }
}

fn model(target: &Arc<Target>) -> v1::Model {
    v1::Model {
        id: target.id.clone(),
        provider: target.provider.name.clone(),
        provider_model: target.model.clone(),
        context_window_tokens: target
            .context_window_tokens
            .map_or(0, |tokens| i64::try_from(tokens).unwrap_or(i64::MAX)),
        max_output_tokens: target.max_output_tokens.map_or(0, i64::from),
        price: (target.prices.now()).and_then(|prices| price(&prices, SystemTime::now())),
        features: target
            .features
            .iter()
            .map(|feature| feature.name().to_owned())
            .collect(),
        wire_format: target.wire_format.name().to_owned(),
        input_modalities: Modality::read_by(target.features)
            .map(|read| modality(read).into())
            .collect(),
        output_modalities: target
            .output_modalities
            .iter()
            .map(|written| modality(*written).into())
            .collect(),
        allowed_provider_options: target.provider.options.paths().map(str::to_owned).collect(),
    }
}

fn modality(modality: Modality) -> v1::Modality {
    match modality {
        Modality::Image => v1::Modality::Image,
        Modality::Document => v1::Modality::Document,
        Modality::Audio => v1::Modality::Audio,
        Modality::Video => v1::Modality::Video,
    }
}

/// The prices that hold now, for prompts that are in no higher tier of context; `None` if none does in the standard tier.
fn price(prices: &Prices, at: SystemTime) -> Option<v1::ModelPrice> {
    // Pico-USD for a token are micro-USD for a million.
    let per_million = |pico: Option<u64>| {
        let nanos = i64::try_from(pico?.saturating_mul(1000)).unwrap_or(i64::MAX);
        Some(answer::usd(nanos))
    };
    let rates = |tier: ServiceTier| {
        prices.rates(&PriceKey {
            tier,
            input_tokens: Some(0),
            at,
        })
    };
    let of_tier = |tier: ServiceTier| {
        let rates = rates(tier)?;
        Some(v1::TierPrice {
            tier: answer::tier(tier).into(),
            input: per_million(rates.input),
            output: per_million(rates.output),
            cache_read_input: per_million(rates.cache_read_input),
            cache_write_input: per_million(rates.cache_write_input),
            cache_write_long_input: per_million(rates.cache_write_long_input),
        })
    };
    let others = [ServiceTier::Priority, ServiceTier::Flex, ServiceTier::Batch];
    let standard = rates(ServiceTier::Standard)?;
    Some(v1::ModelPrice {
        input: per_million(standard.input),
        output: per_million(standard.output),
        cache_read_input: per_million(standard.cache_read_input),
        cache_write_input: per_million(standard.cache_write_input),
        cache_write_long_input: per_million(standard.cache_write_long_input),
        tiers: others.into_iter().filter_map(of_tier).collect(),
    })
}

fn scenario(scenario: &Arc<Scenario>) -> v1::Scenario {
    v1::Scenario {
        id: scenario.name.clone(),
        description: scenario.description.clone(),
        targets: scenario
            .targets
            .iter()
            .map(|target| v1::ScenarioTarget {
                model: target.id.clone(),
            })
            .collect(),
        max_attempts: i32::try_from(scenario.max_attempts).unwrap_or(i32::MAX),
        timeout: Some(answer::duration(scenario.default_timeout)),
        retry: Some(policy::retry(scenario)),
        retry_first: policy::retry_first(scenario),
        hedge: policy::hedge(scenario),
        refuses_provider_options: scenario.provider_options == OptionsPolicy::Refuse,
    }
}
