//! What options for Gemini may not set.

use super::Because::{OneAnswer, Ours, Stored, Typed};
use super::{ReservedField, row};
use crate::wire::options::OptionsPlace::{Part, Request, Tool};

#[rustfmt::skip] // a table is read by its columns
pub(super) const RESERVED: &[ReservedField] = &[
    row(Request, &["model"],             Ours),
    row(Request, &["contents"],          Ours),
    row(Request, &["systemInstruction"], Ours),
    row(Request, &["cachedContent"],     Stored),
    row(Request, &["toolConfig", "functionCallingConfig", "mode"],                 Typed("tool_choice")),
    row(Request, &["toolConfig", "functionCallingConfig", "allowedFunctionNames"], Typed("tool_choice")),
    row(Request, &["serviceTier"],       Typed("service_tier")),
    row(Request, &["generationConfig", "candidateCount"],     OneAnswer),
    row(Request, &["generationConfig", "maxOutputTokens"],    Typed("sampling.max_output_tokens")),
    row(Request, &["generationConfig", "temperature"],        Typed("sampling.temperature")),
    row(Request, &["generationConfig", "topP"],               Typed("sampling.top_p")),
    row(Request, &["generationConfig", "topK"],               Typed("sampling.top_k")),
    row(Request, &["generationConfig", "frequencyPenalty"],   Typed("sampling.frequency_penalty")),
    row(Request, &["generationConfig", "presencePenalty"],    Typed("sampling.presence_penalty")),
    row(Request, &["generationConfig", "seed"],               Typed("sampling.seed")),
    row(Request, &["generationConfig", "stopSequences"],      Typed("sampling.stop_sequences")),
    row(Request, &["generationConfig", "responseLogprobs"],   Typed("sampling.top_logprobs")),
    row(Request, &["generationConfig", "logprobs"],           Typed("sampling.top_logprobs")),
    row(Request, &["generationConfig", "responseMimeType"],   Typed("response_format")),
    row(Request, &["generationConfig", "responseSchema"],     Typed("response_format")),
    row(Request, &["generationConfig", "responseJsonSchema"], Typed("response_format")),
    row(Request, &["generationConfig", "thinkingConfig", "thinkingBudget"],  Typed("reasoning.max_reasoning_tokens")),
    row(Request, &["generationConfig", "thinkingConfig", "thinkingLevel"],   Typed("reasoning.effort")),
    row(Request, &["generationConfig", "thinkingConfig", "includeThoughts"], Typed("reasoning.include_reasoning")),
    row(Part,    &["text"],              Ours),
    row(Part,    &["inlineData"],        Ours),
    row(Part,    &["fileData"],          Ours),
    row(Part,    &["thought"],           Ours),
    row(Part,    &["thoughtSignature"],  Ours),
    row(Tool,    &["name"],              Typed("function.name")),
    row(Tool,    &["description"],       Typed("function.description")),
    row(Tool,    &["parameters"],        Typed("function.parameters")),
    row(Tool,    &["parametersJsonSchema"], Typed("function.parameters")),
];
