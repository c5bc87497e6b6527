use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use UpstreamErrorKind::*;

mod account;
mod blocked;
mod context;
mod load;
mod model;
mod money;
mod wrong;

/// The kinds by their bare names.
mod kinds {
    pub(super) use crate::error::UpstreamErrorKind::*;
}

/// The host, the status, the body and the kind of an error. A text is a body that is not JSON.
type Row = (&'static str, u16, Value, UpstreamErrorKind);

/// Checks the classification of each row. A row with status 200 is an error within an answer.
fn check(rows: Vec<Row>) {
    let mut wrong = String::new();
    for (host, status, body, kind) in rows {
        let text = match &body {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let failure = match status {
            200 => in_band(text.as_bytes()),
            _ => classified(status, &[], text.as_bytes()),
        };
        if failure.kind != kind {
            let told = failure.kind;
            wrong += &format!("{host}: {told:?}, expected {kind:?}: {status} {text}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

type Header = (&'static str, &'static str);

fn classified(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> UpstreamError {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect();
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000_000); // 2001-09-09 01:46:40
    classify(StatusCode::from_u16(status).unwrap(), &headers, body, now)
}

#[test]
fn the_status_decides_where_the_body_says_nothing() {
    let cases = [
        (302, ServerError),
        (400, InvalidRequest),
        (401, Authentication),
        (402, QuotaExhausted),
        (403, Permission),
        (404, ModelNotFound),
        (405, Rejected),
        (407, Rejected),
        (408, ServerError),
        (409, ServerError),
        (410, ModelNotFound),
        (413, InvalidRequest),
        (415, Rejected),
        (418, Rejected),
        (421, Rejected),
        (422, InvalidRequest),
        (424, ServerError),
        (425, Rejected),
        (451, Rejected),
        (498, Overloaded),
        (499, ServerError),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, Overloaded),
        (504, ServerError),
        (520, ServerError),
        (524, ServerError),
        (529, Overloaded),
    ];
    for (status, kind) in cases {
        for body in [
            "",
            "  ",
            "<html>no</html>",
            "null",
            "[]",
            "{}",
            "7",
            "[[]]",
            "{\"error\":null}",
        ] {
            let failure = classified(status, &[], body.as_bytes());

            assert_eq!(failure.kind, kind, "{status} {body}");
            assert_eq!(failure.status, Some(status));
            assert_eq!(failure.provider_code, None, "{status} {body}");
            assert_eq!(failure.retry_after, None);
        }
    }
}

#[test]
fn the_body_says_what_the_status_does_not() {
    let cases = [
        (
            400,
            json!({"error": {"code": "context_length_exceeded"}}),
            ContextLength,
        ),
        (
            400,
            json!({"error": {"type": "exceed_context_size_error"}}),
            ContextLength,
        ),
        (
            400,
            json!({"message": "This model's maximum context length is 8192 tokens."}),
            ContextLength,
        ),
        (
            400,
            json!([{"error": {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8)."}}]),
            ContextLength,
        ),
        (
            400,
            json!({"error": {"message": "Provider returned error", "metadata": {"raw": "{\"message\":\"prompt is too long: 9 tokens > 8 maximum\"}"}}}),
            ContextLength,
        ),
        (
            400,
            json!({"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
            ContentBlocked,
        ),
        (
            400,
            json!({"error": {"code": null, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
            ContentBlocked,
        ),
        (
            400,
            json!({"error": {"details": [{"reason": "API_KEY_INVALID"}], "status": "INVALID_ARGUMENT"}}),
            Authentication,
        ),
        (
            400,
            json!({"code": "invalid-argument", "error": "Incorrect API key provided."}),
            Authentication,
        ),
        (
            400,
            json!({"error": {"message": "Your credit balance is too low to access the API."}}),
            QuotaExhausted,
        ),
        (
            400,
            json!({"error": {"code": "model_not_found"}}),
            ModelNotFound,
        ),
        (
            400,
            json!({"error": {"code": "previous_response_not_found"}}),
            InvalidRequest,
        ),
        (
            400,
            json!({"error": "openai/x is not a valid model ID"}),
            ModelNotFound,
        ),
        (
            400,
            json!({"detail": "The requested model 'x' does not exist."}),
            ModelNotFound,
        ),
        (
            413,
            json!({"error": {"type": "tokens", "code": "rate_limit_exceeded"}}),
            RateLimited,
        ),
        (
            429,
            json!({"error": {"type": "insufficient_quota"}}),
            QuotaExhausted,
        ),
        (
            429,
            json!({"error": {"code": "project_spend_limit_exceeded"}}),
            QuotaExhausted,
        ),
        (
            429,
            json!({"error": {"details": {"error_code": "enforced_spend_limit_reached"}}}),
            QuotaExhausted,
        ),
        (
            429,
            json!({"error": {"message": "You exceeded your current quota, please check your plan."}}),
            RateLimited,
        ),
        (
            429,
            json!({"error": {"details": [{"violations": [{"quotaId": "RequestsPerDayPerProject"}]}]}}),
            QuotaExhausted,
        ),
        (
            429,
            json!({"error": {"details": [{"violations": [{"quotaId": "RequestsPerMinute"}]}]}}),
            RateLimited,
        ),
        (
            429,
            json!({"error": {"type": "engine_overloaded_error"}}),
            Overloaded,
        ),
        (
            429,
            json!({"error": {"message": "当前分组上游负载已饱和"}}),
            Overloaded,
        ),
        (
            500,
            json!({"error": {"code": "context_length_exceeded"}}),
            ContextLength,
        ),
        (
            500,
            json!({"error": {"message": "Invalid API key"}}),
            Authentication,
        ),
        (
            503,
            json!({"error": {"message": "对于模型 无可用渠道"}}),
            ModelNotFound,
        ),
    ];
    for (status, body, kind) in cases {
        let failure = classified(status, &[], body.to_string().as_bytes());

        assert_eq!(failure.kind, kind, "{status} {body}");
    }
}

#[test]
fn the_type_of_an_aws_error_stands_in_a_header() {
    let header = ("x-amzn-errortype", "ThrottlingException:http://internal");

    let failure = classified(400, &[header], b"{\"message\":\"wait\"}");

    assert_eq!(failure.kind, RateLimited);
}

#[test]
fn the_providers_code_is_the_first_text_else_the_first_number() {
    let cases = [
        (
            json!({"error": {"code": "a", "status": "b", "type": "c"}}),
            Some("a"),
        ),
        (
            json!({"error": {"code": 400, "status": "b", "type": "c"}}),
            Some("b"),
        ),
        (
            json!({"error": {"code": "", "status": null, "type": "c"}}),
            Some("c"),
        ),
        (json!({"error": {"code": 400}}), Some("400")),
        (json!({"code": "a", "error": "text"}), Some("a")),
        (json!({"type": "error", "error": {"type": "c"}}), Some("c")),
        (json!({"code": "a", "error": {"message": "text"}}), None),
        (json!({"error": "text"}), None),
        (json!([{"error": {"status": "b"}}]), Some("b")),
    ];
    for (body, code) in cases {
        let failure = classified(400, &[], body.to_string().as_bytes());

        assert_eq!(failure.provider_code.as_deref(), code, "{body}");
    }
}

#[test]
fn the_first_positive_wait_counts() {
    let body = |delay: &str| json!({"error": {"details": [{"retryDelay": delay}]}}).to_string();
    let cases: [(&[Header], &str, Option<u64>); 15] = [
        (&[], "", None),
        (&[("retry-after", "2")], "", Some(2000)),
        (&[("retry-after", "0.5")], "", Some(500)),
        (&[("retry-after", "0")], "", None),
        (&[("retry-after", "-1")], "", None),
        (&[("retry-after", "inf")], "", None),
        (&[("retry-after", "soon")], "", None),
        (&[("retry-after", "1e300")], "", None),
        (
            &[("retry-after", "Sun, 09 Sep 2001 01:47:00 GMT")],
            "",
            Some(20_000),
        ),
        (
            &[("retry-after", "Sun, 09 Sep 2001 01:46:40 GMT")],
            "",
            None,
        ),
        (
            &[("retry-after", "Sun, 09 Sep 2001 01:46:00 GMT")],
            "34.4s",
            Some(34_400),
        ),
        (
            &[("retry-after-ms", "250"), ("retry-after", "1")],
            "",
            Some(250),
        ),
        (
            &[("retry-after-ms", "0"), ("retry-after", "1")],
            "9s",
            Some(1000),
        ),
        (&[], "34.4s", Some(34_400)),
        (&[], "34.4", None),
    ];
    for (headers, delay, milliseconds) in cases {
        let failure = classified(429, headers, body(delay).as_bytes());

        assert_eq!(
            failure.retry_after,
            milliseconds.map(Duration::from_millis),
            "{headers:?} {delay}"
        );
    }
}

#[test]
fn an_error_in_a_200_response_is_classified_by_what_it_says() {
    let cases = [
        (json!({"code": 429, "message": "slow down"}), RateLimited),
        (json!({"code": 503}), Overloaded),
        (
            json!({"code": 400, "message": "Token limit reached"}),
            InvalidRequest,
        ),
        (
            json!({"code": "tool_use_failed", "status_code": 400}),
            InvalidRequest,
        ),
        (json!({"code": 200, "message": "text"}), ServerError),
        (json!({"code": 3051, "message": "text"}), ServerError),
        (
            json!({"type": "error", "error": {"type": "overloaded_error"}}),
            Overloaded,
        ),
        (
            json!({"error": {"type": "service_unavailable_error", "code": "server_is_overloaded"}}),
            Overloaded,
        ),
        (json!({"type": "rate_limit_error"}), RateLimited),
        (
            json!({"type": "invalid_request_error", "message": "text"}),
            InvalidRequest,
        ),
        (json!({"type": "authentication_error"}), Authentication),
        (json!({"type": "permission_error"}), Permission),
        (
            json!({"type": "api_error", "message": "Internal server error"}),
            ServerError,
        ),
        (
            json!({"code": "unknown-error", "message": "text"}),
            ServerError,
        ),
        (json!({"error": "text"}), ServerError),
        (json!("text"), ServerError),
        (json!({}), Malformed),
        (json!({"error": {}}), Malformed),
        (json!({"error": {"message": ""}}), Malformed),
        (json!(null), Malformed),
    ];
    for (error, kind) in cases {
        let failure = in_band(error.to_string().as_bytes());

        assert_eq!(failure.kind, kind, "{error}");
        assert_eq!(failure.status, Some(200));
    }
}

#[test]
fn only_the_beginning_of_a_large_body_is_looked_at() {
    let padding = "ü".repeat(1024 * 1024);
    let hidden = format!("{padding} maximum context length");
    let seen = format!("maximum context length {padding}");

    assert_eq!(classified(400, &[], hidden.as_bytes()).kind, InvalidRequest);
    assert_eq!(classified(400, &[], seen.as_bytes()).kind, ContextLength);

    let late = format!("a{} maximum context length", "ü".repeat(4096));
    let message = json!({ "error": { "message": late } }).to_string();
    assert_eq!(
        classified(400, &[], message.as_bytes()).kind,
        InvalidRequest
    );
}

#[test]
fn every_code_and_word_of_the_table_is_spelled_as_it_is_looked_for() {
    for rule in rules() {
        for code in rule.codes_of() {
            let spelled = code.strip_prefix("base_resp/").unwrap_or(code);
            assert_eq!(text::code(spelled), spelled);
        }
        for word in rule.words() {
            assert_eq!(word, word.to_lowercase());
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "error",
        "code",
        "status",
        "type",
        "message",
        "details",
        "detail",
        "metadata",
        "raw",
        "innererror",
        "violations",
        "quotaId",
        "retryDelay",
        "reason",
        "status_code",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-zü0-9.]{0,8}s?".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_is_too_strange(
        status in 100u16..1000,
        retry_after in "[ -~]{0,12}",
        body in prop_oneof![
            any_json().prop_map(|json| json.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..200),
        ],
    ) {
        let headers = [
            ("retry-after", retry_after.as_str()),
            ("retry-after-ms", &retry_after),
            ("x-amzn-errortype", &retry_after),
        ];

        let failure = classified(status, &headers, &body);

        prop_assert_eq!(failure.status, Some(status));
        prop_assert_ne!(failure.retry_after, Some(Duration::ZERO));
    }

    #[test]
    fn no_error_in_band_is_too_strange(error in any_json()) {
        prop_assert_eq!(in_band(error.to_string().as_bytes()).status, Some(200));
    }
}
