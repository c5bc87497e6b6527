//! What options for Anthropic Messages may not set.

use super::Because::{Ours, Stored, Typed};
use super::{ReservedField, row};
use crate::wire::options::OptionsPlace::{Part, ProviderTool, Request, Tool};

#[rustfmt::skip] // a table is read by its columns
pub(super) const RESERVED: &[ReservedField] = &[
    row(Request, &["model"],                  Ours),
    row(Request, &["messages"],               Ours),
    row(Request, &["system"],                 Ours),
    row(Request, &["stream"],                 Ours),
    row(Request, &["anthropic_version"],      Ours),
    row(Request, &["container"],              Stored),
    row(Request, &["container", "id"],        Stored),
    row(Request, &["max_tokens"],             Typed("sampling.max_output_tokens")),
    row(Request, &["temperature"],            Typed("sampling.temperature")),
    row(Request, &["top_p"],                  Typed("sampling.top_p")),
    row(Request, &["top_k"],                  Typed("sampling.top_k")),
    row(Request, &["stop_sequences"],         Typed("sampling.stop_sequences")),
    row(Request, &["tool_choice"],            Typed("tool_choice")),
    row(Request, &["thinking", "type"],       Typed("reasoning.effort")),
    row(Request, &["thinking", "budget_tokens"], Typed("reasoning.max_reasoning_tokens")),
    row(Request, &["output_config", "effort"], Typed("reasoning.effort")),
    row(Request, &["output_config", "format"], Typed("response_format")),
    row(Request, &["output_format"],          Typed("response_format")),
    row(Request, &["metadata", "user_id"],    Typed("end_user_id")),
    row(Request, &["service_tier"],           Typed("service_tier")),
    row(Part,    &["type"],                   Ours),
    row(Part,    &["text"],                   Ours),
    row(Part,    &["source"],                 Ours),
    row(Part,    &["cache_control"],          Typed("cache_breakpoint")),
    row(Tool,    &["type"],                   Ours),
    row(Tool,    &["name"],                   Typed("function.name")),
    row(Tool,    &["description"],            Typed("function.description")),
    row(Tool,    &["input_schema"],           Typed("function.parameters")),
    row(Tool,    &["strict"],                 Typed("function.strict")),
    row(Tool,    &["max_uses"],               Typed("web_search.max_uses")),
    row(Tool,    &["allowed_domains"],        Typed("web_search.allowed_domains")),
    row(Tool,    &["blocked_domains"],        Typed("web_search.blocked_domains")),
    row(Tool,    &["cache_control"],          Typed("cache_breakpoint")),
    row(ProviderTool, &["cache_control"],     Typed("cache_breakpoint")),
];
