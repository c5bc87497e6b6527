//! What do only some hosts offer, and by which words?

use serde::{Deserialize, Serialize};

/// How sound is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioInput {
    /// Not at all.
    None,
    /// As `input_audio` parts that carry the bytes and name their format (OpenAI, Mistral, OpenRouter).
    InputAudio,
    /// As `audio_url` parts (vLLM).
    AudioUrl,
}

/// How the end of a prompt that is worth keeping in a cache is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMarks {
    /// Not at all: the host keeps prompts by its own rules.
    None,
    /// By `cache_control` at a part, a tool or a tool call, as Anthropic has it (OpenRouter, Vercel, Alibaba).
    CacheControl,
    /// By `prompt_cache_breakpoint` at a part (OpenAI, from GPT-5.6 on).
    PromptCacheBreakpoint,
}

/// Field that says which of the caller's users is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndUserField {
    /// None.
    None,
    /// `safety_identifier` (OpenAI, Azure): at most 64 characters.
    SafetyIdentifier,
    /// `user`, the older name, which compatible hosts know.
    User,
}

/// A word for `service_tier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TierWord {
    /// As usual: `default` (OpenAI).
    Default,
    /// As usual: `on_demand` (Groq).
    OnDemand,
    /// As usual: `standard`.
    Standard,
    /// Sooner and dearer: `priority` (OpenAI).
    Priority,
    /// Sooner and dearer: `performance` (Groq).
    Performance,
    /// Later and cheaper: `flex` (OpenAI, Groq).
    Flex,
}

/// How a host is asked to search the web.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebSearchForm {
    /// It cannot be asked.
    None,
    /// By `web_search_options` (OpenAI's search models).
    WebSearchOptions,
    /// By a tool of the type `openrouter:web_search` (OpenRouter).
    OpenrouterTool,
    /// By the plugin `web` (OpenRouter).
    OpenrouterPlugin,
    /// By `enable_search` (Qwen).
    EnableSearch,
    /// By a tool of the type `browser_search` (Groq).
    BrowserSearch,
}

/// How a host is asked to run code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeExecutionForm {
    /// It cannot be asked.
    None,
    /// By a tool of the type `code_interpreter` (Groq).
    CodeInterpreter,
}
