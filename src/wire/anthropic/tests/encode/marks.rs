//! How are breakpoints of the cache and options of parts and tools written?

use super::*;
use crate::chat::{CacheRetention, Mark, PartAt, ProviderOptions, ServiceTier};
use crate::wire::options::AllowedOptions;

const fn at(message: usize, part: usize) -> PartAt {
    PartAt {
        message,
        part,
        content: None,
    }
}

fn cached(retention: CacheRetention) -> Mark {
    Mark {
        cache: Some(retention),
        options: Vec::new(),
    }
}

fn options(target: &str, fields: &str, optional: bool) -> ProviderOptions {
    ProviderOptions {
        target: target.into(),
        fields: fields.into(),
        optional,
    }
}

fn with_options(options: ProviderOptions) -> Mark {
    Mark {
        cache: None,
        options: vec![options],
    }
}

/// A conversation with a part of each kind that can be marked.
fn conversation() -> ChatRequest {
    let mut request = request(vec![
        message(Role::System, vec![text("be brief")]),
        message(Role::User, vec![text("look"), text("here")]),
        message(
            Role::Assistant,
            vec![
                reasoning("anthropic", "hm", Opaque::Signature("EqQB").to_bytes()),
                call("toolu_1", "{}"),
            ],
        ),
        message(
            Role::Tool,
            vec![result("toolu_1", vec![text("rain"), text("wind")])],
        ),
    ]);
    request.tools = vec![tool(None, false), Tool::CodeExecution];
    request
}

/// Every `cache_control` of a body, in the order of the prompt.
fn breakpoints(body: &Value) -> Vec<String> {
    let blocks = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut all = blocks(&body["tools"]);
    all.extend(blocks(&body["system"]));
    for message in blocks(&body["messages"]) {
        all.extend(blocks(&message["content"]));
    }
    all.iter()
        .filter(|block| block["cache_control"]["type"] == "ephemeral")
        .map(|block| {
            let kind = block["type"].as_str().unwrap_or("tool");
            let ttl = block["cache_control"]["ttl"].as_str().unwrap_or("");
            format!("{kind} {ttl}")
        })
        .collect()
}

#[test]
fn breakpoints_stand_at_tools_system_texts_parts_and_results() {
    let mut request = conversation();
    request.marks.add_to_tool(0, cached(CacheRetention::Long));
    request
        .marks
        .add_to_part(at(0, 0), cached(CacheRetention::Short));
    request
        .marks
        .add_to_part(at(1, 1), cached(CacheRetention::Default));
    request
        .marks
        .add_to_part(at(3, 0), cached(CacheRetention::Default));

    let body = json(&written(ADAPTIVE, &request).body);

    assert_eq!(
        breakpoints(&body),
        ["tool 1h", "text 5m", "text ", "tool_result "]
    );
    assert_eq!(
        body["messages"][0]["content"][1],
        json(br#"{"type":"text","text":"here","cache_control":{"type":"ephemeral"}}"#)
    );
    assert_eq!(adapted_fields(ADAPTIVE, &request), [""; 0]);
}

#[test]
fn of_more_than_four_breakpoints_the_last_ones_are_kept() {
    let mut request = conversation();
    let default = || cached(CacheRetention::Default);
    request.marks.add_to_tool(0, default());
    request.marks.add_to_tool(1, default());
    for place in [at(0, 0), at(1, 0), at(1, 1), at(3, 0)] {
        request.marks.add_to_part(place, default());
    }

    let body = json(&written(ADAPTIVE, &request).body);

    assert_eq!(
        breakpoints(&body),
        ["text ", "text ", "text ", "tool_result "]
    );
    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["tools[0].cache_breakpoint", "tools[1].cache_breakpoint"]
    );
}

#[test]
fn a_breakpoint_before_one_of_an_hour_is_one_of_an_hour() {
    let mut request = conversation();
    request
        .marks
        .add_to_part(at(0, 0), cached(CacheRetention::Default));
    request
        .marks
        .add_to_part(at(1, 0), cached(CacheRetention::Long));
    request
        .marks
        .add_to_part(at(3, 0), cached(CacheRetention::Short));

    let body = json(&written(ADAPTIVE, &request).body);

    assert_eq!(breakpoints(&body), ["text 1h", "text 1h", "tool_result 5m"]);
    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["messages[0].parts[0].cache_breakpoint"]
    );
}

#[test]
fn breakpoints_at_reasoning_and_at_parts_that_are_left_out_are_left_out() {
    let mut request = conversation();
    request.messages[1].parts[0] = text(" ");
    request
        .marks
        .add_to_part(at(1, 0), cached(CacheRetention::Default));
    request
        .marks
        .add_to_part(at(2, 0), cached(CacheRetention::Default));

    let body = json(&written(ADAPTIVE, &request).body);

    assert_eq!(breakpoints(&body), [""; 0]);
    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        [
            "messages.parts.text",
            "messages[1].parts[0].cache_breakpoint",
            "messages[2].parts[0].cache_breakpoint"
        ]
    );
}

#[test]
fn the_retention_of_the_prompt_is_that_of_breakpoints_or_of_the_whole() {
    let mut request = conversation();
    request.prompt_cache_retention = Some(CacheRetention::Long);
    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"cache_control":{"type":"ephemeral","ttl":"1h"}}"#,
    );

    request
        .marks
        .add_to_part(at(1, 0), cached(CacheRetention::Default));
    request
        .marks
        .add_to_part(at(3, 0), cached(CacheRetention::Short));
    let body = json(&written(ADAPTIVE, &request).body);
    assert_eq!(body.get("cache_control"), None);
    assert_eq!(breakpoints(&body), ["text 1h", "tool_result 5m"]);
    assert_eq!(adapted_fields(ADAPTIVE, &request), [""; 0]);
}

#[test]
fn parts_and_tools_have_the_fields_that_their_options_say() {
    let all = AllowedOptions::all();
    let to = Recipient {
        options: &all,
        ..TO
    };
    let citations = || options("anthropic", r#"{"citations":{"enabled":true}}"#, false);
    let mut document = media(data(b"plain"), "text/plain");
    document.filename = "a.txt".into();
    let mut request = conversation();
    request.messages[1].parts[0] = Part::Document(document.clone());
    request.messages[3].parts[0] = result("toolu_1", vec![text("rain"), Part::Document(document)]);
    request.marks.add_to_tool(
        0,
        with_options(options("anthropic", r#"{"defer_loading":true}"#, false)),
    );
    request.marks.add_to_part(
        at(1, 0),
        Mark {
            cache: Some(CacheRetention::Short),
            options: vec![citations()],
        },
    );
    request.marks.add_to_part(
        PartAt {
            content: Some(1),
            ..at(3, 0)
        },
        with_options(citations()),
    );

    let request = ADAPTIVE.encode(&request, &to).unwrap();

    let body = json(&request.body);
    assert_eq!(
        body["tools"][0],
        json(br#"{"name":"weather","input_schema":{"type":"object"},"defer_loading":true}"#)
    );
    let source = r#""source":{"type":"text","media_type":"text/plain","data":"plain"}"#;
    let document = |rest: &str| {
        let document = format!(
            r#"{{"type":"document",{source},"title":"a.txt",{rest}"citations":{{"enabled":true}}}}"#
        );
        json(document.as_bytes())
    };
    assert_eq!(
        body["messages"][0]["content"][0],
        document(r#""cache_control":{"type":"ephemeral","ttl":"5m"},"#)
    );
    assert_eq!(
        body["messages"][2]["content"][0]["content"][1],
        document("")
    );
    assert_eq!(request.adaptations, []);
}

#[test]
fn options_that_cannot_be_sent_are_refused_or_left_out() {
    let all = AllowedOptions::all();
    let marked = |fields: &str, target: &str, optional| {
        let mut request = hello();
        request
            .marks
            .add_to_part(at(0, 0), with_options(options(target, fields, optional)));
        request
    };
    let to = Recipient {
        options: &all,
        ..TO
    };
    let path = |request: &ChatRequest, to: &Recipient<'_>| match ADAPTIVE.encode(request, to) {
        Err(Unsupported::Options { path, .. }) => path,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it should be refused"),
    };

    let collision = marked(r#"{"text":"x"}"#, "anthropic", false);
    assert_eq!(
        path(&collision, &to),
        "messages[0].parts[0].provider_options: text"
    );
    let foreign = marked(r#"{"a":1}"#, "gemini", false);
    assert_eq!(path(&foreign, &to), "messages[0].parts[0].provider_options");
    let not_allowed = marked(r#"{"a":1}"#, "anthropic", false);
    assert_eq!(
        path(&not_allowed, &TO),
        "messages[0].parts[0].provider_options[0].fields.a"
    );
    assert_eq!(
        adapted_fields(ADAPTIVE, &marked(r#"{"a":1}"#, "gemini", true)),
        ["messages[0].parts[0].provider_options"]
    );
}

#[test]
fn a_cached_piece_in_the_providers_words_has_its_breakpoint() {
    use crate::chat::ProviderPart;
    let mut request = hello();
    request.messages.push(message(
        Role::Assistant,
        vec![Part::Provider(ProviderPart {
            provider: "anthropic".into(),
            kind: "server_tool_use".into(),
            content: r#"{"type":"server_tool_use"}"#.into(),
        })],
    ));
    request
        .marks
        .add_to_part(at(1, 0), cached(CacheRetention::Default));

    let body = json(&written(ADAPTIVE, &request).body);

    assert_eq!(
        body["messages"][1]["content"][0],
        json(br#"{"type":"server_tool_use","cache_control":{"type":"ephemeral"}}"#)
    );
}

#[test]
fn wishes_that_the_api_knows_are_spelled_and_others_are_told() {
    let mut request = hello();
    request.end_user_id = "u-1".into();
    request.service_tier = Some(ServiceTier::Standard);
    request.prompt_cache_key = "k".into();
    request.verbosity = Some(crate::chat::Verbosity::Low);
    assert_fields(
        ADAPTIVE,
        &request,
        r#"{"metadata":{"user_id":"u-1"},"service_tier":"standard_only"}"#,
    );
    assert_eq!(
        adapted_fields(ADAPTIVE, &request),
        ["prompt_cache_key", "verbosity"]
    );

    for (tier, expected) in [
        (ServiceTier::Priority, "\"auto\""),
        (ServiceTier::Flex, "null"),
    ] {
        let mut request = hello();
        request.service_tier = Some(tier);
        let expected = format!(r#"{{"service_tier":{expected}}}"#);
        assert_fields(ADAPTIVE, &request, &expected);
        assert_eq!(adapted_fields(ADAPTIVE, &request), ["service_tier"]);
    }

    let mut vertex = ADAPTIVE;
    vertex.dialect.host = Host::Vertex;
    let mut request = hello();
    request.service_tier = Some(ServiceTier::Standard);
    request.prompt_cache_retention = Some(CacheRetention::Short);
    assert_eq!(
        adapted_fields(vertex, &request),
        ["service_tier", "prompt_cache_retention"]
    );
}
