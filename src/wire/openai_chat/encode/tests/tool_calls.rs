//! How are tool calls and their results written?

use super::*;

#[test]
fn tool_calls_and_results_keep_their_ids_and_texts() {
    let history = [
        message(
            Role::Assistant,
            [
                text("I look."),
                call("call_a", "weather", r#"{"city": "Oslo"}"#),
                call("call_b", "now", ""),
            ],
        ),
        message(
            Role::Tool,
            [
                result("call_b", "now", [text("noon")]),
                result("call_a", "weather", [text("cold"), text("wet")]),
            ],
        ),
        message(Role::Assistant, [call("call_c", "now", "{}")]),
        message(Role::Tool, [result("call_c", "now", [])]),
    ];

    assert_eq!(
        messages(&openai(), history).0,
        json!([
            { "role": "assistant", "content": "I look.", "tool_calls": [
                { "id": "call_a", "type": "function", "function": {
                    "name": "weather",
                    "arguments": "{\"city\": \"Oslo\"}",
                } },
                { "id": "call_b", "type": "function", "function": {
                    "name": "now",
                    "arguments": "{}",
                } },
            ] },
            { "role": "tool", "tool_call_id": "call_b", "content": "noon" },
            { "role": "tool", "tool_call_id": "call_a", "content": "cold\nwet" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "call_c", "type": "function", "function": {
                    "name": "now",
                    "arguments": "{}",
                } },
            ] },
            { "role": "tool", "tool_call_id": "call_c", "content": "" },
        ])
    );
}

#[test]
fn a_call_without_id_gets_one_and_its_result_the_same() {
    let history = || {
        [
            message(Role::Assistant, [call("", "a", "{}"), call("", "b", "{}")]),
            message(Role::Tool, [result("", "b", []), result("", "a", [])]),
        ]
    };
    let nine = Dialect {
        tool_call_ids: ToolCallIds::NineAlphanumerics,
        ..openai()
    };
    let ids = |spelled: &Value| {
        [
            spelled[0]["tool_calls"][0]["id"].clone(),
            spelled[0]["tool_calls"][1]["id"].clone(),
            spelled[2]["tool_call_id"].clone(),
            spelled[1]["tool_call_id"].clone(),
        ]
    };

    assert_eq!(
        ids(&messages(&openai(), history()).0),
        ["call_0", "call_1", "call_0", "call_1"]
    );
    let [a, b, of_a, of_b] = ids(&messages(&nine, history()).0);
    assert_eq!((&a, &b), (&of_a, &of_b));
    assert_ne!(a, b);
    assert_eq!(a.as_str().unwrap().len(), 9);
}

#[test]
fn what_a_tool_message_cannot_say_is_refused_or_told() {
    let film = Part::Video(uri("https://example.com/a.mp4"));
    let with_film = conversation([message(Role::Tool, [result("a", "t", [film])])]);
    let failed = Part::ToolResult(ToolResult {
        tool_call_id: "a".into(),
        tool_name: "t".into(),
        content: vec![text("no such city")],
        is_error: true,
    });

    assert_eq!(
        refused(&openai(), &with_film),
        Unsupported::Feature(Feature::VideoUri)
    );
    assert_eq!(
        messages(&openai(), [message(Role::Tool, [failed])]),
        (
            json!([{ "role": "tool", "tool_call_id": "a", "content": "no such city" }]),
            vec!["messages.parts.tool_result.is_error"]
        )
    );
}

#[test]
fn the_signature_of_a_call_goes_back_only_to_whom_made_it() {
    let signed = |provider: &str| {
        Part::ToolCall(ToolCall {
            id: "c".into(),
            name: "now".into(),
            arguments: "{}".into(),
            signature: Bytes::from_static(b"sig"),
            provider: provider.to_owned(),
        })
    };
    let cases = [
        (
            "primary",
            json!({ "google": { "thought_signature": "sig" } }),
            vec![],
        ),
        (
            "other",
            Value::Null,
            vec!["messages.parts.tool_call.signature"],
        ),
    ];

    for (provider, expected, told) in cases {
        let history = [message(Role::Assistant, [signed(provider)])];
        let (spelled, adapted) = messages(&openai(), history);

        assert_eq!(spelled[0]["tool_calls"][0]["extra_content"], expected);
        assert_eq!(adapted, told);
    }
}

#[test]
fn ids_stay_as_they_are_in_a_later_message_and_differ_within_one() {
    let turn = || {
        [
            message(
                Role::Assistant,
                [call("f:0", "f", "[1]"), call("f:0", "f", "{\"cut")],
            ),
            message(
                Role::Tool,
                [
                    result("f:0", "f", [text("a")]),
                    result("f:0", "f", [text("b")]),
                ],
            ),
        ]
    };

    let (messages, adapted) = messages(&openai(), [turn(), turn()].concat());

    for assistant in [0, 3] {
        let calls = &messages[assistant]["tool_calls"];
        assert_eq!(calls[0]["id"], "f:0");
        assert_eq!(calls[1]["id"], "f:0_2");
        assert_eq!(messages[assistant + 1]["tool_call_id"], "f:0");
        assert_eq!(messages[assistant + 2]["tool_call_id"], "f:0_2");
        assert_eq!(calls[0]["function"]["arguments"], r#"{"arguments":[1]}"#);
        assert_eq!(
            calls[1]["function"]["arguments"],
            r#"{"arguments":"{\"cut"}"#
        );
    }
    assert_eq!(adapted, ["messages.parts.tool_call.arguments_json"]);
}

#[test]
fn a_tool_that_failed_without_a_word_gets_some() {
    let failed = Part::ToolResult(ToolResult {
        tool_call_id: "a".into(),
        tool_name: "t".into(),
        content: vec![text(" ")],
        is_error: true,
    });

    let (messages, _) = messages(&openai(), [message(Role::Tool, [failed])]);

    assert_eq!(
        messages[0]["content"],
        "The tool failed and did not say why."
    );
}
