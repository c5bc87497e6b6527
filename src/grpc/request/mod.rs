//! How does a `GenerateRequest` become a [`ChatRequest`]? Every field that is wrong is named.

mod conversation;
mod json;
mod media;
mod options;
mod provider;
mod schema;
mod tools;

use crate::chat::{ChatRequest, Marks};
use crate::check::{Faults, check_cache, check_id};
use crate::dispatch::routes::Selector;
use crate::error::Error;
use crate::serving::CallRequest;

use self::conversation::messages_of;
use self::options::{
    interruption_of, labels_of, limits_of, priority_of, reasoning_options_of, response_format_of,
    sampling_of,
};
use self::provider::{options_of, retention_of, service_tier_of, verbosity_of};
use self::schema::Schemas;
use self::tools::{tool_choice_of, tools_of};
use super::elements::ElementLimits as Elements;
use super::v1;

/// Parses a request. Its number of elements has been checked, except for the values of schemas.
///
/// # Errors
/// [`Error::InvalidRequest`] with every violation.
pub fn parse(request: v1::GenerateRequest, elements: &Elements) -> Result<CallRequest, Error> {
    let v1::GenerateRequest {
        scenario,
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
        labels,
        idempotency_key,
        limits,
        conversation_id,
        stream_options,
        priority,
        end_user_id,
        prompt_cache_key,
        prompt_cache_retention,
        service_tier,
        verbosity,
        provider_options,
        include_provider_metadata,
    } = request;
    let mut faults = Faults::default();
    let schemas = Schemas::of(elements);

    let selector = match (scenario.is_empty(), model.is_empty()) {
        (false, true) => Selector::Scenario(scenario),
        (true, false) => Selector::Model(model),
        (true, true) => {
            faults.add("scenario", "set `scenario`, or `model` to bypass it");
            Selector::Scenario(scenario)
        }
        (false, false) => {
            faults.add("model", "set either `scenario` or `model`, not both");
            Selector::Scenario(scenario)
        }
    };
    let mut marks = Marks::default();
    let tools = tools_of(tools, &mut marks, &schemas, &mut faults);
    let messages = messages_of(messages, &mut marks, &schemas, &mut faults);
    check_cache(&marks, &mut faults);
    check_id("end_user_id", &end_user_id, &mut faults);
    check_id("prompt_cache_key", &prompt_cache_key, &mut faults);
    let options = format_args!("provider_options");
    let retention = format_args!("prompt_cache_retention");
    let request = ChatRequest {
        messages,
        tool_choice: tool_choice_of(tool_choice, &tools, &mut faults),
        tools,
        parallel_tool_calls,
        response_format: response_format_of(response_format, &schemas, &mut faults),
        sampling: sampling_of(sampling.unwrap_or_default(), &mut faults),
        reasoning: reasoning_options_of(reasoning.unwrap_or_default(), &mut faults),
        marks,
        end_user_id,
        prompt_cache_key,
        prompt_cache_retention: retention_of(prompt_cache_retention, retention, &mut faults),
        service_tier: service_tier_of(service_tier, &mut faults),
        verbosity: verbosity_of(verbosity, &mut faults),
        options: options_of(provider_options, options, &schemas, &mut faults),
        wants_metadata: include_provider_metadata,
    };
    let limits = limits_of(limits.unwrap_or_default(), &mut faults);
    let labels = labels_of(labels, &mut faults);
    check_id("conversation_id", &conversation_id, &mut faults);
    check_id("idempotency_key", &idempotency_key, &mut faults);
    let interruption = interruption_of(stream_options.unwrap_or_default(), &mut faults);
    let priority = priority_of(priority, &mut faults);
    faults.or(CallRequest {
        selector,
        request,
        limits,
        interruption,
        priority,
        labels,
        conversation_id,
    })
}

#[cfg(test)]
pub(super) mod tests;
