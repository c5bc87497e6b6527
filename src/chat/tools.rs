//! Which tools may the model call, and must it?

use super::ProviderOptions;

/// A tool the model may call.
#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    /// A function that the caller runs.
    Function(FunctionTool),
    /// The provider searches the web.
    WebSearch(WebSearch),
    /// The provider runs code that the model writes.
    CodeExecution,
    /// A tool that a provider runs, in its own words: a definition for each target that has such a tool.
    Provider(Vec<ProviderOptions>),
}

impl Tool {
    /// The function, if it is one.
    pub fn function(&self) -> Option<&FunctionTool> {
        match self {
            Self::Function(function) => Some(function),
            Self::WebSearch(_) | Self::CodeExecution | Self::Provider(_) => None,
        }
    }
}

impl From<FunctionTool> for Tool {
    fn from(function: FunctionTool) -> Self {
        Self::Function(function)
    }
}

/// A function the model may call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionTool {
    /// Name that the model uses to call it.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// JSON Schema of its arguments as JSON text, an object; `None` for a function without arguments.
    pub parameters: Option<String>,
    /// Whether the arguments must follow the schema exactly.
    pub strict: bool,
}

/// How a provider searches the web.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSearch {
    /// The most searches, at least 1; `None` leaves it to the provider.
    pub max_uses: Option<u32>,
    /// Only these sites, if there are any.
    pub allowed_domains: Vec<String>,
    /// None of these sites.
    pub blocked_domains: Vec<String>,
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool may be called.
    None,
    /// Some tool must be called.
    Required,
    /// This function must be called.
    Function(String),
    /// Only some functions may be called.
    Allowed {
        /// Their names, at least one.
        names: Vec<String>,
        /// Whether one of them must be called.
        required: bool,
    },
}
