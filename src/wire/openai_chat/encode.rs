//! How is a request written in OpenAI Chat Completions?
//!
//! Specification: <https://platform.openai.com/docs/api-reference/chat/create>.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::chat::{ChatRequest, Sampling};
use crate::error::Unsupported;
use crate::features::{Exclusion, Feature, features_of};
use crate::wire::openai::json_mode;
use crate::wire::tool_ids::{Distinct, Form, ToolIds};
use crate::wire::{Adaptations, Recipient, WireRequest, json_text};

use super::body::{Body, StreamOptions};
use super::history::History;
use super::marking::Marking;
use super::reasoning::Beside;
use super::tools::WireTools;
use super::{
    Dialect, OutputCap, SeedField, ToolCallIds, reasoning, response_format, tools, wishes,
};

/// OpenAI refuses a fifth.
const MAX_STOP_SEQUENCES: usize = 4;

/// Spells `request` in `dialect`.
pub(super) fn encode(
    dialect: &Dialect,
    request: &ChatRequest,
    to: &Recipient<'_>,
) -> Result<WireRequest, Unsupported> {
    let (body, adaptations) = compose(dialect, request, to)?;
    let json = json_text(&body).map_err(|_| Unsupported::Value {
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
        tools: _,
        tool_choice: _,
        parallel_tool_calls,
        response_format: format,
        sampling,
        reasoning: options,
        marks,
        // Written by `wishes`.
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
    if stop_sequences.len() > MAX_STOP_SEQUENCES {
        return Err(Unsupported::Value {
            field: "sampling.stop_sequences",
            why: "at most four stop sequences are accepted",
        });
    }

    let mut adaptations = Adaptations::default();
    let marking = Marking::new(dialect, marks, to);
    let WireTools {
        tools,
        search,
        choice,
    } = tools::tools_of(dialect, request, marking, &mut adaptations)?;
    let instructions = json_mode::instruction(format, messages, &mut adaptations);
    let beside = Beside {
        has_tools: !tools.is_empty(),
        excludes_reasoning: excludes_reasoning(dialect, request),
    };
    let format = response_format::response_format_of(format, &mut adaptations)?;
    let mut history = History {
        dialect,
        provider: to.provider,
        marking,
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
        logprobs: top_logprobs.is_some(),
        top_logprobs: top_logprobs.filter(|top| *top > 0),
        reasoning: reasoning::controls(dialect, options, beside, &mut adaptations)?,
        wishes: wishes::wishes_of(dialect, request, &mut adaptations),
        search,
        tool_choice: choice,
        ..Body::default()
    };
    if !tools.is_empty() {
        body.parallel_tool_calls = parallel_tool_calls.filter(|_| dialect.parallel_tool_calls);
        body.tools = tools;
    }
    if top_logprobs.is_some() && !dialect.logprobs {
        return Err(Unsupported::Feature(Feature::Logprobs));
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
