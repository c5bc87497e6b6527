//! What do OpenAI's two chat APIs, Chat Completions and Responses, have in common?

pub(super) mod schemas;
pub(super) mod usage;
