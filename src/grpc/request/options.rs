//! How the answer is made: its form, its sampling, its reasoning and its limits.

use std::time::Duration;

use crate::admission::Priority;
use crate::chat::{ReasoningEffort, ReasoningOptions, ResponseFormat, Sampling};
use crate::dispatch::{Interruption, Limits};
use crate::grpc::elements::MAX_STOP_SEQUENCES;
use crate::grpc::v1;

use super::schema::schema_of;
use super::{Faults, is_name};

pub(super) fn response_format_of(
    format: Option<v1::ResponseFormat>,
    faults: &mut Faults<'_>,
) -> ResponseFormat {
    use v1::response_format::Format;
    let Some(format) = format else {
        return ResponseFormat::Text;
    };
    match format.format {
        Some(Format::Text(v1::TextFormat {})) => ResponseFormat::Text,
        Some(Format::JsonObject(v1::JsonObjectFormat {})) => ResponseFormat::JsonObject,
        Some(Format::JsonSchema(v1::JsonSchemaFormat {
            name,
            schema,
            strict,
        })) => {
            let name = if name.is_empty() {
                "answer".to_owned()
            } else {
                name
            };
            if !is_name(&name) {
                faults.add(
                    "response_format.json_schema.name",
                    "use 1 to 64 letters, digits, `_` or `-`",
                );
            }
            let field = "response_format.json_schema.schema";
            let schema = match schema {
                Some(schema) => {
                    schema_of(schema, format_args!("{field}"), faults).unwrap_or_default()
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
            }
        }
        None => {
            faults.add(
                "response_format",
                "set `text`, `json_object` or `json_schema`",
            );
            ResponseFormat::Text
        }
    }
}

pub(super) fn sampling_of(sampling: v1::SamplingParams, faults: &mut Faults<'_>) -> Sampling {
    let v1::SamplingParams {
        max_output_tokens,
        temperature,
        top_p,
        top_k,
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
    } = sampling;
    let mut within = |value: Option<f64>, least: f64, most: f64, field: &str| {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            faults.add(
                format_args!("sampling.{field}"),
                format_args!("must lie between {least} and {most}"),
            );
        }
        value
    };
    let temperature = within(temperature, 0.0, 2.0, "temperature");
    let top_p = within(top_p, 0.0, 1.0, "top_p");
    let frequency_penalty = within(frequency_penalty, -2.0, 2.0, "frequency_penalty");
    let presence_penalty = within(presence_penalty, -2.0, 2.0, "presence_penalty");
    if stop_sequences.len() > MAX_STOP_SEQUENCES {
        faults.add(
            "sampling.stop_sequences",
            format_args!("use at most {MAX_STOP_SEQUENCES}"),
        );
    }
    for (index, sequence) in stop_sequences.iter().enumerate() {
        if sequence.is_empty() {
            faults.add(
                format_args!("sampling.stop_sequences[{index}]"),
                "must not be empty",
            );
        }
    }
    Sampling {
        max_output_tokens: at_least_one(max_output_tokens, "sampling.max_output_tokens", faults),
        temperature,
        top_p,
        top_k: at_least_one(top_k, "sampling.top_k", faults),
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
    }
}

fn at_least_one(value: Option<i32>, field: &str, faults: &mut Faults<'_>) -> Option<u32> {
    let value = value?;
    let positive = u32::try_from(value).ok().filter(|value| *value > 0);
    if positive.is_none() {
        faults.add(field, "must be at least 1");
    }
    positive
}

pub(super) fn reasoning_options_of(
    options: v1::ReasoningOptions,
    faults: &mut Faults<'_>,
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

pub(super) fn limits_of(limits: v1::CallLimits, faults: &mut Faults<'_>) -> Limits {
    let v1::CallLimits {
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
    Limits {
        max_attempts,
        first_content,
        progress_idle,
    }
}

pub(super) fn interruption_of(options: v1::StreamOptions, faults: &mut Faults<'_>) -> Interruption {
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

pub(super) fn priority_of(priority: i32, faults: &mut Faults<'_>) -> Priority {
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

/// `None` for a duration that is not more than nothing.
fn positive_duration(duration: prost_types::Duration) -> Option<Duration> {
    // The conversion negates what is negative, and the most negative number has no opposite.
    if duration.seconds < 0 {
        return None;
    }
    Duration::try_from(duration)
        .ok()
        .filter(|duration| !duration.is_zero())
}
