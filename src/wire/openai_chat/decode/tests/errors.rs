//! Which frames are errors, and which are passed over?

use super::*;

#[test]
fn errors_in_band_end_the_answer() {
    use UpstreamErrorKind::*;
    let cases = [
        // OpenAI
        (
            r#"{"error":{"message":"Slow down","type":"requests","code":"rate_limit_exceeded"}}"#,
            RateLimited,
        ),
        // OpenRouter: a status as the code, beside a choice
        (
            r#"{"id":"c","error":{"code":502,"message":"x"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
            ServerError,
        ),
        (
            r#"{"choices":[{"delta":{},"error":{"code":429,"message":"x"},"finish_reason":"error"}]}"#,
            RateLimited,
        ),
        // vLLM of old, FastAPI, Venice
        (
            r#"{"object":"error","message":"x","code":400}"#,
            InvalidRequest,
        ),
        (r#"{"detail":"it broke"}"#, ServerError),
        (r#"{"error":"it broke"}"#, ServerError),
        // MiniMax, Zhipu, and a code beside the error
        (
            r#"{"choices":null,"usage":{"total_tokens":0},"base_resp":{"status_code":1008,"status_msg":"x"}}"#,
            QuotaExhausted,
        ),
        (
            r#"{"choices":[],"base_resp":{"status_code":1002}}"#,
            RateLimited,
        ),
        (
            r#"{"code":401,"msg":"token expired or incorrect","success":false}"#,
            Authentication,
        ),
        (r#"{"code":30001,"error":{"message":"x"}}"#, QuotaExhausted),
        (r#"{"error":{}}"#, Malformed),
        ("<html>", Malformed),
        ("7", Malformed),
        ("[1", Malformed),
    ];

    for (frame, expected) in cases {
        let (_, of_stream) = streamed(&[frame]);
        let (_, of_body) = whole(frame);

        assert_eq!(of_stream, Some(expected), "{frame}");
        // A body that is no stream ends there in any case, so a mere reason does not hide the error.
        assert_eq!(of_body, Some(expected), "{frame}");
    }
}

#[test]
fn what_is_no_error_and_no_chunk_is_passed_over() {
    let text = chunk(r#"{"content":"a"}"#);
    let (told, error) = streamed(&[
        "",
        "  ",
        r#"{"type":"ping"}"#,
        r#"{"error":null,"choices":null}"#,
        r#"{"error":"","choices":[]}"#,
        r#"{"choices":"none"}"#,
        r#"{"choices":{},"usage":""}"#,
        r#"{"choices":[{"index":0,"content_filter_results":{}}]}"#,
        &text,
        " [DONE] ",
    ]);

    assert_eq!(told, ["text a", "done"]);
    assert_eq!(error, None);
}

#[test]
fn an_event_that_is_named_so_is_an_error() {
    let mut decoder = ChatDecoder::new(&Dialect::default(), Framing::Sse);
    let frame = Frame {
        event: "error",
        data: r#"{"code":"overloaded"}"#,
    };

    let error = decoder.frame(frame, &mut Vec::new()).unwrap_err();

    assert_eq!(error.provider_code.as_deref(), Some("overloaded"));
}

#[test]
fn an_error_that_says_nothing_is_none() {
    let errors = [
        r#"{"message":"","code":null}"#,
        r#"{"message":"","type":"","code":0}"#,
        "{}",
        "[]",
        "0",
        "false",
        r#""""#,
        "null",
    ];

    for error in errors {
        let event =
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"error":ERROR}"#
                .replace("ERROR", error);
        assert_eq!(
            of_events(&[&event, "[DONE]"]),
            ["text a", "finish Stop stop", "done"],
            "{error}"
        );
    }
}
