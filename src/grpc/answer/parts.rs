//! How does the contract spell the parts of an answer, their sources and their tokens?

use crate::chat::{
    CallIds, Citation, Media, MediaSource, Part, TokenLogprob, TopLogprob, given_name,
};
use crate::grpc::v1;

/// A part of an answer of this provider.
pub fn spelled(part: Part, provider: &str, ids: &mut CallIds) -> v1::ContentPart {
    use v1::content_part::Part as Wire;
    let part = match part {
        Part::Text(text) => Some(Wire::Text(text)),
        Part::Refusal(text) => Some(Wire::Refusal(text)),
        Part::Reasoning(reasoning) => Some(Wire::Reasoning(v1::Reasoning {
            text: reasoning.text,
            signature: reasoning.signature,
            provider: provider.to_owned(),
        })),
        Part::ToolCall(call) => Some(Wire::ToolCall(v1::ToolCall {
            id: ids.next(call.id),
            name: given_name(call.name),
            arguments_json: arguments(call.arguments),
            provider: if call.signature.is_empty() {
                String::new()
            } else {
                provider.to_owned()
            },
            signature: call.signature,
        })),
        Part::Image(media) => Some(Wire::Image(self::media(media))),
        Part::Audio(media) => Some(Wire::Audio(self::media(media))),
        Part::Video(media) => Some(Wire::Video(self::media(media))),
        Part::Provider(part) => Some(Wire::ProviderPart(v1::ProviderPart {
            provider: provider.to_owned(),
            kind: part.kind,
            content: json_object(part.content),
        })),
        // Models do not answer with these; see `Answer::apply`.
        Part::Document(_) | Part::ToolResult(_) => None,
    };
    v1::ContentPart {
        part,
        ..v1::ContentPart::default()
    }
}

fn media(media: Media) -> v1::Media {
    let Media {
        source,
        media_type,
        filename,
        detail: _, // only in requests
    } = media;
    v1::Media {
        source: Some(match source {
            MediaSource::Data(data) => v1::media::Source::Data(data),
            MediaSource::Uri(uri) => v1::media::Source::Uri(uri),
            MediaSource::File { provider, id } => {
                v1::media::Source::File(v1::ProviderFile { provider, id })
            }
        }),
        media_type,
        filename,
        detail: v1::ImageDetail::Unspecified.into(),
    }
}

/// A source of a text.
pub fn citation(citation: Citation) -> v1::Citation {
    let index = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
    let Citation {
        range,
        uri,
        title,
        cited_text,
        document_index,
        provider_fields,
    } = citation;
    v1::Citation {
        start_index: range.map(|(start, _)| index(start)),
        end_index: range.map(|(_, end)| index(end)),
        uri,
        title,
        cited_text,
        document_index: document_index.and_then(|index| i32::try_from(index).ok()),
        provider_fields: json_object(provider_fields),
    }
}

/// How likely a token was.
pub fn token_logprob(logprob: TokenLogprob) -> v1::TokenLogprob {
    let TokenLogprob {
        token,
        logprob,
        bytes,
        top,
    } = logprob;
    let top = top.into_iter().map(|top| {
        let TopLogprob {
            token,
            logprob,
            bytes,
        } = top;
        v1::TopLogprob {
            token,
            logprob,
            bytes,
        }
    });
    v1::TokenLogprob {
        token,
        logprob,
        bytes,
        top: top.collect(),
    }
}

/// The arguments of a tool call; an empty object if there are none.
fn arguments(text: String) -> String {
    if text.is_empty() {
        "{}".to_owned()
    } else {
        text
    }
}

/// The text of an object; `None` if it is empty.
pub(super) fn json_object(text: String) -> Option<v1::JsonObject> {
    let value = v1::json_object::Value::Text;
    (!text.is_empty()).then(|| v1::JsonObject {
        value: Some(value(text)),
    })
}
