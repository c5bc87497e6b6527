//! How is a request, apart from its messages, written in Anthropic's format?

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::betas::{self, Betas};
use super::blocks::{MarkedBlock, Turn};
use super::marked::{CacheControl, Marking, settle};
use super::output::{OutputConfig, output_config};
use super::thinking::{self, Thinking};
use super::tools::{Choice, MarkedTool, choice, tool_definitions};
use super::turns::Conversation;
use super::{Dialect, Host, value};
use crate::chat::{CacheRetention, ChatRequest, Sampling, ServiceTier};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::options::Words;
use crate::wire::wishes::{Wish, note_left_out};
use crate::wire::{Adaptations, Recipient, WireRequest, json_text, segment};

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
    system: Vec<MarkedBlock<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<MarkedTool<'a>>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

/// A request that can be written, with what else must be told of it.
pub(super) struct Composed<'a> {
    body: Body<'a>,
    betas: Betas,
    adaptations: Adaptations,
}

pub(super) fn encode(
    dialect: &Dialect,
    request: &ChatRequest,
    to: &Recipient<'_>,
) -> Result<WireRequest, Unsupported> {
    let Composed {
        body,
        betas,
        adaptations,
    } = compose(dialect, request, to)?;
    let body = json_text(&body).map_err(|_| value("messages", "it cannot be written as JSON"))?;
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
    if let Some(betas) = betas.header()
        && let Ok(betas) = HeaderValue::from_str(&betas)
    {
        headers.insert(HeaderName::from_static(betas::HEADER), betas);
    }
    Ok(WireRequest {
        path,
        headers,
        body: body.into(),
        adaptations: adaptations.0,
    })
}

/// The body of a request, which borrows from it: nothing of any size is written, unless parts have options.
pub(super) fn compose<'a>(
    dialect: &Dialect,
    request: &'a ChatRequest,
    to: &Recipient<'a>,
) -> Result<Composed<'a>, Unsupported> {
    let ChatRequest {
        messages: _, // with their marks
        tools: _,    // likewise
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
        marks,
        end_user_id,
        prompt_cache_key: _, // noted as left out
        prompt_cache_retention,
        service_tier,
        verbosity: _, // noted as left out
        options,      // added to what is written
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

    let words = Words::of(to, super::NAME);
    let retention = *prompt_cache_retention;
    let marking = Marking { words, retention };
    let mut conversation = Conversation::new(request, provider, marking)?;
    let output_limit = max_output_tokens.or(most_output_tokens);
    let max_tokens = output_limit.unwrap_or(DEFAULT_MAX_TOKENS);
    let thinking::Reasoning { thinking, effort } = thinking::reasoning(
        dialect,
        reasoning,
        max_tokens,
        &mut conversation.adaptations,
    )?;
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
        mut system,
        mut turns,
        mut adaptations,
        mut betas,
    } = conversation;
    let mut tools = tool_definitions(request, marking, &mut adaptations, &mut betas)?;
    let has_marks = marks.of_parts().next().is_some() || marks.of_tools().next().is_some();
    if has_marks {
        finish_marks(&mut tools, &mut system, &mut turns, &mut adaptations)?;
    }
    if !options.is_empty() {
        let is_ours = |target: &str| target == super::NAME || target == provider;
        betas.add_options(options.iter().filter(|entry| is_ours(&entry.target)));
    }
    note_left_out(request, &SPELLED, &mut adaptations);
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
        tool_choice: choice(tool_choice, *parallel_tool_calls, !tools.is_empty()),
        tools,
        thinking,
        output_config: output_config(effort, response_format, &mut adaptations)?,
        temperature: *temperature,
        top_p: *top_p,
        top_k: *top_k,
        stop_sequences,
        metadata: (!end_user_id.is_empty()).then_some(Metadata {
            user_id: end_user_id,
        }),
        service_tier: tier(*service_tier, dialect.host, &mut adaptations),
        cache_control: match retention {
            Some(retention) if !has_marks => {
                whole_prompt(retention, dialect.host, &mut adaptations)
            }
            _ => None,
        },
        stream,
    };
    Ok(Composed {
        body,
        betas,
        adaptations,
    })
}

/// The wishes that are spelled here, or noted as left out here.
const SPELLED: [Wish; 5] = [
    Wish::EndUser,
    Wish::CacheRetention,
    Wish::PartCache,
    Wish::ToolCache,
    Wish::ServiceTier,
];

/// Settles which breakpoints are sent, in the order of the prompt, and adds the options of parts and tools.
fn finish_marks<'a>(
    tools: &mut [MarkedTool<'a>],
    system: &mut [MarkedBlock<'a>],
    turns: &mut [Turn<'a>],
    adaptations: &mut Adaptations,
) -> Result<(), Unsupported> {
    let of_tools = tools.iter_mut().filter_map(MarkedTool::breakpoint);
    let of_system = system.iter_mut().filter_map(MarkedBlock::breakpoint);
    let of_turns = turns.iter_mut().flat_map(|turn| turn.content.breakpoints());
    let mut breakpoints: Vec<_> = of_tools.chain(of_system).chain(of_turns).collect();
    settle(&mut breakpoints, adaptations);
    tools.iter_mut().try_for_each(MarkedTool::finish)?;
    system.iter_mut().try_for_each(MarkedBlock::finish)?;
    turns
        .iter_mut()
        .try_for_each(|turn| turn.content.finish_marks())
}

/// The word for a tier, if the provider has it. It sells priority as a capacity, and `auto` uses what was bought:
/// <https://platform.claude.com/docs/en/api/service-tiers>.
fn tier(
    tier: Option<ServiceTier>,
    host: Host,
    adaptations: &mut Adaptations,
) -> Option<&'static str> {
    const FIELD: &str = "service_tier";
    let mut note = |what| adaptations.note(FIELD, what);
    match (tier?, host) {
        (_, Host::Vertex) => {
            note("left out: the provider has no place for it");
            None
        }
        (ServiceTier::Standard, Host::Anthropic) => Some("standard_only"),
        (ServiceTier::Priority, Host::Anthropic) => {
            note("asked for as far as it was bought: the provider serves the rest as usual");
            Some("auto")
        }
        (ServiceTier::Flex | ServiceTier::Batch, Host::Anthropic) => {
            note("left out: the provider has no such tier");
            None
        }
    }
}

/// How long the whole prompt is kept, for a request that has no breakpoints.
fn whole_prompt(
    retention: CacheRetention,
    host: Host,
    adaptations: &mut Adaptations,
) -> Option<CacheControl> {
    match host {
        Host::Anthropic => Some(CacheControl::of(retention)),
        Host::Vertex => {
            adaptations.note(
                "prompt_cache_retention",
                "left out: the provider keeps a prompt only up to breakpoints",
            );
            None
        }
    }
}

/// The plan never sends a feature that the format lacks here; if one arrives all the same, it is refused.
fn refuse(feature: Feature, asked: bool) -> Result<(), Unsupported> {
    if asked {
        return Err(Unsupported::Feature(feature));
    }
    Ok(())
}
