//! Which tools may the model call, and must it?

use crate::chat::{Tool, ToolChoice};
use crate::check::{Faults, ToolNames, check_tool_choice};
use crate::grpc::v1;

use super::schema::{Schemas, schema_of};

pub(super) fn tools_of(
    tools: Vec<v1::Tool>,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Vec<Tool> {
    let mut parsed = Vec::with_capacity(tools.len());
    let mut names = ToolNames::default();
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
        names.check(&name, format_args!("tools[{index}].function.name"), faults);
        let parameters = parameters.and_then(|schema| {
            let field = format_args!("tools[{index}].function.parameters");
            schema_of(schema, field, schemas, faults)
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
    faults: &mut Faults,
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
        Some(Choice::FunctionName(name)) => ToolChoice::Function(name),
        None => {
            faults.add("tool_choice", "set `mode` or `function_name`");
            ToolChoice::Auto
        }
    };
    check_tool_choice(&choice, tools, faults);
    choice
}
