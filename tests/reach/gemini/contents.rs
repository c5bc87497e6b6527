//! How are the contents of a Gemini request said in the contract?

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::{Value, json};

use super::FORMAT;
use crate::answered;
use crate::fields::{Fields, Said};
use crate::parts::{Part, at, data, marked, message, plain, tool_result};

/// The messages of a request: the system's instruction and the contents.
pub(super) fn say(body: &mut Fields, format: &dyn WireFormat) -> Said<Vec<v1::Message>> {
    let mut messages = Vec::new();
    if let Some(mut system) = body.object("systemInstruction") {
        // Its role means nothing.
        system.take("role");
        let parts = parts(&mut system)?.into_iter().filter(says_something);
        let parts = parts.map(user_part).collect::<Said<Vec<_>>>()?;
        system.end("the system's instruction")?;
        if !parts.is_empty() {
            messages.push(message(v1::Role::System, parts));
        }
    }
    let mut calls = Vec::new();
    for (index, content) in body
        .list("contents")
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let mut content = Fields::of(content, "a content")?;
        let role = content.text("role").unwrap_or_else(|| "user".to_owned());
        let parts = parts(&mut content)?;
        content.end("a content")?;
        match &*role {
            "model" => {
                let parts = of_model(parts, format, index)?;
                calls = parts.iter().filter_map(call_of).collect();
                messages.push(message(v1::Role::Assistant, parts));
            }
            "user" | "function" => of_user(parts, &mut calls, &mut messages)?,
            role => return Err(format!("a content of the role `{role}`")),
        }
    }
    Ok(messages)
}

/// The parts of a content. One part may stand without a list.
fn parts(content: &mut Fields) -> Said<Vec<Value>> {
    match content.take("parts") {
        Some(Value::Array(parts)) => Ok(parts),
        Some(part @ Value::Object(_)) => Ok(vec![part]),
        None => Ok(Vec::new()),
        Some(_) => Err("parts that are no list".to_owned()),
    }
}

/// Whether a part is more than an empty text, which the contract does not take.
fn says_something(part: &Value) -> bool {
    *part != json!({"text": ""})
}

/// A call that has no result yet: its name, its id as the provider gave it, and as callers have it.
struct Call {
    name: String,
    id: String,
}

fn call_of(part: &v1::ContentPart) -> Option<Call> {
    match &part.part {
        Some(Part::ToolCall(v1::ToolCall { name, id, .. })) => Some(Call {
            name: name.clone(),
            id: id.clone(),
        }),
        _ => None,
    }
}

/// Each part is read as an answer of its own, so that parts stay apart.
fn of_model(
    parts: Vec<Value>,
    format: &dyn WireFormat,
    index: usize,
) -> Said<Vec<v1::ContentPart>> {
    let mut said = Vec::new();
    for (position, part) in parts.into_iter().enumerate() {
        let content = json!({"role": "model", "parts": [part]});
        let answer = json!({"candidates": [{"content": content, "finishReason": "STOP"}]});
        said.extend(answered::parts(
            format,
            &answer,
            format!("call-{index}-{position}"),
        )?);
    }
    Ok(said)
}

/// Results of tools become a message of their own, before what the user says beside them.
fn of_user(parts: Vec<Value>, calls: &mut Vec<Call>, messages: &mut Vec<v1::Message>) -> Said<()> {
    let mut results = Vec::new();
    let mut others = Vec::new();
    for part in parts.into_iter().filter(says_something) {
        match part.get("functionResponse") {
            Some(_) => results.push(result(part, calls)?),
            None => others.push(user_part(part)?),
        }
    }
    for (role, parts) in [(v1::Role::Tool, results), (v1::Role::User, others)] {
        if !parts.is_empty() {
            messages.push(message(role, parts));
        }
    }
    Ok(())
}

fn user_part(part: Value) -> Said<v1::ContentPart> {
    let mut part = Fields::of(part, "a part")?;
    part.take_as("thought", is_false);
    let said = match (part.text("text"), media(&mut part)?) {
        (Some(text), None) => Part::Text(text),
        (None, Some(media)) => by_type(media),
        _ => return Err("a part of the user that is neither text nor medium".to_owned()),
    };
    Ok(marked(said, part, FORMAT))
}

/// What a request says is no thought, which is said by nothing.
fn is_false(thought: &Value) -> Option<()> {
    (thought == false).then_some(())
}

fn media(part: &mut Fields) -> Said<Option<v1::Media>> {
    if let Some(mut blob) = part.object("inlineData") {
        let media_type = blob.text("mimeType").unwrap_or_default();
        let media = data(&blob.text("data").unwrap_or_default(), &media_type)?;
        let filename = blob.text("displayName").unwrap_or_default();
        blob.end("a blob")?;
        return Ok(Some(v1::Media { filename, ..media }));
    }
    let Some(mut file) = part.object("fileData") else {
        return Ok(None);
    };
    let media = at(&file.text("fileUri").unwrap_or_default())?;
    let media_type = file.text("mimeType").unwrap_or_default();
    let filename = file.text("displayName").unwrap_or_default();
    file.end("a file")?;
    Ok(Some(v1::Media {
        media_type,
        filename,
        ..media
    }))
}

fn by_type(media: v1::Media) -> Part {
    match media.media_type.split_once('/') {
        Some(("image", _)) => Part::Image(media),
        Some(("audio", _)) => Part::Audio(media),
        Some(("video", _)) => Part::Video(media),
        _ => Part::Document(media),
    }
}

/// A result belongs to the first call without one that has its id, or its name where there are no ids.
fn result(part: Value, calls: &mut Vec<Call>) -> Said<v1::ContentPart> {
    let mut part = Fields::of(part, "a part")?;
    part.take_as("thought", is_false);
    let mut response = part
        .object("functionResponse")
        .ok_or("a result without response")?;
    let name = response.text("name").unwrap_or_default();
    let id = response.text("id");
    let is_its = |call: &Call| match &id {
        Some(id) => call.id == *id,
        None => call.name == name,
    };
    let at = calls
        .iter()
        .position(is_its)
        .ok_or("a result without its call")?;
    let call = calls.remove(at);
    let returned = response.take("response").unwrap_or_else(|| json!({}));
    let mut content = vec![plain(Part::Text(returned.to_string()))];
    for within in response.list("parts").unwrap_or_default() {
        content.push(user_part(within)?);
    }
    part.put_back("functionResponse", response);
    Ok(marked(tool_result(call.id, content, false), part, FORMAT))
}
