//! What came of a response, in the form of the expected outcomes, and how two of them differ.

use modelway::chat::{Answer, Finish, FinishReason, Usage};
use modelway::error::{UpstreamError, UpstreamErrorKind};
use serde_json::{Value, json};

use crate::laws::{Content, Reading};

/// An expected outcome and the others that are accepted too.
pub(crate) struct Expected {
    accepted: Vec<Value>,
}

impl Expected {
    pub(crate) fn new(expected: Value) -> Self {
        let mut accepted = vec![expected.clone()];
        for difference in expected["alternatives"].as_array().into_iter().flatten() {
            let mut alternative = expected.clone();
            put_over(&mut alternative, difference);
            accepted.push(alternative);
        }
        Self { accepted }
    }

    /// Where `outcome` differs from the expected one; nothing if it is accepted.
    pub(crate) fn complaint(&self, outcome: &Value) -> Vec<String> {
        let mut complaints: Vec<String> = Vec::new();
        for accepted in &self.accepted {
            let compared = ["outcome", "answer", "error"];
            let difference = compared
                .iter()
                .find_map(|field| difference(field, &outcome[field], &accepted[field]));
            match difference {
                None => return Vec::new(),
                Some(difference) => complaints.push(difference),
            }
        }
        complaints.truncate(1);
        complaints
    }
}

/// The outcome of a response whose status is an error.
pub(crate) fn of_failure(failure: &UpstreamError) -> Value {
    json!({ "outcome": "error", "answer": null, "error": error(failure, failure.status) })
}

/// The outcome of a response with the 2xx `status`.
pub(crate) fn of_reading(reading: &Reading, status: u16) -> Value {
    let Reading { answer, end, .. } = reading;
    let content = Content::of(answer);
    match end {
        Ok(()) => {
            json!({ "outcome": "answer", "answer": fields(answer, &content), "error": null })
        }
        Err(failure) if content == Content::default() => {
            let failure = error(failure, failure.status.or(Some(status)));
            json!({ "outcome": "error", "answer": null, "error": failure })
        }
        Err(failure) => {
            let error = match failure.kind {
                UpstreamErrorKind::Truncated => Value::Null,
                _ => error(failure, failure.status.or(Some(status))),
            };
            json!({ "outcome": "interrupted", "answer": fields(answer, &content), "error": error })
        }
    }
}

fn fields(answer: &Answer, content: &Content) -> Value {
    let Content {
        text,
        reasoning,
        refusal,
        tool_calls,
    } = content;
    let tool_calls: Vec<Value> = tool_calls
        .iter()
        .map(|call| {
            let id = Some(&call.id).filter(|id| !id.is_empty());
            json!({ "id": id, "name": call.name, "arguments_json": call.arguments })
        })
        .collect();
    let finish_reason = answer.finish_reason().map(|reason| match reason {
        FinishReason::Stop => "stop",
        FinishReason::MaxTokens | FinishReason::CostCap => "max_tokens",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Other => "other",
    });
    let provider_finish_reason = match &answer.beside.finish {
        Some(Finish {
            provider_reason, ..
        }) => provider_reason.as_deref(),
        None => None,
    };
    json!({
        "text": text,
        "reasoning": reasoning,
        "refusal": refusal,
        "tool_calls": tool_calls,
        "finish_reason": finish_reason,
        "provider_finish_reason": provider_finish_reason,
        "usage": answer.usage.as_ref().map(usage),
        "response_model": answer.response_model,
        "response_id": answer.response_id,
    })
}

fn usage(usage: &Usage) -> Value {
    let Usage {
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
        reasoning_output_tokens,
        .. // the expected outcomes do not have the others
    } = usage;
    // The expected outcomes hold 0 for what was not reported.
    let [input, output, cache_read, cache_write, reasoning] = [
        input_tokens,
        output_tokens,
        cache_read_input_tokens,
        cache_write_input_tokens,
        reasoning_output_tokens,
    ]
    .map(|count| count.unwrap_or(0));
    json!({
        "input_tokens": input,
        "output_tokens": output,
        "cache_read_input_tokens": cache_read,
        "cache_write_input_tokens": cache_write,
        "reasoning_output_tokens": reasoning,
    })
}

fn error(failure: &UpstreamError, status: Option<u16>) -> Value {
    json!({
        "kind": kind_name(failure.kind),
        "status": status,
        "retry_after_ms": failure.retry_after.map(|wait| wait.as_millis()),
        "provider_code": failure.provider_code,
    })
}

fn kind_name(kind: UpstreamErrorKind) -> &'static str {
    match kind {
        // The expected outcomes do not tell what one model refuses from what all do.
        UpstreamErrorKind::InvalidRequest | UpstreamErrorKind::UnsupportedByModel => {
            "invalid_request"
        }
        UpstreamErrorKind::ContextLength => "context_length",
        UpstreamErrorKind::Authentication => "authentication",
        UpstreamErrorKind::Permission => "permission",
        UpstreamErrorKind::ModelNotFound => "model_not_found",
        UpstreamErrorKind::RateLimited => "rate_limited",
        UpstreamErrorKind::QuotaExhausted => "quota_exhausted",
        UpstreamErrorKind::Overloaded => "overloaded",
        // The expected outcomes do not tell a rejection without a reason from a failure of the provider.
        UpstreamErrorKind::ServerError | UpstreamErrorKind::Rejected => "server_error",
        UpstreamErrorKind::ContentBlocked => "content_blocked",
        // The expected outcomes do not tell a body that ends before any content from a broken one.
        UpstreamErrorKind::Malformed | UpstreamErrorKind::Truncated => "malformed",
        UpstreamErrorKind::Unreachable
        | UpstreamErrorKind::Shortage
        | UpstreamErrorKind::NotTaken
        | UpstreamErrorKind::Disconnected
        | UpstreamErrorKind::TimedOut
        | UpstreamErrorKind::EmptyAnswer => panic!("no response gives `{kind}`"),
    }
}

fn put_over(value: &mut Value, difference: &Value) {
    match (value, difference) {
        (Value::Object(fields), Value::Object(differences)) => {
            for (name, difference) in differences {
                put_over(fields.entry(name).or_insert(Value::Null), difference);
            }
        }
        (value, difference) => *value = difference.clone(),
    }
}

/// The first field in which two outcomes differ, with both values.
fn difference(path: &str, ours: &Value, expected: &Value) -> Option<String> {
    match (ours, expected) {
        (Value::Object(ours), Value::Object(expected)) => {
            let names = expected.keys().chain(ours.keys());
            names.into_iter().find_map(|name| {
                let value = |fields: &serde_json::Map<String, Value>| {
                    fields.get(name).cloned().unwrap_or(Value::Null)
                };
                difference(&format!("{path}.{name}"), &value(ours), &value(expected))
            })
        }
        (Value::Array(ours), Value::Array(expected)) if ours.len() == expected.len() => ours
            .iter()
            .zip(expected)
            .enumerate()
            .find_map(|(position, (ours, expected))| {
                difference(&format!("{path}[{position}]"), ours, expected)
            }),
        (Value::String(ours), Value::String(expected)) => {
            let same = ours == expected
                || path.ends_with(".arguments_json") && same_arguments(ours, expected);
            (!same).then(|| differing_texts(path, ours, expected))
        }
        _ if ours == expected => None,
        _ => {
            let (ours, expected) = (ours.to_string(), expected.to_string());
            Some(differing_texts(path, &ours, &expected))
        }
    }
}

fn same_arguments(ours: &str, expected: &str) -> bool {
    let parse = |text: &str| {
        let text = if text.is_empty() { "{}" } else { text };
        serde_json::from_str::<Value>(text)
    };
    matches!((parse(ours), parse(expected)), (Ok(ours), Ok(expected)) if ours == expected)
}

fn differing_texts(path: &str, ours: &str, expected: &str) -> String {
    let same = ours
        .chars()
        .zip(expected.chars())
        .take_while(|(ours, expected)| ours == expected)
        .count();
    let shortened = |text: &str| -> String {
        let begin = same.saturating_sub(20);
        let ellipsis = if begin > 0 { "…" } else { "" };
        let piece: String = text.chars().skip(begin).take(100).collect();
        format!("{ellipsis}{piece}")
    };
    format!(
        "{path}: {:?}, expected {:?}",
        shortened(ours),
        shortened(expected)
    )
}
