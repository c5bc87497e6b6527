//! Which tools may the model call, and must it?

use crate::chat::{FunctionTool, Marks, Tool, ToolChoice, WebSearch};
use crate::check::{Faults, ToolNames, check_tool, check_tool_choice};
use crate::grpc::v1;

use super::options::at_least_one;
use super::provider::{mark_of, options_of};
use super::schema::{Schemas, schema_of};

/// Stands in place of a refused tool, so that the others keep their positions.
const NOTHING: Tool = Tool::CodeExecution;

pub(super) fn tools_of(
    tools: Vec<v1::Tool>,
    marks: &mut Marks,
    schemas: &Schemas<'_>,
    faults: &mut Faults,
) -> Vec<Tool> {
    use v1::tool::Tool as Wire;
    let mut parsed = Vec::with_capacity(tools.len());
    let mut names = ToolNames::default();
    for (index, tool) in tools.into_iter().enumerate() {
        let field = format_args!("tools[{index}]");
        let v1::Tool {
            cache_breakpoint,
            provider_options,
            tool,
        } = tool;
        let mark = mark_of(cache_breakpoint, provider_options, field, schemas, faults);
        marks.add_to_tool(index, mark);
        let tool = match tool {
            Some(Wire::Function(function)) => {
                let v1::FunctionTool {
                    name,
                    description,
                    parameters,
                    strict,
                } = function;
                names.check(&name, format_args!("{field}.function.name"), faults);
                let parameters = parameters.and_then(|schema| {
                    let field = format_args!("{field}.function.parameters");
                    schema_of(schema, field, schemas, faults)
                });
                Tool::Function(FunctionTool {
                    name,
                    description,
                    parameters,
                    strict,
                })
            }
            Some(Wire::WebSearch(search)) => {
                let v1::WebSearchTool {
                    max_uses,
                    allowed_domains,
                    blocked_domains,
                } = search;
                let max_uses = at_least_one(
                    max_uses,
                    format_args!("{field}.web_search.max_uses"),
                    faults,
                );
                Tool::WebSearch(WebSearch {
                    max_uses,
                    allowed_domains,
                    blocked_domains,
                })
            }
            Some(Wire::CodeExecution(v1::CodeExecutionTool {})) => Tool::CodeExecution,
            Some(Wire::ProviderTool(v1::ProviderTool { definitions })) => {
                let field = format_args!("{field}.provider_tool.definitions");
                Tool::Provider(options_of(definitions, field, schemas, faults))
            }
            None => {
                faults.add(field, "set one kind of tool, such as `function`");
                NOTHING
            }
        };
        check_tool(&tool, field, faults);
        parsed.push(tool);
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
        Some(Choice::Allowed(v1::AllowedTools {
            function_names,
            mode,
        })) => ToolChoice::Allowed {
            names: function_names,
            required: match Mode::try_from(mode) {
                Ok(Mode::Unspecified | Mode::Auto) => false,
                Ok(Mode::Required) => true,
                Ok(Mode::None) | Err(_) => {
                    let what = "use TOOL_CHOICE_MODE_AUTO or TOOL_CHOICE_MODE_REQUIRED";
                    faults.add("tool_choice.allowed.mode", what);
                    false
                }
            },
        },
        None => {
            faults.add("tool_choice", "set `mode`, `function_name` or `allowed`");
            ToolChoice::Auto
        }
    };
    check_tool_choice(&choice, tools, faults);
    choice
}
