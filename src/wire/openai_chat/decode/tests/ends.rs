//! When is an answer complete, and why did it end?

use super::*;

#[test]
fn a_stream_begins_ends_and_is_counted() {
    let (told, error) = streamed(&[
        r#"{"id":"","model":"","choices":[],"prompt_filter_results":[]}"#,
        r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}"#,
        r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
        "[DONE]",
    ]);

    assert_eq!(
        told,
        [
            "started c m",
            "text Hi",
            "finish Stop stop",
            "usage 3 (read 0, written 0) 1 (reasoning 0)",
            "done",
        ]
    );
    assert_eq!(error, None);
}

#[test]
fn the_end_of_the_body_is_an_end_only_after_a_reason() {
    let finish = r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":"length"}]}"#;

    assert_eq!(
        streamed(&[finish]),
        (
            vec![
                "text Hi".into(),
                "finish MaxTokens length".into(),
                "done".into()
            ],
            None
        )
    );
    assert_eq!(
        streamed(&[&chunk(r#"{"content":"Hi"}"#)]),
        (vec!["text Hi".into()], Some(UpstreamErrorKind::Truncated))
    );
    assert_eq!(streamed(&[]), (vec![], Some(UpstreamErrorKind::Truncated)));
}

#[test]
fn a_reason_says_the_end_only_where_earlier_pieces_had_none() {
    let piece = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
    let last = r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#;
    let empty = r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}"#;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    for (chunks, expected) in [
        (vec![last], false),
        (vec![last, last], false),
        (vec![last, piece, last], false),
        (vec![piece], false),
        (vec![piece, last], true),
        (vec![piece, last, usage], true),
        (vec![piece, last, empty], true),
        (vec![piece, last, piece], false),
    ] {
        let mut decoder = ChatDecoder::new(&Dialect::default(), Framing::Sse);
        for data in &chunks {
            let read = decoder.frame(Frame { event: "", data }, &mut Vec::new());
            assert_eq!(read, Ok(()));
        }

        assert_eq!(decoder.is_complete(), expected, "{chunks:?}");
    }
}

#[test]
fn reasons_are_mapped_and_kept() {
    let cases = [
        (r#""finish_reason":"eos""#, Some("finish Stop eos")),
        (
            r#""finish_reason":"eos_token""#, // TGI
            Some("finish Stop eos_token"),
        ),
        (
            r#""finish_reason":"model_length""#,
            Some("finish MaxTokens model_length"),
        ),
        (
            r#""finish_reason":"tool_use""#,
            Some("finish ToolCalls tool_use"),
        ),
        (
            r#""finish_reason":"safety""#,
            Some("finish ContentFilter safety"),
        ),
        (r#""finish_reason":"bored""#, Some("finish Other bored")),
        (r#""finish_reason":"""#, None),
        (r#""finish_reason":null"#, None),
        (
            r#""finish_details":{"type":"stop","stop":"x"}"#,
            Some("finish Stop stop"),
        ),
        (
            r#""finish_reason":null,"native_finish_reason":"stop""#,
            None,
        ),
    ];

    for (fields, expected) in cases {
        let chunk = format!(r#"{{"choices":[{{"delta":{{"content":"Hi"}},{fields}}}]}}"#);
        let (told, _) = streamed(&[&chunk, "[DONE]"]);

        assert_eq!(
            told.get(1).map(String::as_str),
            expected.or(Some("done")),
            "{fields}"
        );
    }
}

#[test]
fn an_answer_that_the_provider_gives_up_is_not_complete() {
    for (reason, kind) in [
        ("error", UpstreamErrorKind::ServerError),
        ("abort", UpstreamErrorKind::ServerError),
        (
            "insufficient_system_resource",
            UpstreamErrorKind::Overloaded,
        ),
    ] {
        let last = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
        let body = format!(
            r#"{{"choices":[{{"message":{{"content":"Hi"}},"finish_reason":"{reason}"}}]}}"#
        );
        let hi = chunk(r#"{"content":"Hi"}"#);

        let broken = (vec!["text Hi".to_owned()], Some(kind));
        assert_eq!(streamed(&[&hi, &last, "[DONE]"]), broken, "{reason}");
        assert_eq!(streamed(&[&last, "[DONE]"]), (vec![], Some(kind)));
        assert_eq!(whole(&body), broken, "{reason}");
    }
}

#[test]
fn an_end_alone_is_no_answer() {
    let role = chunk(r#"{"role":"assistant","content":""}"#);

    for frames in [&["[DONE]"][..], &[&role, "[DONE]"]] {
        let nothing = (vec![], Some(UpstreamErrorKind::Truncated));
        assert_eq!(streamed(frames), nothing, "{frames:?}");
    }
}

#[test]
fn hosts_have_words_of_their_own_for_an_end() {
    let ends = |reason: &str| {
        let event =
            format!(r#"{{"choices":[{{"delta":{{"content":"a"}},"finish_reason":"{reason}"}}]}}"#);
        read(&Dialect::default(), Framing::Sse, &[&event, "[DONE]"])
    };

    for (reason, expected) in [
        ("sensitive", FinishReason::ContentFilter),
        ("model_context_window_exceeded", FinishReason::MaxTokens),
    ] {
        let (events, _) = ends(reason);
        assert!(
            events.iter().any(
                |event| matches!(event, ChatEvent::Finish(finish) if finish.reason == expected)
            )
        );
    }
    let (_, end) = ends("network_error");
    assert_eq!(end.unwrap_err().kind, UpstreamErrorKind::ServerError);
}
