//! How are tools and the choice among them written?

use std::borrow::Cow;
use std::ops::Not;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::{ChatRequest, FunctionTool, Tool, ToolChoice};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::openai::schemas;

use super::marking::{Marked, Marking};
use super::server_tools::{self, SearchFields, ServerTool};
use super::{Dialect, RequiredWord};

/// What a request says of tools.
#[derive(Default)]
pub(super) struct WireTools<'a> {
    pub(super) tools: Vec<Marked<WireTool<'a>>>,
    pub(super) search: SearchFields<'a>,
    pub(super) choice: Option<WireToolChoice<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireTool<'a> {
    Function {
        r#type: &'static str,
        function: WireFunction<'a>,
    },
    Server(ServerTool<'a>),
}

#[derive(Serialize)]
pub(super) struct WireFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Not::not")]
    strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum WireToolChoice<'a> {
    Word(&'static str),
    Function(NamedFunction<'a>),
    /// <https://platform.openai.com/docs/guides/function-calling#tool-choice>
    Allowed {
        r#type: &'static str,
        allowed_tools: AllowedTools<'a>,
    },
}

#[derive(Serialize)]
pub(super) struct AllowedTools<'a> {
    mode: &'static str,
    tools: Vec<NamedFunction<'a>>,
}

#[derive(Serialize)]
pub(super) struct NamedFunction<'a> {
    r#type: &'static str,
    function: Named<'a>,
}

impl<'a> NamedFunction<'a> {
    fn new(name: &'a str) -> Self {
        Self {
            r#type: "function",
            function: Named { name },
        }
    }
}

#[derive(Serialize)]
pub(super) struct Named<'a> {
    name: &'a str,
}

/// The tools of a request and the choice among them. Both fields are refused without tools.
pub(super) fn tools_of<'a>(
    dialect: &Dialect,
    request: &'a ChatRequest,
    marking: Marking<'a>,
    adaptations: &mut Adaptations,
) -> Result<WireTools<'a>, Unsupported> {
    let mut wire = WireTools::default();
    if request.tools.is_empty() {
        return Ok(wire);
    }
    let only = match &request.tool_choice {
        ToolChoice::Allowed { names, .. } if !dialect.allowed_tools => {
            adaptations.note(
                "tool_choice.allowed",
                "only the allowed tools are sent: the provider cannot be told which of more may be called",
            );
            Some(names)
        }
        ToolChoice::Allowed { .. }
        | ToolChoice::Auto
        | ToolChoice::None
        | ToolChoice::Required
        | ToolChoice::Function(_) => None,
    };
    wire.tools.reserve_exact(request.tools.len());
    for (index, tool) in request.tools.iter().enumerate() {
        let is_allowed = only.is_none_or(|only| {
            tool.function()
                .is_some_and(|function| only.contains(&function.name))
        });
        if !is_allowed {
            continue;
        }
        let tool = match tool {
            Tool::Function(function) => {
                let function = function_of(function, adaptations)?;
                Some(marking.tool(function, index, adaptations)?)
            }
            Tool::WebSearch(search) => {
                let fields = &mut wire.search;
                let tool =
                    server_tools::web_search(dialect, search, index, fields, marking, adaptations)?;
                match tool {
                    Some(tool) => Some(marking.tool(WireTool::Server(tool), index, adaptations)?),
                    None => None,
                }
            }
            Tool::CodeExecution => {
                let tool = WireTool::Server(server_tools::code_execution(dialect)?);
                Some(marking.tool(tool, index, adaptations)?)
            }
            Tool::Provider(definitions) => {
                marking.provider_tool(definitions, index, adaptations)?
            }
        };
        wire.tools.extend(tool);
    }
    if !wire.tools.is_empty() {
        wire.choice = tool_choice_of(dialect, &request.tool_choice);
    }
    Ok(wire)
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
    Ok(WireTool::Function {
        r#type: "function",
        function: WireFunction {
            name,
            description,
            parameters: schemas::of_arguments(parameters.as_deref(), *strict, adaptations)?,
            strict: *strict,
        },
    })
}

fn tool_choice_of<'a>(dialect: &Dialect, choice: &'a ToolChoice) -> Option<WireToolChoice<'a>> {
    let required = || {
        WireToolChoice::Word(match dialect.required_tool_choice {
            RequiredWord::Required => "required",
            RequiredWord::Any => "any",
        })
    };
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::Allowed { names, required } if dialect.allowed_tools => {
            let tools = names.iter().map(|name| NamedFunction::new(name)).collect();
            Some(WireToolChoice::Allowed {
                r#type: "allowed_tools",
                allowed_tools: AllowedTools {
                    mode: if *required { "required" } else { "auto" },
                    tools,
                },
            })
        }
        ToolChoice::Allowed { required: true, .. } => Some(required()),
        ToolChoice::Allowed {
            required: false, ..
        } => None,
        ToolChoice::None => Some(WireToolChoice::Word("none")),
        ToolChoice::Required => Some(required()),
        ToolChoice::Function(name) => Some(WireToolChoice::Function(NamedFunction::new(name))),
    }
}
