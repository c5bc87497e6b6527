//! How are the pieces of tool calls put together?

use super::*;

#[test]
fn fragments_find_their_calls() {
    let cases: [(&str, &[&str], &[&str]); 13] = [
        (
            "two calls interleave",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#,
                r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"1"}},{"index":1,"function":{"arguments":"}"}}]}"#,
            ],
            &[
                "call a/f/",
                "call b/g/",
                "arguments 1 {",
                "arguments 0 1",
                "arguments 1 }",
            ],
        ),
        (
            "id and name are repeated or emptied",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"","function":{"name":null,"arguments":"3"}}]}"#,
            ],
            &[
                "call a/f/",
                "arguments 0 1",
                "arguments 0 2",
                "arguments 0 3",
            ],
        ),
        (
            "another id with a name begins a call at the same index",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":" "}}]}"#,
            ],
            &[
                "call a/f/",
                "arguments 0 {}",
                "call b/f/",
                "arguments 1 {}",
                "arguments 1  ",
            ],
        ),
        (
            "another id without a name does not",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"b","function":{"arguments":"2"}}]}"#,
            ],
            &["call a/f/", "arguments 0 1", "arguments 0 2"],
        ),
        (
            "without an index an id begins a call",
            &[
                r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"1"}}]}"#,
                r#"{"tool_calls":[{"function":{"arguments":"2"}}]}"#,
                r#"{"tool_calls":[{"id":"a","function":{"arguments":"3"}}]}"#,
                r#"{"tool_calls":[{"id":"b","function":{"name":"g"}}]}"#,
            ],
            &[
                "call a/f/",
                "arguments 0 1",
                "arguments 0 2",
                "arguments 0 3",
                "call b/g/",
            ],
        ),
        (
            "a name that comes late holds back its call and those behind it",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"1"}}]}"#,
                r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"2"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"3"}}]}"#,
            ],
            &["call a/f/", "arguments 0 13", "call b/g/", "arguments 1 2"],
        ),
        (
            "a name that never comes does not lose the call",
            &[r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"1"}}]}"#],
            &["call a//", "arguments 0 1"],
        ),
        (
            "an object is taken for its text",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"b": [1, 2.0], "a": null}}}]}"#,
            ],
            &["call a/f/", r#"arguments 0 {"b":[1,2.0],"a":null}"#],
        ),
        (
            "null is no argument",
            &[r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":null}}]}"#],
            &["call a/f/"],
        ),
        (
            "Gemini signs its calls",
            &[
                r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}]}"#,
            ],
            &["call /f/s", "arguments 0 {}"],
        ),
        (
            "a custom tool takes free text",
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","type":"custom","function":{"name":"","arguments":""},"custom":{"name":"f","input":"4 + 4"}}]}"#,
            ],
            &["call a/f/", "arguments 0 4 + 4"],
        ),
        (
            "the older field holds one call",
            &[
                r#"{"function_call":{"name":"f","arguments":""}}"#,
                r#"{"function_call":{"arguments":"{}"}}"#,
            ],
            &["call /f/", "arguments 0 {}"],
        ),
        (
            "empty calls are none",
            &[
                r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":""}}],"function_call":{"name":"","arguments":""}}"#,
            ],
            &[],
        ),
    ];

    for (situation, deltas, expected) in cases {
        assert_eq!(of_deltas(deltas), expected, "{situation}");
    }
}

#[test]
fn what_cannot_be_told_yet_of_calls_has_an_end() {
    let piece = "x".repeat(1 << 20);
    let named = chunk(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}"#);
    let fragment = chunk(&format!(
        r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":"{piece}"}}}}]}}"#
    ));
    let mut frames = vec![fragment.as_str(); 33];

    let (_, end) = streamed(&frames);
    assert_eq!(end, Some(UpstreamErrorKind::Malformed));

    frames.insert(0, &named);
    frames.push("[DONE]");
    let (events, end) = streamed(&frames);
    assert_eq!((events.len(), end), (35, None));
}

#[test]
fn a_call_of_a_broken_answer_is_told_as_far_as_it_had_come() {
    let begun = chunk(r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{"}}]}"#);
    let told = || vec!["call a//".to_owned(), "arguments 0 {".to_owned()];

    assert_eq!(
        streamed(&[&begun]),
        (told(), Some(UpstreamErrorKind::Truncated))
    );
    assert_eq!(
        streamed(&[&begun, "{"]),
        (told(), Some(UpstreamErrorKind::Malformed))
    );
    assert_eq!(
        streamed(&[&begun, r#"{"error":{"message":"it broke"}}"#]),
        (told(), Some(UpstreamErrorKind::ServerError))
    );
}

#[test]
fn a_call_that_stands_in_both_fields_is_one_call() {
    let delta = r#"{"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"f","arguments":"{}"}}"#;

    assert_eq!(of_deltas(&[delta]), ["call 1/f/", "arguments 0 {}"]);
}
