//! How are tools and the choice among them written?

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{schemas, value};
use crate::chat::{FunctionTool, Tool, ToolChoice};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::{Adaptations, schema};

#[derive(Serialize)]
pub(super) struct ToolDefinition<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

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

pub(super) fn tool_definitions<'a>(
    tools: &'a [Tool],
    adaptations: &mut Adaptations,
) -> Result<Vec<ToolDefinition<'a>>, Unsupported> {
    let mut definitions = Vec::with_capacity(tools.len());
    for tool in tools {
        let FunctionTool {
            name,
            description,
            parameters,
            strict,
        } = match tool {
            Tool::Function(function) => function,
            Tool::WebSearch(_) => return Err(Unsupported::Feature(Feature::WebSearch)),
            Tool::CodeExecution => return Err(Unsupported::Feature(Feature::CodeExecution)),
            Tool::Provider(_) => return Err(value("tools.provider_tool", "it has none")),
        };
        const FIELD: &str = "tools.parameters";
        let rules = if *strict {
            &schemas::OF_STRICT_TOOLS
        } else {
            &schemas::OF_TOOLS
        };
        let schema = parameters.as_deref().unwrap_or(r#"{"type":"object"}"#);
        let schema = schema::fit(schema, rules).map_err(|why| value(FIELD, why))?;
        definitions.push(ToolDefinition {
            name,
            description,
            input_schema: schema.noted(FIELD, adaptations),
            strict: *strict,
        });
    }
    Ok(definitions)
}

pub(super) fn choice<'a>(
    tool_choice: &'a ToolChoice,
    parallel_tool_calls: Option<bool>,
    tools: &[Tool],
) -> Result<Option<Choice<'a>>, Unsupported> {
    let disable_parallel_tool_use = parallel_tool_calls.map(|parallel| !parallel);
    Ok(match tool_choice {
        // A choice without tools is refused; without tools none is called anyway.
        ToolChoice::Auto | ToolChoice::None if tools.is_empty() => None,
        ToolChoice::Auto if disable_parallel_tool_use.is_none() => None,
        ToolChoice::Auto => Some(Choice::Auto {
            disable_parallel_tool_use,
        }),
        ToolChoice::Allowed { .. } => return Err(value("tool_choice.allowed", "it has none")),
        ToolChoice::None => Some(Choice::None),
        ToolChoice::Required => Some(Choice::Any {
            disable_parallel_tool_use,
        }),
        ToolChoice::Function(name) => Some(Choice::Tool {
            name,
            disable_parallel_tool_use,
        }),
    })
}
