//! Which signatures of earlier turns are sent back?

use super::*;

#[test]
fn what_this_provider_signed_goes_back_to_it() {
    let messages = vec![message(
        Role::Assistant,
        [
            reasoning("hm", "one", "gemini"),
            reasoning("so", "", "gemini"),
            Part::Text("yes".into()),
            reasoning("", "two", "gemini"),
            reasoning("", "", "gemini"),
        ],
    )];

    assert_eq!(
        contents(messages, Generation::Third),
        concat!(
            r#"[{"role":"model","parts":[{"text":"hm","thought":true,"thoughtSignature":"one"},"#,
            r#"{"text":"so","thought":true},{"text":"yes"},{"text":"","thoughtSignature":"two"}]}]"#
        )
    );
}

#[test]
fn what_another_provider_signed_is_left_out_and_told() {
    let request = chat(vec![
        message(
            Role::Assistant,
            [
                reasoning("hm", "one", "other"),
                reasoning("hm", "two", "other"),
                Part::ToolCall(signed(call("1", "{}"), "three", "other")),
                Part::ToolCall(signed(call("2", "{}"), "four", "other")),
            ],
        ),
        message(Role::Tool, [result("1", []), result("2", [])]),
        message(Role::Assistant, [reasoning("hm", "five", "other")]),
    ]);

    let older = encoded(&request, Generation::Second).unwrap();
    let newer = encoded(&request, Generation::Third).unwrap();

    let older_body = String::from_utf8(older.body.to_vec()).unwrap();
    assert!(!older_body.contains("hm") && !older_body.contains("thoughtSignature"));
    assert_eq!(
        fields(&older),
        [
            "messages.parts.reasoning",
            "messages.parts.tool_call.signature"
        ]
    );
    let newer_body = String::from_utf8(newer.body.to_vec()).unwrap();
    assert_eq!(newer_body.matches("thoughtSignature").count(), 1);
    assert!(newer_body.contains(
        r#"{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"skip_thought_signature_validator"}"#
    ));
}
