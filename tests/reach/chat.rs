//! How is a request to OpenAI Chat Completions said in the contract?

mod messages;

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::Value;

use crate::fields::{Fields, Said, schema, texts};
use crate::parts::{
    effort, function, json_object, json_schema, mode, one_of, provider_tool, this_function,
    verbosity,
};

pub(crate) use self::messages::detail_of;

const FORMAT: &str = "openai_chat";

pub(crate) fn say(body: &Value, format: &dyn WireFormat) -> Said<v1::GenerateRequest> {
    let mut body = Fields::of(body.clone(), "the body")?;
    // The target, and how its answer is wanted.
    body.take("model");
    body.take("stream");
    body.take("stream_options");
    if body.count("n").is_some_and(|answers| answers > 1) {
        return Err("`n`: several answers".to_owned());
    }
    let messages = messages::say(&mut body, format)?;
    let cap = body.count("max_tokens");
    let cap = cap.or_else(|| body.count("max_completion_tokens"));
    let seed = ["seed", "random_seed"]
        .iter()
        .find_map(|name| body.take_as(name, Value::as_i64));
    let stop = body.take_as("stop", |stop| match stop {
        Value::String(text) => Some(vec![text.clone()]),
        list => texts(list),
    });
    let mut request = v1::GenerateRequest {
        messages,
        sampling: Some(v1::SamplingParams {
            max_output_tokens: cap,
            temperature: body.number("temperature"),
            top_p: body.number("top_p"),
            top_k: body.count("top_k"),
            frequency_penalty: body.number("frequency_penalty"),
            presence_penalty: body.number("presence_penalty"),
            seed,
            stop_sequences: stop.unwrap_or_default(),
            top_logprobs: logprobs(&mut body),
        }),
        tools: tools(&mut body)?,
        parallel_tool_calls: body.flag("parallel_tool_calls"),
        response_format: response_format(&mut body),
        reasoning: Some(reasoning(&mut body)),
        end_user_id: body.text("user").unwrap_or_default(),
        prompt_cache_key: body.text("prompt_cache_key").unwrap_or_default(),
        ..v1::GenerateRequest::default()
    };
    choose(&mut body, &mut request);
    request.service_tier = service_tier(&mut body).unwrap_or_default().into();
    let verbosity = body.take_as("verbosity", |name| verbosity(name.as_str()?));
    request.verbosity = verbosity.unwrap_or_default().into();
    request.prompt_cache_retention = cache_retention(&mut body).unwrap_or_default().into();
    request.provider_options = body.into_options(FORMAT);
    Ok(request)
}

/// The tier, as both APIs of OpenAI and Groq name it. `auto` is the default.
pub(crate) fn service_tier(body: &mut Fields) -> Option<v1::ServiceTier> {
    body.take_as("service_tier", |tier| match tier.as_str()? {
        "default" | "on_demand" => Some(v1::ServiceTier::Standard),
        "priority" => Some(v1::ServiceTier::Priority),
        "flex" => Some(v1::ServiceTier::Flex),
        "auto" => Some(v1::ServiceTier::Unspecified),
        _ => None,
    })
}

/// How long prompts are kept, as both APIs of OpenAI say it.
pub(crate) fn cache_retention(body: &mut Fields) -> Option<v1::CacheRetention> {
    body.take_as("prompt_cache_retention", |retention| {
        (retention == "24h").then_some(v1::CacheRetention::Long)
    })
}

/// How many alternatives of each token are wanted.
fn logprobs(body: &mut Fields) -> Option<i32> {
    match body.flag("logprobs") {
        Some(true) => Some(body.count("top_logprobs").unwrap_or_default()),
        Some(false) | None => None,
    }
}

fn tools(body: &mut Fields) -> Said<Vec<v1::Tool>> {
    let mut said = Vec::new();
    for tool in body.list("tools").unwrap_or_default() {
        let mut tool = Fields::of(tool, "a tool")?;
        let kind = tool.get("type").and_then(Value::as_str);
        if !matches!(kind, None | Some("function")) {
            said.push(provider_tool(tool, FORMAT));
            continue;
        }
        tool.take("type");
        let mut declared = tool.object("function").ok_or("a tool without function")?;
        let declaration = declare(&mut declared);
        tool.put_back("function", declared);
        said.push(function(declaration, tool, FORMAT));
    }
    // The older spelling.
    for declared in body.list("functions").unwrap_or_default() {
        let mut declared = Fields::of(declared, "a function")?;
        let declaration = declare(&mut declared);
        said.push(function(declaration, declared, FORMAT));
    }
    Ok(said)
}

fn declare(declared: &mut Fields) -> v1::FunctionTool {
    v1::FunctionTool {
        name: declared.text("name").unwrap_or_default(),
        description: declared.text("description").unwrap_or_default(),
        parameters: declared.take("parameters").as_ref().map(schema),
        strict: declared.flag("strict").unwrap_or_default(),
    }
}

fn choose(body: &mut Fields, request: &mut v1::GenerateRequest) {
    let said = ["tool_choice", "function_call"]
        .iter()
        .find_map(|name| body.take_as(name, choice));
    request.tool_choice = said;
}

fn choice(choice: &Value) -> Option<v1::ToolChoice> {
    match choice.as_str() {
        Some("auto") => return Some(mode(v1::ToolChoiceMode::Auto)),
        Some("none") => return Some(mode(v1::ToolChoiceMode::None)),
        Some("required" | "any") => return Some(mode(v1::ToolChoiceMode::Required)),
        Some(_) => return None,
        None => {}
    }
    let name_of = |choice: &Value| {
        let name = choice["function"]["name"].as_str();
        name.map(str::to_owned)
    };
    if let Some(allowed) = choice.get("allowed_tools") {
        let names: Option<Vec<_>> = allowed["tools"].as_array()?.iter().map(name_of).collect();
        return Some(one_of(names?, allowed_mode(allowed)));
    }
    name_of(choice).map(this_function)
}

/// The mode of a choice among some tools, as both APIs of OpenAI say it.
pub(crate) fn allowed_mode(allowed: &Value) -> v1::ToolChoiceMode {
    match allowed["mode"] == "required" {
        true => v1::ToolChoiceMode::Required,
        false => v1::ToolChoiceMode::Auto,
    }
}

fn response_format(body: &mut Fields) -> Option<v1::ResponseFormat> {
    let mut format = body.object("response_format")?;
    let kind = format.get("type").and_then(Value::as_str);
    let said = match kind {
        Some("text") => {
            format.take("type");
            None
        }
        Some("json_object") => {
            format.take("type");
            Some(json_object())
        }
        Some("json_schema") => {
            let mut declared = format.object("json_schema")?;
            let said = json_schema(v1::JsonSchemaFormat {
                name: declared.text("name").unwrap_or_default(),
                schema: declared.take("schema").as_ref().map(schema),
                strict: declared.flag("strict").unwrap_or_default(),
                description: declared.text("description").unwrap_or_default(),
            });
            format.take("type");
            format.put_back("json_schema", declared);
            Some(said)
        }
        Some(_) | None => None,
    };
    body.put_back("response_format", format);
    said
}

/// How much is thought, in any of the spellings of the hosts.
fn reasoning(body: &mut Fields) -> v1::ReasoningOptions {
    let mut said = v1::ReasoningOptions::default();
    let named = body.take_as("reasoning_effort", |name| effort(name.as_str()?));
    said.effort = named.unwrap_or_default().into();
    if let Some(mut reasoning) = body.object("reasoning") {
        let named = reasoning.take_as("effort", |name| effort(name.as_str()?));
        if let Some(named) = named {
            said.effort = named.into();
        }
        said.max_reasoning_tokens = reasoning.count("max_tokens");
        let asks = named.is_some() || said.max_reasoning_tokens.is_some();
        if asks {
            said.include_reasoning = !reasoning.flag("exclude").unwrap_or_default();
        }
        body.put_back("reasoning", reasoning);
    }
    if let Some(mut thinking) = body.object("thinking") {
        match thinking.get("type").and_then(Value::as_str) {
            Some("disabled") => {
                thinking.take("type");
                said.effort = v1::ReasoningEffort::None.into();
            }
            // An effort beside it switches thinking on as well.
            Some("enabled") if named.is_some() => {
                thinking.take("type");
            }
            Some(_) | None => {}
        }
        body.put_back("thinking", thinking);
    }
    if let Some(false) = body.get("enable_thinking").and_then(Value::as_bool) {
        body.take("enable_thinking");
        said.effort = v1::ReasoningEffort::None.into();
    }
    said
}
