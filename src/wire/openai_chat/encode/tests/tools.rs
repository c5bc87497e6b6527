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

fn function(name: &str) -> Tool {
    Tool::Function(FunctionTool {
        name: name.into(),
        ..FunctionTool::default()
    })
}

#[test]
fn some_of_the_tools_are_allowed_by_name_or_sent_alone() {
    let request = |required| ChatRequest {
        tools: vec![function("a"), function("b"), function("c")],
        tool_choice: ToolChoice::Allowed {
            names: vec!["c".into(), "a".into()],
            required,
        },
        ..hi()
    };
    let without = Dialect {
        allowed_tools: false,
        ..openai()
    };
    let named = |name: &str| json!({ "type": "function", "function": { "name": name } });

    for (required, mode, word) in [
        (true, "required", json!("required")),
        (false, "auto", Value::Null),
    ] {
        let body = spelled(&openai(), &request(required));
        assert_eq!(body["tools"].as_array().unwrap().len(), 3);
        assert_eq!(
            body["tool_choice"],
            json!({
                "type": "allowed_tools",
                "allowed_tools": { "mode": mode, "tools": [named("c"), named("a")] },
            })
        );

        let (body, adapted) = spelled_to(&TO, &without, &request(required));
        assert_eq!(body["tools"], json!([named("a"), named("c")]));
        assert_eq!(body["tool_choice"], word);
        assert_eq!(adapted, ["tool_choice.allowed"]);
    }
}

#[test]
fn a_search_of_the_web_is_asked_for_as_the_host_offers_it() {
    use crate::chat::WebSearch;
    let limited = WebSearch {
        max_uses: Some(2),
        allowed_domains: vec!["a.example".into()],
        blocked_domains: vec!["b.example".into()],
    };
    let asked = |search: WebSearch| ChatRequest {
        tools: vec![Tool::WebSearch(search)],
        ..hi()
    };
    let of = |web_search| Dialect {
        web_search,
        ..openai()
    };
    let tool = of(WebSearchForm::OpenrouterTool);
    let plugin = of(WebSearchForm::OpenrouterPlugin);

    for (dialect, field, value) in [
        (
            of(WebSearchForm::WebSearchOptions),
            "web_search_options",
            json!({}),
        ),
        (
            of(WebSearchForm::EnableSearch),
            "enable_search",
            json!(true),
        ),
        (
            of(WebSearchForm::BrowserSearch),
            "tools",
            json!([{ "type": "browser_search" }]),
        ),
        (
            tool.clone(),
            "tools",
            json!([{ "type": "openrouter:web_search" }]),
        ),
        (plugin.clone(), "plugins", json!([{ "id": "web" }])),
    ] {
        let body = spelled(&dialect, &asked(WebSearch::default()));
        assert_eq!(body[field], value);
        assert_eq!(body["tool_choice"], Value::Null);
    }
    assert_eq!(
        spelled(&tool, &asked(limited.clone()))["tools"],
        json!([{ "type": "openrouter:web_search", "parameters": {
            "max_uses": 2,
            "allowed_domains": ["a.example"],
            "excluded_domains": ["b.example"],
        } }])
    );
    let (body, adapted) = spelled_to(&TO, &plugin, &asked(limited.clone()));
    assert_eq!(
        body["plugins"],
        json!([{
            "id": "web",
            "include_domains": ["a.example"],
            "exclude_domains": ["b.example"],
        }])
    );
    assert_eq!(adapted, ["tools.web_search.max_uses"]);
    for form in [
        WebSearchForm::WebSearchOptions,
        WebSearchForm::EnableSearch,
        WebSearchForm::BrowserSearch,
    ] {
        assert!(matches!(
            refused(&of(form), &asked(limited.clone())),
            Unsupported::Value {
                field: "tools.web_search.allowed_domains",
                ..
            }
        ));
    }
    assert_eq!(
        refused(&openai(), &asked(limited)),
        Unsupported::Feature(Feature::WebSearch)
    );
}

#[test]
fn code_is_run_where_the_host_offers_it() {
    let request = ChatRequest {
        tools: vec![Tool::CodeExecution],
        ..hi()
    };
    let groq = Dialect {
        code_execution: CodeExecutionForm::CodeInterpreter,
        ..openai()
    };

    assert_eq!(
        spelled(&groq, &request)["tools"],
        json!([{ "type": "code_interpreter" }])
    );
    assert_eq!(
        refused(&openai(), &request),
        Unsupported::Feature(Feature::CodeExecution)
    );
}
