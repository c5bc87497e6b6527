//! How are tools and the choice among them written?

use std::borrow::Cow;
use std::fmt::Arguments;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::chat::{ChatRequest, FunctionTool, Mark, Tool as ChatTool, ToolChoice, WebSearch};
use crate::error::Unsupported;
use crate::wire::Adaptations;
use crate::wire::options::{OptionsPlace, Words};

use super::piece::Piece;
use super::schemas::fitted;
use super::{Asking, Generation, refused};

/// An entry of `tools`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Tool<'a> {
    FunctionDeclarations(Vec<Piece<'a, FunctionDeclaration<'a>>>),
    GoogleSearch(Piece<'a, GoogleSearch<'a>>),
    CodeExecution(Piece<'a, CodeExecution>),
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
pub(super) struct GoogleSearch<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    exclude_domains: &'a [String],
}

#[derive(Serialize)]
pub(super) struct CodeExecution {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    function_calling_config: Option<FunctionCallingConfig<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    include_server_side_tool_invocations: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FunctionCallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    allowed_function_names: &'a [String],
}

/// What a request says about tools.
#[derive(Default)]
pub(super) struct Toolbox<'a> {
    pub(super) tools: Vec<Piece<'a, Tool<'a>>>,
    pub(super) config: Option<ToolConfig<'a>>,
}

impl<'a> Toolbox<'a> {
    pub(super) fn of(
        request: &'a ChatRequest,
        asking: Asking<'_>,
        words: &Words<'_>,
        adaptations: &mut Adaptations,
    ) -> Result<Self, Unsupported> {
        if request.tools.is_empty() {
            return Ok(Self::default());
        }
        let mut functions = Vec::with_capacity(request.tools.len());
        let mut others = Vec::new();
        for (index, tool) in request.tools.iter().enumerate() {
            let mark = request.marks.of_tool(index);
            let path = format_args!("tools[{index}]");
            if let ChatTool::Function(function) = tool {
                functions.push(declared(function, mark, path, words, adaptations)?);
            } else if !may_run_tools(&request.tool_choice) {
                let why = "left out: the tool choice allows no tools that the provider runs";
                adaptations.note(field_of(tool), why);
            } else if let Some(tool) =
                run_by_provider(tool, mark, path, asking, words, adaptations)?
            {
                others.push(tool);
            }
        }
        let combined = !functions.is_empty() && !others.is_empty();
        if combined && asking.generation == Generation::Second {
            return Err(refused(
                "tools",
                "models before Gemini 3 take functions only without tools that the provider runs",
            ));
        }
        let calling = calling(request, !functions.is_empty(), !others.is_empty())?;
        let announced = combined && asking.host.announces_combined_tools();
        let config = (calling.is_some() || announced).then_some(ToolConfig {
            function_calling_config: calling,
            include_server_side_tool_invocations: announced,
        });
        if !functions.is_empty() {
            others.insert(0, Piece::Own(Tool::FunctionDeclarations(functions)));
        }
        Ok(Self {
            tools: others,
            config,
        })
    }
}

fn declared<'a>(
    function: &'a FunctionTool,
    mark: Option<&Mark>,
    path: Arguments<'_>,
    words: &Words<'_>,
    adaptations: &mut Adaptations,
) -> Result<Piece<'a, FunctionDeclaration<'a>>, Unsupported> {
    let FunctionTool {
        name,
        description,
        parameters,
        strict, // a matter of the mode besides, see `calling`
    } = function;
    let parameters_json_schema = match parameters {
        None => None,
        Some(schema) => Some(fitted(schema, *strict, "tools.parameters", adaptations)?),
    };
    let declaration = FunctionDeclaration {
        name,
        description,
        parameters_json_schema,
    };
    with_options(declaration, mark, path, words, adaptations)
}

/// The entry of a tool that the provider runs; `None` if the target is sent none of its definitions.
fn run_by_provider<'a>(
    tool: &'a ChatTool,
    mark: Option<&Mark>,
    path: Arguments<'_>,
    asking: Asking<'_>,
    words: &Words<'_>,
    adaptations: &mut Adaptations,
) -> Result<Option<Piece<'a, Tool<'a>>>, Unsupported> {
    let own = match tool {
        ChatTool::Function(_) => return Ok(None),
        ChatTool::WebSearch(search) => {
            let search = google_search(search, asking)?;
            Tool::GoogleSearch(with_options(search, mark, path, words, adaptations)?)
        }
        ChatTool::CodeExecution => {
            let execution = CodeExecution {};
            Tool::CodeExecution(with_options(execution, mark, path, words, adaptations)?)
        }
        ChatTool::Provider(definitions) => {
            let path = format_args!("{path}.provider_tool.definitions");
            let definition =
                words.chosen(definitions, OptionsPlace::ProviderTool, path, adaptations)?;
            return Ok(definition.map(Piece::Worded));
        }
    };
    Ok(Some(Piece::Own(own)))
}

fn google_search<'a>(
    search: &'a WebSearch,
    asking: Asking<'_>,
) -> Result<GoogleSearch<'a>, Unsupported> {
    let WebSearch {
        max_uses,
        allowed_domains,
        blocked_domains,
    } = search;
    if max_uses.is_some() {
        return Err(refused(
            "tools.web_search.max_uses",
            "this provider searches as often as it likes",
        ));
    }
    if !allowed_domains.is_empty() {
        return Err(refused(
            "tools.web_search.allowed_domains",
            "this provider cannot search some sites only",
        ));
    }
    if !blocked_domains.is_empty() && !asking.host.excludes_domains() {
        return Err(refused(
            "tools.web_search.blocked_domains",
            "only Vertex AI can leave out sites",
        ));
    }
    Ok(GoogleSearch {
        exclude_domains: blocked_domains,
    })
}

fn with_options<'a, T: Serialize>(
    own: T,
    mark: Option<&Mark>,
    path: Arguments<'_>,
    words: &Words<'_>,
    adaptations: &mut Adaptations,
) -> Result<Piece<'a, T>, Unsupported> {
    let options = mark.map_or(&[][..], |mark| &mark.options);
    let path = format_args!("{path}.provider_options");
    Piece::with_options(own, options, OptionsPlace::Tool, path, words, adaptations)
}

/// Whether the model may use tools that the provider runs; names can only choose functions.
fn may_run_tools(choice: &ToolChoice) -> bool {
    match choice {
        ToolChoice::Auto | ToolChoice::Required => true,
        ToolChoice::None | ToolChoice::Function(_) | ToolChoice::Allowed { .. } => false,
    }
}

fn field_of(tool: &ChatTool) -> &'static str {
    match tool {
        ChatTool::Function(_) => "tools.function",
        ChatTool::WebSearch(_) => "tools.web_search",
        ChatTool::CodeExecution => "tools.code_execution",
        ChatTool::Provider(_) => "tools.provider_tool",
    }
}

/// The mode of function calling. `VALIDATED` and `ANY` hold the arguments of every tool to its
/// schema, so one strict tool makes all of them strict. Both allow some functions only; `AUTO` does not.
fn calling<'a>(
    request: &'a ChatRequest,
    has_functions: bool,
    has_others: bool,
) -> Result<Option<FunctionCallingConfig<'a>>, Unsupported> {
    if !has_functions {
        return match request.tool_choice {
            ToolChoice::Required if has_others => Err(refused(
                "tool_choice",
                "this provider can be made to call functions only",
            )),
            _ => Ok(None),
        };
    }
    let mut functions = request.tools.iter().filter_map(ChatTool::function);
    let (mode, allowed_function_names): (_, &[String]) = match &request.tool_choice {
        ToolChoice::Auto if functions.any(|function| function.strict) => ("VALIDATED", &[]),
        ToolChoice::Auto => return Ok(None),
        ToolChoice::None => ("NONE", &[]),
        ToolChoice::Required => ("ANY", &[]),
        ToolChoice::Function(name) => ("ANY", std::slice::from_ref(name)),
        ToolChoice::Allowed {
            names,
            required: true,
        } => ("ANY", names),
        ToolChoice::Allowed {
            names,
            required: false,
        } => ("VALIDATED", names),
    };
    Ok(Some(FunctionCallingConfig {
        mode,
        allowed_function_names,
    }))
}
