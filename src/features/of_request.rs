//! Which features does a request use?

use crate::chat::{
    ChatRequest, Media, MediaSource, Part, ReasoningEffort, ReasoningOptions, ResponseFormat,
    Sampling, ToolChoice,
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
    uses(Feature::Tools, !tools.is_empty());
    uses(Feature::StrictTools, tools.iter().any(|tool| tool.strict));
    uses(
        Feature::ForcedToolChoice,
        matches!(tool_choice, ToolChoice::Required | ToolChoice::Function(_)),
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
        .flat_map(|message| &message.parts)
        .fold(used, of_part)
}

fn of_part(used: Features, part: &Part) -> Features {
    match part {
        Part::Text(_) | Part::Reasoning(_) | Part::Refusal(_) => used,
        Part::Image(media) => used.with(by_source(media, Feature::ImageData, Feature::ImageUri)),
        Part::Document(media) => used.with(by_source(
            media,
            Feature::DocumentData,
            Feature::DocumentUri,
        )),
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
