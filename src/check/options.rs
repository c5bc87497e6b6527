//! Are the tools, the response format and the sampling options of a request valid?

use std::collections::HashSet;
use std::fmt::Arguments;

use crate::chat::{ResponseFormat, Sampling, Tool, ToolChoice};

use super::{Faults, is_name};

/// The most stop sequences: the contract says so.
pub const MAX_STOP_SEQUENCES: usize = 16;

const NAME: &str = "use 1 to 64 letters, digits, `_` or `-`";

/// The names of a request's tools.
#[derive(Debug, Default)]
pub struct ToolNames(HashSet<String>);

impl ToolNames {
    /// Checks the name of the next tool; `field` is its path.
    pub fn check(&mut self, name: &str, field: Arguments<'_>, faults: &mut Faults) {
        if !is_name(name) {
            faults.add(field, NAME);
        } else if !self.0.insert(name.to_owned()) {
            faults.add(field, "another tool has the same name");
        }
    }
}

/// Checks that the tool that must be called is among `tools`.
pub fn check_tool_choice(choice: &ToolChoice, tools: &[Tool], faults: &mut Faults) {
    match choice {
        ToolChoice::Function(name) if !tools.iter().any(|tool| tool.name == *name) => faults.add(
            "tool_choice.function_name",
            "must be the name of one of `tools`",
        ),
        ToolChoice::Required if tools.is_empty() => faults.add(
            "tool_choice.mode",
            "TOOL_CHOICE_MODE_REQUIRED needs at least one of `tools`",
        ),
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required | ToolChoice::Function(_) => {}
    }
}

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
    } = sampling;
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
