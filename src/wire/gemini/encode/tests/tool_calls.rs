//! How are tool calls and their results written?

use super::*;
use crate::wire::options::NO_OPTIONS;

#[test]
fn a_tool_loop_keeps_ids_arguments_and_the_order_of_the_calls() {
    let messages = vec![
        text(Role::User, "go"),
        message(
            Role::Assistant,
            [
                Part::ToolCall(signed(call("1", r#"{"a": 1.50}"#), "sig", "gemini")),
                Part::ToolCall(call("2", "")),
            ],
        ),
        message(
            Role::Tool,
            [result("2", [Part::Text(r#" {"ok":true}"#.into())])],
        ),
        message(
            Role::Tool,
            [result(
                "1",
                [Part::Text("4".into()), Part::Text("2".into())],
            )],
        ),
        text(Role::User, "next"),
    ];

    assert_eq!(
        contents(messages, Generation::Third),
        concat!(
            r#"[{"role":"user","parts":[{"text":"go"}]},"#,
            r#"{"role":"model","parts":["#,
            r#"{"functionCall":{"id":"1","name":"f","args":{"a": 1.50}},"thoughtSignature":"sig"},"#,
            r#"{"functionCall":{"id":"2","name":"f","args":{}}}]},"#,
            r#"{"role":"user","parts":["#,
            r#"{"functionResponse":{"id":"1","name":"f","response":{"result":"4\n2"}}},"#,
            r#"{"functionResponse":{"id":"2","name":"f","response":{"ok":true}}},"#,
            r#"{"text":"next"}]}]"#
        )
    );
}

#[test]
fn a_dialect_without_ids_sends_none() {
    let request = chat(vec![
        message(Role::Assistant, [Part::ToolCall(call("1", "{}"))]),
        message(Role::Tool, [result("1", [])]),
    ]);
    let to = Recipient {
        provider: "gemini",
        model: "m",
        max_output_tokens: None,
        stream: false,
        options: &NO_OPTIONS,
    };
    let without_ids = Asking {
        call_ids: false,
        ..asking(Generation::Second)
    };

    let written = encode(&request, &to, without_ids).unwrap();

    assert_eq!(
        written.body,
        concat!(
            r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":""}}}]}]}"#
        )
    );
}

#[test]
fn a_tool_result_is_an_object_and_says_when_it_is_an_error() {
    for (content, is_error, expected) in [
        (r#"{"a":1}"#, false, r#"{"a":1}"#),
        (r#"{"a":1}"#, true, r#"{"error":{"a":1}}"#),
        ("[1]", false, r#"{"result":"[1]"}"#),
        ("{broken", false, r#"{"result":"{broken"}"#),
        ("it \"broke\"", true, r#"{"error":"it \"broke\""}"#),
    ] {
        assert_eq!(
            serde_json::to_string(&output(&[content], is_error)).unwrap(),
            expected
        );
    }
}

#[test]
fn ids_that_come_again_differ_on_the_wire_and_results_follow_their_calls() {
    let result = |text: &str| {
        message(
            Role::Tool,
            [Part::ToolResult(ToolResult {
                tool_call_id: "1".into(),
                tool_name: "f".into(),
                content: vec![Part::Text(text.into())],
                is_error: false,
            })],
        )
    };
    let messages = vec![
        message(Role::Assistant, [Part::ToolCall(call("1", "[1]"))]),
        result("a"),
        message(Role::Assistant, [Part::ToolCall(call("1", r#"{"cut"#))]),
        result("b"),
    ];

    assert_eq!(
        contents(messages, Generation::Second),
        concat!(
            r#"[{"role":"model","parts":[{"functionCall":{"id":"1","name":"f","args":{"arguments":[1]}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"id":"1","name":"f","response":{"result":"a"}}}]},"#,
            r#"{"role":"model","parts":[{"functionCall":{"id":"1_2","name":"f","args":{"arguments":"{\"cut"}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"id":"1_2","name":"f","response":{"result":"b"}}}]}]"#,
        )
    );
}
