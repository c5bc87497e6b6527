//! How is a request written in OpenAI Chat Completions?
//!
//! Specification: <https://platform.openai.com/docs/api-reference/chat/create>.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::chat::{ChatRequest, Message, Part, ResponseFormat, Sampling, Tool, ToolChoice};
use crate::error::Unsupported;
use crate::features::{Exclusion, Feature, features_of};
use crate::wire::openai::schemas;
use crate::wire::schema::SchemaRules;
use crate::wire::tool_ids::{Distinct, Form, ToolIds};
use crate::wire::{Adaptations, Recipient, WireRequest, schema};

use super::body::{
    Body, FunctionTool, JsonSchema, Named, StreamOptions, WireResponseFormat, WireTool,
    WireToolChoice,
};
use super::history::History;
use super::reasoning::Beside;
use super::{Dialect, OutputCap, RequiredWord, SeedField, ToolCallIds, reasoning};

/// OpenAI refuses a fifth.
const MAX_STOP_SEQUENCES: usize = 4;

/// OpenAI and others accept `json_object` only if some message mentions JSON:
/// <https://platform.openai.com/docs/guides/structured-outputs#json-mode>.
const ANSWER_IN_JSON: &str = "Answer with a JSON object.";

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
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning: options,
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
    if stop_sequences.len() > MAX_STOP_SEQUENCES {
        return Err(Unsupported::Value {
            field: "sampling.stop_sequences",
            why: "at most four stop sequences are accepted",
        });
    }

    let mut adaptations = Adaptations::default();
    let mut instructions = None;
    if *response_format == ResponseFormat::JsonObject && !mention_json(messages) {
        adaptations.note(
            "response_format",
            "the instruction to answer in JSON was added: the provider demands that a message says so",
        );
        instructions = Some(ANSWER_IN_JSON);
    }
    let beside = Beside {
        has_tools: !tools.is_empty(),
        excludes_reasoning: excludes_reasoning(dialect, request),
    };
    let format = response_format_of(response_format, &mut adaptations)?;
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
    if !tools.is_empty() {
        // Both other fields are refused without tools.
        body.tools = Vec::with_capacity(tools.len());
        for tool in tools {
            body.tools.push(tool_of(tool, &mut adaptations)?);
        }
        body.tool_choice = tool_choice_of(dialect, tool_choice);
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

fn mention_json(messages: &[Message]) -> bool {
    let mut parts = messages.iter().flat_map(|message| &message.parts);
    parts.any(|part| match part {
        Part::Text(text) => {
            let mut words = text.as_bytes().windows(4);
            words.any(|word| word.eq_ignore_ascii_case(b"json"))
        }
        Part::Image(_)
        | Part::Document(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_)
        | Part::Reasoning(_)
        | Part::Refusal(_) => false,
    })
}

fn form_of_ids(dialect: &Dialect) -> Form {
    match dialect.tool_call_ids {
        ToolCallIds::Any => Form::Any,
        ToolCallIds::NineAlphanumerics => Form::NineAlphanumerics,
    }
}

fn tool_choice_of<'a>(dialect: &Dialect, choice: &'a ToolChoice) -> Option<WireToolChoice<'a>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(WireToolChoice::Word("none")),
        ToolChoice::Required => Some(WireToolChoice::Word(match dialect.required_tool_choice {
            RequiredWord::Required => "required",
            RequiredWord::Any => "any",
        })),
        ToolChoice::Function(name) => Some(WireToolChoice::Function {
            r#type: "function",
            function: Named { name },
        }),
    }
}

fn tool_of<'a>(tool: &'a Tool, adaptations: &mut Adaptations) -> Result<WireTool<'a>, Unsupported> {
    let Tool {
        name,
        description,
        parameters,
        strict,
    } = tool;
    const FIELD: &str = "tools.parameters";
    let rules = if *strict {
        &schemas::STRICT
    } else {
        &schemas::OF_TOOLS
    };
    let parameters = match parameters {
        None => None,
        Some(schema) => Some(
            schema::fit(schema, rules)
                .map_err(|why| Unsupported::Value { field: FIELD, why })?
                .noted(FIELD, adaptations),
        ),
    };
    Ok(WireTool {
        r#type: "function",
        function: FunctionTool {
            name,
            description,
            parameters,
            strict: *strict,
        },
    })
}

fn response_format_of<'a>(
    format: &'a ResponseFormat,
    adaptations: &mut Adaptations,
) -> Result<Option<WireResponseFormat<'a>>, Unsupported> {
    const FIELD: &str = "response_format.json_schema.schema";
    let refused = |why| Unsupported::Value { field: FIELD, why };
    let (name, schema, strict) = match format {
        ResponseFormat::Text => return Ok(None),
        ResponseFormat::JsonObject => return Ok(Some(WireResponseFormat::JsonObject)),
        ResponseFormat::JsonSchema {
            name,
            schema,
            strict,
        } => (name, schema, *strict),
    };
    let fitted = match strict.then(|| schema::fit(schema, &schemas::STRICT)) {
        None => None,
        Some(Ok(fitted)) => Some(fitted),
        // The schema of an answer is enforced if the provider can do that.
        Some(Err(_)) => {
            adaptations.note(
                "response_format.json_schema.strict",
                "left out: the provider cannot enforce this schema",
            );
            None
        }
    };
    let strict = fitted.is_some();
    let schema = match fitted {
        Some(fitted) => fitted.noted(FIELD, adaptations),
        None => {
            schema::fit(schema, &SchemaRules::NONE)
                .map_err(refused)?
                .schema
        }
    };
    Ok(Some(WireResponseFormat::JsonSchema {
        json_schema: JsonSchema {
            name,
            schema,
            strict,
        },
    }))
}

#[cfg(test)]
mod tests;
