//! How is a host asked to search the web or to run code?

use std::ops::Not;

use serde::Serialize;

use crate::chat::WebSearch;
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::Adaptations;

use super::marking::{Marked, Marking};
use super::{CodeExecutionForm, Dialect, WebSearchForm};

/// Fields of a request that ask for a search of the web.
#[derive(Default, Serialize)]
pub(super) struct SearchFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    web_search_options: Option<Marked<SearchOptions>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plugins: Vec<Marked<Plugin<'a>>>,
    #[serde(skip_serializing_if = "Not::not")]
    enable_search: bool,
}

#[derive(Serialize)]
struct SearchOptions {}

/// <https://openrouter.ai/docs/guides/features/plugins/web-search>
#[derive(Serialize)]
struct Plugin<'a> {
    id: &'static str,
    #[serde(flatten)]
    domains: Domains<'a>,
}

/// <https://openrouter.ai/docs/guides/features/server-tools/web-search>
#[derive(Default, Serialize)]
struct SearchParameters<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_uses: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_domains: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    excluded_domains: &'a [String],
}

impl SearchParameters<'_> {
    fn is_empty(&self) -> bool {
        let Self {
            max_uses,
            allowed_domains,
            excluded_domains,
        } = self;
        max_uses.is_none() && allowed_domains.is_empty() && excluded_domains.is_empty()
    }
}

#[derive(Serialize)]
struct Domains<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    include_domains: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    exclude_domains: &'a [String],
}

/// A tool that the host runs.
#[derive(Serialize)]
pub(super) struct ServerTool<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "SearchParameters::is_empty")]
    parameters: SearchParameters<'a>,
}

/// Asks for a search of the web: by fields of the request, or by the tool that is returned.
pub(super) fn web_search<'a>(
    dialect: &Dialect,
    search: &'a WebSearch,
    index: usize,
    fields: &mut SearchFields<'a>,
    marking: Marking<'a>,
    adaptations: &mut Adaptations,
) -> Result<Option<ServerTool<'a>>, Unsupported> {
    let WebSearch {
        max_uses,
        allowed_domains,
        blocked_domains,
    } = search;
    let takes_domains = match dialect.web_search {
        WebSearchForm::None => return Err(Unsupported::Feature(Feature::WebSearch)),
        WebSearchForm::OpenrouterTool | WebSearchForm::OpenrouterPlugin => true,
        WebSearchForm::WebSearchOptions
        | WebSearchForm::EnableSearch
        | WebSearchForm::BrowserSearch => false,
    };
    for (field, domains) in [
        ("tools.web_search.allowed_domains", allowed_domains),
        ("tools.web_search.blocked_domains", blocked_domains),
    ] {
        if !takes_domains && !domains.is_empty() {
            let why = "its search cannot be limited to sites";
            return Err(Unsupported::Value { field, why });
        }
    }
    if max_uses.is_some() && dialect.web_search != WebSearchForm::OpenrouterTool {
        adaptations.note(
            "tools.web_search.max_uses",
            "left out: the provider does not limit the number of searches",
        );
    }
    let tool = match dialect.web_search {
        WebSearchForm::None => return Err(Unsupported::Feature(Feature::WebSearch)),
        WebSearchForm::WebSearchOptions => {
            let options = marking.tool(SearchOptions {}, index, adaptations)?;
            fields.web_search_options = Some(options);
            return Ok(None);
        }
        WebSearchForm::OpenrouterPlugin => {
            let plugin = Plugin {
                id: "web",
                domains: Domains {
                    include_domains: allowed_domains,
                    exclude_domains: blocked_domains,
                },
            };
            let plugin = marking.tool(plugin, index, adaptations)?;
            fields.plugins.push(plugin);
            return Ok(None);
        }
        WebSearchForm::EnableSearch => {
            fields.enable_search = true;
            return match marking.tool(SearchOptions {}, index, adaptations)? {
                Marked::Extended(_) => Err(Unsupported::Options {
                    path: format!("tools[{index}].provider_options"),
                    why: "the provider's search is a switch without fields".into(),
                }),
                Marked::Plain(_) | Marked::Kept(_) => Ok(None),
            };
        }
        WebSearchForm::OpenrouterTool => ServerTool {
            r#type: "openrouter:web_search",
            parameters: SearchParameters {
                max_uses: *max_uses,
                allowed_domains,
                excluded_domains: blocked_domains,
            },
        },
        WebSearchForm::BrowserSearch => ServerTool::named("browser_search"),
    };
    Ok(Some(tool))
}

/// The tool by which a host is asked to run code.
pub(super) fn code_execution(dialect: &Dialect) -> Result<ServerTool<'static>, Unsupported> {
    match dialect.code_execution {
        CodeExecutionForm::None => Err(Unsupported::Feature(Feature::CodeExecution)),
        CodeExecutionForm::CodeInterpreter => Ok(ServerTool::named("code_interpreter")),
    }
}

impl ServerTool<'_> {
    fn named(r#type: &'static str) -> Self {
        Self {
            r#type,
            parameters: SearchParameters::default(),
        }
    }
}
