//! Which reasoning of earlier turns is sent back, and in which field?

use super::*;

#[test]
fn reasoning_goes_back_only_to_whom_made_it_and_takes_it() {
    let taking = |reasoning_history| Dialect {
        reasoning_history,
        ..openai()
    };
    let told = vec!["messages.parts.reasoning"];
    let plain = json!([{ "role": "assistant", "content": "4" }]);
    let cases = [
        (
            ReasoningHistory::None,
            "primary",
            plain.clone(),
            told.clone(),
        ),
        (ReasoningHistory::ReasoningContent, "other", plain, told),
        (
            ReasoningHistory::ReasoningContent,
            "primary",
            json!([{ "role": "assistant", "content": "4", "reasoning_content": "2 + 2" }]),
            vec![],
        ),
        (
            ReasoningHistory::Reasoning,
            "primary",
            json!([{ "role": "assistant", "content": "4", "reasoning": "2 + 2" }]),
            vec![],
        ),
        (
            ReasoningHistory::ReasoningDetails,
            "primary",
            json!([{ "role": "assistant", "content": "4", "reasoning_details": [
                { "type": "reasoning.text", "text": "2 " },
                { "type": "reasoning.text", "text": "+ 2" },
            ] }]),
            vec![],
        ),
    ];

    for (reasoning_history, provider, expected, told) in cases {
        let history = [message(
            Role::Assistant,
            [
                reasoning(provider, "2 ", ""),
                reasoning(provider, "+ 2", ""),
                text("4"),
            ],
        )];

        assert_eq!(
            messages(&taking(reasoning_history), history),
            (expected, told),
            "{reasoning_history:?}"
        );
    }
}

#[test]
fn signed_reasoning_goes_back_as_the_entry_that_signed_it() {
    let openrouter = Dialect {
        reasoning_history: ReasoningHistory::ReasoningDetails,
        ..openai()
    };
    let cases = [
        (
            "2 + 2",
            r#"{"type":"reasoning.text","signature":"s","index":0}"#,
            json!([{ "type": "reasoning.text", "signature": "s", "index": 0, "text": "2 + 2" }]),
        ),
        (
            "2 + 2 and then",
            r#"{"type":"reasoning.text","text":"2 + 2","signature":"s"}"#,
            json!([{ "type": "reasoning.text", "text": "2 + 2", "signature": "s" }]),
        ),
        (
            "2 + 2",
            r#"{"type":"reasoning.encrypted","data":"d"}"#,
            json!([
                { "type": "reasoning.text", "text": "2 + 2" },
                { "type": "reasoning.encrypted", "data": "d" },
            ]),
        ),
        (
            "",
            r#"{"type":"reasoning.encrypted","data":"d"}"#,
            json!([{ "type": "reasoning.encrypted", "data": "d" }]),
        ),
        (
            "2 + 2",
            "not ours",
            json!([{ "type": "reasoning.text", "text": "2 + 2" }]),
        ),
    ];

    for (thought, signature, expected) in cases {
        let parts = [
            reasoning("primary", thought, signature),
            call("c", "now", "{}"),
        ];
        let (spelled, _) = messages(&openrouter, [message(Role::Assistant, parts)]);

        assert_eq!(spelled[0]["reasoning_details"], expected);
    }
}

#[test]
fn a_blank_stands_for_reasoning_that_the_host_demands_beside_calls_and_has_not_made() {
    let demanding = Dialect {
        reasoning_history: ReasoningHistory::ReasoningContent,
        ..openai()
    };
    for (thought, expected, adapted) in [
        (None, " ", vec!["messages.parts.reasoning"]),
        (
            Some(reasoning("elsewhere", "secret", "")),
            " ",
            vec!["messages.parts.reasoning"; 2],
        ),
        (Some(reasoning("primary", "own", "")), "own", vec![]),
    ] {
        let parts: Vec<_> = thought.into_iter().chain([call("1", "f", "{}")]).collect();
        let history = [
            message(Role::Assistant, parts),
            message(Role::Tool, [result("1", "f", [text("r")])]),
            message(Role::Assistant, [text("so")]),
            message(Role::User, [text("and?")]),
        ];

        let (messages, told) = messages(&demanding, history);

        assert_eq!(messages[0]["reasoning_content"], expected);
        assert_eq!(messages[2]["reasoning_content"], Value::Null);
        assert_eq!(told, adapted);
    }
}
