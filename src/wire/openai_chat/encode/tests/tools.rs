//! How are tools and the choice among them written?

use super::*;
use crate::chat::FunctionTool;

#[test]
fn tools_go_in_as_they_were_written() {
    let mut request = hi();
    request.tools = vec![
        Tool::Function(FunctionTool {
            name: "weather".into(),
            description: "Tells the weather".into(),
            parameters: Some(
                r#"{ "type": "object", "x": 1.0, "additionalProperties": false }"#.into(),
            ),
            strict: true,
        }),
        Tool::Function(FunctionTool {
            name: "now".into(),
            description: String::new(),
            parameters: None,
            strict: false,
        }),
    ];

    let spelled = encode(&openai(), &request, &TO).unwrap();

    let body = std::str::from_utf8(&spelled.body).unwrap();
    assert!(body.ends_with(concat!(
        r#""tools":[{"type":"function","function":{"name":"weather","#,
        r#""description":"Tells the weather","parameters":{ "type": "object", "x": 1.0, "additionalProperties": false },"#,
        r#""strict":true}},{"type":"function","function":{"name":"now"}}]}"#
    )));
}

#[test]
fn the_choice_of_a_tool_is_spelled_in_the_words_of_the_host() {
    let mistral = Dialect {
        required_tool_choice: RequiredWord::Any,
        ..openai()
    };
    let by_name = json!({ "type": "function", "function": { "name": "now" } });
    let cases = [
        (openai(), ToolChoice::Auto, Value::Null),
        (openai(), ToolChoice::None, json!("none")),
        (openai(), ToolChoice::Required, json!("required")),
        (mistral, ToolChoice::Required, json!("any")),
        (openai(), ToolChoice::Function("now".into()), by_name),
    ];

    for (dialect, tool_choice, expected) in cases {
        let request = ChatRequest {
            tool_choice,
            ..with_tool(hi())
        };

        assert_eq!(spelled(&dialect, &request)["tool_choice"], expected);
    }
}

#[test]
fn what_speaks_of_tools_is_left_out_where_there_are_none() {
    let request = ChatRequest {
        tool_choice: ToolChoice::None,
        parallel_tool_calls: Some(false),
        ..hi()
    };

    let alone = spelled(&openai(), &request);
    let with_tools = spelled(&openai(), &with_tool(request));

    assert_eq!(alone, spelled(&openai(), &hi()));
    assert_eq!(with_tools["parallel_tool_calls"], false);
}
