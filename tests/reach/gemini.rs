//! How is a request to Gemini said in the contract?

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::{Value, json};

use crate::answered;
use crate::fields::{Fields, Said, object, schema, texts};
use crate::parts::{
    Part, at, data, effort, json_object, json_schema, marked, message, mode, one_of, plain,
    this_function, tool_result, typed,
};
use crate::same::{camel_case, json_schema_of};

const FORMAT: &str = "gemini";

pub(crate) fn say(body: &Value, format: &dyn WireFormat) -> Said<v1::GenerateRequest> {
    let mut body = body.clone();
    camel_case(&mut body);
    let mut body = Fields::of(body, "the body")?;
    // The target, which stands in the path as well.
    body.take("model");
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
    let mut request = v1::GenerateRequest {
        messages,
        ..v1::GenerateRequest::default()
    };
    let is_strict = choose(&mut body, &mut request);
    request.tools = tools(&mut body, is_strict)?;
    if let Some(config) = body.object("generationConfig") {
        let rest = configure(config, &mut request)?;
        body.put_back("generationConfig", rest);
    }
    request.provider_options = body.into_options(FORMAT);
    Ok(request)
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
    part.take_as("thought", |thought| (thought == false).then_some(()));
    let said = match (part.text("text"), media(&mut part)?) {
        (Some(text), None) => Part::Text(text),
        (None, Some(media)) => by_type(media),
        _ => return Err("a part of the user that is neither text nor medium".to_owned()),
    };
    Ok(marked(said, part, FORMAT))
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

fn tools(body: &mut Fields, strict: bool) -> Said<Vec<v1::Tool>> {
    let mut said = Vec::new();
    for tool in body.list("tools").unwrap_or_default() {
        let mut tool = Fields::of(tool, "a tool")?;
        for declared in tool.list("functionDeclarations").unwrap_or_default() {
            let mut declared = Fields::of(declared, "a function")?;
            let open_api = declared.take("parameters");
            let parameters = declared.take("parametersJsonSchema");
            let parameters = parameters.or(open_api.map(json_schema_of));
            let function = v1::FunctionTool {
                name: declared.text("name").unwrap_or_default(),
                description: declared.text("description").unwrap_or_default(),
                parameters: parameters.as_ref().map(schema),
                strict,
            };
            said.push(crate::parts::function(function, declared, FORMAT));
        }
        for (name, settings) in tool.into_members() {
            let is_plain = settings == json!({});
            said.push(typed(match &*name {
                "googleSearch" if is_plain => {
                    v1::tool::Tool::WebSearch(v1::WebSearchTool::default())
                }
                "codeExecution" if is_plain => {
                    v1::tool::Tool::CodeExecution(v1::CodeExecutionTool {})
                }
                _ => v1::tool::Tool::ProviderTool(v1::ProviderTool {
                    definitions: vec![v1::ProviderOptions {
                        target: FORMAT.to_owned(),
                        fields: Some(object(&json!({name: settings}))),
                        optional: false,
                    }],
                }),
            }));
        }
    }
    Ok(said)
}

/// Chooses among the tools. True if calls follow the schemas exactly.
fn choose(body: &mut Fields, request: &mut v1::GenerateRequest) -> bool {
    let Some(mut config) = body.object("toolConfig") else {
        return false;
    };
    let mut is_strict = false;
    if let Some(mut calling) = config.object("functionCallingConfig") {
        let named = calling.text("mode").unwrap_or_else(|| "AUTO".to_owned());
        let names = calling.take_as("allowedFunctionNames", texts);
        let required = v1::ToolChoiceMode::Required;
        is_strict = named == "VALIDATED";
        request.tool_choice = match (&*named.to_ascii_uppercase(), names) {
            ("NONE", _) => Some(mode(v1::ToolChoiceMode::None)),
            ("ANY", None) => Some(mode(required)),
            ("ANY", Some(names)) => match &*names {
                [name] => Some(this_function(name.clone())),
                _ => Some(one_of(names, required)),
            },
            (_, Some(names)) => Some(one_of(names, v1::ToolChoiceMode::Auto)),
            (_, None) => None,
        };
        config.put_back("functionCallingConfig", calling);
    }
    body.put_back("toolConfig", config);
    is_strict
}

/// Says what the configuration has words for, and gives back the rest.
fn configure(mut config: Fields, request: &mut v1::GenerateRequest) -> Said<Fields> {
    if config
        .count("candidateCount")
        .is_some_and(|answers| answers > 1)
    {
        return Err("`candidateCount`: several answers".to_owned());
    }
    let likeliest = match config.flag("responseLogprobs") {
        Some(true) => Some(config.count("logprobs").unwrap_or_default()),
        Some(false) | None => None,
    };
    request.sampling = Some(v1::SamplingParams {
        max_output_tokens: config.count("maxOutputTokens"),
        temperature: config.number("temperature"),
        top_p: config.number("topP"),
        top_k: config.count("topK"),
        frequency_penalty: config.number("frequencyPenalty"),
        presence_penalty: config.number("presencePenalty"),
        seed: config.take_as("seed", Value::as_i64),
        stop_sequences: config.texts("stopSequences").unwrap_or_default(),
        top_logprobs: likeliest,
    });
    let open_api = config.take("responseSchema");
    let answer = config.take("responseJsonSchema");
    let answer = answer.or(open_api.map(json_schema_of));
    let format = config.text("responseMimeType");
    request.response_format = match (format.as_deref(), answer) {
        (Some("application/json"), Some(answer)) => Some(json_schema(v1::JsonSchemaFormat {
            schema: Some(schema(&answer)),
            ..v1::JsonSchemaFormat::default()
        })),
        (Some("application/json"), None) => Some(json_object()),
        (Some("text/plain") | None, None) => None,
        (_, _) => return Err("a format of the answer that is not JSON".to_owned()),
    };
    if let Some(mut thinking) = config.object("thinkingConfig") {
        let level = thinking.take_as("thinkingLevel", |level| effort(level.as_str()?));
        let budget = thinking.take_as("thinkingBudget", |budget| {
            i32::try_from(budget.as_i64()?)
                .ok()
                .filter(|budget| *budget >= 0)
        });
        let effort = match budget {
            Some(0) => Some(v1::ReasoningEffort::None),
            Some(_) | None => level,
        };
        request.reasoning = Some(v1::ReasoningOptions {
            effort: effort.unwrap_or_default().into(),
            max_reasoning_tokens: budget.filter(|budget| *budget > 0),
            include_reasoning: thinking.flag("includeThoughts").unwrap_or_default(),
        });
        config.put_back("thinkingConfig", thinking);
    }
    Ok(config)
}
