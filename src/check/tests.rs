//! Requests as any door may make them; those of the contract are tried where they are parsed.

use crate::chat::{Message, Part, Role, ToolCall, ToolResult};

use super::*;

fn message(role: Role, parts: impl IntoIterator<Item = Part>) -> Message {
    Message {
        role,
        parts: parts.into_iter().collect(),
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "look_up".to_owned(),
        ..ToolCall::default()
    })
}

fn result(id: &str) -> Part {
    Part::ToolResult(ToolResult {
        tool_call_id: id.to_owned(),
        tool_name: String::new(),
        content: Vec::new(),
        is_error: false,
    })
}

fn fields(faults: Faults) -> Vec<String> {
    match faults.or(()) {
        Ok(()) => Vec::new(),
        Err(Error::InvalidRequest(violations)) => {
            violations.into_iter().map(|fault| fault.field).collect()
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_conversation_is_judged_without_any_door() {
    let mut messages = vec![
        message(Role::User, []),
        message(Role::System, [text("Be brief")]),
        message(Role::Assistant, [call("1"), result("1")]),
        message(Role::Tool, [result("2")]),
    ];
    let mut faults = Faults::default();

    check_conversation(&mut messages, &mut faults);

    assert_eq!(
        fields(faults),
        [
            "messages[0]",
            "messages[2].parts[1]",
            "messages[3].parts[0].tool_result.tool_call_id",
        ]
    );
}

#[test]
fn a_result_gets_the_name_of_the_tool_that_was_called() {
    let mut messages = vec![
        message(Role::Assistant, [call("1")]),
        message(Role::Tool, [result("1")]),
    ];
    let mut faults = Faults::default();

    check_conversation(&mut messages, &mut faults);

    assert_eq!(fields(faults), [""; 0]);
    let [Part::ToolResult(result)] = &messages[1].parts[..] else {
        panic!("a result became something else");
    };
    assert_eq!(result.tool_name, "look_up");
}

#[test]
fn what_a_door_has_refused_is_not_refused_again() {
    let mut messages = vec![
        message(Role::User, [call("1"), text("")]),
        message(Role::Tool, [result("1"), text("")]),
    ];
    let mut faults = Faults::default();
    faults.add("messages[0].role", "use a role that there is");
    faults.add("messages[1].parts[1].image", "set `data` or `uri`");

    check_conversation(&mut messages, &mut faults);

    assert_eq!(
        fields(faults),
        ["messages[0].role", "messages[1].parts[1].image"]
    );
}
