//! `CatalogService`: which scenarios and models may a caller use?

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::price::Price;
use crate::dispatch::target::{Scenario, Target};
use crate::error::Error;
use crate::trail;

use super::v1::catalog_service_server::CatalogService;
use super::{answer, policy, status, v1};

/// The service.
pub struct CatalogQueries {
    dispatcher: Arc<Dispatcher>,
}

impl CatalogQueries {
    /// Shows this dispatcher's catalogue.
    pub fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher }
    }
}

#[tonic::async_trait]
impl CatalogService for CatalogQueries {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        let v1::ListModelsRequest {
            page_size,
            page_token,
            provider,
        } = request.into_inner();
        let wanted = |target: &Target| provider.is_empty() || target.provider.name == provider;
        let routes = self.dispatcher.routes();
        let page = page(
            &routes.catalog().targets,
            page_size,
            &page_token,
            |target| wanted(target),
        )?;
        let models = page.items.iter().map(|target| model(target)).collect();
        Ok(Response::new(v1::ListModelsResponse {
            models,
            next_page_token: page.next,
        }))
    }

    async fn get_model(
        &self,
        request: Request<v1::GetModelRequest>,
    ) -> Result<Response<v1::GetModelResponse>, Status> {
        let id = request.into_inner().id;
        match self.dispatcher.routes().catalog().targets.get(&id) {
            Some(target) => Ok(Response::new(v1::GetModelResponse {
                model: Some(model(target)),
            })),
            None => Err(status::of_error(&Error::ModelNotFound(id))),
        }
    }

    async fn list_scenarios(
        &self,
        request: Request<v1::ListScenariosRequest>,
    ) -> Result<Response<v1::ListScenariosResponse>, Status> {
        let v1::ListScenariosRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let routes = self.dispatcher.routes();
        let page = page(&routes.catalog().scenarios, page_size, &page_token, |_| {
            true
        })?;
        let scenarios = page.items.iter().map(|found| scenario(found)).collect();
        Ok(Response::new(v1::ListScenariosResponse {
            scenarios,
            next_page_token: page.next,
        }))
    }

    async fn get_scenario(
        &self,
        request: Request<v1::GetScenarioRequest>,
    ) -> Result<Response<v1::GetScenarioResponse>, Status> {
        let id = request.into_inner().id;
        match self.dispatcher.routes().catalog().scenarios.get(&id) {
            Some(found) => Ok(Response::new(v1::GetScenarioResponse {
                scenario: Some(scenario(found)),
            })),
            None => Err(status::of_error(&Error::ScenarioNotFound(id))),
        }
    }
}

struct Page<'a, T> {
    items: Vec<&'a T>,
    next: String,
}

/// The items after `token`, which is the id of the last item of the page before.
fn page<'a, T>(
    all: &'a BTreeMap<String, T>,
    size: i32,
    token: &str,
    wanted: impl Fn(&T) -> bool,
) -> Result<Page<'a, T>, Status> {
    let size = match usize::try_from(size) {
        Ok(0) => 100,
        Ok(size) if size <= 1000 => size,
        Ok(_) | Err(_) => {
            return Err(status::of_error(&Error::invalid(
                "page_size",
                "must lie between 0 and 1000",
            )));
        }
    };
    let after = if token.is_empty() {
        Bound::Unbounded
    } else {
        Bound::Excluded(token)
    };
    let mut rest = all
        .range::<str, _>((after, Bound::Unbounded))
        .filter(|(_, item)| wanted(item))
        .peekable();
    let mut items = Vec::new();
    let mut next = String::new();
    while items.len() < size
        && let Some((id, item)) = rest.next()
    {
        items.push(item);
        next.clone_from(id);
    }
    if rest.peek().is_none() {
        next.clear();
    }
    Ok(Page { items, next })
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
        price: target.price.as_ref().map(price),
        features: target
            .features
            .iter()
            .map(|feature| feature.name().to_owned())
            .collect(),
    }
}

fn price(price: &Price) -> v1::ModelPrice {
    // Pico-USD for a token are micro-USD for a million.
    let per_million = |pico: u64| {
        let nanos = i64::try_from(pico.saturating_mul(1000)).unwrap_or(i64::MAX);
        Some(answer::cost(trail::Cost {
            nanos,
            incomplete: false,
        }))
    };
    let Price {
        input,
        output,
        cache_read_input,
        cache_write_input,
    } = *price;
    v1::ModelPrice {
        input: per_million(input),
        output: per_million(output),
        cache_read_input: per_million(cache_read_input),
        cache_write_input: per_million(cache_write_input),
    }
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_without_gap_or_overlap() {
        let all: BTreeMap<String, u32> = (0..7)
            .map(|number| (format!("id-{number}"), number))
            .collect();
        for size in 1..=8 {
            let mut seen: Vec<&u32> = Vec::new();
            let mut token = String::new();
            loop {
                let page = page(&all, size, &token, |_| true).unwrap();
                seen.extend(page.items);
                token = page.next;
                if token.is_empty() {
                    break;
                }
            }

            assert_eq!(seen, all.values().collect::<Vec<_>>(), "pages of {size}");
        }
    }

    #[test]
    fn a_negative_page_size_is_refused_by_name() {
        let all: BTreeMap<String, u32> = BTreeMap::new();

        let status = page(&all, -1, "", |_| true).err().unwrap();

        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains("page_size"));
    }
}
