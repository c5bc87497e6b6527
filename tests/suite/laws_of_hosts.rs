//! Does any conversation keep the laws of every host, whoever made its turns and in whatever order?
//!
//! Conversations are made up at random within the contract: parallel calls whose ids come again,
//! results out of order, white space, reasoning of several providers, arguments that are no object,
//! failed tools without words, turns that say nothing. The laws are those that hosts document or are
//! reported to hold requests to; see docs/providers.md.

use std::collections::HashSet;

use bytes::Bytes;
use modelway::chat::{
    ChatRequest, ImageDetail, Media, MediaSource, Message, Part, Reasoning, Role, ToolCall,
    ToolResult,
};
use modelway::error::Unsupported;
use modelway::wire::anthropic::Anthropic;
use modelway::wire::gemini::{self, Gemini};
use modelway::wire::openai_chat::{self, OpenAiChat};
use modelway::wire::options::NO_OPTIONS;
use modelway::wire::{Recipient, WireFormat};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

const TEXTS: [&str; 6] = [
    "hello",
    " ",
    "\n\n",
    "a \"quoted\"\ttext",
    "\u{3000}",
    "json",
];
const IDS: [&str; 6] = [
    "call_1",
    "run:0",
    "functions.run:0",
    "call_1_2",
    "abcdefghi",
    "é",
];
const ARGUMENTS: [&str; 7] = ["", "{}", "{\"q\":1.0}", "[1]", "null", "{\"cut", "\"text\""];
const MEDIA_TYPES: [&str; 4] = ["image/png", "image/jpg", "IMAGE/JPEG", "image/gif; x=1"];

fn text() -> impl Strategy<Value = Part> {
    select(&TEXTS[..]).prop_map(|text| Part::Text(text.to_owned()))
}

fn image() -> impl Strategy<Value = Part> {
    select(&MEDIA_TYPES[..]).prop_map(|media_type| {
        Part::Image(Media {
            source: MediaSource::Data(Bytes::from_static(b"picture")),
            media_type: media_type.to_owned(),
            filename: String::new(),
            detail: ImageDetail::Auto,
        })
    })
}

fn reasoning() -> impl Strategy<Value = Part> {
    (select(&["own", "other"][..]), any::<bool>()).prop_map(|(provider, is_signed)| {
        let signature = if is_signed { "signature:c2ln" } else { "" };
        Part::Reasoning(Reasoning {
            text: "so".to_owned(),
            signature: Bytes::from_static(signature.as_bytes()),
            provider: provider.to_owned(),
        })
    })
}

fn call() -> impl Strategy<Value = Part> {
    (
        select(&IDS[..]),
        select(&["run", "look", "browser.open", "$x"][..]),
        select(&ARGUMENTS[..]),
    )
        .prop_map(|(id, name, arguments)| {
            Part::ToolCall(ToolCall {
                id: id.to_owned(),
                name: name.to_owned(),
                arguments: arguments.to_owned(),
                ..ToolCall::default()
            })
        })
}

/// What the tools gave: for each call of the turn the content and whether it failed, and an order.
#[derive(Clone, Debug)]
struct Gave {
    content: Vec<Part>,
    is_error: bool,
    order: Index,
    in_a_message_of_its_own: bool,
}

fn gave(part: impl Strategy<Value = Part>) -> impl Strategy<Value = Gave> {
    (
        prop::collection::vec(part, 0..3),
        any::<bool>(),
        any::<Index>(),
        any::<bool>(),
    )
        .prop_map(|(content, is_error, order, in_a_message_of_its_own)| Gave {
            content,
            is_error,
            order,
            in_a_message_of_its_own,
        })
}

/// A turn of the assistant with its results, and perhaps one of the user after it.
fn exchange(shown: bool) -> impl Strategy<Value = Vec<Message>> {
    let said = prop_oneof![text(), reasoning()];
    let given = if shown {
        prop_oneof![text(), image()].boxed()
    } else {
        text().boxed()
    };
    (
        prop::collection::vec(said, 0..3),
        prop::collection::vec((call(), gave(given)), 0..4),
        prop::collection::vec(text(), 0..3),
    )
        .prop_map(|(said, calls, asked)| {
            let (calls, gave): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
            let results = results(&calls, gave);
            let parts = said.into_iter().chain(calls).collect();
            let mut messages = vec![message(Role::Assistant, parts)];
            messages.extend(results);
            if !asked.is_empty() || messages.len() == 1 {
                let always = Part::Text("go on".to_owned());
                let parts = asked.into_iter().chain([always]).collect();
                messages.push(message(Role::User, parts));
            }
            messages
        })
}

/// Results in any order, but for calls of one id, which are answered in theirs.
fn results(calls: &[Part], gave: Vec<Gave>) -> Vec<Message> {
    let mut open: Vec<&ToolCall> = calls
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
        .collect();
    let mut messages: Vec<Message> = Vec::new();
    for gave in gave {
        let any = open[gave.order.index(open.len())];
        let first = open.iter().position(|call| call.id == any.id).unwrap();
        let call = open.remove(first);
        let result = Part::ToolResult(ToolResult {
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            content: gave.content,
            is_error: gave.is_error,
        });
        match messages.last_mut() {
            Some(last) if !gave.in_a_message_of_its_own => last.parts.push(result),
            _ => messages.push(message(Role::Tool, vec![result])),
        }
    }
    messages
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn conversation(shown: bool) -> impl Strategy<Value = ChatRequest> {
    let system = prop::collection::vec(prop::collection::vec(text(), 1..3), 0..3);
    let exchanges = prop::collection::vec(exchange(shown), 0..5);
    (system, text(), exchanges).prop_map(|(system, first, exchanges)| {
        let mut messages: Vec<_> = system
            .into_iter()
            .map(|parts| message(Role::System, parts))
            .collect();
        messages.push(message(
            Role::User,
            vec![first, Part::Text("begin".to_owned())],
        ));
        messages.extend(exchanges.into_iter().flatten());
        ChatRequest {
            messages,
            ..ChatRequest::default()
        }
    })
}

fn body(format: &dyn WireFormat, request: &ChatRequest) -> Value {
    let to = Recipient {
        provider: "own",
        model: "m",
        max_output_tokens: Some(8192),
        stream: true,
        options: &NO_OPTIONS,
    };
    let written = format.encode(request, &to);
    let checked = format.check(request, &to);
    assert!(checked.is_ok(), "{checked:?}");
    let written = written.unwrap_or_else(|why: Unsupported| panic!("{why}"));
    serde_json::from_slice(&written.body).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn assert_legal_name(name: &Value) {
    let name = name.as_str().unwrap();
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    assert!(!name.is_empty() && name.bytes().all(is_legal), "{name}");
}

fn is_blank(text: &Value) -> bool {
    text.as_str().is_some_and(|text| text.trim().is_empty())
}

/// What calls and results must be: each call answered once, in the turn right after it.
fn assert_answered<'v>(
    calls: impl IntoIterator<Item = &'v Value>,
    results: impl IntoIterator<Item = &'v Value>,
) {
    let calls: Vec<_> = calls.into_iter().map(Value::to_string).collect();
    let results: Vec<_> = results.into_iter().map(Value::to_string).collect();
    let distinct: HashSet<_> = calls.iter().collect();
    assert_eq!(distinct.len(), calls.len(), "ids come twice: {calls:?}");
    assert_eq!(calls.len(), results.len(), "{calls:?} {results:?}");
    assert_eq!(distinct, results.iter().collect::<HashSet<_>>());
}

fn assert_laws_of_anthropic(body: &Value) {
    let turns = list(&body["messages"]);
    let mut ids = HashSet::new();
    for (number, turn) in turns.iter().enumerate() {
        let role = if number % 2 == 0 { "user" } else { "assistant" };
        assert_eq!(turn["role"], role, "turns alternate, the user's first");
        let blocks = list(&turn["content"]);
        assert!(!blocks.is_empty(), "a turn says something");
        let results = blocks.iter().filter(|one| one["type"] == "tool_result");
        let results: Vec<_> = results.collect();
        let first: Vec<_> = blocks.iter().take(results.len()).collect();
        assert_eq!(first, results, "results stand first");
        for block in blocks {
            assert!(!is_blank(&block["text"]), "no text is blank");
            if block["type"] == "tool_use" {
                assert!(ids.insert(block["id"].to_string()), "ids are unique");
                assert!(block["input"].is_object());
                assert_legal_name(&block["name"]);
                let id = block["id"].as_str().unwrap().bytes();
                assert!(
                    id.into_iter()
                        .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
                );
            }
            if block["type"] == "image" {
                let kind = block["source"]["media_type"].as_str().unwrap();
                assert!(
                    ["image/png", "image/jpeg", "image/gif"].contains(&kind),
                    "{kind}"
                );
            }
            let within = list(&block["content"]);
            assert!(!within.iter().any(|one| is_blank(&one["text"])));
            if block["is_error"] == true {
                assert!(!within.is_empty(), "a failure says something");
                assert!(within.iter().all(|one| one["type"] == "text"));
            }
        }
        if role == "assistant" {
            let calls = blocks.iter().filter(|one| one["type"] == "tool_use");
            let next = turns
                .get(number + 1)
                .map_or(&[][..], |next| list(&next["content"]));
            let results = next.iter().filter(|one| one["type"] == "tool_result");
            assert_answered(
                calls.map(|one| &one["id"]),
                results.map(|one| &one["tool_use_id"]),
            );
        }
    }
    assert_eq!(turns.last().unwrap()["role"], "user");
    assert!(
        !list(&body["system"])
            .iter()
            .any(|one| is_blank(&one["text"]))
    );
}

struct OpenAiLaws {
    demands_reasoning: bool,
    is_mistral: bool,
}

fn assert_laws_of_openai(body: &Value, laws: &OpenAiLaws) {
    let messages = list(&body["messages"]);
    for (number, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap();
        assert!(role != "system" || number == 0, "one system message, first");
        let content = &message["content"];
        assert!(content.is_string() || content.is_null() || role == "user");
        let calls = list(&message["tool_calls"]);
        if role == "assistant" {
            assert!(!content.is_null() || !calls.is_empty());
            let after = &messages[number + 1..];
            let results = after.iter().take_while(|one| one["role"] == "tool");
            assert_answered(
                calls.iter().map(|call| &call["id"]),
                results.map(|one| &one["tool_call_id"]),
            );
        }
        for call in calls {
            let arguments = call["function"]["arguments"].as_str().unwrap();
            let arguments: Value = serde_json::from_str(arguments).unwrap();
            assert!(arguments.is_object(), "{arguments}");
            assert_legal_name(&call["function"]["name"]);
            if laws.demands_reasoning {
                let text = message["reasoning_content"].as_str().unwrap();
                assert!(!text.is_empty());
            }
            if laws.is_mistral {
                let id = call["id"].as_str().unwrap();
                assert!(
                    id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()),
                    "{id}"
                );
            }
        }
        if laws.is_mistral && role == "user" && number > 0 {
            assert_ne!(messages[number - 1]["role"], "tool");
        }
    }
}

fn assert_laws_of_gemini(body: &Value, is_third: bool) {
    let contents = list(&body["contents"]);
    for (number, content) in contents.iter().enumerate() {
        let role = if number % 2 == 0 { "user" } else { "model" };
        assert_eq!(content["role"], role, "turns alternate");
        let parts = list(&content["parts"]);
        assert!(!parts.is_empty());
        for part in parts {
            let kinds = ["text", "inlineData", "functionCall", "functionResponse"];
            let kinds = kinds.iter().filter(|kind| !part[**kind].is_null());
            assert_eq!(kinds.count(), 1, "{part}");
            assert_ne!(part["text"], "");
            let mime_type = &part["inlineData"]["mimeType"];
            assert_ne!(mime_type, "image/jpg");
        }
        if role == "model" {
            let mut calls = parts.iter().filter(|part| part["functionCall"].is_object());
            let first = calls.clone().next();
            if let Some(first) = first.filter(|_| is_third) {
                assert!(
                    first["thoughtSignature"].is_string(),
                    "the first call is signed"
                );
            }
            assert!(calls.all(|call| call["functionCall"]["args"].is_object()));
            let next = contents
                .get(number + 1)
                .map_or(&[][..], |next| list(&next["parts"]));
            let named = |kind: &'static str| move |part: &Value| part[kind].clone();
            let calls: Vec<_> = parts.iter().map(named("functionCall")).collect();
            let results: Vec<_> = next.iter().map(named("functionResponse")).collect();
            let calls = calls.iter().filter(|one| one.is_object());
            let results = results.iter().filter(|one| one.is_object());
            let names = |one: &Value| one["name"].clone();
            let called: Vec<_> = calls.clone().map(names).collect();
            called.iter().for_each(assert_legal_name);
            let answered: Vec<_> = results.clone().map(names).collect();
            assert_eq!(called, answered, "results stand in the order of the calls");
            assert_answered(calls.map(|one| &one["id"]), results.map(|one| &one["id"]));
        }
    }
    assert_eq!(contents.last().unwrap()["role"], "user");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_conversation_keeps_the_laws_of_anthropic(request in conversation(true)) {
        assert_laws_of_anthropic(&body(&Anthropic::default(), &request));
    }

    #[test]
    fn every_conversation_keeps_the_laws_of_gemini(request in conversation(true)) {
        for (generation, is_third) in [(gemini::Generation::Second, false), (gemini::Generation::Third, true)] {
            let format = Gemini::new(gemini::Dialect {
                generation: Some(generation),
                ..gemini::Dialect::default()
            });
            assert_laws_of_gemini(&body(&format, &request), is_third);
        }
    }

    #[test]
    fn every_conversation_keeps_the_laws_of_compatible_hosts(request in conversation(false)) {
        let hosts = [
            ("", OpenAiLaws { demands_reasoning: false, is_mistral: false }),
            ("reasoning = 'thinking'\nreasoning_history = 'reasoning_content'",
                OpenAiLaws { demands_reasoning: true, is_mistral: false }),
            ("tool_call_ids = 'nine_alphanumerics'",
                OpenAiLaws { demands_reasoning: false, is_mistral: true }),
        ];
        for (dialect, laws) in hosts {
            let dialect: openai_chat::Dialect = toml::from_str(dialect).unwrap();
            assert_laws_of_openai(&body(&OpenAiChat { dialect }, &request), &laws);
        }
    }
}
