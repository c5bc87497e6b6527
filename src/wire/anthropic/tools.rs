//! How are tools and the choice among them written?

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::betas::Betas;
use super::marked::{Marked, Marking, Piece};
use super::{schemas, value};
use crate::chat::{ChatRequest, FunctionTool, Tool, ToolChoice, WebSearch};
use crate::error::Unsupported;
use crate::wire::options::OptionsPlace;
use crate::wire::{Adaptations, schema};

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ToolDefinition<'a> {
    Function(Function<'a>),
    Server(ServerTool<'a>),
    /// In the provider's own words.
    Provider(Cow<'a, RawValue>),
}

#[derive(Serialize)]
pub(super) struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

/// A tool that the provider runs. Each has later versions too; these are the ones that every model takes which has
/// the tool at all.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum ServerTool<'a> {
    /// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool>
    #[serde(rename = "web_search_20250305")]
    WebSearch {
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_uses: Option<u32>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        allowed_domains: &'a [String],
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        blocked_domains: &'a [String],
    },
    /// <https://platform.claude.com/docs/en/agents-and-tools/tool-use/code-execution-tool>
    #[serde(rename = "code_execution_20250825")]
    CodeExecution { name: &'static str },
}

impl Piece for ToolDefinition<'_> {
    fn is_verbatim(&self) -> bool {
        matches!(self, Self::Provider(_))
    }
}

/// A tool with what is said of it.
pub(super) type MarkedTool<'a> = Marked<'a, ToolDefinition<'a>>;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Choice<'a> {
    Auto {
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
    None,
    Any {
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
    Tool {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        disable_parallel_tool_use: Option<bool>,
    },
}

/// The tools of a request, in its order.
pub(super) fn tool_definitions<'a>(
    request: &'a ChatRequest,
    marking: Marking<'a>,
    adaptations: &mut Adaptations,
    betas: &mut Betas,
) -> Result<Vec<MarkedTool<'a>>, Unsupported> {
    let ChatRequest {
        tools,
        tool_choice,
        marks,
        ..
    } = request;
    let allowed = allowed(tool_choice, tools, adaptations);
    let mut definitions = Vec::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        if allowed.as_ref().is_some_and(|names| !is_among(names, tool)) {
            continue;
        }
        let definition = match tool {
            Tool::Function(tool) => ToolDefinition::Function(function(tool, adaptations)?),
            Tool::WebSearch(search) => ToolDefinition::Server(web_search(search)?),
            Tool::CodeExecution => ToolDefinition::Server(ServerTool::CodeExecution {
                name: "code_execution",
            }),
            Tool::Provider(definitions) => {
                let path = format_args!("tools[{index}].provider_tool.definitions");
                let place = OptionsPlace::ProviderTool;
                let chosen = marking
                    .words
                    .chosen(definitions, place, path, adaptations)?;
                let Some(definition) = chosen else {
                    continue;
                };
                betas.add_tool(&definition);
                ToolDefinition::Provider(definition)
            }
        };
        definitions.push(match marks.of_tool(index) {
            None => Marked::plain(definition),
            Some(mark) => {
                let (path, place) = (format!("tools[{index}]"), OptionsPlace::Tool);
                Marked::new(definition, mark, path, place, marking, adaptations)?
            }
        });
    }
    Ok(definitions)
}

/// The names of the tools that may be called, if only some may.
fn allowed<'a>(
    tool_choice: &'a ToolChoice,
    tools: &[Tool],
    adaptations: &mut Adaptations,
) -> Option<HashSet<&'a str>> {
    let ToolChoice::Allowed { names, .. } = tool_choice else {
        return None;
    };
    let names = names.iter().map(String::as_str).collect();
    if !tools.iter().all(|tool| is_among(&names, tool)) {
        adaptations.note(
            "tool_choice.allowed",
            "only the allowed tools were sent: the provider cannot be told of tools that it may not call",
        );
    }
    Some(names)
}

fn is_among(names: &HashSet<&str>, tool: &Tool) -> bool {
    let function = tool.function();
    function.is_some_and(|function| names.contains(function.name.as_str()))
}

fn function<'a>(
    tool: &'a FunctionTool,
    adaptations: &mut Adaptations,
) -> Result<Function<'a>, Unsupported> {
    const FIELD: &str = "tools.parameters";
    let FunctionTool {
        name,
        description,
        parameters,
        strict,
    } = tool;
    let rules = if *strict {
        &schemas::OF_STRICT_TOOLS
    } else {
        &schemas::OF_TOOLS
    };
    let schema = parameters.as_deref().unwrap_or(r#"{"type":"object"}"#);
    let schema = schema::fit(schema, rules).map_err(|why| value(FIELD, why))?;
    Ok(Function {
        name,
        description,
        input_schema: schema.noted(FIELD, adaptations),
        strict: *strict,
    })
}

fn web_search(search: &WebSearch) -> Result<ServerTool<'_>, Unsupported> {
    let WebSearch {
        max_uses,
        allowed_domains,
        blocked_domains,
    } = search;
    if !allowed_domains.is_empty() && !blocked_domains.is_empty() {
        return Err(value(
            "tools.web_search",
            "it takes either allowed or blocked sites",
        ));
    }
    Ok(ServerTool::WebSearch {
        name: "web_search",
        max_uses: *max_uses,
        allowed_domains,
        blocked_domains,
    })
}

pub(super) fn choice<'a>(
    tool_choice: &'a ToolChoice,
    parallel_tool_calls: Option<bool>,
    has_tools: bool,
) -> Option<Choice<'a>> {
    let disable_parallel_tool_use = parallel_tool_calls.map(|parallel| !parallel);
    match tool_choice {
        // A choice without tools is refused; without tools none is called anyway.
        ToolChoice::Auto | ToolChoice::None if !has_tools => None,
        ToolChoice::Auto
        | ToolChoice::Allowed {
            required: false, ..
        } => disable_parallel_tool_use.map(|disable| Choice::Auto {
            disable_parallel_tool_use: Some(disable),
        }),
        ToolChoice::None => Some(Choice::None),
        ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => Some(Choice::Any {
            disable_parallel_tool_use,
        }),
        ToolChoice::Function(name) => Some(Choice::Tool {
            name,
            disable_parallel_tool_use,
        }),
    }
}
