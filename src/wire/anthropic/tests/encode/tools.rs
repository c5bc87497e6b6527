//! How are tools, the choice among them and the schema of the answer written?

use super::*;
use crate::chat::FunctionTool;

#[test]
fn tools_and_schemas_keep_their_text() {
    let mut request = hello();
    request.tools = vec![
        tool(None, false),
        Tool::Function(FunctionTool {
            name: "weather".into(),
            description: "tells the weather".into(),
            parameters: Some(
                r#"{ "type":"object","properties":{"z":{},"a":{}},"additionalProperties":false}"#
                    .into(),
            ),
            strict: true,
        }),
    ];
    request.response_format = ResponseFormat::JsonSchema {
        description: String::new(),
        name: "answer".into(),
        schema: r#"{ "type":"object","z":1.0,"a":2,"additionalProperties":false}"#.into(),
        strict: true,
    };

    let body = written(ADAPTIVE, &request).body;
    let body = std::str::from_utf8(&body).unwrap();

    let tools = concat!(
        r#""tools":[{"name":"weather","input_schema":{"type":"object"}},"#,
        r#"{"name":"weather","description":"tells the weather","#,
        r#""input_schema":{ "type":"object","properties":{"z":{},"a":{}},"additionalProperties":false},"#,
        r#""strict":true}]"#
    );
    let format = concat!(
        r#""output_config":{"format":{"type":"json_schema","#,
        r#""schema":{ "type":"object","z":1.0,"a":2,"additionalProperties":false}}}"#
    );
    assert!(body.contains(tools), "{body}");
    assert!(body.contains(format), "{body}");

    request.tools[0] = tool(Some("{"), false);
    assert_refused(ADAPTIVE, &request, "tools.parameters");
}

#[test]
fn every_tool_choice_has_its_spelling() {
    let function = || ToolChoice::Function("weather".into());
    let table = [
        (ToolChoice::Auto, None, "null"),
        (
            ToolChoice::Auto,
            Some(false),
            r#"{"type":"auto","disable_parallel_tool_use":true}"#,
        ),
        (
            ToolChoice::Auto,
            Some(true),
            r#"{"type":"auto","disable_parallel_tool_use":false}"#,
        ),
        (ToolChoice::None, Some(false), r#"{"type":"none"}"#),
        (ToolChoice::Required, None, r#"{"type":"any"}"#),
        (
            ToolChoice::Required,
            Some(false),
            r#"{"type":"any","disable_parallel_tool_use":true}"#,
        ),
        (function(), None, r#"{"type":"tool","name":"weather"}"#),
        (
            function(),
            Some(false),
            r#"{"type":"tool","name":"weather","disable_parallel_tool_use":true}"#,
        ),
    ];
    for (tool_choice, parallel_tool_calls, expected) in table {
        let mut request = hello();
        request.tools = vec![tool(None, false)];
        request.tool_choice = tool_choice;
        request.parallel_tool_calls = parallel_tool_calls;

        assert_fields(
            ADAPTIVE,
            &request,
            &format!(r#"{{"tool_choice":{expected}}}"#),
        );
    }
}

#[test]
fn without_tools_no_tool_choice_is_made() {
    for tool_choice in [ToolChoice::Auto, ToolChoice::None] {
        let mut request = hello();
        request.tool_choice = tool_choice;
        request.parallel_tool_calls = Some(false);

        assert_fields(ADAPTIVE, &request, r#"{"tool_choice":null}"#);
    }
}

#[test]
fn a_schema_is_narrowed_with_a_warning_and_refused_where_that_would_change_it() {
    let asking = |schema: &str, tool: &str| {
        let mut request = hello();
        request.response_format = ResponseFormat::JsonSchema {
            description: String::new(),
            name: "answer".into(),
            schema: schema.into(),
            strict: false,
        };
        request.tools = vec![self::tool(Some(tool), true)];
        request
    };
    let open = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let closed = r#"{"type":"object","additionalProperties":false}"#;
    let wanting_more = r#"{"type":"object","additionalProperties":true}"#;

    let body = json(&written(ADAPTIVE, &asking(open, open)).body);
    let schema = &body["output_config"]["format"]["schema"];
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(&body["tools"][0]["input_schema"], schema);
    assert_eq!(
        adapted_fields(ADAPTIVE, &asking(open, open)),
        ["tools.parameters", "response_format.json_schema.schema"]
    );
    assert_eq!(adapted_fields(ADAPTIVE, &asking(closed, closed)), [""; 0]);
    assert_refused(
        ADAPTIVE,
        &asking(wanting_more, closed),
        "response_format.json_schema.schema",
    );
    assert_refused(ADAPTIVE, &asking(closed, wanting_more), "tools.parameters");
}
