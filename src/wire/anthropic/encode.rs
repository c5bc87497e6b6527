//! How is a request, apart from its messages, written in Anthropic's format?

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use super::blocks::{Block, Turn};
use super::thinking::{self, Thinking};
use super::turns::Conversation;
use super::{Dialect, schemas, value};
use crate::chat::{ChatRequest, ResponseFormat, Sampling, Tool, ToolChoice};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::{Adaptations, Recipient, WireRequest, schema};

/// The output limit if neither the request nor the configuration has one: the API requires a limit,
/// and every model accepts this one.
const DEFAULT_MAX_TOKENS: u32 = 4096;

/// The version of the API that is spoken here.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolDefinition<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct ToolDefinition<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Choice<'a> {
    Auto {
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
    None,
    Any {
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
    Tool {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<OutputFormat<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OutputFormat<'a> {
    JsonSchema { schema: Cow<'a, RawValue> },
}

pub(super) fn encode(
    dialect: &Dialect,
    request: &ChatRequest,
    to: &Recipient<'_>,
) -> Result<WireRequest, Unsupported> {
    let (body, adaptations) = compose(dialect, request, to)?;
    let body =
        serde_json::to_vec(&body).map_err(|_| value("messages", "it cannot be written as JSON"))?;
    Ok(WireRequest {
        path: "/messages".to_owned(),
        headers: HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("anthropic-version"), VERSION),
        ]),
        body: body.into(),
        adaptations: adaptations.0,
    })
}

/// The body of a request, which borrows from it: nothing of any size is written.
pub(super) fn compose<'a>(
    dialect: &Dialect,
    request: &'a ChatRequest,
    to: &Recipient<'a>,
) -> Result<(Body<'a>, Adaptations), Unsupported> {
    let ChatRequest {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
    } = request;
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
    let Recipient {
        provider,
        model,
        max_output_tokens: most_output_tokens,
        stream,
    } = *to;

    refuse(Feature::FrequencyPenalty, frequency_penalty.is_some())?;
    refuse(Feature::PresencePenalty, presence_penalty.is_some())?;
    refuse(Feature::Seed, seed.is_some())?;
    if temperature.is_some_and(|temperature| temperature > 1.0) {
        return Err(value("sampling.temperature", "it goes from 0 to 1"));
    }
    if stop_sequences.iter().any(|text| text.trim().is_empty()) {
        return Err(value(
            "sampling.stop_sequences",
            "a stop sequence is more than white space",
        ));
    }

    let conversation = Conversation::new(messages, provider)?;
    let output_limit = max_output_tokens.or(most_output_tokens);
    let max_tokens = output_limit.unwrap_or(DEFAULT_MAX_TOKENS);
    let thinking::Reasoning { thinking, effort } =
        thinking::reasoning(dialect.thinking, reasoning, max_tokens)?;
    match thinking {
        None | Some(Thinking::Disabled) => {}
        Some(Thinking::Adaptive { .. }) => thinking::check_beside_thinking(sampling)?,
        Some(Thinking::Enabled { .. }) => {
            thinking::check_beside_thinking(sampling)?;
            // Only adaptive thinking may begin in the middle of a turn.
            if conversation.continues_without_thinking() {
                return Err(value(
                    "reasoning",
                    "a turn that began without reasoning cannot continue with a budget for it",
                ));
            }
        }
    }

    let Conversation {
        system,
        turns,
        mut adaptations,
        ids: _,
        shown_by_failures: _,
    } = conversation;
    if output_limit.is_none() {
        adaptations.note(
            "sampling.max_output_tokens",
            "set to 4096: the provider demands a limit and the configuration names none",
        );
    }
    let body = Body {
        model,
        max_tokens,
        system,
        messages: turns,
        tools: tool_definitions(tools, &mut adaptations)?,
        tool_choice: choice(tool_choice, *parallel_tool_calls, tools),
        thinking,
        output_config: output_config(effort, response_format, &mut adaptations)?,
        temperature: *temperature,
        top_p: *top_p,
        top_k: *top_k,
        stop_sequences,
        stream,
    };
    Ok((body, adaptations))
}

/// The plan never sends a feature that the format lacks here; if one arrives all the same, it is refused.
fn refuse(feature: Feature, asked: bool) -> Result<(), Unsupported> {
    if asked {
        return Err(Unsupported::Feature(feature));
    }
    Ok(())
}

fn tool_definitions<'a>(
    tools: &'a [Tool],
    adaptations: &mut Adaptations,
) -> Result<Vec<ToolDefinition<'a>>, Unsupported> {
    let mut definitions = Vec::with_capacity(tools.len());
    for tool in tools {
        let Tool {
            name,
            description,
            parameters,
            strict,
        } = tool;
        const FIELD: &str = "tools.parameters";
        let rules = if *strict {
            &schemas::OF_STRICT_TOOLS
        } else {
            &schemas::OF_TOOLS
        };
        let schema = parameters.as_deref().unwrap_or(r#"{"type":"object"}"#);
        let schema = schema::fit(schema, rules).map_err(|why| value(FIELD, why))?;
        definitions.push(ToolDefinition {
            name,
            description,
            input_schema: schema.noted(FIELD, adaptations),
            strict: *strict,
        });
    }
    Ok(definitions)
}

fn choice<'a>(
    tool_choice: &'a ToolChoice,
    parallel_tool_calls: Option<bool>,
    tools: &[Tool],
) -> Option<Choice<'a>> {
    let disable_parallel_tool_use = parallel_tool_calls.map(|parallel| !parallel);
    match tool_choice {
        // A choice without tools is refused; without tools none is called anyway.
        ToolChoice::Auto | ToolChoice::None if tools.is_empty() => None,
        ToolChoice::Auto if disable_parallel_tool_use.is_none() => None,
        ToolChoice::Auto => Some(Choice::Auto {
            disable_parallel_tool_use,
        }),
        ToolChoice::None => Some(Choice::None),
        ToolChoice::Required => Some(Choice::Any {
            disable_parallel_tool_use,
        }),
        ToolChoice::Function(name) => Some(Choice::Tool {
            name,
            disable_parallel_tool_use,
        }),
    }
}

fn output_config<'a>(
    effort: Option<&'static str>,
    response_format: &'a ResponseFormat,
    adaptations: &mut Adaptations,
) -> Result<Option<OutputConfig<'a>>, Unsupported> {
    let format = match response_format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => return Err(Unsupported::Feature(Feature::JsonObject)),
        ResponseFormat::JsonSchema {
            name: _, // schemas have no name here
            schema,
            strict: _, // they are always enforced
        } => {
            const FIELD: &str = "response_format.json_schema.schema";
            let schema =
                schema::fit(schema, &schemas::OF_OUTPUTS).map_err(|why| value(FIELD, why))?;
            Some(OutputFormat::JsonSchema {
                schema: schema.noted(FIELD, adaptations),
            })
        }
    };
    if effort.is_none() && format.is_none() {
        return Ok(None);
    }
    Ok(Some(OutputConfig { effort, format }))
}
