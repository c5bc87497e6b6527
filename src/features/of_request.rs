//! Which features does a request use?

use crate::chat::{
    ChatRequest, Media, MediaSource, Part, ReasoningEffort, ReasoningOptions, ResponseFormat, Role,
    Sampling, Tool, ToolChoice,
};

use super::{Feature, Features};

/// The features that a request uses.
pub fn features_of(request: &ChatRequest) -> Features {
    let ChatRequest {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        sampling,
        reasoning,
        // Marks and the following are wishes; which targets can be sent options depends on their names.
        marks: _,
        end_user_id: _,
        prompt_cache_key: _,
        prompt_cache_retention: _,
        service_tier: _,
        verbosity: _,
        options: _,
        wants_metadata: _,
    } = request;
    let Sampling {
        max_output_tokens: _, // every target can cap its output
        temperature,
        top_p,
        top_k,
        frequency_penalty,
        presence_penalty,
        seed,
        stop_sequences,
        top_logprobs,
    } = sampling;
    let ReasoningOptions {
        effort,
        max_tokens,
        include: _,
    } = reasoning; // `include` is a wish

    let mut used = Features::NONE;
    let mut uses = |feature, condition| {
        if condition {
            used = used.with(feature);
        }
    };
    let mut functions = tools.iter().filter_map(Tool::function).peekable();
    uses(Feature::Tools, functions.peek().is_some());
    uses(Feature::StrictTools, functions.any(|tool| tool.strict));
    for tool in tools {
        match tool {
            Tool::Function(_) | Tool::Provider(_) => {}
            Tool::WebSearch(_) => uses(Feature::WebSearch, true),
            Tool::CodeExecution => uses(Feature::CodeExecution, true),
        }
    }
    uses(
        Feature::ForcedToolChoice,
        match tool_choice {
            ToolChoice::Auto | ToolChoice::None => false,
            ToolChoice::Required | ToolChoice::Function(_) => true,
            ToolChoice::Allowed { names: _, required } => *required,
        },
    );
    uses(
        Feature::SerialToolCalls,
        *parallel_tool_calls == Some(false),
    );
    uses(
        Feature::JsonObject,
        *response_format == ResponseFormat::JsonObject,
    );
    uses(
        Feature::JsonSchema,
        matches!(response_format, ResponseFormat::JsonSchema { .. }),
    );
    uses(Feature::Temperature, temperature.is_some());
    uses(Feature::TopP, top_p.is_some());
    uses(Feature::TopK, top_k.is_some());
    uses(Feature::FrequencyPenalty, frequency_penalty.is_some());
    uses(Feature::PresencePenalty, presence_penalty.is_some());
    uses(Feature::Seed, seed.is_some());
    uses(Feature::StopSequences, !stop_sequences.is_empty());
    uses(Feature::Logprobs, top_logprobs.is_some());
    uses(Feature::ReasoningEffort, effort.is_some());
    uses(Feature::ReasoningBudget, max_tokens.is_some());
    uses(
        Feature::Reasoning,
        match effort {
            Some(effort) => *effort != ReasoningEffort::None,
            None => max_tokens.is_some(),
        },
    );

    messages
        .iter()
        .flat_map(|message| message.parts.iter().map(|part| (message.role, part)))
        // Of an assistant's message, a target that cannot be sent what is in it is asked without it.
        .filter(|(role, part)| *role != Role::Assistant || matches!(part, Part::ToolCall(_)))
        .fold(used, |used, (_, part)| of_part(used, part))
}

fn of_part(used: Features, part: &Part) -> Features {
    use Feature::{
        AudioData, AudioUri, DocumentData, DocumentUri, ImageData, ImageUri, VideoData, VideoUri,
    };
    match part {
        Part::Text(_) | Part::Reasoning(_) | Part::Refusal(_) | Part::Provider(_) => used,
        Part::Image(media) => used.with(by_source(media, ImageData, ImageUri)),
        Part::Document(media) => used.with(by_source(media, DocumentData, DocumentUri)),
        Part::Audio(media) => used.with(by_source(media, AudioData, AudioUri)),
        Part::Video(media) => used.with(by_source(media, VideoData, VideoUri)),
        Part::ToolCall(_) => used.with(Feature::Tools),
        Part::ToolResult(result) => result
            .content
            .iter()
            .fold(used.with(Feature::Tools), of_part),
    }
}

fn by_source(media: &Media, data: Feature, uri: Feature) -> Feature {
    match media.source {
        MediaSource::Data(_) => data,
        MediaSource::Uri(_) => uri,
        MediaSource::File { .. } => Feature::StoredFile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_needs_nothing() {
        let request = ChatRequest {
            messages: vec![crate::chat::Message {
                role: crate::chat::Role::User,
                parts: vec![Part::Text("hi".into())],
            }],
            ..ChatRequest::default()
        };

        assert_eq!(features_of(&request), Features::NONE);
    }

    #[test]
    fn reasoning_is_asked_for_by_an_effort_or_a_limit_unless_it_is_none() {
        use ReasoningEffort::{Low, None as Without};
        for (effort, max_tokens, expected) in [
            (None, None, false),
            (Some(Without), None, false),
            (Some(Without), Some(100), false),
            (Some(Low), None, true),
            (None, Some(100), true),
        ] {
            let request = ChatRequest {
                reasoning: ReasoningOptions {
                    effort,
                    max_tokens,
                    include: true,
                },
                ..ChatRequest::default()
            };

            let used = features_of(&request);

            assert_eq!(used.contains(Feature::Reasoning), expected, "{effort:?}");
        }
    }
}
