//! Where do fields in providers' own words stand in a request?

use std::fmt;

use crate::chat::{ChatRequest, PartAt, ProviderOptions, Tool};

use super::OptionsPlace;

/// A list of a request in which fields in providers' own words may stand. It is displayed as its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionsList {
    /// The request's own.
    Request,
    /// That of a part of a message.
    Part(PartAt),
    /// That of the tool at this position.
    Tool(usize),
    /// The definitions of a tool of the provider, which stands at this position.
    Definitions(usize),
}

impl fmt::Display for OptionsList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("provider_options"),
            Self::Part(at) => write!(f, "{at}.provider_options"),
            Self::Tool(index) => write!(f, "tools[{index}].provider_options"),
            Self::Definitions(index) => write!(f, "tools[{index}].provider_tool.definitions"),
        }
    }
}

/// Every list of a request that may hold options: where it stands, what kind of place that is, and its entries.
pub fn lists(
    request: &ChatRequest,
) -> impl Iterator<Item = (OptionsList, OptionsPlace, &[ProviderOptions])> {
    let own = (
        OptionsList::Request,
        OptionsPlace::Request,
        &*request.options,
    );
    let of_parts = request
        .marks
        .of_parts()
        .map(|(at, mark)| (OptionsList::Part(at), OptionsPlace::Part, &*mark.options));
    let of_tools = request.marks.of_tools().map(|(index, mark)| {
        let place = match request.tools.get(index) {
            Some(Tool::Provider(_)) => OptionsPlace::ProviderTool,
            Some(Tool::Function(_) | Tool::WebSearch(_) | Tool::CodeExecution) | None => {
                OptionsPlace::Tool
            }
        };
        (OptionsList::Tool(index), place, &*mark.options)
    });
    let definitions = request
        .tools
        .iter()
        .enumerate()
        .filter_map(|(index, tool)| match tool {
            Tool::Provider(definitions) => Some((
                OptionsList::Definitions(index),
                OptionsPlace::ProviderTool,
                &**definitions,
            )),
            Tool::Function(_) | Tool::WebSearch(_) | Tool::CodeExecution => None,
        });
    std::iter::once(own)
        .chain(of_parts)
        .chain(of_tools)
        .chain(definitions)
}
