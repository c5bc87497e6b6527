//! `GenerateRequest` to [`ChatRequest`]: parses and checks, and names every field that is wrong.

mod conversation;
mod json;
mod links;
mod media;
mod options;
mod schema;
mod tools;

use std::cell::Cell;
use std::fmt::Display;

use crate::chat::ChatRequest;
use crate::dispatch::dispatcher::Selector;
use crate::error::{Error, Violation};
use crate::serving::CallRequest;

use self::conversation::Conversation;
use self::options::{
    interruption_of, limits_of, priority_of, reasoning_options_of, response_format_of, sampling_of,
};
use self::tools::{tool_choice_of, tools_of};
use super::elements::ElementLimits as Elements;
use super::v1;

/// Parses a request that has no more elements than these limits allow.
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
    let mut faults = Faults {
        violations: Vec::new(),
        elements,
        schema_values: Cell::new(elements.max_schema_values),
    };

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
    let tools = tools_of(tools, &mut faults);
    let request = ChatRequest {
        messages: Conversation::parse(messages, &mut faults),
        tool_choice: tool_choice_of(tool_choice, &tools, &mut faults),
        tools,
        parallel_tool_calls,
        response_format: response_format_of(response_format, &mut faults),
        sampling: sampling_of(sampling.unwrap_or_default(), &mut faults),
        reasoning: reasoning_options_of(reasoning.unwrap_or_default(), &mut faults),
    };
    let limits = limits_of(limits.unwrap_or_default(), &mut faults);
    for (field, id) in [
        ("conversation_id", &conversation_id),
        ("idempotency_key", &idempotency_key),
    ] {
        if id.len() > 128 || !id.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            faults.add(field, "use at most 128 printable ASCII characters");
        }
    }
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

/// What is wrong with a request.
struct Faults<'l> {
    violations: Vec<Violation>,
    elements: &'l Elements,
    /// How many values the schemas may still have.
    schema_values: Cell<usize>,
}

/// A request with more faults than this is not described any further.
const MAX_FAULTS: usize = 32;

impl Faults<'_> {
    /// Nothing is written out for a fault that is not told any more.
    fn add(&mut self, field: impl Display, what: impl Display) {
        if self.violations.len() < MAX_FAULTS {
            self.violations.push(Violation {
                field: field.to_string(),
                what: what.to_string(),
            });
        }
    }

    fn or<T>(self, value: T) -> Result<T, Error> {
        if self.violations.is_empty() {
            Ok(value)
        } else {
            Err(Error::InvalidRequest(self.violations))
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
pub(super) mod tests;
