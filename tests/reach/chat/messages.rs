//! How are the messages of Chat Completions said in the contract?

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::{Value, json};

use super::FORMAT;
use crate::answered;
use crate::fields::{Fields, Said};
use crate::parts::{Part, at, cache, data, marked, message, plain, stored, tool_result};

/// The messages of a request.
pub(super) fn say(body: &mut Fields, format: &dyn WireFormat) -> Said<Vec<v1::Message>> {
    let mut messages = Vec::new();
    for (index, said) in body
        .list("messages")
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        messages.push(of_message(said, format, index)?);
    }
    Ok(messages)
}

fn of_message(said: Value, format: &dyn WireFormat, index: usize) -> Said<v1::Message> {
    let mut said = Fields::of(said, "a message")?;
    let role = said.text("role").unwrap_or_default();
    let role = match &*role {
        "system" | "developer" => v1::Role::System,
        "user" => v1::Role::User,
        "assistant" => {
            let parts = of_assistant(said, format, index)?;
            return Ok(message(v1::Role::Assistant, parts));
        }
        "tool" => v1::Role::Tool,
        role => return Err(format!("a message of the role `{role}`")),
    };
    let mark = cache(&mut said);
    let content = said.take("content").unwrap_or_default();
    let mut parts = contents(content)?;
    if role == v1::Role::Tool {
        let id = said.text("tool_call_id").unwrap_or_default();
        // A mark at the end of a result is one of the result.
        let last = parts.last_mut();
        let cache_breakpoint = last.and_then(|last| last.cache_breakpoint.take());
        parts = vec![v1::ContentPart {
            cache_breakpoint,
            ..plain(tool_result(id, parts, false))
        }];
    }
    // What is said of a message is said of its last part, which ends where the message ends.
    if let Some(last) = parts.last_mut() {
        last.cache_breakpoint = last.cache_breakpoint.or(mark);
    }
    said.end("a message")?;
    Ok(message(role, parts))
}

/// The parts of a content, which is a text or a list of pieces.
fn contents(content: Value) -> Said<Vec<v1::ContentPart>> {
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![plain(Part::Text(text))]),
        Value::Array(pieces) => pieces.into_iter().map(piece).collect(),
        _ => Err("a content that is neither text nor list".to_owned()),
    }
}

fn piece(piece: Value) -> Said<v1::ContentPart> {
    let mut piece = Fields::of(piece, "a piece")?;
    let kind = piece.text("type").unwrap_or_default();
    let part = match &*kind {
        "text" => Part::Text(piece.text("text").unwrap_or_default()),
        "image_url" => {
            let (url, mut rest) = url(&mut piece, "image_url")?;
            let detail = rest.take_as("detail", |detail| detail_of(detail.as_str()?));
            rest.end("an image")?;
            Part::Image(v1::Media {
                detail: detail.unwrap_or_default().into(),
                ..at(&url)?
            })
        }
        "video_url" => {
            let (url, rest) = url(&mut piece, "video_url")?;
            rest.end("a film")?;
            Part::Video(at(&url)?)
        }
        "document_url" => {
            let media = at(&piece.text("document_url").unwrap_or_default())?;
            Part::Document(v1::Media {
                filename: piece.text("document_name").unwrap_or_default(),
                ..media
            })
        }
        "input_audio" => {
            let mut audio = piece.object("input_audio").unwrap_or_else(Fields::none);
            let media_type = match &*audio.text("format").unwrap_or_default() {
                "mp3" => "audio/mpeg".to_owned(),
                format => format!("audio/{format}"),
            };
            let media = data(&audio.text("data").unwrap_or_default(), &media_type)?;
            audio.end("a sound")?;
            Part::Audio(media)
        }
        "file" => {
            let mut file = piece.object("file").unwrap_or_else(Fields::none);
            let media = match (file.text("file_data"), file.text("file_id")) {
                (Some(url), None) => at(&url)?,
                (None, Some(id)) => stored(id),
                _ => return Err("a file with neither data nor id".to_owned()),
            };
            let filename = file.text("filename").unwrap_or_default();
            file.end("a file")?;
            Part::Document(v1::Media { filename, ..media })
        }
        kind => return Err(format!("a piece `{kind}`")),
    };
    Ok(marked(part, piece, FORMAT))
}

/// An address, which stands alone or in an object.
fn url(piece: &mut Fields, name: &str) -> Said<(String, Fields)> {
    if let Some(url) = piece.text(name) {
        return Ok((url, Fields::none()));
    }
    let mut rest = piece.object(name).ok_or("a medium without address")?;
    let url = rest.text("url").ok_or("a medium without address")?;
    Ok((url, rest))
}

/// How closely an image is looked at, as both APIs of OpenAI say it.
pub(crate) fn detail_of(detail: &str) -> Option<v1::ImageDetail> {
    match detail {
        "auto" => Some(v1::ImageDetail::Unspecified),
        "low" => Some(v1::ImageDetail::Low),
        "high" => Some(v1::ImageDetail::High),
        _ => None,
    }
}

/// The message is read as an answer; marks of it and of its calls stay with their parts.
fn of_assistant(
    mut said: Fields,
    format: &dyn WireFormat,
    index: usize,
) -> Said<Vec<v1::ContentPart>> {
    let mark = cache(&mut said);
    // An answer that has begun would be continued if this were true.
    said.take_as("prefix", |prefix| (prefix == false).then_some(()));
    if said.get("prefix").is_some() {
        return Err("the beginning of an answer, to be continued".to_owned());
    }
    let mut marks_of_calls = Vec::new();
    if let Some(calls) = said.list("tool_calls") {
        let mut unmarked = Vec::new();
        for call in calls {
            let mut call = Fields::of(call, "a call")?;
            marks_of_calls.push(cache(&mut call));
            unmarked.push(call.into_value());
        }
        said.put("tool_calls", Value::Array(unmarked));
    }
    if let Some(pieces) = said.get("content").and_then(Value::as_array)
        && pieces.iter().any(|piece| !piece["cache_control"].is_null())
    {
        return Err("a mark within an earlier answer".to_owned());
    }
    let answer = json!({
        "choices": [{"index": 0, "message": said.into_value(), "finish_reason": "stop"}],
    });
    let mut parts = answered::parts(format, &answer, format!("call-{index}"))?;
    let is_call = |part: &&mut v1::ContentPart| matches!(part.part, Some(Part::ToolCall(_)));
    for (call, mark) in parts.iter_mut().filter(is_call).zip(marks_of_calls) {
        call.cache_breakpoint = mark;
    }
    if let Some(last) = parts.last_mut() {
        last.cache_breakpoint = last.cache_breakpoint.or(mark);
    }
    Ok(parts)
}
