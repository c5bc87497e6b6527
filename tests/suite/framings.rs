//! Does a provider's usage mean the same in a stream as in a whole answer? Looked at with recorded exchanges, which are
//! read in place: each usage is put into the other framing, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelway::chat::{Answer, ProviderToolUsage, Usage};
use modelway::wire::anthropic::Anthropic;
use modelway::wire::gemini::Gemini;
use modelway::wire::openai_chat::OpenAiChat;
use modelway::wire::openai_responses::OpenAiResponses;
use modelway::wire::reader::Reader;
use modelway::wire::{Framing, WireFormat};
use serde_json::{Value, json};

fn recordings() -> Option<PathBuf> {
    let named = std::env::var_os("MODELWAY_EXCHANGES").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/exchanges");
    let folder = named.unwrap_or_else(beside);
    folder.join("index.json").is_file().then_some(folder)
}

fn format(api: &str) -> Option<Arc<dyn WireFormat>> {
    Some(match api {
        "anthropic.messages" => Arc::new(Anthropic::default()),
        "gemini.generateContent" | "gemini.streamGenerateContent" => Arc::new(Gemini::default()),
        "openai.chat" => Arc::new(OpenAiChat::default()),
        "openai.responses" => Arc::new(OpenAiResponses::default()),
        _ => return None,
    })
}

/// The token counts of a body, without what is told outside of its usage.
fn usage(api: &str, framing: Framing, body: &str) -> Option<Usage> {
    let content_type = match framing {
        Framing::Sse => "text/event-stream",
        Framing::Json => "application/json",
    };
    let mut reader = Reader::sniffing(format(api)?, framing, Some(content_type));
    let mut events = Vec::new();
    reader.push(body.as_bytes(), &mut events).ok()?;
    reader.end(&mut events).ok()?;
    let mut answer = Answer::default();
    events.into_iter().for_each(|event| answer.apply(event));
    answer.usage.map(|usage| Usage {
        provider_tools: ProviderToolUsage::default(),
        service_tier: None,
        ..usage
    })
}

/// The pieces of a body: its events, the items of its list, or the one object that it is.
fn pieces(body: &str) -> Vec<Value> {
    if let Ok(whole) = serde_json::from_str(body) {
        return match whole {
            Value::Array(items) => items,
            whole => vec![whole],
        };
    }
    let data = body.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok())
        .collect()
}

/// What a provider counts in these pieces, as it would stand in a whole answer.
fn counted(api: &str, pieces: &[Value]) -> Option<Value> {
    let mut counted: Option<Value> = None;
    let path = match api {
        "anthropic.messages" => ["/usage", "/message/usage"],
        "openai.responses" => ["/usage", "/response/usage"],
        "openai.chat" => ["/usage", "/usage"],
        _ => ["/usageMetadata", "/usageMetadata"],
    };
    for piece in pieces {
        // What follows another beginning is another answer, which a whole recording may hold, too.
        let begins = matches!(
            piece["type"].as_str(),
            Some("message_start" | "response.created")
        );
        if counted.is_some() && begins {
            break;
        }
        let usage = path.iter().find_map(|path| piece.pointer(path));
        let Some(Value::Object(usage)) = usage else {
            continue;
        };
        // Anthropic repeats of the first count what has changed; the others tell everything anew.
        match &mut counted {
            Some(Value::Object(known)) if api == "anthropic.messages" => {
                let told = usage.iter().filter(|(_, value)| !value.is_null());
                known.extend(told.map(|(key, value)| (key.clone(), value.clone())));
            }
            counted => *counted = Some(Value::Object(usage.clone())),
        }
    }
    counted
}

fn whole(api: &str, usage: &Value) -> String {
    match api {
        "anthropic.messages" => json!({
            "id": "1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "Hello"}],
            "stop_reason": "end_turn", "usage": usage,
        }),
        "openai.responses" => response(usage),
        "openai.chat" => json!({
            "id": "1", "object": "chat.completion", "model": "m",
            "choices": [{
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Hello"},
            }],
            "usage": usage,
        }),
        _ => piece_of_gemini(usage),
    }
    .to_string()
}

fn response(usage: &Value) -> Value {
    json!({
        "id": "1", "object": "response", "status": "completed", "model": "m",
        "output": [{
            "id": "2", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        }],
        "usage": usage,
    })
}

fn piece_of_gemini(usage: &Value) -> Value {
    json!({
        "candidates": [{
            "index": 0, "finishReason": "STOP",
            "content": {"role": "model", "parts": [{"text": "Hello"}]},
        }],
        "usageMetadata": usage,
    })
}

fn stream(api: &str, usage: &Value) -> String {
    let events = match api {
        "anthropic.messages" => vec![
            json!({"type": "message_start", "message": {
                "id": "1", "type": "message", "role": "assistant", "model": "m", "content": [],
                "usage": usage,
            }}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}),
            json!({"type": "message_stop"}),
        ],
        "openai.responses" => vec![
            json!({"type": "response.output_item.added", "output_index": 0, "item": {
                "id": "2", "type": "message", "role": "assistant", "status": "in_progress", "content": [],
            }}),
            json!({"type": "response.output_text.delta", "item_id": "2", "output_index": 0, "content_index": 0, "delta": "Hello"}),
            json!({"type": "response.completed", "response": response(usage)}),
        ],
        "openai.chat" => vec![
            json!({"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [{
                "index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop",
            }]}),
            json!({"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": usage}),
        ],
        _ => vec![piece_of_gemini(usage)],
    };
    let named = |event: &Value| {
        let name = event["type"]
            .as_str()
            .map(|name| format!("event: {name}\n"));
        format!("{}data: {event}\n\n", name.unwrap_or_default())
    };
    let mut stream: String = events.iter().map(named).collect();
    if api == "openai.chat" {
        stream.push_str("data: [DONE]\n\n");
    }
    stream
}

#[test]
fn usage_is_the_same_in_a_stream_and_in_a_whole_answer() {
    let Some(folder) = recordings() else {
        println!("skipped: no recordings beside the crate, nor where MODELWAY_EXCHANGES says");
        return;
    };
    let read = |path: PathBuf| -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("a recording")).expect("JSON")
    };
    let index = read(folder.join("index.json"));
    let mut compared = 0;
    let mut differing = Vec::new();
    for entry in index.as_array().expect("a list") {
        let (path, api) = (
            entry["path"].as_str().unwrap(),
            entry["api"].as_str().unwrap(),
        );
        if entry["outcome"] != "answer" || format(api).is_none() {
            continue;
        }
        let recorded = read(folder.join(path));
        let body = recorded["response"]["body_text"]
            .as_str()
            .unwrap_or_default();
        let pieces = pieces(body);
        let framing = match recorded["stream"].as_bool() {
            Some(true) => Framing::Sse,
            _ => Framing::Json,
        };
        let (Some(counted), Some(told)) = (counted(api, &pieces), usage(api, framing, body)) else {
            continue;
        };
        compared += 1;
        let in_whole = usage(api, Framing::Json, &whole(api, &counted));
        let in_stream = usage(api, Framing::Sse, &stream(api, &counted));
        if in_whole != Some(told) || in_stream != Some(told) {
            differing.push(format!(
                "{path}: {told:?}\n  whole {in_whole:?}\n  stream {in_stream:?}"
            ));
        }
    }
    println!(
        "usage in both framings: {compared} recordings compared, {} differing",
        differing.len()
    );
    assert!(compared > 500, "{compared}");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn a_count_that_is_absent_is_not_zero_in_either_framing() {
    for (api, counts) in [
        ("openai.chat", json!({"prompt_tokens": 7})),
        ("openai.responses", json!({"input_tokens": 7})),
        ("anthropic.messages", json!({"input_tokens": 7})),
        ("gemini.generateContent", json!({"promptTokenCount": 7})),
    ] {
        for (framing, body) in [
            (Framing::Json, whole(api, &counts)),
            (Framing::Sse, stream(api, &counts)),
        ] {
            let usage = usage(api, framing, &body).expect("a count");

            assert_eq!(usage.input_tokens, Some(7), "{api} {framing:?}");
            assert_eq!(usage.cache_read_input_tokens, None, "{api} {framing:?}");
            assert_eq!(usage.reasoning_output_tokens, None, "{api} {framing:?}");
        }
        for (framing, body) in [
            (Framing::Json, whole(api, &Value::Null)),
            (Framing::Sse, stream(api, &Value::Null)),
        ] {
            assert_eq!(usage(api, framing, &body), None, "{api} {framing:?}");
        }
    }
}
