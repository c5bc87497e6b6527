//! What do OpenAI's two chat APIs, Chat Completions and Responses, have in common?

pub(super) mod cost;
pub(super) mod effort;
pub(super) mod json_mode;
pub(super) mod logprobs;
pub(super) mod schemas;
pub(super) mod tool_results;
pub(super) mod url;
pub(super) mod usage;
