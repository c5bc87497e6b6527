//! How does a `GenerateRequest` become a [`ChatRequest`]? Every field that is wrong is named.

mod conversation;
mod json;
mod media;
mod options;
mod schema;
mod tools;

use crate::chat::ChatRequest;
use crate::check::{Faults, check_id};
use crate::dispatch::routes::Selector;
use crate::error::Error;
use crate::serving::CallRequest;

use self::conversation::messages_of;
use self::options::{
    interruption_of, limits_of, priority_of, reasoning_options_of, response_format_of, sampling_of,
};
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
        idempotency_key,
        limits,
        conversation_id,
        stream_options,
        priority,
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
    let tools = tools_of(tools, &schemas, &mut faults);
    let request = ChatRequest {
        messages: messages_of(messages, &mut faults),
        tool_choice: tool_choice_of(tool_choice, &tools, &mut faults),
        tools,
        parallel_tool_calls,
        response_format: response_format_of(response_format, &schemas, &mut faults),
        sampling: sampling_of(sampling.unwrap_or_default(), &mut faults),
        reasoning: reasoning_options_of(reasoning.unwrap_or_default(), &mut faults),
    };
    let limits = limits_of(limits.unwrap_or_default(), &mut faults);
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
        conversation_id,
    })
}

#[cfg(test)]
pub(super) mod tests;
