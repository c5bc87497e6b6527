//! Are the tools of a request valid, and the choice among them?

use std::collections::HashSet;
use std::fmt::Arguments;

use crate::chat::{Tool, ToolChoice, WebSearch};

use super::{Faults, NAME, is_name};

/// The names of a request's tools.
#[derive(Debug, Default)]
pub struct ToolNames(HashSet<String>);

impl ToolNames {
    /// Checks the name of the next tool; `field` is its path.
    pub fn check(&mut self, name: &str, field: Arguments<'_>, faults: &mut Faults) {
        if !is_name(name) {
            faults.add(field, NAME);
        } else if !self.0.insert(name.to_owned()) {
            faults.add(field, "another tool has the same name");
        }
    }
}

/// Checks a tool apart from its name.
pub fn check_tool(tool: &Tool, field: Arguments<'_>, faults: &mut Faults) {
    match tool {
        Tool::Function(_) | Tool::CodeExecution => {}
        Tool::WebSearch(WebSearch {
            max_uses: _, // any number but 0, which the door refuses
            allowed_domains,
            blocked_domains,
        }) => {
            if !allowed_domains.is_empty() && !blocked_domains.is_empty() {
                faults.add(
                    format_args!("{field}.web_search"),
                    "set either `allowed_domains` or `blocked_domains`, not both",
                );
            }
            for (domains, name) in [
                (allowed_domains, "allowed_domains"),
                (blocked_domains, "blocked_domains"),
            ] {
                if domains.iter().any(String::is_empty) {
                    let field = format_args!("{field}.web_search.{name}");
                    faults.add(field, "a domain must not be empty");
                }
            }
        }
        Tool::Provider(definitions) => {
            if definitions.is_empty() {
                faults.add(
                    format_args!("{field}.provider_tool.definitions"),
                    "add a definition for each target that has such a tool",
                );
            }
        }
    }
}

/// Checks that the tools that must or may be called are among `tools`.
pub fn check_tool_choice(choice: &ToolChoice, tools: &[Tool], faults: &mut Faults) {
    let is_function = |name: &str| {
        let mut functions = tools.iter().filter_map(Tool::function);
        functions.any(|function| function.name == name)
    };
    match choice {
        ToolChoice::Function(name) if !is_function(name) => faults.add(
            "tool_choice.function_name",
            "must be the name of one of `tools`",
        ),
        ToolChoice::Required if tools.is_empty() => faults.add(
            "tool_choice.mode",
            "TOOL_CHOICE_MODE_REQUIRED needs at least one of `tools`",
        ),
        ToolChoice::Allowed { names, .. } => {
            let functions: HashSet<_> = tools
                .iter()
                .filter_map(Tool::function)
                .map(|function| function.name.as_str())
                .collect();
            if names.is_empty() {
                faults.add(
                    "tool_choice.allowed.function_names",
                    "name at least one of `tools`, or use TOOL_CHOICE_MODE_NONE",
                );
            }
            for (index, name) in names.iter().enumerate() {
                if !functions.contains(name.as_str()) {
                    faults.add(
                        format_args!("tool_choice.allowed.function_names[{index}]"),
                        "must be the name of one of `tools`",
                    );
                }
            }
        }
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required | ToolChoice::Function(_) => {}
    }
}
