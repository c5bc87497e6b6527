//! How does a chat request become a generateContent request?

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::chat::{ChatRequest, ResponseFormat, Sampling, ServiceTier};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::options::Words;
use crate::wire::wishes::{self, Wish};
use crate::wire::{Adaptations, Recipient, WireRequest, json_text, segment};

use super::conversation::{Conversation, Written};
use super::request::{GenerationConfig, Request};
use super::response_format::{ResponseFields, response_format_of};
use super::thinking::{ThinkingConfig, thinking};
use super::tools::Toolbox;
use super::{Asking, FORMAT, Generation, as_int32, refused};

const MAX_STOP_SEQUENCES: usize = 5;

pub(super) fn encode(
    request: &ChatRequest,
    to: &Recipient<'_>,
    asking: Asking<'_>,
) -> Result<WireRequest, Unsupported> {
    let (body, adaptations) = compose(request, to, asking)?;
    // Writing to memory fails only for maps with keys that are no strings; there are none.
    let body = json_text(&body).map_err(|_| refused("messages", "it cannot be written as JSON"))?;

    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(tier) = request.service_tier {
        asking.host.tell_tier(tier, &mut headers);
    }
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
        // Both are read by the toolbox.
        tools: _,
        tool_choice: _,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
        // Spelled, or noted as left out.
        marks: _,
        end_user_id: _,
        prompt_cache_key: _,
        prompt_cache_retention: _,
        service_tier,
        verbosity: _,
        // Added to what is written.
        options: _,
        // A matter of the answer.
        wants_metadata: _,
    } = request;
    if *parallel_tool_calls == Some(false) {
        return Err(Unsupported::Feature(Feature::SerialToolCalls));
    }

    let words = Words::of(to, FORMAT);
    let conversation = Conversation::new(request, to.provider, words, asking);
    let Written {
        system_instruction,
        contents,
        mut adaptations,
    } = conversation.write(messages)?;
    if contents.is_empty() {
        return Err(refused(
            "messages",
            "nothing of them can be sent to this provider",
        ));
    }

    let spelled: &[Wish] = match service_tier {
        Some(ServiceTier::Batch) | None => &[],
        Some(ServiceTier::Standard | ServiceTier::Priority | ServiceTier::Flex) => {
            &[Wish::ServiceTier]
        }
    };
    wishes::note_left_out(request, spelled, &mut adaptations);
    let thinking = thinking(reasoning, asking, &mut adaptations)?;
    let toolbox = Toolbox::of(request, asking, &words, &mut adaptations)?;
    if asking.generation == Generation::Second
        && *response_format != ResponseFormat::Text
        && !toolbox.tools.is_empty()
    {
        return Err(refused(
            "response_format",
            "models before Gemini 3 give JSON only without tools",
        ));
    }
    let body = Request {
        system_instruction,
        contents,
        tools: toolbox.tools,
        tool_config: toolbox.config,
        generation_config: configure(response_format, sampling, thinking, &mut adaptations)?,
        service_tier: service_tier.and_then(|tier| asking.host.tier_in_body(tier)),
    };
    Ok((body, adaptations))
}

fn path(model: &str, stream: bool) -> String {
    let method = match stream {
        true => "streamGenerateContent?alt=sse",
        false => "generateContent",
    };
    format!("/models/{}:{method}", segment::encoded(model))
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
        top_logprobs,
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
    let ResponseFields {
        mime_type: response_mime_type,
        json_schema: response_json_schema,
    } = response_format_of(response_format, adaptations)?;
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
        response_logprobs: top_logprobs.is_some(),
        logprobs: top_logprobs.filter(|top| *top > 0),
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

#[cfg(test)]
mod tests;
