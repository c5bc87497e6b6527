//! How is the answer to be made? Its form, its sampling, its reasoning and its limits.

use std::fmt::Display;
use std::time::Duration;

use crate::caller::Priority;
use crate::chat::{ReasoningEffort, ReasoningOptions, ResponseFormat, Sampling};
use crate::check::{Faults, check_response_format, check_sampling};
use crate::dispatch::{AskedLimits, Interruption};
use crate::error::excerpt;
use crate::grpc::length_of_time::duration_of;
use crate::grpc::v1;
use crate::identity::{Labels, MAX_LABELS, is_label};

use super::schema::{Schemas, schema_of};

pub(super) fn response_format_of(
    format: Option<v1::ResponseFormat>,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> ResponseFormat {
    use v1::response_format::Format;
    let Some(format) = format else {
        return ResponseFormat::Text;
    };
    let format = match format.format {
        Some(Format::Text(v1::TextFormat {})) => ResponseFormat::Text,
        Some(Format::JsonObject(v1::JsonObjectFormat {})) => ResponseFormat::JsonObject,
        Some(Format::JsonSchema(v1::JsonSchemaFormat {
            name,
            schema,
            strict,
            description,
        })) => {
            let name = if name.is_empty() {
                "answer".to_owned()
            } else {
                name
            };
            let field = "response_format.json_schema.schema";
            let schema = match schema {
                Some(schema) => {
                    schema_of(schema, format_args!("{field}"), schemas, faults).unwrap_or_default()
                }
                None => {
                    faults.add(field, "set the schema that the answer must follow");
                    String::new()
                }
            };
            ResponseFormat::JsonSchema {
                name,
                schema,
                strict,
                description,
            }
        }
        None => {
            faults.add(
                "response_format",
                "set `text`, `json_object` or `json_schema`",
            );
            ResponseFormat::Text
        }
    };
    check_response_format(&format, faults);
    format
}

pub(super) fn sampling_of(sampling: v1::SamplingParams, faults: &mut Faults) -> Sampling {
    let v1::SamplingParams {
        max_output_tokens,
        temperature,
        top_p,
        top_k,
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
        top_logprobs,
    } = sampling;
    let top_logprobs = top_logprobs.map(|count| {
        u8::try_from(count).unwrap_or_else(|_| {
            faults.add("sampling.top_logprobs", "must lie between 0 and 20");
            0
        })
    });
    let sampling = Sampling {
        max_output_tokens: at_least_one(max_output_tokens, "sampling.max_output_tokens", faults),
        temperature,
        top_p,
        top_k: at_least_one(top_k, "sampling.top_k", faults),
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
        top_logprobs,
    };
    check_sampling(&sampling, faults);
    sampling
}

pub(super) fn at_least_one(
    value: Option<i32>,
    field: impl Display,
    faults: &mut Faults,
) -> Option<u32> {
    let value = value?;
    let positive = u32::try_from(value).ok().filter(|value| *value > 0);
    if positive.is_none() {
        faults.add(field, "must be at least 1");
    }
    positive
}

pub(super) fn reasoning_options_of(
    options: v1::ReasoningOptions,
    faults: &mut Faults,
) -> ReasoningOptions {
    use v1::ReasoningEffort as Effort;
    let v1::ReasoningOptions {
        effort,
        max_reasoning_tokens,
        include_reasoning,
    } = options;
    let effort = match Effort::try_from(effort) {
        Ok(Effort::Unspecified) => None,
        Ok(Effort::None) => Some(ReasoningEffort::None),
        Ok(Effort::Minimal) => Some(ReasoningEffort::Minimal),
        Ok(Effort::Low) => Some(ReasoningEffort::Low),
        Ok(Effort::Medium) => Some(ReasoningEffort::Medium),
        Ok(Effort::High) => Some(ReasoningEffort::High),
        Ok(Effort::Xhigh) => Some(ReasoningEffort::XHigh),
        Ok(Effort::Max) => Some(ReasoningEffort::Max),
        Err(_) => {
            faults.add(
                "reasoning.effort",
                "use one of the values of ReasoningEffort",
            );
            None
        }
    };
    let max_tokens = at_least_one(
        max_reasoning_tokens,
        "reasoning.max_reasoning_tokens",
        faults,
    );
    ReasoningOptions {
        effort,
        max_tokens,
        include: include_reasoning,
    }
}

pub(super) fn limits_of(limits: v1::CallLimits, faults: &mut Faults) -> AskedLimits {
    let v1::CallLimits {
        max_cost,
        max_attempts,
        max_time_to_first_token,
        max_gap_between_chunks,
    } = limits;
    let mut positive = |duration: Option<prost_types::Duration>, field: &str| {
        let duration = duration?;
        let legal = positive_duration(duration);
        if legal.is_none() {
            faults.add(
                format_args!("limits.{field}"),
                "must be more than 0 seconds",
            );
        }
        legal
    };
    let first_content = positive(max_time_to_first_token, "max_time_to_first_token");
    let progress_idle = positive(max_gap_between_chunks, "max_gap_between_chunks");
    let max_attempts = at_least_one(max_attempts, "limits.max_attempts", faults);
    AskedLimits {
        max_cost: max_cost_of(max_cost, faults),
        max_attempts,
        first_content,
        progress_idle,
    }
}

/// The most that a call may cost, in nano-USD.
fn max_cost_of(cost: Option<v1::Cost>, faults: &mut Faults) -> Option<u64> {
    let v1::Cost {
        currency_code,
        amount_nanos,
        ..
    } = cost?;
    if !matches!(currency_code.as_str(), "" | "USD") {
        faults.add(
            "limits.max_cost.currency_code",
            "the service counts in USD; write \"USD\" or leave it out",
        );
    }
    let nanos = u64::try_from(amount_nanos).ok();
    if nanos.is_none() {
        faults.add("limits.max_cost.amount_nanos", "must not be negative");
    }
    nanos
}

/// The labels of a call: their number and the form of their keys and values.
pub(super) fn labels_of(
    labels: std::collections::HashMap<String, String>,
    faults: &mut Faults,
) -> Labels {
    if labels.len() > MAX_LABELS {
        faults.add(
            "labels",
            format_args!(
                "a call has at most {MAX_LABELS}; these are {}",
                labels.len()
            ),
        );
    }
    let mut sound = Labels::new();
    for (key, value) in labels.into_iter().take(MAX_LABELS) {
        if is_label(&key) && is_label(&value) {
            sound.insert(key.into(), value.into());
        } else {
            faults.add(
                format_args!("labels[{:?}]", excerpt(&key)),
                "keys and values have 1 to 63 letters, digits, `.`, `_` or `-`",
            );
        }
    }
    sound
}

pub(super) fn interruption_of(options: v1::StreamOptions, faults: &mut Faults) -> Interruption {
    let v1::StreamOptions { on_interruption } = options;
    match v1::OnInterruption::try_from(on_interruption) {
        Ok(v1::OnInterruption::Unspecified | v1::OnInterruption::Fail) => Interruption::Fail,
        Ok(v1::OnInterruption::Restart) => Interruption::Restart,
        Err(_) => {
            faults.add(
                "stream_options.on_interruption",
                "use ON_INTERRUPTION_FAIL or ON_INTERRUPTION_RESTART",
            );
            Interruption::Fail
        }
    }
}

pub(super) fn priority_of(priority: i32, faults: &mut Faults) -> Priority {
    match v1::Priority::try_from(priority) {
        Ok(v1::Priority::Unspecified | v1::Priority::Default) => Priority::Default,
        Ok(v1::Priority::Critical) => Priority::Critical,
        Ok(v1::Priority::Batch) => Priority::Batch,
        Ok(v1::Priority::Shadow) => Priority::Shadow,
        Err(_) => {
            faults.add(
                "priority",
                "use PRIORITY_CRITICAL, PRIORITY_DEFAULT, PRIORITY_BATCH or PRIORITY_SHADOW",
            );
            Priority::Default
        }
    }
}

/// A duration; `None` if it is not positive.
fn positive_duration(duration: prost_types::Duration) -> Option<Duration> {
    duration_of(duration).filter(|duration| !duration.is_zero())
}
