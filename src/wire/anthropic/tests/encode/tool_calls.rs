//! How are tool calls and their results written?

use super::*;

#[test]
fn tool_results_of_a_turn_stand_together_and_first() {
    let request = request(vec![
        message(Role::User, vec![text("weather?")]),
        message(
            Role::Assistant,
            vec![call("toolu_1", r#"{"city": "Bonn"}"#), call("toolu_2", " ")],
        ),
        message(Role::Tool, vec![result("toolu_1", vec![text("rain")])]),
        message(Role::User, vec![text("go on")]),
        message(
            Role::Tool,
            vec![Part::ToolResult(ToolResult {
                tool_call_id: "toolu_2".into(),
                tool_name: "weather".into(),
                content: vec![],
                is_error: true,
            })],
        ),
    ]);

    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"messages":[
            {"role":"user","content":[{"type":"text","text":"weather?"}]},
            {"role":"assistant","content":[
                {"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Bonn"}},
                {"type":"tool_use","id":"toolu_2","name":"weather","input":{}}]},
            {"role":"user","content":[
                {"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"rain"}]},
                {"type":"tool_result","tool_use_id":"toolu_2","content":[
                    {"type":"text","text":"The tool failed and did not say why."}],"is_error":true},
                {"type":"text","text":"go on"}]}]}"#,
    );
}

#[test]
fn ids_that_the_api_refuses_are_rewritten_alike_in_call_and_result() {
    let request = request(vec![
        message(Role::User, vec![text("weather?")]),
        message(Role::Assistant, vec![call("f.w:0", ""), call("f.w:1", "")]),
        message(
            Role::Tool,
            vec![result("f.w:0", vec![]), result("f.w:1", vec![])],
        ),
    ]);

    let body = json(&written(ADAPTIVE, &request).body);
    let [called, answered] = [1, 2].map(|turn| &body["messages"][turn]["content"]);

    assert_eq!(called[0]["id"], "toolu_662e773a30");
    assert_eq!(called[0]["id"], answered[0]["tool_use_id"]);
    assert_eq!(called[1]["id"], answered[1]["tool_use_id"]);
    assert_ne!(called[0]["id"], called[1]["id"]);
    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["messages.parts.tool_call.id"]
    );
}

#[test]
fn a_token_of_another_provider_at_a_tool_call_is_left_out_and_told() {
    let request = request(vec![
        message(Role::User, vec![text("weather?")]),
        message(
            Role::Assistant,
            vec![Part::ToolCall(ToolCall {
                id: "toolu_1".into(),
                name: "weather".into(),
                arguments: "{}".into(),
                signature: Bytes::from_static(b"thought"),
                provider: "gemini".into(),
            })],
        ),
        message(Role::Tool, vec![result("toolu_1", vec![])]),
    ]);

    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["messages.parts.tool_call.signature"]
    );
}

#[test]
fn ids_that_come_again_differ_on_the_wire_and_results_follow_their_calls() {
    let turn = |answer: &str| {
        [
            message(
                Role::Assistant,
                vec![call("f:0", "[1]"), call("f:0", r#"{"cut"#)],
            ),
            message(Role::Tool, vec![result("f:0", vec![text(answer)])]),
            message(Role::Tool, vec![result("f:0", vec![text("second")])]),
        ]
    };
    let mut request = hello();
    request
        .messages
        .extend(["a", "b"].into_iter().flat_map(turn));

    let body = json(&written(Anthropic::default(), &request).body);

    let blocks = |turn: usize| {
        body["messages"][turn]["content"]
            .as_array()
            .expect("a list")
    };
    let mut ids = std::collections::HashSet::new();
    for turn in [1, 3] {
        for (made, result) in blocks(turn).iter().zip(blocks(turn + 1)) {
            assert!(ids.insert(made["id"].to_string()), "{body:#}");
            assert_eq!(made["id"], result["tool_use_id"], "{body:#}");
        }
        assert_eq!(blocks(turn)[0]["input"], json(br#"{"arguments":[1]}"#));
        assert_eq!(blocks(turn)[1]["input"], json(br#"{"arguments":"{\"cut"}"#));
    }
    assert_eq!(ids.len(), 4);
    assert_eq!(
        adapted_fields(Anthropic::default(), &request),
        [
            "messages.parts.tool_call.id",
            "messages.parts.tool_call.arguments_json"
        ]
    );
}

#[test]
fn a_failed_tool_has_words_and_its_images_stand_beside_its_result() {
    let failed = |content| {
        Part::ToolResult(ToolResult {
            tool_call_id: "toolu_1".into(),
            tool_name: "weather".into(),
            content,
            is_error: true,
        })
    };
    let image = || Part::Image(media(data(b"png"), "image/png"));
    for (content, said) in [
        (vec![], "The tool failed and did not say why."),
        (vec![text(" ")], "The tool failed and did not say why."),
        (vec![text("timeout"), image()], "timeout"),
        (vec![image()], "The tool failed and did not say why."),
    ] {
        let is_shown = content.iter().any(|part| matches!(part, Part::Image(_)));
        let mut request = hello();
        request.messages.extend([
            message(Role::Assistant, vec![call("toolu_1", "{}")]),
            message(Role::Tool, vec![failed(content)]),
        ]);

        let body = json(&written(Anthropic::default(), &request).body);

        let blocks = body["messages"][2]["content"].as_array().expect("blocks");
        assert_eq!(
            blocks[0]["content"],
            serde_json::json!([{"type": "text", "text": said}])
        );
        assert_eq!(blocks.len(), 1 + usize::from(is_shown), "{body:#}");
    }
}
