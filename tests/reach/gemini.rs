//! How is a request to Gemini said in the contract?

mod contents;

use modelway::grpc::v1;
use modelway::wire::WireFormat;
use serde_json::{Value, json};

use crate::fields::{Fields, Said, schema, texts};
use crate::parts::{
    effort, json_object, json_schema, mode, one_of, provider_tool, this_function, typed,
};
use crate::same::{camel_case, json_schema_of};

const FORMAT: &str = "gemini";

pub(crate) fn say(body: &Value, format: &dyn WireFormat) -> Said<v1::GenerateRequest> {
    let mut body = body.clone();
    camel_case(&mut body);
    let mut body = Fields::of(body, "the body")?;
    // The target, which stands in the path as well.
    body.take("model");
    let messages = contents::say(&mut body, format)?;
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
                _ => {
                    let definition = Fields::of(json!({name: settings}), "a tool")?;
                    said.push(provider_tool(definition, FORMAT));
                    continue;
                }
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
