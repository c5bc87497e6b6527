//! How are cache marks, options, provider tools and provider parts written?

use super::*;
use crate::chat::{CacheRetention, Mark, Marks, PartAt, ProviderOptions, ProviderPart};
use crate::wire::options::AllowedOptions;

fn at(message: usize, part: usize) -> PartAt {
    PartAt {
        message,
        part,
        content: None,
    }
}

fn kept(retention: CacheRetention) -> Mark {
    Mark {
        cache: Some(retention),
        ..Mark::default()
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
        options: vec![options],
        ..Mark::default()
    }
}

fn openrouter() -> Dialect {
    Dialect {
        cache_marks: CacheMarks::CacheControl,
        ..openai()
    }
}

fn to_all(allowed: &AllowedOptions) -> Recipient<'_> {
    Recipient {
        options: allowed,
        ..TO
    }
}

/// A request with a mark in every place that can bear one.
fn marked() -> ChatRequest {
    let mut request = with_tool(conversation([
        message(Role::System, [text("be"), text("kind")]),
        message(
            Role::User,
            [text("look"), Part::Image(uri("https://a.example/b"))],
        ),
        message(Role::Assistant, [text("so"), call("c", "now", "{}")]),
        message(Role::Tool, [result("c", "now", [text("one"), text("two")])]),
    ]));
    let mut marks = Marks::default();
    marks.add_to_part(at(0, 1), kept(CacheRetention::Long));
    marks.add_to_part(at(1, 1), kept(CacheRetention::Short));
    marks.add_to_part(at(2, 1), kept(CacheRetention::Default));
    marks.add_to_part(at(3, 0), kept(CacheRetention::Default));
    marks.add_to_tool(0, kept(CacheRetention::Default));
    request.marks = marks;
    request
}

#[test]
fn a_cache_mark_stands_at_the_piece_that_it_is_for() {
    let body = spelled(&openrouter(), &marked());

    let ephemeral = json!({ "type": "ephemeral" });
    assert_eq!(
        body["messages"],
        json!([
            { "role": "system", "content": [
                { "type": "text", "text": "be" },
                { "type": "text", "text": "kind",
                  "cache_control": { "type": "ephemeral", "ttl": "1h" } },
            ] },
            { "role": "user", "content": [
                { "type": "text", "text": "look" },
                { "type": "image_url", "image_url": { "url": "https://a.example/b" },
                  "cache_control": { "type": "ephemeral", "ttl": "5m" } },
            ] },
            { "role": "assistant", "content": "so", "tool_calls": [
                { "id": "c", "type": "function",
                  "function": { "name": "now", "arguments": "{}" },
                  "cache_control": ephemeral },
            ] },
            { "role": "tool", "tool_call_id": "c", "content": [
                { "type": "text", "text": "one" },
                { "type": "text", "text": "two", "cache_control": ephemeral },
            ] },
        ])
    );
    assert_eq!(body["tools"][0]["cache_control"], ephemeral);
    assert_eq!(body["tools"][0]["function"]["name"], "now");
}

#[test]
fn a_host_without_cache_marks_is_sent_what_it_would_be_sent_without_them() {
    let request = marked();
    let unmarked = ChatRequest {
        marks: Marks::default(),
        ..request.clone()
    };

    let (body, adapted) = spelled_to(&TO, &openai(), &request);

    assert_eq!(body, spelled(&openai(), &unmarked));
    assert_eq!(
        adapted,
        ["messages.parts.cache_breakpoint", "tools.cache_breakpoint"]
    );
}

#[test]
fn openais_newest_models_have_marks_for_parts_alone() {
    let dialect = Dialect {
        cache_marks: CacheMarks::PromptCacheBreakpoint,
        ..openai()
    };

    let (body, adapted) = spelled_to(&TO, &dialect, &marked());

    let explicit = json!({ "mode": "explicit" });
    let of = |pointer: &str| body.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(
        of("/messages/0/content/1/prompt_cache_breakpoint"),
        explicit
    );
    assert_eq!(
        of("/messages/1/content/1/prompt_cache_breakpoint"),
        explicit
    );
    assert_eq!(
        of("/messages/3/content/1/prompt_cache_breakpoint"),
        explicit
    );
    assert!(!body["messages"][2].to_string().contains("breakpoint"));
    assert!(!body["tools"].to_string().contains("breakpoint"));
    assert_eq!(
        adapted,
        ["messages.parts.cache_breakpoint", "tools.cache_breakpoint"]
    );
}

#[test]
fn the_mark_of_a_result_without_text_is_left_out() {
    let mut request = conversation([
        message(Role::Assistant, [call("c", "now", "{}")]),
        message(Role::Tool, [result("c", "now", [text("")])]),
    ]);
    request
        .marks
        .add_to_part(at(1, 0), kept(CacheRetention::Long));

    let (body, adapted) = spelled_to(&TO, &openrouter(), &request);

    assert_eq!(body["messages"][1]["content"], "");
    assert_eq!(adapted, ["messages.parts.cache_breakpoint"]);
}

#[test]
fn fields_in_the_hosts_words_join_their_part_and_their_tool() {
    let allowed = AllowedOptions::all();
    let mut request = with_tool(conversation([
        message(Role::User, [text("hi")]),
        message(Role::Assistant, [call("c", "now", "{}")]),
        message(Role::Tool, [result("c", "now", [text("noon")])]),
    ]));
    let of_content = PartAt {
        content: Some(0),
        ..at(2, 0)
    };
    let marks = &mut request.marks;
    marks.add_to_part(
        at(0, 0),
        with_options(options("primary", r#"{"a":1}"#, false)),
    );
    marks.add_to_part(
        at(1, 0),
        with_options(options("openai_chat", r#"{"b":2}"#, false)),
    );
    marks.add_to_part(
        of_content,
        with_options(options("primary", r#"{"c":3}"#, false)),
    );
    marks.add_to_tool(
        0,
        with_options(options("primary", r#"{"function":{"d":4}}"#, false)),
    );

    let (body, adapted) = spelled_to(&to_all(&allowed), &openai(), &request);

    assert_eq!(
        body["messages"][0]["content"],
        json!([{ "type": "text", "text": "hi", "a": 1 }])
    );
    assert_eq!(body["messages"][1]["tool_calls"][0]["b"], 2);
    assert_eq!(body["messages"][2]["content"][0]["c"], 3);
    assert_eq!(
        body["tools"][0]["function"],
        json!({ "name": "now", "d": 4 })
    );
    assert_eq!(adapted, [""; 0]);
}

#[test]
fn options_that_do_not_fit_are_refused_or_left_out_with_their_path() {
    let refused_at = |mark: Mark, allowed: &AllowedOptions, is_tool: bool| {
        let mut request = with_tool(hi());
        match is_tool {
            true => request.marks.add_to_tool(0, mark),
            false => request.marks.add_to_part(at(0, 0), mark),
        }
        match encode(&openai(), &request, &to_all(allowed)) {
            Err(Unsupported::Options { path, .. }) => Err(path),
            Err(other) => panic!("{other:?}"),
            Ok(wire) => Ok(wire.adaptations.into_iter().next().map(|one| one.field)),
        }
    };
    let (all, none) = (AllowedOptions::all(), AllowedOptions::default());
    let part = "messages[0].parts[0].provider_options";
    let of = |target, optional| with_options(options(target, r#"{"text":"x"}"#, optional));

    assert_eq!(
        refused_at(of("other", false), &all, false),
        Err(part.into())
    );
    assert_eq!(
        refused_at(of("other", true), &all, false),
        Ok(Some(part.into()))
    );
    let field = format!("{part}[0].fields.text");
    assert_eq!(
        refused_at(of("primary", false), &none, false),
        Err(field.clone())
    );
    assert_eq!(
        refused_at(of("primary", true), &none, false),
        Ok(Some(field.into()))
    );
    // The part has the field already.
    assert_eq!(
        refused_at(of("primary", false), &all, false),
        Err(format!("{part}: text"))
    );
    assert_eq!(
        refused_at(of("other", false), &all, true),
        Err("tools[0].provider_options".into())
    );
}

#[test]
fn a_tool_in_the_hosts_words_is_sent_as_it_is() {
    let allowed = AllowedOptions::all();
    let mut request = ChatRequest {
        tools: vec![
            Tool::Provider(vec![options(
                "primary",
                r#"{"type":"x","deep":{"a":1}}"#,
                false,
            )]),
            Tool::Provider(vec![options("other", r#"{"type":"y"}"#, true)]),
        ],
        ..hi()
    };

    let wire = encode(&openai(), &request, &to_all(&allowed)).unwrap();

    let body: Value = serde_json::from_slice(&wire.body).unwrap();
    assert_eq!(body["tools"], json!([{ "type": "x", "deep": { "a": 1 } }]));
    let fields: Vec<_> = wire.adaptations.iter().map(|one| &*one.field).collect();
    assert_eq!(fields, ["tools[1].provider_tool.definitions"]);

    request.marks.add_to_tool(0, kept(CacheRetention::Default));
    let wire = encode(&openrouter(), &request, &to_all(&allowed)).unwrap();
    let body: Value = serde_json::from_slice(&wire.body).unwrap();
    assert_eq!(body["tools"][0]["cache_control"]["type"], "ephemeral");

    request.tools.truncate(1);
    let Tool::Provider(definitions) = &mut request.tools[0] else {
        panic!("no provider tool");
    };
    definitions[0].target = "other".into();
    assert!(matches!(
        refused(&openai(), &request),
        Unsupported::Options { path, .. } if path == "tools[0].provider_tool.definitions"
    ));
}

#[test]
fn provider_parts_go_back_to_the_provider_that_made_them_alone() {
    let part = |provider: &str, kind: &str, content: &str| {
        Part::Provider(ProviderPart {
            provider: provider.into(),
            kind: kind.into(),
            content: content.into(),
        })
    };
    let history = |parts: Vec<Part>| {
        [
            message(Role::User, [text("hi")]),
            message(Role::Assistant, parts),
        ]
    };

    let own = vec![
        text("so"),
        part("primary", "reference", r#"{"type":"reference","ids":[1]}"#),
        part("primary", "annotations", r#"{"type":"file"}"#),
        Part::Audio(data("audio/wav", "", ImageDetail::Auto)),
        part("primary", "audio", r#"{"id":"audio_1","transcript":"so"}"#),
    ];
    let (sent, adapted) = messages(&openai(), history(own));
    assert_eq!(
        sent[1],
        json!({
            "role": "assistant",
            "content": [{ "type": "text", "text": "so" }, { "type": "reference", "ids": [1] }],
            "annotations": [{ "type": "file" }],
            "audio": { "id": "audio_1" },
        })
    );
    assert_eq!(adapted, [""; 0]);

    for parts in [
        vec![part("other", "reference", "{}")],
        vec![part("primary", "executed_tools", "{}")],
    ] {
        let (sent, adapted) = messages(&openai(), history(parts));

        assert_eq!(sent, json!([{ "role": "user", "content": "hi" }]));
        assert_eq!(adapted, ["messages.parts.provider_part"]);
    }
}
