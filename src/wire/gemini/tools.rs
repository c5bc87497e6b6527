//! How are tools and the choice among them written?

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::{FunctionTool, Tool, ToolChoice};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::Adaptations;

use super::{refused, schemas::fitted};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tools<'a> {
    function_declarations: Vec<FunctionDeclaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionDeclaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Cow<'a, RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    function_calling_config: FunctionCallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

pub(super) fn declare<'a>(
    tools: &'a [Tool],
    adaptations: &mut Adaptations,
) -> Result<Option<[Tools<'a>; 1]>, Unsupported> {
    if tools.is_empty() {
        return Ok(None);
    }
    let mut function_declarations = Vec::with_capacity(tools.len());
    for tool in tools {
        let FunctionTool {
            name,
            description,
            parameters,
            strict, // a matter of the mode besides, see `choose`
        } = match tool {
            Tool::Function(function) => function,
            Tool::WebSearch(_) => return Err(Unsupported::Feature(Feature::WebSearch)),
            Tool::CodeExecution => return Err(Unsupported::Feature(Feature::CodeExecution)),
            Tool::Provider(_) => return Err(refused("tools.provider_tool", "it has none")),
        };
        let parameters_json_schema = match parameters {
            None => None,
            Some(schema) => Some(fitted(schema, *strict, "tools.parameters", adaptations)?),
        };
        function_declarations.push(FunctionDeclaration {
            name,
            description,
            parameters_json_schema,
        });
    }
    Ok(Some([Tools {
        function_declarations,
    }]))
}

/// The mode of function calling. `VALIDATED` and `ANY` hold the arguments of every tool to its
/// schema, so one strict tool makes all of them strict.
pub(super) fn choose<'a>(
    tools: &[Tool],
    choice: &'a ToolChoice,
) -> Result<Option<ToolConfig<'a>>, Unsupported> {
    if tools.is_empty() {
        return Ok(None);
    }
    let (mode, allowed_function_names) = match choice {
        ToolChoice::Auto
            if tools
                .iter()
                .filter_map(Tool::function)
                .any(|tool| tool.strict) =>
        {
            ("VALIDATED", None)
        }
        ToolChoice::Auto => return Ok(None),
        ToolChoice::Allowed { .. } => return Err(refused("tool_choice.allowed", "it has none")),
        ToolChoice::None => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Function(name) => ("ANY", Some([name.as_str()])),
    };
    Ok(Some(ToolConfig {
        function_calling_config: FunctionCallingConfig {
            mode,
            allowed_function_names,
        },
    }))
}
