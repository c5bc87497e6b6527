//! How does a chat request become a generateContent request?

use std::borrow::Cow;
use std::fmt::Write;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::value::RawValue;

use crate::chat::{
    ChatRequest, ReasoningEffort, ReasoningOptions, ResponseFormat, Sampling, Tool, ToolChoice,
};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::{Adaptations, Recipient, WireRequest, schema};

use super::conversation::Conversation;
use super::request::{
    FunctionCallingConfig, FunctionDeclaration, GenerationConfig, Request, ThinkingConfig,
    ToolConfig, Tools,
};
use super::{Asking, Budgets, Generation, Level, refused, schemas};

const MAX_STOP_SEQUENCES: usize = 5;

pub(super) fn encode(
    request: &ChatRequest,
    to: &Recipient<'_>,
    asking: Asking<'_>,
) -> Result<WireRequest, Unsupported> {
    let (body, adaptations) = compose(request, to, asking)?;
    // Writing to memory fails only for maps with keys that are no strings; there are none.
    let body = serde_json::to_vec(&body)
        .map_err(|_| refused("messages", "it cannot be written as JSON"))?;

    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(WireRequest {
        path: path(to.model, to.stream),
        headers,
        body: body.into(),
        adaptations: adaptations.0,
    })
}

/// The body of a request, which borrows from it: nothing of any size is written.
pub(super) fn compose<'a>(
    request: &'a ChatRequest,
    to: &Recipient<'a>,
    asking: Asking<'a>,
) -> Result<(Request<'a>, Adaptations), Unsupported> {
    let ChatRequest {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
    } = request;
    if *parallel_tool_calls == Some(false) {
        return Err(Unsupported::Feature(Feature::SerialToolCalls));
    }
    if asking.generation == Generation::Second
        && *response_format != ResponseFormat::Text
        && !tools.is_empty()
    {
        return Err(refused(
            "response_format",
            "models before Gemini 3 give JSON only without tools",
        ));
    }

    let mut conversation = Conversation::new(to.provider, messages, asking);
    let system_instruction = conversation.write(messages)?;
    let Conversation {
        contents,
        mut adaptations,
        ..
    } = conversation;
    if contents.is_empty() {
        return Err(refused(
            "messages",
            "there must be a message besides the system's",
        ));
    }

    let thinking = thinking(reasoning, asking, &mut adaptations)?;
    let body = Request {
        system_instruction,
        contents,
        tools: declare(tools, &mut adaptations)?,
        tool_config: choose(tools, tool_choice),
        generation_config: configure(response_format, sampling, thinking, &mut adaptations)?,
    };
    Ok((body, adaptations))
}

fn path(model: &str, stream: bool) -> String {
    let mut path = String::from("/models/");
    for byte in model.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                path.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => _ = write!(path, "%{byte:02X}"),
        }
    }
    path.push_str(if stream {
        ":streamGenerateContent?alt=sse"
    } else {
        ":generateContent"
    });
    path
}

fn declare<'a>(
    tools: &'a [Tool],
    adaptations: &mut Adaptations,
) -> Result<Option<[Tools<'a>; 1]>, Unsupported> {
    if tools.is_empty() {
        return Ok(None);
    }
    let mut function_declarations = Vec::with_capacity(tools.len());
    for tool in tools {
        let Tool {
            name,
            description,
            parameters,
            strict, // a matter of the mode besides, see `choose`
        } = tool;
        let parameters_json_schema = match parameters {
            None => None,
            Some(schema) => Some(fitted(schema, *strict, "tools.parameters", adaptations)?),
        };
        function_declarations.push(FunctionDeclaration {
            name,
            description,
            parameters_json_schema,
        });
    }
    Ok(Some([Tools {
        function_declarations,
    }]))
}

fn fitted<'a>(
    text: &'a str,
    strict: bool,
    field: &'static str,
    adaptations: &mut Adaptations,
) -> Result<Cow<'a, RawValue>, Unsupported> {
    let rules = if strict {
        &schemas::STRICT
    } else {
        &schemas::LENIENT
    };
    let fitted = schema::fit(text, rules).map_err(|why| refused(field, why))?;
    Ok(fitted.noted(field, adaptations))
}

/// The mode of function calling. `VALIDATED` and `ANY` hold the arguments of every tool to its
/// schema, so one strict tool makes all of them strict.
fn choose<'a>(tools: &[Tool], choice: &'a ToolChoice) -> Option<ToolConfig<'a>> {
    if tools.is_empty() {
        return None;
    }
    let (mode, allowed_function_names) = match choice {
        ToolChoice::Auto if tools.iter().any(|tool| tool.strict) => ("VALIDATED", None),
        ToolChoice::Auto => return None,
        ToolChoice::None => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Function(name) => ("ANY", Some([name.as_str()])),
    };
    Some(ToolConfig {
        function_calling_config: FunctionCallingConfig {
            mode,
            allowed_function_names,
        },
    })
}

fn configure<'a>(
    response_format: &'a ResponseFormat,
    sampling: &'a Sampling,
    thinking_config: Option<ThinkingConfig>,
    adaptations: &mut Adaptations,
) -> Result<GenerationConfig<'a>, Unsupported> {
    let Sampling {
        max_output_tokens,
        temperature,
        top_p,
        top_k,
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
    } = sampling;
    if stop_sequences.len() > MAX_STOP_SEQUENCES {
        return Err(refused(
            "sampling.stop_sequences",
            "there may be at most five",
        ));
    }
    let seed = match seed.map(i32::try_from) {
        None => None,
        Some(Ok(seed)) => Some(seed),
        Some(Err(_)) => return Err(refused("sampling.seed", "it must fit into 32 bits")),
    };
    let (response_mime_type, response_json_schema) = match response_format {
        ResponseFormat::Text => (None, None),
        ResponseFormat::JsonObject => (Some("application/json"), None),
        ResponseFormat::JsonSchema {
            name: _, // Gemini has no field for it
            schema,
            strict, // the schema is always enforced, as far as it is known
        } => {
            const FIELD: &str = "response_format.json_schema.schema";
            let schema = fitted(schema, *strict, FIELD, adaptations)?;
            (Some("application/json"), Some(schema))
        }
    };
    Ok(GenerationConfig {
        max_output_tokens: max_output_tokens.map(as_int32),
        temperature: *temperature,
        top_p: *top_p,
        top_k: top_k.map(as_int32),
        frequency_penalty: penalty("sampling.frequency_penalty", *frequency_penalty)?,
        presence_penalty: penalty("sampling.presence_penalty", *presence_penalty)?,
        seed,
        stop_sequences,
        response_mime_type,
        response_json_schema,
        thinking_config,
    })
}

// https://cloud.google.com/vertex-ai/generative-ai/docs/reference/nodejs/latest/vertexai/generationconfig
// "up to, but not including, 2.0"
fn penalty(field: &'static str, value: Option<f64>) -> Result<Option<f64>, Unsupported> {
    match value {
        Some(value) if value >= 2.0 => Err(refused(field, "it must be less than 2")),
        _ => Ok(value),
    }
}

fn thinking(
    options: &ReasoningOptions,
    asking: Asking<'_>,
    adaptations: &mut Adaptations,
) -> Result<Option<ThinkingConfig>, Unsupported> {
    let ReasoningOptions {
        effort,
        max_tokens,
        include,
    } = options;
    let mut config = ThinkingConfig {
        include_thoughts: *include,
        ..ThinkingConfig::default()
    };
    match (asking.generation, effort) {
        (Generation::Third, None) => config.thinking_budget = max_tokens.map(as_int32),
        (Generation::Second, _) => {
            config.thinking_budget = budget(*effort, *max_tokens, asking.budgets)?;
        }
        (Generation::Third, Some(effort)) => {
            if max_tokens.is_some() {
                return Err(refused(
                    "reasoning",
                    "an effort and a token limit exclude each other",
                ));
            }
            config.thinking_level = Some(level(*effort, asking.levels, adaptations)?);
        }
    }
    Ok((config != ThinkingConfig::default()).then_some(config))
}

/// Tokens that models before Gemini 3 may think for; as in Google's own mapping of efforts
/// (https://ai.google.dev/gemini-api/docs/openai#thinking), whose largest every model accepts.
fn budget(
    effort: Option<ReasoningEffort>,
    max_tokens: Option<u32>,
    budgets: Budgets,
) -> Result<Option<u32>, Unsupported> {
    let wanted = match effort {
        None => None,
        Some(ReasoningEffort::None) if budgets.can_be_none => return Ok(Some(0)),
        Some(ReasoningEffort::None) => {
            return Err(refused("reasoning.effort", "this model always thinks"));
        }
        Some(ReasoningEffort::Minimal | ReasoningEffort::Low) => Some(1024),
        Some(ReasoningEffort::Medium) => Some(8192),
        Some(ReasoningEffort::High | ReasoningEffort::Max) => Some(24576),
    };
    if max_tokens.is_some_and(|most| most < budgets.least) {
        return Err(refused(
            "reasoning.max_reasoning_tokens",
            "this model cannot be limited to so few",
        ));
    }
    let budget = match (wanted, max_tokens) {
        (Some(wanted), Some(most)) => Some(wanted.min(most)),
        (Some(tokens), None) | (None, Some(tokens)) => Some(tokens),
        (None, None) => None,
    };
    Ok(budget.map(|tokens| tokens.min(budgets.most)))
}

/// The level of an effort, or the nearest that the model has, preferably a lower one.
fn level(
    effort: ReasoningEffort,
    levels: &[Level],
    adaptations: &mut Adaptations,
) -> Result<&'static str, Unsupported> {
    let wanted = match effort {
        ReasoningEffort::None => {
            return Err(refused(
                "reasoning.effort",
                "models since Gemini 3 always think",
            ));
        }
        ReasoningEffort::Minimal => Level::Minimal,
        ReasoningEffort::Low => Level::Low,
        ReasoningEffort::Medium => Level::Medium,
        ReasoningEffort::High | ReasoningEffort::Max => Level::High,
    };
    let below = levels.iter().filter(|level| **level <= wanted).max();
    let Some(nearest) = below.or_else(|| levels.iter().min()) else {
        return Err(Unsupported::Feature(Feature::ReasoningEffort));
    };
    if *nearest != wanted {
        adaptations.note(
            "reasoning.effort",
            "changed to the nearest level of thinking that the model has",
        );
    }
    Ok(match nearest {
        Level::Minimal => "MINIMAL",
        Level::Low => "LOW",
        Level::Medium => "MEDIUM",
        Level::High => "HIGH",
    })
}

/// The provider's numbers are `int32`; a larger limit has no effect.
fn as_int32(number: u32) -> u32 {
    number.min(i32::MAX as u32)
}

#[cfg(test)]
mod tests;
