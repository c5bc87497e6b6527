//! Does a frame without any part of an answer report an error, and which one?
//!
//! Many hosts and gateways send errors with status 200. Such a body has a code other than that of success,
//! or a message for people.

use serde_json::{Map, Value};

use crate::error::UpstreamError;

use super::in_band;
use super::report::MAX_JSON_BYTES;

/// The names of codes. MiniMax's stands in `base_resp`.
const CODES: [&str; 6] = [
    "code",
    "error_code",
    "errorCode",
    "errcode",
    "status_code",
    "statusCode",
];

/// The names of messages for people.
const TEXTS: [&str; 5] = ["message", "msg", "detail", "error_msg", "errmsg"];

/// The error that a frame reports, in whatever shape; `None` if it reports none, or is larger than any error. Call it
/// only for a frame that holds no part of an answer.
pub(in crate::wire) fn bare(frame: &str) -> Option<UpstreamError> {
    // No error is longer, and parsing one would take many times its length.
    if frame.len() > MAX_JSON_BYTES {
        return None;
    }
    let body: Value = serde_json::from_str(frame).ok()?;
    let is_error = match &body {
        Value::Object(body) => is_error(body),
        Value::Array(bodies) => {
            let body = bodies.first().and_then(Value::as_object);
            body.is_some_and(is_error)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    is_error.then(|| in_band(frame.as_bytes()))
}

fn is_error(body: &Map<String, Value>) -> bool {
    if let Some(Value::Object(response)) = body.get("base_resp")
        && let Some(is_success) = response.get("status_code").and_then(is_success)
    {
        return !is_success;
    }
    let is_text =
        |name: &&str| matches!(body.get(*name), Some(Value::String(text)) if !text.is_empty());
    let is_said = |name: &str, value: &str| body.get(name).and_then(Value::as_str) == Some(value);
    // Of Mistral, vLLM, Anthropic; of Cloudflare; of Tencent.
    let is_named = is_said("object", "error")
        || is_said("type", "error")
        || body.get("success") == Some(&Value::Bool(false))
        || matches!(body.get("errors"), Some(Value::Array(errors)) if !errors.is_empty())
        || body
            .get("Response")
            .is_some_and(|response| response.get("Error").is_some());
    if is_named {
        return true;
    }
    let mut codes = CODES.iter().filter_map(|name| is_success(body.get(*name)?));
    let texts = || TEXTS.iter().any(&is_text);
    match codes.next() {
        Some(is_success) => !is_success,
        None => texts(),
    }
}

/// Whether a code means success; `None` if the value is not a code.
fn is_success(code: &Value) -> Option<bool> {
    match code {
        Value::Number(number) => Some(number.as_u64().is_some_and(is_good)),
        Value::String(code) if code.is_empty() => None,
        Value::String(code) => Some(match code.parse() {
            Ok(number) => is_good(number),
            Err(_) => ["ok", "success"]
                .iter()
                .any(|good| code.eq_ignore_ascii_case(good)),
        }),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn is_good(code: u64) -> bool {
    code == 0 || (200..300).contains(&code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::UpstreamErrorKind::*;

    #[test]
    fn an_error_is_told_by_a_code_or_a_text() {
        let table = [
            (
                json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
                QuotaExhausted,
            ),
            (
                json!({"choices": null, "base_resp": {"status_code": "1002"}}),
                RateLimited,
            ),
            (
                json!({"code": 401, "msg": "token expired or incorrect", "success": false}),
                Authentication,
            ),
            (json!({"code": "1301"}), ContentBlocked),
            (
                json!({"error_code": 17, "error_msg": "Open api daily request limit reached"}),
                RateLimited,
            ),
            (json!({"errcode": 429}), RateLimited),
            (
                json!({"success": false, "errors": [{"code": 2016}]}),
                ContentBlocked,
            ),
            (
                json!({"Response": {"Error": {"Code": "RequestLimitExceeded"}}}),
                RateLimited,
            ),
            (
                json!({"object": "error", "code": 400, "message": "Prompt is too long"}),
                ContextLength,
            ),
            (json!({"type": "error"}), ServerError),
            (json!({"message": "text"}), ServerError),
            (json!({"detail": "Invalid API Key"}), Authentication),
            (json!({"msg": "余额不足"}), QuotaExhausted),
            (json!([{"code": 503}]), Overloaded),
        ];
        for (frame, kind) in table {
            let error = bare(&frame.to_string());

            assert_eq!(error.map(|error| error.kind), Some(kind), "{frame}");
        }
    }

    #[test]
    fn success_and_signs_of_life_are_no_errors() {
        let table = [
            json!({"base_resp": {"status_code": 0, "status_msg": "success"}}),
            json!({"base_resp": {"status_code": 0}, "message": "fine"}),
            json!({"code": 0, "msg": "ok"}),
            json!({"code": "200", "message": "success"}),
            json!({"code": "Success", "message": "done"}),
            json!({"code": null, "message": ""}),
            json!({"type": "ping"}),
            json!({"status": "processing"}),
            json!({"id": "c-1", "object": "chat.completion.chunk", "choices": []}),
            json!({"errors": []}),
            json!({}),
            json!([]),
            json!("text"),
            json!(7),
        ];
        for frame in table {
            assert_eq!(bare(&frame.to_string()), None, "{frame}");
        }
        assert_eq!(bare("no JSON"), None);
    }
}
