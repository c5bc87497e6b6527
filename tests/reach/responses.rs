//! How is a request to OpenAI's Responses API said in the contract?

mod items;

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::{Value, json};

use crate::chat::{allowed_mode, cache_retention, service_tier};
use crate::fields::{Fields, Said, schema};
use crate::parts::{
    effort, function, json_object, json_schema, mode, one_of, provider_tool, this_function, typed,
    verbosity,
};

const FORMAT: &str = "openai_responses";

pub(crate) fn say(body: &Value, format: &dyn WireFormat) -> Said<v1::GenerateRequest> {
    let mut body = Fields::of(body.clone(), "the body")?;
    // The target, how its answer is wanted, and that the provider is to forget it.
    body.take("model");
    body.take("stream");
    body.take_as("store", |store| (store == false).then_some(()));
    let messages = items::say(&mut body, format)?;
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
