//! What does the record of an attempt say of the answer, and what of its end decides what is charged for? Pure.

use http::{HeaderMap, HeaderValue};

use crate::chat::ChatEvent;
use crate::dispatch::target::Charging;
use crate::error::{Billing, UpstreamError, UpstreamErrorKind};
use crate::money::{AttemptEnd, AttemptEnding, Forecast};
use crate::trail::{AttemptRecord, Outcome};
use crate::wire::limits::MAX_NAME_BYTES;

/// The headers in which providers send the request id that their support asks for.
const REQUEST_ID_HEADERS: [&str; 5] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-generation-id",
    "mistral-correlation-id",
];

/// The provider's id of the request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let legal = |value: &HeaderValue| {
        let id = value.to_str().ok().filter(is_name)?;
        Some(id.to_owned())
    };
    REQUEST_ID_HEADERS
        .iter()
        .find_map(|name| headers.get(*name).and_then(legal))
}

/// What an answer has said so far of what is charged for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Charged {
    /// What the provider says it costs, in nano-USD.
    provider_nanos: Option<i64>,
    /// Bytes of its text, reasoning and tool calls included.
    content_bytes: u64,
}

/// Notes in the record what an event says of the answer, and in `charged` what it says of the cost. False if the event
/// is the end of the answer.
pub(super) fn note(record: &mut AttemptRecord, charged: &mut Charged, event: &ChatEvent) -> bool {
    let mut text = |text: &str| charged.content_bytes += text.len() as u64;
    match event {
        ChatEvent::Text(piece) | ChatEvent::Reasoning(piece) | ChatEvent::Refusal(piece) => {
            text(piece)
        }
        ChatEvent::ToolCall { name, .. } => text(name),
        ChatEvent::ToolArguments { fragment, .. } => text(fragment),
        ChatEvent::Started {
            response_id,
            response_model,
        } => {
            if let Some(id) = response_id.as_deref().filter(is_name) {
                record.response_id = Some(id.to_owned());
            }
            if let Some(model) = response_model.as_deref().filter(is_name) {
                record.response_model = Some(model.to_owned());
            }
        }
        ChatEvent::Finish(finish) => record.finish = Some(finish.reason),
        ChatEvent::Usage(usage) => record.usage = Some(**usage),
        ChatEvent::Cost(nanos) => charged.provider_nanos = Some(*nanos),
        ChatEvent::Done => return false,
        ChatEvent::ReasoningSignature(_)
        | ChatEvent::Part(_)
        | ChatEvent::Citation(_)
        | ChatEvent::Logprobs(_)
        | ChatEvent::Metadata(_)
        | ChatEvent::LeftOut(_) => {}
    }
    true
}

/// How an attempt with this outcome ended, as far as that decides what is charged for it.
pub(super) fn ending(outcome: &Outcome) -> AttemptEnding {
    match outcome {
        Outcome::Succeeded => AttemptEnding::Complete,
        Outcome::Failed(error) => failed(error),
        Outcome::Cancelled(_) => AttemptEnding::Stopped,
        Outcome::Running | Outcome::Skipped(_) => AttemptEnding::Failed(Billing::Zero),
    }
}

/// The same of an attempt that failed with this error.
pub(super) fn failed(error: &UpstreamError) -> AttemptEnding {
    let billing = error.kind.verdict().billing;
    match error.kind {
        UpstreamErrorKind::EmptyAnswer => AttemptEnding::Empty,
        UpstreamErrorKind::TimedOut => AttemptEnding::TimedOut(billing),
        _ => AttemptEnding::Failed(billing),
    }
}

/// The end of an attempt, as it is settled.
pub(super) fn end(
    record: &AttemptRecord,
    ending: AttemptEnding,
    charged: Charged,
    may_cost_more: bool,
    forecast: Option<Forecast>,
    charging: &Charging,
) -> AttemptEnd {
    AttemptEnd {
        ending,
        has_content: record.first_content.is_some(),
        content_bytes: charged.content_bytes,
        forecast,
        on_disconnect: charging.on_disconnect,
        ceiling: charging.unknown_ceiling,
        usage: record.usage,
        provider_nanos: charged.provider_nanos,
        may_cost_more,
        began: record.started,
    }
}

/// Whether a provider's text is short and without spaces, so that it can be a name and not a piece of the prompt.
fn is_name(text: &&str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_of_a_request_that_looks_like_one_is_taken() {
        let (longest, too_long) = ("i".repeat(MAX_NAME_BYTES), "i".repeat(MAX_NAME_BYTES + 1));
        let table = [
            (vec![], None),
            (vec![("x-other", "id")], None),
            (
                vec![("request-id", "one"), ("x-request-id", "two")],
                Some("two"),
            ),
            (
                vec![("x-request-id", ""), ("request-id", "one")],
                Some("one"),
            ),
            (vec![("x-request-id", longest.as_str())], Some(&*longest)),
            (vec![("x-request-id", too_long.as_str())], None),
        ];
        for (headers, expected) in table {
            let headers = headers.into_iter().map(|(name, value)| {
                let value = HeaderValue::from_str(value).expect("visible characters");
                (http::HeaderName::from_static(name), value)
            });

            assert_eq!(request_id(&headers.collect()).as_deref(), expected);
        }
    }
}
