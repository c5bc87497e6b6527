//! How is a request to Anthropic's Messages API said in the contract?

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::{Value, json};

use crate::answered;
use crate::fields::{Fields, Said, schema};
use crate::parts::{
    Part, at, data, effort, function, json_schema, marked, message, mode, plain, provider_tool,
    stored, this_function, tool_result, typed,
};

const FORMAT: &str = "anthropic";

/// What a search says that the contract says as well.
const SEARCH: [&str; 5] = [
    "type",
    "name",
    "max_uses",
    "allowed_domains",
    "blocked_domains",
];

pub(crate) fn say(body: &Value, format: &dyn WireFormat) -> Said<v1::GenerateRequest> {
    let mut body = Fields::of(body.clone(), "the body")?;
    // The target, and how its answer is wanted.
    body.take("model");
    body.take("stream");
    body.take("anthropic_version");
    let mut messages = Vec::new();
    if let Some(system) = body.take("system") {
        let parts = contents(system, user_part)?;
        messages.push(message(v1::Role::System, parts));
    }
    for (index, turn) in body
        .list("messages")
        .unwrap_or_default()
        .into_iter()
        .enumerate()
    {
        let mut turn = Fields::of(turn, "a message")?;
        let role = turn.text("role").unwrap_or_default();
        let content = turn.take("content").unwrap_or_default();
        turn.end("a message")?;
        match &*role {
            "user" => of_user(content, &mut messages)?,
            "assistant" => {
                let parts = of_assistant(content, format, index)?;
                messages.push(message(v1::Role::Assistant, parts));
            }
            "system" => {
                let parts = contents(content, user_part)?;
                messages.push(message(v1::Role::System, parts));
            }
            role => return Err(format!("a message of the role `{role}`")),
        }
    }
    let mut request = v1::GenerateRequest {
        messages,
        sampling: Some(v1::SamplingParams {
            max_output_tokens: body.count("max_tokens"),
            temperature: body.number("temperature"),
            top_p: body.number("top_p"),
            top_k: body.count("top_k"),
            stop_sequences: body.texts("stop_sequences").unwrap_or_default(),
            ..v1::SamplingParams::default()
        }),
        tools: tools(&mut body)?,
        ..v1::GenerateRequest::default()
    };
    choose(&mut body, &mut request);
    output(&mut body, &mut request);
    if let Some(mut metadata) = body.object("metadata") {
        request.end_user_id = metadata.text("user_id").unwrap_or_default();
        body.put_back("metadata", metadata);
    }
    let standard = body.take_as("service_tier", |tier| {
        (tier == "standard_only").then_some(v1::ServiceTier::Standard)
    });
    request.service_tier = standard.unwrap_or_default().into();
    request.provider_options = body.into_options(FORMAT);
    Ok(request)
}

/// The parts of a content, which is a text or a list of blocks.
fn contents(
    content: Value,
    part: impl Fn(Fields) -> Said<v1::ContentPart>,
) -> Said<Vec<v1::ContentPart>> {
    match content {
        Value::String(text) => Ok(vec![plain(Part::Text(text))]),
        Value::Array(blocks) => blocks
            .into_iter()
            .map(|block| part(Fields::of(block, "a block")?))
            .collect(),
        _ => Err("a content that is neither text nor list".to_owned()),
    }
}

/// Results of tools become a message of their own, before what the user says beside them.
fn of_user(content: Value, messages: &mut Vec<v1::Message>) -> Said<()> {
    let parts = contents(content, user_part)?;
    let is_result = |part: &v1::ContentPart| matches!(part.part, Some(Part::ToolResult(_)));
    let (results, others): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_result);
    for (role, parts) in [(v1::Role::Tool, results), (v1::Role::User, others)] {
        if !parts.is_empty() {
            messages.push(message(role, parts));
        }
    }
    Ok(())
}

fn user_part(mut block: Fields) -> Said<v1::ContentPart> {
    let kind = block.text("type").unwrap_or_default();
    let part = match &*kind {
        "text" => Part::Text(block.text("text").unwrap_or_default()),
        "image" => Part::Image(source(&mut block)?),
        "document" => Part::Document(v1::Media {
            filename: block.text("title").unwrap_or_default(),
            ..source(&mut block)?
        }),
        "tool_result" => {
            let id = block.text("tool_use_id").unwrap_or_default();
            let content = block.take("content");
            let content = content.map(|content| contents(content, user_part));
            let is_error = block.flag("is_error").unwrap_or_default();
            tool_result(id, content.transpose()?.unwrap_or_default(), is_error)
        }
        kind => return Err(format!("a block `{kind}` of the user")),
    };
    Ok(marked(part, block, FORMAT))
}

fn source(block: &mut Fields) -> Said<v1::Media> {
    let mut source = block.object("source").ok_or("a medium without source")?;
    let kind = source.text("type").unwrap_or_default();
    let media = match &*kind {
        "base64" => {
            let media_type = source.text("media_type").unwrap_or_default();
            data(&source.text("data").unwrap_or_default(), &media_type)?
        }
        "text" => v1::Media {
            source: Some(v1::media::Source::Data(
                source.text("data").unwrap_or_default().into_bytes().into(),
            )),
            media_type: source.text("media_type").unwrap_or_default(),
            ..v1::Media::default()
        },
        "url" => at(&source.text("url").unwrap_or_default())?,
        "file" => stored(source.text("file_id").unwrap_or_default()),
        kind => return Err(format!("a source `{kind}`")),
    };
    source.end("a source")?;
    Ok(media)
}

/// Each block is read as an answer of its own, so that its mark stays with it.
fn of_assistant(
    content: Value,
    format: &dyn WireFormat,
    index: usize,
) -> Said<Vec<v1::ContentPart>> {
    let blocks = match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks,
        _ => return Err("a content that is neither text nor list".to_owned()),
    };
    let mut said = Vec::new();
    for (position, block) in blocks.into_iter().enumerate() {
        let mut block = Fields::of(block, "a block")?;
        let cache_breakpoint = crate::parts::cache(&mut block);
        let answer = json!({
            "type": "message", "role": "assistant", "model": "recorded", "content": [block.into_value()],
            "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1},
        });
        let mut parts = answered::parts(format, &answer, format!("call-{index}-{position}"))?;
        if let Some(last) = parts.last_mut() {
            last.cache_breakpoint = cache_breakpoint;
        }
        said.extend(parts);
    }
    Ok(said)
}

fn tools(body: &mut Fields) -> Said<Vec<v1::Tool>> {
    let tools = body.list("tools").unwrap_or_default().into_iter();
    tools
        .map(|tool| {
            let mut tool = Fields::of(tool, "a tool")?;
            let kind = tool.get("type").and_then(Value::as_str).unwrap_or("custom");
            match kind {
                "custom" => {
                    tool.take("type");
                    let declared = v1::FunctionTool {
                        name: tool.text("name").unwrap_or_default(),
                        description: tool.text("description").unwrap_or_default(),
                        parameters: tool.take("input_schema").as_ref().map(schema),
                        strict: tool.flag("strict").unwrap_or_default(),
                    };
                    Ok(function(declared, tool, FORMAT))
                }
                "web_search_20250305" if tool.is_only(&SEARCH) => {
                    let search = v1::WebSearchTool {
                        max_uses: tool.count("max_uses"),
                        allowed_domains: tool.texts("allowed_domains").unwrap_or_default(),
                        blocked_domains: tool.texts("blocked_domains").unwrap_or_default(),
                    };
                    Ok(typed(v1::tool::Tool::WebSearch(search)))
                }
                _ => Ok(provider_tool(tool, FORMAT)),
            }
        })
        .collect()
}

fn choose(body: &mut Fields, request: &mut v1::GenerateRequest) {
    let Some(mut choice) = body.object("tool_choice") else {
        return;
    };
    let said = match choice.text("type").as_deref() {
        Some("auto") => Some(mode(v1::ToolChoiceMode::Auto)),
        Some("any") => Some(mode(v1::ToolChoiceMode::Required)),
        Some("none") => Some(mode(v1::ToolChoiceMode::None)),
        Some("tool") => choice.text("name").map(this_function),
        Some(_) | None => None,
    };
    request.tool_choice = said;
    let disabled = choice.flag("disable_parallel_tool_use");
    request.parallel_tool_calls = disabled.map(|disabled| !disabled);
    body.put_back("tool_choice", choice);
}

/// How much is thought, and the form of the answer.
fn output(body: &mut Fields, request: &mut v1::GenerateRequest) {
    let mut reasoning = v1::ReasoningOptions::default();
    let mut config = body.object("output_config").unwrap_or_else(Fields::none);
    if let Some(mut thinking) = body.object("thinking") {
        let display = thinking.text("display");
        reasoning.include_reasoning = display.as_deref() != Some("omitted");
        match thinking.text("type").as_deref() {
            Some("enabled") => reasoning.max_reasoning_tokens = thinking.count("budget_tokens"),
            Some("disabled") => reasoning.effort = v1::ReasoningEffort::None.into(),
            Some("adaptive") => {
                let named = config.take_as("effort", |name| effort(name.as_str()?));
                reasoning.effort = named.unwrap_or(v1::ReasoningEffort::High).into();
            }
            kind => thinking.put("type", json!(kind)),
        }
        body.put_back("thinking", thinking);
    }
    request.reasoning = Some(reasoning);
    let format = config
        .object("format")
        .or_else(|| body.object("output_format"));
    if let Some(mut format) = format {
        let is_schema = format.get("type").is_some_and(|kind| kind == "json_schema");
        if let (true, Some(answer)) = (is_schema, format.take("schema")) {
            format.take("type");
            request.response_format = Some(json_schema(v1::JsonSchemaFormat {
                schema: Some(schema(&answer)),
                ..v1::JsonSchemaFormat::default()
            }));
        }
        config.put_back("format", format);
    }
    body.put_back("output_config", config);
}
