//! How is a request, apart from its conversation, written for the Responses API?
//!
//! Specification: <https://platform.openai.com/docs/api-reference/responses/create>.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::value::RawValue;

use crate::chat::{
    ChatRequest, FunctionTool, ReasoningEffort, ReasoningOptions, ResponseFormat, Sampling, Tool,
    ToolChoice,
};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::openai::effort::nearest;
use crate::wire::openai::{json_mode, schemas};
use crate::wire::tool_ids::{Distinct, Form, ToolIds};
use crate::wire::{Adaptations, Recipient, WireRequest, wishes};

use super::body::{Body, Format, ReasoningFields, TextOptions, WireTool, WireToolChoice};
use super::history::History;
use super::{Dialect, ReasoningReplay, value};

/// The least limit of output tokens that the API takes.
const LEAST_MAX_OUTPUT_TOKENS: u32 = 16;

/// The schema of a function without arguments: the API requires one.
const NO_ARGUMENTS: &str =
    r#"{"type":"object","properties":{},"required":[],"additionalProperties":false}"#;

/// Spells `request` in `dialect`.
pub(super) fn encode(
    dialect: &Dialect,
    request: &ChatRequest,
    to: &Recipient<'_>,
) -> Result<WireRequest, Unsupported> {
    let (body, adaptations) = compose(dialect, request, to)?;
    let json =
        serde_json::to_vec(&body).map_err(|_| value("messages", "it cannot be written as JSON"))?;
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
        top_logprobs: _,
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
    wishes::note_left_out(request, &[], &mut adaptations);
    if let ToolChoice::Allowed { .. } = tool_choice {
        return Err(value("tool_choice.allowed", "it has none"));
    }
    let instruction = json_mode::instruction(response_format, messages, &mut adaptations);
    let mut history = History {
        dialect,
        provider: to.provider,
        ids: ToolIds::new(messages, Form::Short, Distinct::InConversation),
        custom_calls: Vec::new(),
        adaptations: &mut adaptations,
    };
    let (instructions, input) = history.items(instruction, messages)?;
    let mut body = Body {
        model: to.model,
        instructions,
        input,
        text: format_of(response_format, &mut adaptations)?.map(|format| TextOptions {
            format: Some(format),
        }),
        reasoning: reasoning_of(dialect, reasoning, &mut adaptations)?,
        max_output_tokens: cap(*max_output_tokens, &mut adaptations),
        temperature: *temperature,
        top_p: *top_p,
        stream: to.stream,
        ..Body::default()
    };
    let may_reason = dialect.reasoning && reasoning.effort != Some(ReasoningEffort::None);
    if may_reason && dialect.reasoning_history != ReasoningReplay::None {
        body.include.push("reasoning.encrypted_content");
    }
    if !tools.is_empty() {
        body.tools = Vec::with_capacity(tools.len());
        for tool in tools {
            body.tools.push(tool_of(tool, &mut adaptations)?);
        }
        body.tool_choice = tool_choice_of(tool_choice);
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

fn tool_choice_of(choice: &ToolChoice) -> Option<WireToolChoice<'_>> {
    match choice {
        ToolChoice::Auto | ToolChoice::Allowed { .. } => None,
        ToolChoice::None => Some(WireToolChoice::Word("none")),
        ToolChoice::Required => Some(WireToolChoice::Word("required")),
        ToolChoice::Function(name) => Some(WireToolChoice::Function {
            r#type: "function",
            name,
        }),
    }
}

fn tool_of<'a>(tool: &'a Tool, adaptations: &mut Adaptations) -> Result<WireTool<'a>, Unsupported> {
    let FunctionTool {
        name,
        description,
        parameters,
        strict,
    } = match tool {
        Tool::Function(function) => function,
        Tool::WebSearch(_) => return Err(Unsupported::Feature(Feature::WebSearch)),
        Tool::CodeExecution => return Err(Unsupported::Feature(Feature::CodeExecution)),
        Tool::Provider(_) => return Err(value("tools.provider_tool", "it has none")),
    };
    let parameters = match schemas::of_arguments(parameters.as_deref(), *strict, adaptations)? {
        Some(parameters) => parameters,
        None => Cow::Borrowed(
            serde_json::from_str::<&RawValue>(NO_ARGUMENTS)
                .map_err(|_| value("tools.parameters", "it cannot be written as JSON"))?,
        ),
    };
    Ok(WireTool {
        r#type: "function",
        name,
        description,
        parameters,
        strict: *strict,
    })
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
            description: _,
        } => {
            let (schema, strict) = schemas::of_answer(schema, *strict, adaptations)?;
            Some(Format::JsonSchema {
                name,
                schema,
                strict,
            })
        }
    })
}
