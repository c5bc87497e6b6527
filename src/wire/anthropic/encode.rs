//! How is a request, apart from its messages, written in Anthropic's format?

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::blocks::{Block, Turn};
use super::output::{OutputConfig, output_config};
use super::thinking::{self, Thinking};
use super::tools::{Choice, ToolDefinition, choice, tool_definitions};
use super::turns::Conversation;
use super::{Dialect, Host, value};
use crate::chat::{ChatRequest, Sampling};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::{Adaptations, Recipient, WireRequest, segment, wishes};

/// The output limit if neither the request nor the configuration has one: the API requires a limit,
/// and every model accepts this one.
const DEFAULT_MAX_TOKENS: u32 = 4096;

/// The version of the API that is spoken here.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The same as Vertex AI names it.
const VERSION_ON_VERTEX: &str = "vertex-2023-10-16";

#[derive(Serialize)]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anthropic_version: Option<&'static str>,
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

pub(super) fn encode(
    dialect: &Dialect,
    request: &ChatRequest,
    to: &Recipient<'_>,
) -> Result<WireRequest, Unsupported> {
    let (body, adaptations) = compose(dialect, request, to)?;
    let body =
        serde_json::to_vec(&body).map_err(|_| value("messages", "it cannot be written as JSON"))?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let path = match dialect.host {
        Host::Anthropic => {
            headers.insert(HeaderName::from_static("anthropic-version"), VERSION);
            "/messages".to_owned()
        }
        Host::Vertex => {
            let method = match to.stream {
                true => "streamRawPredict",
                false => "rawPredict",
            };
            format!("/models/{}:{method}", segment::encoded(to.model))
        }
    };
    Ok(WireRequest {
        path,
        headers,
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
        // Spelled, or noted as left out.
        marks: _,
        end_user_id: _,
        prompt_cache_key: _,
        prompt_cache_retention: _,
        service_tier: _,
        verbosity: _,
        // Added to what is written.
        options: _,
        // A matter of the answer.
        wants_metadata: _,
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
        top_logprobs,
    } = sampling;
    let Recipient {
        provider,
        model,
        max_output_tokens: most_output_tokens,
        stream,
        options: _,
    } = *to;

    refuse(Feature::FrequencyPenalty, frequency_penalty.is_some())?;
    refuse(Feature::PresencePenalty, presence_penalty.is_some())?;
    refuse(Feature::Seed, seed.is_some())?;
    refuse(Feature::Logprobs, top_logprobs.is_some())?;
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
    } = conversation;
    wishes::note_left_out(request, &[], &mut adaptations);
    if output_limit.is_none() {
        adaptations.note(
            "sampling.max_output_tokens",
            "set to 4096: the provider demands a limit and the configuration names none",
        );
    }
    let (model, anthropic_version) = match dialect.host {
        Host::Anthropic => (Some(model), None),
        Host::Vertex => (None, Some(VERSION_ON_VERTEX)),
    };
    let body = Body {
        model,
        anthropic_version,
        max_tokens,
        system,
        messages: turns,
        tools: tool_definitions(tools, &mut adaptations)?,
        tool_choice: choice(tool_choice, *parallel_tool_calls, tools)?,
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
