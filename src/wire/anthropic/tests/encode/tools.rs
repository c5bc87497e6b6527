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

#[test]
fn tools_of_the_provider_stand_in_the_callers_order() {
    use crate::chat::{ProviderOptions, WebSearch};
    use crate::wire::options::AllowedOptions;
    let definition = |target: &str, fields: &str, optional| ProviderOptions {
        target: target.into(),
        fields: fields.into(),
        optional,
    };
    let fetch = r#"{"type":"web_fetch_20250910","name":"web_fetch","max_uses":2}"#;
    let mut request = hello();
    request.tools = vec![
        Tool::WebSearch(WebSearch {
            max_uses: Some(3),
            allowed_domains: vec!["example.com".into()],
            blocked_domains: vec![],
        }),
        tool(None, false),
        Tool::Provider(vec![
            definition("gemini", r#"{"url_context":{}}"#, false),
            definition("anthropic", fetch, false),
        ]),
        Tool::CodeExecution,
        Tool::Provider(vec![definition("gemini", r#"{"google_maps":{}}"#, true)]),
        Tool::Provider(vec![definition(
            "anthropic",
            r#"{"type":"computer_20251124","name":"computer"}"#,
            false,
        )]),
    ];
    let all = AllowedOptions::all();
    let to = Recipient {
        options: &all,
        ..TO
    };

    let sent = ADAPTIVE.encode(&request, &to).unwrap();

    assert_eq!(
        json(&sent.body)["tools"],
        json(
            format!(
                r#"[{{"type":"web_search_20250305","name":"web_search","max_uses":3,"allowed_domains":["example.com"]}},
                {{"name":"weather","input_schema":{{"type":"object"}}}},
                {fetch},
                {{"type":"code_execution_20250825","name":"code_execution"}},
                {{"type":"computer_20251124","name":"computer"}}]"#
            )
            .as_bytes()
        )
    );
    assert_eq!(sent.headers["anthropic-beta"], "computer-use-2025-11-24");
    let fields: Vec<_> = sent.adaptations.iter().map(|one| &*one.field).collect();
    assert_eq!(fields, ["tools[4].provider_tool.definitions"]);
}

#[test]
fn options_of_the_request_name_the_betas_that_they_need() {
    use crate::chat::ProviderOptions;
    for (fields, expected) in [
        (r#"{"inference_geo":"us"}"#, None),
        (
            r#"{"context_management":{"edits":[{"type":"compact_20260112"}]}}"#,
            Some("context-management-2025-06-27,compact-2026-01-12"),
        ),
        (r#"{"mcp_servers":[]}"#, Some("mcp-client-2025-04-04")),
        (
            r#"{"mcp_servers":[],"tools":[{"type":"mcp_toolset"}]}"#,
            Some("mcp-client-2025-11-20"),
        ),
    ] {
        let mut request = hello();
        request.options = vec![ProviderOptions {
            target: "anthropic".into(),
            fields: fields.into(),
            optional: false,
        }];

        let headers = written(ADAPTIVE, &request).headers;

        let betas = headers.get("anthropic-beta");
        assert_eq!(betas.map(|betas| betas.to_str().unwrap()), expected);
    }
}

#[test]
fn of_a_subset_of_tools_only_the_allowed_ones_are_sent() {
    let named = |name: &str| {
        Tool::Function(FunctionTool {
            name: name.into(),
            ..FunctionTool::default()
        })
    };
    let allowed = |names: &[&str], required| {
        let mut request = hello();
        request.tools = vec![named("a"), named("b"), Tool::CodeExecution];
        request.tool_choice = ToolChoice::Allowed {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            required,
        };
        request
    };

    let some = allowed(&["b"], true);
    assert_fields(
        ADAPTIVE,
        &some,
        r#"{"tools":[{"name":"b","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}}"#,
    );
    assert_eq!(adapted_fields(ADAPTIVE, &some), ["tool_choice.allowed"]);

    let mut every = allowed(&["a", "b"], false);
    every.tools.pop();
    assert_fields(ADAPTIVE, &every, r#"{"tool_choice":null}"#);
    assert_eq!(adapted_fields(ADAPTIVE, &every), [""; 0]);
}

#[test]
fn what_the_answer_is_for_has_no_place_and_is_told() {
    let mut request = hello();
    request.response_format = ResponseFormat::JsonSchema {
        description: "for the record".into(),
        name: "answer".into(),
        schema: r#"{"type":"object","additionalProperties":false}"#.into(),
        strict: true,
    };

    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["response_format.json_schema.description"]
    );
}
