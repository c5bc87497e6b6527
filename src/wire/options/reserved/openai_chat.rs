//! What options for OpenAI Chat Completions may not set.

use super::Because::{OneAnswer, Ours, Typed};
use super::{ReservedField, row};
use crate::wire::options::OptionsPlace::{Part, Request, Tool};

#[rustfmt::skip] // a table is read by its columns
pub(super) const RESERVED: &[ReservedField] = &[
    row(Request, &["model"],                  Ours),
    row(Request, &["messages"],               Ours),
    row(Request, &["stream"],                 Ours),
    row(Request, &["stream_options"],         Ours),
    row(Request, &["n"],                      OneAnswer),
    row(Request, &["max_tokens"],             Typed("sampling.max_output_tokens")),
    row(Request, &["max_completion_tokens"],  Typed("sampling.max_output_tokens")),
    row(Request, &["temperature"],            Typed("sampling.temperature")),
    row(Request, &["top_p"],                  Typed("sampling.top_p")),
    row(Request, &["top_k"],                  Typed("sampling.top_k")),
    row(Request, &["frequency_penalty"],      Typed("sampling.frequency_penalty")),
    row(Request, &["presence_penalty"],       Typed("sampling.presence_penalty")),
    row(Request, &["seed"],                   Typed("sampling.seed")),
    row(Request, &["random_seed"],            Typed("sampling.seed")),
    row(Request, &["stop"],                   Typed("sampling.stop_sequences")),
    row(Request, &["logprobs"],               Typed("sampling.top_logprobs")),
    row(Request, &["top_logprobs"],           Typed("sampling.top_logprobs")),
    row(Request, &["tool_choice"],            Typed("tool_choice")),
    row(Request, &["function_call"],          Typed("tool_choice")),
    row(Request, &["functions"],              Typed("tools")),
    row(Request, &["parallel_tool_calls"],    Typed("parallel_tool_calls")),
    row(Request, &["response_format"],        Typed("response_format")),
    row(Request, &["reasoning_effort"],       Typed("reasoning.effort")),
    row(Request, &["reasoning", "effort"],    Typed("reasoning.effort")),
    row(Request, &["reasoning", "max_tokens"], Typed("reasoning.max_reasoning_tokens")),
    row(Request, &["user"],                   Typed("end_user_id")),
    row(Request, &["safety_identifier"],      Typed("end_user_id")),
    row(Request, &["prompt_cache_key"],       Typed("prompt_cache_key")),
    row(Request, &["prompt_cache_retention"], Typed("prompt_cache_retention")),
    row(Request, &["service_tier"],           Typed("service_tier")),
    row(Request, &["verbosity"],              Typed("verbosity")),
    row(Part,    &["type"],                   Ours),
    row(Part,    &["text"],                   Ours),
    row(Part,    &["image_url", "url"],       Ours),
    row(Part,    &["image_url", "detail"],    Typed("image.detail")),
    row(Tool,    &["type"],                   Ours),
    row(Tool,    &["function", "name"],       Typed("function.name")),
    row(Tool,    &["function", "description"], Typed("function.description")),
    row(Tool,    &["function", "parameters"], Typed("function.parameters")),
    row(Tool,    &["function", "strict"],     Typed("function.strict")),
];
