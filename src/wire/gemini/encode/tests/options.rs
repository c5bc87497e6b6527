//! Where do options of parts and tools, and tools in the provider's own words, stand?

use super::*;
use crate::chat::{Mark, PartAt, ProviderOptions, ServiceTier, WebSearch};

fn options(target: &str, fields: &str) -> ProviderOptions {
    ProviderOptions {
        target: target.into(),
        fields: fields.into(),
        optional: false,
    }
}

fn mark(fields: &str) -> Mark {
    Mark {
        cache: None,
        options: vec![options("gemini", fields)],
    }
}

fn with_tools(tools: Vec<Tool>, tool_choice: ToolChoice) -> ChatRequest {
    ChatRequest {
        messages: vec![text(Role::User, "hi")],
        tools,
        tool_choice,
        ..ChatRequest::default()
    }
}

fn of_tools(request: &ChatRequest, asking: Asking<'_>) -> String {
    unsupported(encoded_for(request, asking)).replace(
        r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"#,
        "",
    )
}

#[test]
fn options_of_a_part_stand_beside_its_content() {
    let film = Media {
        source: MediaSource::Uri("https://youtu.be/x".into()),
        media_type: "video/mp4".into(),
        ..png()
    };
    let mut request = chat(vec![message(
        Role::User,
        [Part::Text("see".into()), Part::Video(film)],
    )]);
    let at = PartAt {
        message: 0,
        part: 1,
        content: None,
    };
    let fields = r#"{"videoMetadata":{"endOffset":"9s"},"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}}"#;
    request.marks.add_to_part(at, mark(fields));

    let body = unsupported(encoded_for(&request, asking(Generation::Third)));

    assert_eq!(
        body,
        concat!(
            r#"{"contents":[{"role":"user","parts":[{"text":"see"},"#,
            r#"{"fileData":{"mimeType":"video/mp4","fileUri":"https://youtu.be/x"},"#,
            r#""videoMetadata":{"endOffset":"9s"},"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}}]}]}"#
        )
    );
}

#[test]
fn options_are_refused_where_they_collide_and_where_the_operator_allows_none() {
    let mut request = chat(vec![text(Role::User, "hi")]);
    let at = PartAt::default();
    request.marks.add_to_part(at, mark(r#"{"text":"other"}"#));

    let collided = unsupported(encoded_for(&request, asking(Generation::Third)));
    let not_allowed = unsupported(encoded(&request, Generation::Third));

    assert!(
        collided.contains("messages[0].parts[0].provider_options: text"),
        "{collided}"
    );
    assert!(
        not_allowed.contains("messages[0].parts[0].provider_options[0].fields.text"),
        "{not_allowed}"
    );
}

#[test]
fn options_of_parts_of_a_tool_result_stand_at_them() {
    let mut request = chat(vec![
        message(
            Role::Assistant,
            [Part::ToolCall(signed(call("1", "{}"), "sig", "gemini"))],
        ),
        message(
            Role::Tool,
            [result("1", [Part::Text("so".into()), Part::Image(png())])],
        ),
    ]);
    let at = |content| PartAt {
        message: 1,
        part: 0,
        content,
    };
    request
        .marks
        .add_to_part(at(None), mark(r#"{"partMetadata":{"a":1}}"#));
    let of_text = {
        let mut request = request.clone();
        request.marks.add_to_part(at(Some(0)), mark(r#"{"x":1}"#));
        request
    };
    request
        .marks
        .add_to_part(at(Some(1)), mark(r#"{"inlineData":{"displayName":"a"}}"#));

    let body = unsupported(encoded_for(&request, asking(Generation::Third)));

    let expected = concat!(
        r#""parts":[{"inlineData":{"mimeType":"image/png","data":"//79","displayName":"a"}}]},"#,
        r#""partMetadata":{"a":1}}"#
    );
    assert!(body.contains(expected), "{body}");
    let refused = unsupported(encoded_for(&of_text, asking(Generation::Third)));
    assert!(
        refused.contains("tool_result.content.provider_options"),
        "{refused}"
    );
}

#[test]
fn tools_that_the_provider_runs_are_entries_of_their_own() {
    let maps = Tool::Provider(vec![
        options("openai_responses", r#"{"type":"mcp"}"#),
        options("gemini", r#"{"googleMaps":{}}"#),
    ]);
    let mut request = with_tools(
        vec![
            tool(false),
            maps,
            Tool::WebSearch(WebSearch::default()),
            Tool::CodeExecution,
        ],
        ToolChoice::Auto,
    );
    request
        .marks
        .add_to_tool(0, mark(r#"{"behavior":"BLOCKING"}"#));
    request
        .marks
        .add_to_tool(2, mark(r#"{"timeRangeFilter":{}}"#));

    let written = of_tools(&request, asking(Generation::Third));

    let tools = concat!(
        r#""tools":[{"functionDeclarations":[{"name":"f","description":"does","#,
        r#""parametersJsonSchema":{"type":"object"},"behavior":"BLOCKING"}]},"#,
        r#"{"googleMaps":{}},{"googleSearch":{"timeRangeFilter":{}}},{"codeExecution":{}}]"#
    );
    let config = r#""toolConfig":{"includeServerSideToolInvocations":true}"#;
    assert_eq!(written, format!("{tools},{config}}}"));
    let vertex = Asking {
        host: Host::Vertex,
        ..asking(Generation::Third)
    };
    assert_eq!(of_tools(&request, vertex), format!("{tools}}}"));
    let refused = of_tools(&request, asking(Generation::Second));
    assert!(refused.contains("models before Gemini 3"), "{refused}");
}

#[test]
fn a_search_says_what_the_host_can_hear() {
    let search = |search| with_tools(vec![Tool::WebSearch(search)], ToolChoice::Auto);
    let blocked = search(WebSearch {
        blocked_domains: vec!["a.com".into()],
        ..WebSearch::default()
    });
    let vertex = Asking {
        host: Host::Vertex,
        ..asking(Generation::Second)
    };

    assert_eq!(
        of_tools(&blocked, vertex),
        r#""tools":[{"googleSearch":{"excludeDomains":["a.com"]}}]}"#
    );
    for (request, field) in [
        (blocked, "tools.web_search.blocked_domains"),
        (
            search(WebSearch {
                max_uses: Some(1),
                ..WebSearch::default()
            }),
            "tools.web_search.max_uses",
        ),
        (
            search(WebSearch {
                allowed_domains: vec!["a.com".into()],
                ..WebSearch::default()
            }),
            "tools.web_search.allowed_domains",
        ),
    ] {
        let refused = of_tools(&request, asking(Generation::Second));

        assert!(refused.contains(field), "{refused}");
    }
}

#[test]
fn a_choice_among_functions_leaves_the_provider_no_tools_to_run() {
    let both = || vec![tool(false), Tool::CodeExecution];
    let declared = r#""tools":[{"functionDeclarations":[{"name":"f","description":"does","parametersJsonSchema":{"type":"object"}}]}]"#;
    let allowed = |required| ToolChoice::Allowed {
        names: vec!["f".into()],
        required,
    };
    for (choice, config) in [
        (ToolChoice::None, r#"{"mode":"NONE"}"#),
        (
            ToolChoice::Function("f".into()),
            r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#,
        ),
        (
            allowed(true),
            r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#,
        ),
        (
            allowed(false),
            r#"{"mode":"VALIDATED","allowedFunctionNames":["f"]}"#,
        ),
    ] {
        let request = with_tools(both(), choice);

        let written = encoded_for(&request, asking(Generation::Second)).unwrap();

        assert_eq!(fields(&written), ["tools.code_execution"]);
        assert_eq!(
            of_tools(&request, asking(Generation::Second)),
            format!(r#"{declared},"toolConfig":{{"functionCallingConfig":{config}}}}}"#)
        );
    }
    let forced = with_tools(vec![Tool::CodeExecution], ToolChoice::Required);
    let refused = of_tools(&forced, asking(Generation::Third));
    assert!(refused.contains("functions only"), "{refused}");
}

#[test]
fn a_tier_is_a_field_of_one_host_and_a_header_of_the_other() {
    let vertex = Asking {
        host: Host::Vertex,
        ..asking(Generation::Third)
    };
    for (tier, field, header) in [
        (ServiceTier::Standard, "standard", None),
        (ServiceTier::Priority, "priority", Some("priority")),
        (ServiceTier::Flex, "flex", Some("flex")),
    ] {
        let request = ChatRequest {
            service_tier: Some(tier),
            ..chat(vec![text(Role::User, "hi")])
        };

        let gemini = encoded_for(&request, asking(Generation::Third)).unwrap();
        let vertex = encoded_for(&request, vertex).unwrap();

        let body = String::from_utf8(gemini.body.to_vec()).unwrap();
        assert!(
            body.ends_with(&format!(r#","serviceTier":"{field}"}}"#)),
            "{body}"
        );
        assert_eq!(gemini.headers.len(), 1);
        let told = vertex.headers.get("x-vertex-ai-llm-shared-request-type");
        assert_eq!(told.map(|value| value.to_str().unwrap()), header);
        assert!(!String::from_utf8_lossy(&vertex.body).contains("Tier"));
        assert!(gemini.adaptations.is_empty() && vertex.adaptations.is_empty());
    }
}

#[test]
fn wishes_without_a_place_are_told() {
    let mut request = ChatRequest {
        end_user_id: "u".into(),
        prompt_cache_key: "k".into(),
        verbosity: Some(crate::chat::Verbosity::Low),
        ..chat(vec![text(Role::User, "hi")])
    };
    let cached = Mark {
        cache: Some(crate::chat::CacheRetention::Short),
        options: Vec::new(),
    };
    request.marks.add_to_part(PartAt::default(), cached);

    let written = encoded(&request, Generation::Third).unwrap();

    assert_eq!(
        fields(&written),
        [
            "end_user_id",
            "prompt_cache_key",
            "messages.parts.cache_breakpoint",
            "verbosity"
        ]
    );
}
