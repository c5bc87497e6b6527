//! How are tools and the choice among them written?

use std::borrow::Cow;
use std::ops::Not;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::{FunctionTool, Tool, ToolChoice};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::Adaptations;
use crate::wire::openai::schemas;

use super::{Dialect, RequiredWord};

#[derive(Serialize)]
pub(super) struct WireTool<'a> {
    r#type: &'static str,
    function: WireFunction<'a>,
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
    Function {
        r#type: &'static str,
        function: Named<'a>,
    },
}

#[derive(Serialize)]
pub(super) struct Named<'a> {
    name: &'a str,
}

pub(super) fn tool_of<'a>(
    tool: &'a Tool,
    adaptations: &mut Adaptations,
) -> Result<WireTool<'a>, Unsupported> {
    let FunctionTool {
        name,
        description,
        parameters,
        strict,
    } = match tool {
        Tool::Function(function) => function,
        Tool::WebSearch(_) => return Err(Unsupported::Feature(Feature::WebSearch)),
        Tool::CodeExecution => return Err(Unsupported::Feature(Feature::CodeExecution)),
        Tool::Provider(_) => {
            return Err(Unsupported::Value {
                field: "tools.provider_tool",
                why: "it has none",
            });
        }
    };
    Ok(WireTool {
        r#type: "function",
        function: WireFunction {
            name,
            description,
            parameters: schemas::of_arguments(parameters.as_deref(), *strict, adaptations)?,
            strict: *strict,
        },
    })
}

pub(super) fn tool_choice_of<'a>(
    dialect: &Dialect,
    choice: &'a ToolChoice,
) -> Option<WireToolChoice<'a>> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::Allowed { .. } => None,
        ToolChoice::None => Some(WireToolChoice::Word("none")),
        ToolChoice::Required => Some(WireToolChoice::Word(match dialect.required_tool_choice {
            RequiredWord::Required => "required",
            RequiredWord::Any => "any",
        })),
        ToolChoice::Function(name) => Some(WireToolChoice::Function {
            r#type: "function",
            function: Named { name },
        }),
    }
}
