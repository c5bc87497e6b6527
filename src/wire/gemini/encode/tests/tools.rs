//! How are tools and the choice among them written?

use super::*;
use crate::chat::FunctionTool;

#[test]
fn tools_and_their_choice_are_written() {
    let declared = r#""tools":[{"functionDeclarations":[{"name":"f","description":"does","parametersJsonSchema":{"type":"object"}}]}]"#;
    for (strict, tool_choice, config) in [
        (false, ToolChoice::Auto, ""),
        (true, ToolChoice::Auto, r#"{"mode":"VALIDATED"}"#),
        (true, ToolChoice::None, r#"{"mode":"NONE"}"#),
        (false, ToolChoice::Required, r#"{"mode":"ANY"}"#),
        (
            true,
            ToolChoice::Function("f".into()),
            r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#,
        ),
    ] {
        let request = ChatRequest {
            tools: vec![tool(strict)],
            tool_choice,
            ..ChatRequest::default()
        };
        let config = match config {
            "" => String::new(),
            config => format!(r#","toolConfig":{{"functionCallingConfig":{config}}}"#),
        };
        assert_eq!(
            options(request, Generation::Second),
            format!("{{,{declared}{config}}}")
        );
    }
    let without_arguments = ChatRequest {
        tools: vec![Tool::Function(FunctionTool {
            name: "f".into(),
            ..FunctionTool::default()
        })],
        ..ChatRequest::default()
    };
    assert_eq!(
        options(without_arguments, Generation::Third),
        r#"{,"tools":[{"functionDeclarations":[{"name":"f"}]}]}"#
    );
}
