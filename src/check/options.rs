//! Are the response format, the sampling and the caching of a request valid?

use crate::chat::{Marks, ResponseFormat, Sampling};

use super::{Faults, NAME, is_name};

/// The most stop sequences: the contract says so.
pub const MAX_STOP_SEQUENCES: usize = 16;

/// The most likeliest tokens that can be asked for: the contract says so.
const MAX_TOP_LOGPROBS: u8 = 20;

/// Checks the form of the answer.
pub fn check_response_format(format: &ResponseFormat, faults: &mut Faults) {
    match format {
        ResponseFormat::JsonSchema { name, .. } if !is_name(name) => {
            faults.add("response_format.json_schema.name", NAME);
        }
        ResponseFormat::Text | ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. } => {}
    }
}

/// Checks how the answer is sampled.
pub fn check_sampling(sampling: &Sampling, faults: &mut Faults) {
    let Sampling {
        max_output_tokens: _, // any number but 0, which the door refuses
        temperature,
        top_p,
        top_k: _, // likewise
        frequency_penalty,
        presence_penalty,
        seed: _,
        stop_sequences,
        top_logprobs,
    } = sampling;
    if top_logprobs.is_some_and(|count| count > MAX_TOP_LOGPROBS) {
        faults.add(
            "sampling.top_logprobs",
            format_args!("must lie between 0 and {MAX_TOP_LOGPROBS}"),
        );
    }
    for (value, least, most, field) in [
        (temperature, 0.0, 2.0, "temperature"),
        (top_p, 0.0, 1.0, "top_p"),
        (frequency_penalty, -2.0, 2.0, "frequency_penalty"),
        (presence_penalty, -2.0, 2.0, "presence_penalty"),
    ] {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            faults.add(
                format_args!("sampling.{field}"),
                format_args!("must lie between {least} and {most}"),
            );
        }
    }
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
}

/// Checks the marks of what a provider is to keep in its cache.
pub fn check_cache(marks: &Marks, faults: &mut Faults) {
    for (at, mark) in marks.of_parts() {
        if at.content.is_some() && mark.cache.is_some() {
            faults.add(
                format_args!("{at}.cache_breakpoint"),
                "mark the tool result, not its content",
            );
        }
    }
}
