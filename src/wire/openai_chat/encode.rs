//! How is a request written in OpenAI Chat Completions?
//!
//! Specification: <https://platform.openai.com/docs/api-reference/chat/create>.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::chat::{ChatRequest, Sampling, ToolChoice};
use crate::error::Unsupported;
use crate::features::{Exclusion, Feature, features_of};
use crate::wire::openai::json_mode;
use crate::wire::tool_ids::{Distinct, Form, ToolIds};
use crate::wire::{Adaptations, Recipient, WireRequest, wishes};

use super::body::{Body, StreamOptions};
use super::history::History;
use super::reasoning::Beside;
use super::{Dialect, OutputCap, SeedField, ToolCallIds, reasoning, response_format, tools};

/// OpenAI refuses a fifth.
const MAX_STOP_SEQUENCES: usize = 4;

/// Spells `request` in `dialect`.
pub(super) fn encode(
    dialect: &Dialect,
    request: &ChatRequest,
    to: &Recipient<'_>,
) -> Result<WireRequest, Unsupported> {
    let (body, adaptations) = compose(dialect, request, to)?;
    let json = serde_json::to_vec(&body).map_err(|_| Unsupported::Value {
        field: "messages",
        why: "it cannot be written as JSON",
    })?;
    Ok(WireRequest {
        path: "/chat/completions".to_owned(),
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
    dialect: &'a Dialect,
    request: &'a ChatRequest,
    to: &Recipient<'a>,
) -> Result<(Body<'a>, Adaptations), Unsupported> {
    let ChatRequest {
        messages,
        tools: declared,
        tool_choice,
        parallel_tool_calls,
        response_format: format,
        sampling,
        reasoning: options,
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
    if stop_sequences.len() > MAX_STOP_SEQUENCES {
        return Err(Unsupported::Value {
            field: "sampling.stop_sequences",
            why: "at most four stop sequences are accepted",
        });
    }

    let mut adaptations = Adaptations::default();
    wishes::note_left_out(request, &[], &mut adaptations);
    if let ToolChoice::Allowed { .. } = tool_choice {
        return Err(Unsupported::Value {
            field: "tool_choice.allowed",
            why: "it has none",
        });
    }
    let instructions = json_mode::instruction(format, messages, &mut adaptations);
    let beside = Beside {
        has_tools: !declared.is_empty(),
        excludes_reasoning: excludes_reasoning(dialect, request),
    };
    let format = response_format::response_format_of(format, &mut adaptations)?;
    let mut history = History {
        dialect,
        provider: to.provider,
        ids: ToolIds::new(messages, form_of_ids(dialect), Distinct::InMessage),
        adaptations: &mut adaptations,
    };
    let mut body = Body {
        model: to.model,
        messages: history.messages(instructions, messages)?,
        response_format: format,
        temperature: *temperature,
        top_p: *top_p,
        top_k: *top_k,
        frequency_penalty: *frequency_penalty,
        presence_penalty: *presence_penalty,
        stop: stop_sequences,
        reasoning: reasoning::controls(dialect, options, beside, &mut adaptations)?,
        ..Body::default()
    };
    if !declared.is_empty() {
        // Both other fields are refused without tools.
        body.tools = Vec::with_capacity(declared.len());
        for tool in declared {
            body.tools.push(tools::tool_of(tool, &mut adaptations)?);
        }
        body.tool_choice = tools::tool_choice_of(dialect, tool_choice);
        body.parallel_tool_calls = parallel_tool_calls.filter(|_| dialect.parallel_tool_calls);
    }
    match dialect.output_cap {
        OutputCap::MaxCompletionTokens => body.max_completion_tokens = *max_output_tokens,
        OutputCap::MaxTokens => body.max_tokens = *max_output_tokens,
    }
    match dialect.seed {
        SeedField::Seed => body.seed = *seed,
        SeedField::RandomSeed => body.random_seed = *seed,
    }
    if to.stream {
        body.stream = true;
        body.stream_options = dialect.stream_usage.then_some(StreamOptions {
            include_usage: true,
        });
    }

    Ok((body, adaptations))
}

/// Whether the request uses a feature that excludes reasoning in this dialect.
fn excludes_reasoning(dialect: &Dialect, request: &ChatRequest) -> bool {
    let excluding = |pair: &Exclusion| pair.of(Feature::Reasoning);
    let mut excluding = dialect.exclusions().iter().filter_map(excluding).peekable();
    excluding.peek().is_some() && {
        let used = features_of(request);
        excluding.any(|feature| used.contains(feature))
    }
}

fn form_of_ids(dialect: &Dialect) -> Form {
    match dialect.tool_call_ids {
        ToolCallIds::Any => Form::Any,
        ToolCallIds::NineAlphanumerics => Form::NineAlphanumerics,
    }
}

#[cfg(test)]
mod tests;
