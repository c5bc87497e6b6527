//! How are pieces that only their provider understands sent back, and a paused answer continued?

use super::*;
use crate::chat::ProviderPart;

const SEARCH: &str =
    r#"{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{ "query":"x" }}"#;
const RESULT: &str = r#"{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}"#;

fn provided(provider: &str, content: &str) -> Part {
    let kind = json(content.as_bytes())["type"]
        .as_str()
        .unwrap()
        .to_owned();
    Part::Provider(ProviderPart {
        provider: provider.into(),
        kind,
        content: content.into(),
    })
}

fn searched(provider: &str) -> ChatRequest {
    let mut request = hello();
    request.messages.push(message(
        Role::Assistant,
        vec![
            text("let me see"),
            provided(provider, SEARCH),
            provided(provider, RESULT),
            text("so"),
        ],
    ));
    request
}

#[test]
fn they_go_back_unchanged_and_in_place_to_their_own_provider_alone() {
    let mut own = searched("anthropic");
    own.messages.push(message(Role::User, vec![text("go on")]));
    let mut foreign = searched("other");
    foreign
        .messages
        .push(message(Role::User, vec![text("go on")]));

    let body = written(ADAPTIVE, &own).body;
    let body = std::str::from_utf8(&body).unwrap();
    let content = format!(
        r#""content":[{{"type":"text","text":"let me see"}},{SEARCH},{RESULT},{{"type":"text","text":"so"}}]"#
    );
    assert!(body.contains(&content), "{body}");
    assert_eq!(adapted_fields(ADAPTIVE, &own), [""; 0]);

    assert_fields(
        ADAPTIVE,
        &foreign,
        r#"{"messages":[
            {"role":"user","content":[{"type":"text","text":"hello"}]},
            {"role":"assistant","content":[{"type":"text","text":"let me see"},{"type":"text","text":"so"}]},
            {"role":"user","content":[{"type":"text","text":"go on"}]}]}"#,
    );
    assert_eq!(
        adapted_fields(ADAPTIVE, &foreign),
        ["messages.parts.provider_part"]
    );
}

#[test]
fn a_paused_answer_is_continued_by_its_own_provider_alone() {
    let body = json(&written(ADAPTIVE, &searched("anthropic")).body);

    assert_eq!(body["messages"][1]["role"], "assistant");
    assert_eq!(body["messages"][1]["content"].as_array().unwrap().len(), 4);
    assert_refused(ADAPTIVE, &searched("other"), "messages");
}

#[test]
fn a_budget_is_refused_where_the_paused_turn_began_without_thinking() {
    let mut request = searched("anthropic");
    request.reasoning.effort = Some(ReasoningEffort::High);
    assert_refused(BUDGET, &request, "reasoning");

    let signed = reasoning("anthropic", "hm", Opaque::Signature("EqQB").to_bytes());
    request.messages[1].parts.insert(0, signed);
    assert!(BUDGET.encode(&request, &TO).is_ok());
}

#[test]
fn pieces_of_betas_name_their_beta() {
    for (content, beta) in [
        (
            r#"{"type":"compaction","content":"x"}"#,
            "compact-2026-01-12",
        ),
        (
            r#"{"type":"mcp_tool_use","id":"a","name":"b","server_name":"c","input":{}}"#,
            "mcp-client-2025-11-20",
        ),
        (
            r#"{"type":"container_upload","file_id":"file_1"}"#,
            "files-api-2025-04-14",
        ),
    ] {
        let mut request = hello();
        request.messages.push(message(
            Role::Assistant,
            vec![provided("anthropic", content)],
        ));

        let headers = written(ADAPTIVE, &request).headers;

        assert_eq!(headers["anthropic-beta"], beta);
    }
    assert!(
        !written(ADAPTIVE, &searched("anthropic"))
            .headers
            .contains_key("anthropic-beta")
    );
}
