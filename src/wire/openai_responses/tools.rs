//! How are tools and the choice among them written?

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::{FunctionTool, Tool, ToolChoice, WebSearch};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::openai::schemas;
use crate::wire::options::{OptionsPlace, Words};

use super::value;

/// The schema of a function without arguments: the API requires one.
const NO_ARGUMENTS: &str =
    r#"{"type":"object","properties":{},"required":[],"additionalProperties":false}"#;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireTool<'a> {
    Function {
        r#type: &'static str,
        name: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        description: &'a str,
        parameters: Cow<'a, RawValue>,
        /// Written always: the API enforces schemas unless it is told not to.
        strict: bool,
    },
    WebSearch {
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        filters: Option<Filters<'a>>,
    },
    CodeInterpreter {
        r#type: &'static str,
        container: Container,
    },
    /// In the provider's own words.
    AsSaid(Cow<'a, RawValue>),
}

#[derive(Serialize)]
pub(super) struct Filters<'a> {
    allowed_domains: &'a [String],
}

#[derive(Serialize)]
pub(super) struct Container {
    r#type: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireToolChoice<'a> {
    Word(&'static str),
    Function {
        r#type: &'static str,
        name: &'a str,
    },
    Allowed {
        r#type: &'static str,
        mode: &'static str,
        tools: Vec<Allowed<'a>>,
    },
}

#[derive(Serialize)]
pub(super) struct Allowed<'a> {
    r#type: &'static str,
    name: &'a str,
}

/// A tool as it is written; `None` if none of it is for this target.
pub(super) fn tool_of<'a>(
    index: usize,
    tool: &'a Tool,
    words: &Words<'_>,
    adaptations: &mut Adaptations,
) -> Result<Option<WireTool<'a>>, Unsupported> {
    Ok(Some(match tool {
        Tool::Function(function) => function_of(function, adaptations)?,
        Tool::WebSearch(WebSearch {
            max_uses: _, // A limit of the request.
            allowed_domains,
            blocked_domains,
        }) => {
            if !blocked_domains.is_empty() {
                return Err(value(
                    "tools.web_search.blocked_domains",
                    "sites can only be allowed",
                ));
            }
            let is_filtered = !allowed_domains.is_empty();
            WireTool::WebSearch {
                r#type: "web_search",
                filters: is_filtered.then_some(Filters { allowed_domains }),
            }
        }
        Tool::CodeExecution => WireTool::CodeInterpreter {
            r#type: "code_interpreter",
            container: Container { r#type: "auto" },
        },
        Tool::Provider(options) => {
            let path = format_args!("tools[{index}].provider_tool");
            let said = words.chosen(options, OptionsPlace::ProviderTool, path, adaptations)?;
            return Ok(said.map(WireTool::AsSaid));
        }
    }))
}

fn function_of<'a>(
    function: &'a FunctionTool,
    adaptations: &mut Adaptations,
) -> Result<WireTool<'a>, Unsupported> {
    let FunctionTool {
        name,
        description,
        parameters,
        strict,
    } = function;
    let parameters = match schemas::of_arguments(parameters.as_deref(), *strict, adaptations)? {
        Some(parameters) => parameters,
        None => Cow::Borrowed(
            serde_json::from_str::<&RawValue>(NO_ARGUMENTS)
                .map_err(|_| value("tools.parameters", "it cannot be written as JSON"))?,
        ),
    };
    Ok(WireTool::Function {
        r#type: "function",
        name,
        description,
        parameters,
        strict: *strict,
    })
}

/// The most calls of the provider's own tools, where it is limited.
pub(super) fn most_calls(tools: &[Tool], adaptations: &mut Adaptations) -> Option<u32> {
    let limit = tools.iter().find_map(|tool| match tool {
        Tool::WebSearch(search) => search.max_uses,
        Tool::Function(_) | Tool::CodeExecution | Tool::Provider(_) => None,
    })?;
    let of_provider = tools.iter().filter(|tool| tool.function().is_none());
    if of_provider.count() > 1 {
        adaptations.note(
            "tools.web_search.max_uses",
            "limits the calls of all tools of the provider together: it has no limit for one",
        );
    }
    Some(limit)
}

pub(super) fn tool_choice_of(choice: &ToolChoice) -> Option<WireToolChoice<'_>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(WireToolChoice::Word("none")),
        ToolChoice::Required => Some(WireToolChoice::Word("required")),
        ToolChoice::Function(name) => Some(WireToolChoice::Function {
            r#type: "function",
            name,
        }),
        ToolChoice::Allowed { names, required } => {
            let allowed = |name| Allowed {
                r#type: "function",
                name,
            };
            Some(WireToolChoice::Allowed {
                r#type: "allowed_tools",
                mode: if *required { "required" } else { "auto" },
                tools: names.iter().map(|name| allowed(name.as_str())).collect(),
            })
        }
    }
}
