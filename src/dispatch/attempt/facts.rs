//! What does the record of an attempt say? Ids, usage, the cost, and what the provider charges. Pure.

use http::{HeaderMap, HeaderValue};

use crate::chat::{ChatEvent, Usage};
use crate::error::{Billing, UpstreamErrorKind};
use crate::trail::{AttemptRecord, Cost, CostSource, Outcome};
use crate::wire::limits::MAX_NAME_BYTES;

use crate::dispatch::price::Price;

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

/// Notes in the record what an event says of the answer. False if the event is the end of the answer.
pub(super) fn note(record: &mut AttemptRecord, event: &ChatEvent) -> bool {
    match event {
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
        ChatEvent::Cost(nanos) => {
            record.cost = Some(Cost {
                nanos: *nanos,
                source: CostSource::Provider,
            });
        }
        ChatEvent::Done => return false,
        ChatEvent::Text(_)
        | ChatEvent::Reasoning(_)
        | ChatEvent::ReasoningSignature(_)
        | ChatEvent::Refusal(_)
        | ChatEvent::ToolCall { .. }
        | ChatEvent::ToolArguments { .. }
        | ChatEvent::Part(_)
        | ChatEvent::Citation(_)
        | ChatEvent::Logprobs(_)
        | ChatEvent::Metadata(_)
        | ChatEvent::LeftOut(_) => {}
    }
    true
}

/// Completes the record of an attempt that ends like this, on a target of this price. `is_certain` tells whether the
/// price of its tokens is certain to be the whole cost.
pub(super) fn conclude(
    record: &mut AttemptRecord,
    outcome: Outcome,
    price: Option<&Price>,
    is_certain: impl FnOnce(&Usage) -> bool,
) {
    record.billing = Some(billing(record, &outcome));
    record.outcome = outcome;
    // What the provider tells of the cost is nearer to its bill than our prices.
    record.cost = record.cost.or_else(|| {
        let usage = record.usage?;
        let unknown = Cost {
            nanos: 0,
            source: CostSource::Unknown,
        };
        let cost = price.map_or(unknown, |price| price.cost(&usage));
        Some(match is_certain(&usage) {
            true => cost,
            false => Cost {
                source: CostSource::Unknown,
                ..cost
            },
        })
    });
}

/// What the provider charges for an attempt that ends like this.
fn billing(record: &AttemptRecord, outcome: &Outcome) -> Billing {
    let begun = record.first_content.is_some() || record.usage.is_some();
    match outcome {
        Outcome::Succeeded if record.usage.is_some() => Billing::Actual,
        Outcome::Failed(error) if error.kind == UpstreamErrorKind::EmptyAnswer => {
            match record.usage {
                Some(_) => error.kind.verdict().billing,
                None => Billing::Uncertain,
            }
        }
        Outcome::Failed(error) if !begun => error.kind.verdict().billing,
        Outcome::Failed(_) => Billing::Partial,
        Outcome::Cancelled(_) if begun => Billing::Partial,
        Outcome::Succeeded | Outcome::Cancelled(_) => Billing::Uncertain,
        Outcome::Running | Outcome::Skipped(_) => Billing::Zero,
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
