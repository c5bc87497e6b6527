//! How is a request to OpenAI's Responses API said in the contract?

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::{Value, json};

use crate::answered;
use crate::chat::{allowed_mode, cache_retention, detail_of, service_tier};
use crate::fields::{Fields, Said, schema};
use crate::parts::{
    Part, at, effort, function, json_object, json_schema, marked, message, mode, one_of, plain,
    provider_tool, stored, this_function, tool_result, typed, verbosity,
};

const FORMAT: &str = "openai_responses";

pub(crate) fn say(body: &Value, format: &dyn WireFormat) -> Said<v1::GenerateRequest> {
    let mut body = Fields::of(body.clone(), "the body")?;
    // The target, how its answer is wanted, and that the provider is to forget it.
    body.take("model");
    body.take("stream");
    body.take_as("store", |store| (store == false).then_some(()));
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
    let mut request = v1::GenerateRequest {
        messages,
        sampling: Some(v1::SamplingParams {
            max_output_tokens: body.count("max_output_tokens"),
            temperature: body.number("temperature"),
            top_p: body.number("top_p"),
            top_logprobs: body.count("top_logprobs"),
            ..v1::SamplingParams::default()
        }),
        tools: tools(&mut body)?,
        tool_choice: body.take_as("tool_choice", choice),
        parallel_tool_calls: body.flag("parallel_tool_calls"),
        prompt_cache_key: body.text("prompt_cache_key").unwrap_or_default(),
        prompt_cache_retention: cache_retention(&mut body).unwrap_or_default().into(),
        service_tier: service_tier(&mut body).unwrap_or_default().into(),
        ..v1::GenerateRequest::default()
    };
    let user = ["safety_identifier", "user"];
    let user = user.iter().find_map(|name| body.text(name));
    request.end_user_id = user.unwrap_or_default();
    include(&mut body, &mut request);
    reasoning(&mut body, &mut request);
    text(&mut body, &mut request);
    request.provider_options = body.into_options(FORMAT);
    Ok(request)
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

fn tools(body: &mut Fields) -> Said<Vec<v1::Tool>> {
    let tools = body.list("tools").unwrap_or_default().into_iter();
    tools
        .map(|tool| {
            let mut tool = Fields::of(tool, "a tool")?;
            let kind = tool.get("type").and_then(Value::as_str);
            match kind {
                Some("function") => {
                    tool.take("type");
                    let declared = v1::FunctionTool {
                        name: tool.text("name").unwrap_or_default(),
                        description: tool.text("description").unwrap_or_default(),
                        parameters: tool.take("parameters").as_ref().map(schema),
                        // The API enforces schemas unless it is told not to.
                        strict: tool.flag("strict").unwrap_or(true),
                    };
                    Ok(function(declared, tool, FORMAT))
                }
                Some("web_search") if tool.is_only(&["type"]) => {
                    let search = v1::WebSearchTool::default();
                    Ok(typed(v1::tool::Tool::WebSearch(search)))
                }
                _ => Ok(provider_tool(tool, FORMAT)),
            }
        })
        .collect()
}

fn choice(choice: &Value) -> Option<v1::ToolChoice> {
    let name_of = |choice: &Value| {
        let is_function = choice["type"] == "function";
        let name = choice["name"].as_str().filter(|_| is_function);
        name.map(str::to_owned)
    };
    match (choice.as_str(), choice["type"].as_str()) {
        (Some("auto"), _) => Some(mode(v1::ToolChoiceMode::Auto)),
        (Some("none"), _) => Some(mode(v1::ToolChoiceMode::None)),
        (Some("required"), _) => Some(mode(v1::ToolChoiceMode::Required)),
        (None, Some("allowed_tools")) => {
            let names: Option<Vec<_>> = choice["tools"].as_array()?.iter().map(name_of).collect();
            Some(one_of(names?, allowed_mode(choice)))
        }
        (None, Some("function")) => name_of(choice).map(this_function),
        _ => None,
    }
}

/// What an answer is to include: what the service always asks for, what typed fields ask for, and more.
fn include(body: &mut Fields, request: &mut v1::GenerateRequest) {
    let Some(mut included) = body.texts("include") else {
        return;
    };
    included.retain(|name| name != "reasoning.encrypted_content");
    if let Some(sampling) = &mut request.sampling
        && let Some(at) = included
            .iter()
            .position(|name| name == "message.output_text.logprobs")
    {
        included.remove(at);
        sampling.top_logprobs = sampling.top_logprobs.or(Some(0));
    }
    if !included.is_empty() {
        body.put("include", json!(included));
    }
}

fn reasoning(body: &mut Fields, request: &mut v1::GenerateRequest) {
    let Some(mut reasoning) = body.object("reasoning") else {
        return;
    };
    let named = reasoning.take_as("effort", |name| effort(name.as_str()?));
    let summary = reasoning.take_as("summary", |kind| (kind == "auto").then_some(()));
    request.reasoning = Some(v1::ReasoningOptions {
        effort: named.unwrap_or_default().into(),
        include_reasoning: summary.is_some(),
        ..v1::ReasoningOptions::default()
    });
    body.put_back("reasoning", reasoning);
}

/// The form of the text, and how wordy it is.
fn text(body: &mut Fields, request: &mut v1::GenerateRequest) {
    let Some(mut text) = body.object("text") else {
        return;
    };
    let named = text.take_as("verbosity", |name| verbosity(name.as_str()?));
    request.verbosity = named.unwrap_or_default().into();
    if let Some(mut format) = text.object("format") {
        match format.get("type").and_then(Value::as_str) {
            Some("text") => {
                format.take("type");
            }
            Some("json_object") => {
                format.take("type");
                request.response_format = Some(json_object());
            }
            Some("json_schema") => {
                format.take("type");
                request.response_format = Some(json_schema(v1::JsonSchemaFormat {
                    name: format.text("name").unwrap_or_default(),
                    schema: format.take("schema").as_ref().map(schema),
                    strict: format.flag("strict").unwrap_or_default(),
                    description: format.text("description").unwrap_or_default(),
                }));
            }
            Some(_) | None => {}
        }
        text.put_back("format", format);
    }
    body.put_back("text", text);
}
