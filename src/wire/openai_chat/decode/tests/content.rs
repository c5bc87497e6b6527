//! In which fields and forms is the content of an answer found?

use super::*;

#[test]
fn content_comes_in_many_forms() {
    let cases: [(&str, &[&str]); 14] = [
        (r#"{"content":"a\n\u00e9"}"#, &["text a\né"]),
        (r#"{"content":null}"#, &[]),
        (r#"{"content":7}"#, &["text 7"]),
        (r#"{"content":{"odd":true}}"#, &[]),
        (
            r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
            &["text ab"],
        ),
        (
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]}"#,
            &["reasoning hm", "text a"],
        ),
        (
            r#"{"content":[{"type":"thinking","thinking":"hm"}]}"#,
            &["reasoning hm"],
        ),
        (
            r#"{"content":[{"type":"refusal","refusal":"no"}]}"#,
            &["refusal no"],
        ),
        (r#"{"content":[{"type":"text","reference_ids":[1]}]}"#, &[]),
        (r#"{"refusal":"no","content":null}"#, &["refusal no"]),
        (
            r#"{"reasoning_content":"hm","reasoning":"hm","content":""}"#,
            &["reasoning hm"],
        ),
        (
            r#"{"reasoning_content":null,"reasoning":"hm"}"#,
            &["reasoning hm"],
        ),
        (
            r#"{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}]}"#,
            &["reasoning hm"],
        ),
        (
            r#"{"reasoning_details":[{"type":"reasoning.summary","summary":"a"},{"text":"b"},{"data":"x"}]}"#,
            &["reasoning a", "reasoning b"],
        ),
    ];

    for (delta, expected) in cases {
        assert_eq!(of_deltas(&[delta]), expected, "{delta}");
    }
}

#[test]
fn only_the_first_choice_counts() {
    let (told, _) = streamed(&[
        r#"{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
    ]);

    assert_eq!(
        told,
        [
            "left out choices",
            "text a",
            "text a",
            "finish Stop stop",
            "done"
        ]
    );
}

#[test]
fn in_a_stream_the_message_beside_the_delta_is_a_repetition() {
    let (told, _) = streamed(&[
        r#"{"choices":[{"delta":{"content":"a"},"message":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"content":"b"},"message":{"content":"ab"},"finish_reason":"stop"}]}"#,
    ]);

    assert_eq!(told, ["text a", "text b", "finish Stop stop", "done"]);
}

#[test]
fn a_whole_body_is_an_answer_if_it_holds_one() {
    let cases: [(&str, &[&str], Option<UpstreamErrorKind>); 7] = [
        (
            "\n\n {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}",
            &["started c m", "text Hi", "finish Stop stop", "done"],
            None,
        ),
        (
            r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":null}]}"#,
            &["text Hi", "done"],
            None,
        ),
        (
            r#"{"choices":[{"finish_reason":"content_filter","content_filter_results":{}}]}"#,
            &["finish ContentFilter content_filter", "done"],
            None,
        ),
        // Calls of a whole body are whole, whatever their index and id.
        (
            r#"{"choices":[{"message":{"tool_calls":[{"index":0,"function":{"name":"f"}},{"index":0,"function":{"name":"g","arguments":"{}"}}]}}]}"#,
            &["call /f/", "call /g/", "arguments 1 {}", "done"],
            None,
        ),
        (
            r#"{"choices":[{"message":{"content":""},"finish_reason":""}]}"#,
            &[],
            Some(UpstreamErrorKind::Malformed),
        ),
        (r#"{"choices":[]}"#, &[], Some(UpstreamErrorKind::Malformed)),
        (r#"[]"#, &[], Some(UpstreamErrorKind::Malformed)),
    ];

    for (body, expected, error) in cases {
        let (told, kind) = whole(body);

        assert_eq!(told, expected, "{body}");
        assert_eq!(kind, error, "{body}");
    }
}

#[test]
fn an_answer_in_the_message_of_an_event_is_read_where_no_delta_came() {
    let all_at_once =
        r#"{"choices":[{"message":{"content":"all at once"},"finish_reason":"stop"}]}"#;
    let repeated = r#"{"choices":[{"message":{"content":"ab"},"finish_reason":"stop"}]}"#;
    let beginning = r#"{"choices":[{"delta":{"content":"ab"}}]}"#;

    assert_eq!(
        of_events(&[all_at_once, "[DONE]"]),
        ["text all at once", "finish Stop stop", "done"]
    );
    assert_eq!(
        of_events(&[beginning, repeated, "[DONE]"]),
        ["text ab", "finish Stop stop", "done"]
    );
}

#[test]
fn the_text_of_the_older_completions_api_is_read_where_nothing_else_is() {
    let piece = r#"{"choices":[{"text":"a","finish_reason":null}]}"#;
    let end = r#"{"choices":[{"text":"b","finish_reason":"stop"}]}"#;
    let beside = r#"{"choices":[{"delta":{"content":"a"},"text":"ab","finish_reason":"stop"}]}"#;

    assert_eq!(
        of_events(&[piece, end, "[DONE]"]),
        ["text a", "text b", "finish Stop stop", "done"]
    );
    assert_eq!(
        of_events(&[beside, "[DONE]"]),
        ["text a", "finish Stop stop", "done"]
    );
}
