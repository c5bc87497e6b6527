//! How is a request, apart from its conversation, written for the Responses API?
//!
//! Specification: <https://platform.openai.com/docs/api-reference/responses/create>.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::chat::{
    CacheRetention, ChatRequest, ReasoningEffort, ReasoningOptions, ResponseFormat, Sampling,
    ServiceTier, Tool, Verbosity,
};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::openai::effort::nearest;
use crate::wire::openai::{json_mode, schemas};
use crate::wire::options::{OptionsPlace, Words};
use crate::wire::tool_ids::{Distinct, Form, ToolIds};
use crate::wire::wishes::{self, Wish};
use crate::wire::{Adaptations, Recipient, WireRequest, json_text};

use super::body::{Body, Format, ReasoningFields, TextOptions};
use super::history::History;
use super::tools::WireTool;
use super::{Dialect, NAME, ReasoningReplay, tools, value};

/// The least limit of output tokens that the API takes.
const LEAST_MAX_OUTPUT_TOKENS: u32 = 16;

/// The longest identifier of an end user that the API takes, in characters.
const LONGEST_USER: usize = 64;

/// Spells `request` in `dialect`.
pub(super) fn encode(
    dialect: &Dialect,
    request: &ChatRequest,
    to: &Recipient<'_>,
) -> Result<WireRequest, Unsupported> {
    let (body, adaptations) = compose(dialect, request, to)?;
    let json = json_text(&body).map_err(|_| value("messages", "it cannot be written as JSON"))?;
    Ok(WireRequest {
        path: "/responses".to_owned(),
        headers: HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )]),
        body: Bytes::from(json),
        adaptations: adaptations.0,
    })
}

/// The body of `request` in `dialect`, which borrows from it: nothing of any size is written.
pub(super) fn compose<'a>(
    dialect: &Dialect,
    request: &'a ChatRequest,
    to: &Recipient<'a>,
) -> Result<(Body<'a>, Adaptations), Unsupported> {
    let ChatRequest {
        messages,
        tools: declared,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
        marks,
        end_user_id,
        prompt_cache_key,
        prompt_cache_retention,
        service_tier,
        verbosity,
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
    for (feature, is_used) in [
        (Feature::TopK, top_k.is_some()),
        (Feature::FrequencyPenalty, frequency_penalty.is_some()),
        (Feature::PresencePenalty, presence_penalty.is_some()),
        (Feature::Seed, seed.is_some()),
        (Feature::StopSequences, !stop_sequences.is_empty()),
    ] {
        if is_used {
            return Err(Unsupported::Feature(feature));
        }
    }

    let mut adaptations = Adaptations::default();
    let spelled = match dialect.cache_breakpoints {
        true => SPELLED,
        false => &SPELLED[1..],
    };
    wishes::note_left_out(request, spelled, &mut adaptations);
    let words = Words::of(to, NAME);
    let instruction = json_mode::instruction(response_format, messages, &mut adaptations);
    let mut history = History {
        dialect,
        provider: to.provider,
        words,
        marks,
        ids: ToolIds::new(messages, Form::Short, Distinct::InConversation),
        custom_calls: Vec::new(),
        adaptations: &mut adaptations,
    };
    let (instructions, input) = history.items(instruction, messages)?;
    let mut body = Body {
        model: to.model,
        instructions,
        input,
        text: text_of(response_format, *verbosity, &mut adaptations)?,
        reasoning: reasoning_of(dialect, reasoning, &mut adaptations)?,
        max_output_tokens: cap(*max_output_tokens, &mut adaptations),
        temperature: *temperature,
        top_p: *top_p,
        top_logprobs: *top_logprobs,
        max_tool_calls: tools::most_calls(declared, &mut adaptations),
        safety_identifier: user_of(end_user_id, &mut adaptations),
        prompt_cache_key,
        prompt_cache_retention: match prompt_cache_retention {
            Some(CacheRetention::Long) => Some("24h"),
            // Every prompt is kept for some minutes.
            Some(CacheRetention::Default | CacheRetention::Short) | None => None,
        },
        service_tier: tier_of(*service_tier, &mut adaptations),
        stream: to.stream,
        ..Body::default()
    };
    let may_reason = dialect.reasoning && reasoning.effort != Some(ReasoningEffort::None);
    if may_reason && dialect.reasoning_history != ReasoningReplay::None {
        body.include.push("reasoning.encrypted_content");
    }
    if top_logprobs.is_some() {
        body.include.push("message.output_text.logprobs");
    }
    if declared.contains(&Tool::CodeExecution) {
        body.include.push("code_interpreter_call.outputs");
    }
    body.tools = Vec::with_capacity(declared.len());
    for (index, tool) in declared.iter().enumerate() {
        let Some(tool) = tools::tool_of(index, tool, &words, &mut adaptations)? else {
            continue;
        };
        let options = marks.of_tool(index).map_or(&[][..], |mark| &mark.options);
        let path = format_args!("tools[{index}].provider_options");
        body.tools.push(
            match words.chosen(options, OptionsPlace::Tool, path, &mut adaptations)? {
                Some(fields) => {
                    WireTool::AsSaid(Cow::Owned(Words::extended(&tool, &fields, path)?))
                }
                None => tool,
            },
        );
    }
    if !body.tools.is_empty() {
        body.tool_choice = tools::tool_choice_of(tool_choice);
        body.parallel_tool_calls = parallel_tool_calls.filter(|_| dialect.parallel_tool_calls);
    }
    Ok((body, adaptations))
}

fn cap(limit: Option<u32>, adaptations: &mut Adaptations) -> Option<u32> {
    if limit.is_some_and(|limit| limit < LEAST_MAX_OUTPUT_TOKENS) {
        adaptations.note(
            "sampling.max_output_tokens",
            "raised to 16: the provider takes no lower limit",
        );
    }
    limit.map(|limit| limit.max(LEAST_MAX_OUTPUT_TOKENS))
}

fn reasoning_of(
    dialect: &Dialect,
    options: &ReasoningOptions,
    adaptations: &mut Adaptations,
) -> Result<Option<ReasoningFields>, Unsupported> {
    let ReasoningOptions {
        effort,
        max_tokens,
        include,
    } = *options;
    let is_off = effort == Some(ReasoningEffort::None);
    // No reasoning at all keeps every limit.
    if max_tokens.is_some() && !is_off {
        return Err(Unsupported::Feature(Feature::ReasoningBudget));
    }
    if !dialect.reasoning {
        return match effort {
            Some(_) => Err(Unsupported::Feature(Feature::ReasoningEffort)),
            None => Ok(None),
        };
    }
    let effort = nearest(&dialect.efforts, effort, adaptations)?;
    let summary = (include && dialect.summaries && !is_off).then_some("auto");
    let fields = ReasoningFields { effort, summary };
    Ok((effort.is_some() || summary.is_some()).then_some(fields))
}

/// The wishes that the API has a place for. The first one is a matter of the dialect.
const SPELLED: &[Wish] = &[
    Wish::PartCache,
    Wish::EndUser,
    Wish::CacheKey,
    Wish::CacheRetention,
    Wish::ServiceTier,
    Wish::Verbosity,
];

fn user_of<'a>(id: &'a str, adaptations: &mut Adaptations) -> &'a str {
    if id.chars().count() <= LONGEST_USER {
        return id;
    }
    adaptations.note(
        "end_user_id",
        "left out: the provider takes at most 64 characters",
    );
    ""
}

fn tier_of(tier: Option<ServiceTier>, adaptations: &mut Adaptations) -> Option<&'static str> {
    Some(match tier? {
        ServiceTier::Standard => "default",
        ServiceTier::Priority => "priority",
        ServiceTier::Flex => "flex",
        ServiceTier::Batch => {
            adaptations.note("service_tier", "left out: the provider has no place for it");
            return None;
        }
    })
}

fn text_of<'a>(
    format: &'a ResponseFormat,
    verbosity: Option<Verbosity>,
    adaptations: &mut Adaptations,
) -> Result<Option<TextOptions<'a>>, Unsupported> {
    let format = format_of(format, adaptations)?;
    let verbosity = verbosity.map(|verbosity| match verbosity {
        Verbosity::Low => "low",
        Verbosity::Medium => "medium",
        Verbosity::High => "high",
    });
    let is_said = format.is_some() || verbosity.is_some();
    Ok(is_said.then_some(TextOptions { format, verbosity }))
}

fn format_of<'a>(
    format: &'a ResponseFormat,
    adaptations: &mut Adaptations,
) -> Result<Option<Format<'a>>, Unsupported> {
    Ok(match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(Format::JsonObject),
        ResponseFormat::JsonSchema {
            name,
            schema,
            strict,
            description,
        } => {
            let (schema, strict) = schemas::of_answer(schema, *strict, adaptations)?;
            Some(Format::JsonSchema {
                name,
                description,
                schema,
                strict,
            })
        }
    })
}
