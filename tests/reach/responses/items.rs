//! How are the input items of the Responses API said in the contract?

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::{Value, json};

use super::FORMAT;
use crate::answered;
use crate::chat::detail_of;
use crate::fields::{Fields, Said};
use crate::parts::{Part, at, marked, message, plain, stored, tool_result};

/// The messages of a request: its instructions and its input.
pub(super) fn say(body: &mut Fields, format: &dyn WireFormat) -> Said<Vec<v1::Message>> {
    let mut messages = Vec::new();
    if let Some(instructions) = body.text("instructions")
        && !instructions.is_empty()
    {
        messages.push(message(
            v1::Role::System,
            vec![plain(Part::Text(instructions))],
        ));
    }
    match body.take("input") {
        Some(Value::String(text)) => {
            messages.push(message(v1::Role::User, vec![plain(Part::Text(text))]));
        }
        Some(Value::Array(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                add(item, format, index, &mut messages)?;
            }
        }
        _ => {}
    }
    Ok(messages)
}

/// Adds an item to the conversation. What the model made is read as an answer; items in a row are one message.
fn add(
    item: Value,
    format: &dyn WireFormat,
    index: usize,
    messages: &mut Vec<v1::Message>,
) -> Said<()> {
    let mut item = Fields::of(item, "an item")?;
    let kind = item
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("message")
        .to_owned();
    let role = item
        .get("role")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    match (&*kind, &*role) {
        ("message", "user" | "system" | "developer") => {
            item.take("type");
            item.take("role");
            let parts = contents(item.take("content").unwrap_or_default())?;
            item.end("a message")?;
            let role = match &*role {
                "user" => v1::Role::User,
                _ => v1::Role::System,
            };
            messages.push(message(role, parts));
        }
        ("function_call_output" | "custom_tool_call_output", _) => {
            let id = item.text("call_id").unwrap_or_default();
            let content = contents(item.take("output").unwrap_or_default())?;
            // Results are complete, and have no other state.
            item.take_as("status", |status| (status == "completed").then_some(()));
            let part = v1::ContentPart {
                provider_options: {
                    item.take("type");
                    item.into_options(FORMAT)
                },
                ..plain(tool_result(id, content, false))
            };
            continued(messages, v1::Role::Tool, vec![part]);
        }
        ("message", "assistant") | ("reasoning" | "function_call" | "custom_tool_call", _) => {
            let parts = of_assistant(item, format, index)?;
            continued(messages, v1::Role::Assistant, parts);
        }
        (kind, _) if kind.ends_with("_output") || kind == "item_reference" => {
            return Err(format!("an item `{kind}`"));
        }
        (_, _) => {
            let parts = of_assistant(item, format, index)?;
            continued(messages, v1::Role::Assistant, parts);
        }
    }
    Ok(())
}

/// Adds parts to the last message if it has this role, else as a message of their own.
fn continued(messages: &mut Vec<v1::Message>, role: v1::Role, parts: Vec<v1::ContentPart>) {
    match messages.last_mut() {
        Some(last) if last.role == i32::from(role) => last.parts.extend(parts),
        _ => messages.push(message(role, parts)),
    }
}

fn of_assistant(
    mut item: Fields,
    format: &dyn WireFormat,
    index: usize,
) -> Said<Vec<v1::ContentPart>> {
    // The short form of a message.
    if item.get("content").is_some_and(Value::is_string) {
        let text = item.take("content").unwrap_or_default();
        item.put("content", json!([{"type": "output_text", "text": text}]));
        item.put("type", json!("message"));
    }
    if item.get("role").is_some() {
        item.put("type", json!("message"));
    }
    let answer = json!({
        "id": "resp", "object": "response", "status": "completed", "model": "recorded",
        "output": [item.into_value()],
    });
    answered::parts(format, &answer, format!("call-{index}"))
}

/// The parts of a content, which is a text or a list of pieces.
fn contents(content: Value) -> Said<Vec<v1::ContentPart>> {
    match content {
        Value::String(text) => Ok(vec![plain(Part::Text(text))]),
        Value::Array(pieces) => pieces.into_iter().map(piece).collect(),
        _ => Err("a content that is neither text nor list".to_owned()),
    }
}

fn piece(piece: Value) -> Said<v1::ContentPart> {
    let mut piece = Fields::of(piece, "a piece")?;
    let kind = piece.text("type").unwrap_or_default();
    let part = match &*kind {
        "input_text" => Part::Text(piece.text("text").unwrap_or_default()),
        "input_image" => {
            let detail = piece.take_as("detail", |detail| detail_of(detail.as_str()?));
            let media = match piece.text("image_url") {
                Some(url) => at(&url)?,
                None => stored(piece.text("file_id").ok_or("an image without source")?),
            };
            Part::Image(v1::Media {
                detail: detail.unwrap_or_default().into(),
                ..media
            })
        }
        "input_file" => {
            let url = ["file_data", "file_url"];
            let media = match url.iter().find_map(|name| piece.text(name)) {
                Some(url) => at(&url)?,
                None => stored(piece.text("file_id").ok_or("a file without source")?),
            };
            let filename = piece.text("filename").unwrap_or_default();
            Part::Document(v1::Media { filename, ..media })
        }
        kind => return Err(format!("a piece `{kind}`")),
    };
    // A breakpoint has no length here; the request says how long everything is kept.
    let mark = piece.take_as("prompt_cache_breakpoint", |mark| {
        let is_known = *mark == json!({"mode": "explicit"});
        is_known.then(v1::CacheBreakpoint::default)
    });
    let said = marked(part, piece, FORMAT);
    Ok(v1::ContentPart {
        cache_breakpoint: mark,
        ..said
    })
}
