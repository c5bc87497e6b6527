//! The tools the model may call, and whether it must.

use std::collections::HashSet;

use crate::chat::{Tool, ToolChoice};
use crate::grpc::v1;

use super::schema::schema_of;
use super::{Faults, is_name};

pub(super) fn tools_of(tools: Vec<v1::Tool>, faults: &mut Faults<'_>) -> Vec<Tool> {
    let mut parsed = Vec::with_capacity(tools.len());
    let mut names = HashSet::with_capacity(tools.len());
    for (index, tool) in tools.into_iter().enumerate() {
        let Some(v1::tool::Tool::Function(function)) = tool.tool else {
            faults.add(format_args!("tools[{index}]"), "set `function`");
            continue;
        };
        let v1::FunctionTool {
            name,
            description,
            parameters,
            strict,
        } = function;
        if !is_name(&name) {
            faults.add(
                format_args!("tools[{index}].function.name"),
                "use 1 to 64 letters, digits, `_` or `-`",
            );
        } else if !names.insert(name.clone()) {
            faults.add(
                format_args!("tools[{index}].function.name"),
                "another tool has the same name",
            );
        }
        let parameters = parameters.and_then(|schema| {
            let field = format_args!("tools[{index}].function.parameters");
            schema_of(schema, field, faults)
        });
        parsed.push(Tool {
            name,
            description,
            parameters,
            strict,
        });
    }
    parsed
}

pub(super) fn tool_choice_of(
    choice: Option<v1::ToolChoice>,
    tools: &[Tool],
    faults: &mut Faults<'_>,
) -> ToolChoice {
    use v1::ToolChoiceMode as Mode;
    use v1::tool_choice::Choice;
    let Some(choice) = choice else {
        return ToolChoice::Auto;
    };
    let choice = match choice.choice {
        Some(Choice::Mode(mode)) => match Mode::try_from(mode) {
            Ok(Mode::Auto) => ToolChoice::Auto,
            Ok(Mode::None) => ToolChoice::None,
            Ok(Mode::Required) => ToolChoice::Required,
            Ok(Mode::Unspecified) | Err(_) => {
                let what =
                    "use TOOL_CHOICE_MODE_AUTO, TOOL_CHOICE_MODE_NONE or TOOL_CHOICE_MODE_REQUIRED";
                faults.add("tool_choice.mode", what);
                ToolChoice::Auto
            }
        },
        Some(Choice::FunctionName(name)) => {
            if !tools.iter().any(|tool| tool.name == name) {
                faults.add(
                    "tool_choice.function_name",
                    "must be the name of one of `tools`",
                );
            }
            ToolChoice::Function(name)
        }
        None => {
            faults.add("tool_choice", "set `mode` or `function_name`");
            ToolChoice::Auto
        }
    };
    if choice == ToolChoice::Required && tools.is_empty() {
        faults.add(
            "tool_choice.mode",
            "TOOL_CHOICE_MODE_REQUIRED needs at least one of `tools`",
        );
    }
    choice
}
