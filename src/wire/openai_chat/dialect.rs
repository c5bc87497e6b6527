//! How do hosts that speak OpenAI's format differ?

mod offers;

use serde::Deserialize;

pub use self::offers::{
    AudioInput, CacheMarks, CodeExecutionForm, EndUserField, TierWord, WebSearchForm,
};

use crate::features::Exclusion;
use crate::wire::exclusions;
use crate::wire::openai::effort::Effort;

/// What a host does differently from OpenAI, which is the default.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// Name of the upper limit of output tokens. Most compatible hosts know only `max_tokens`,
    /// OpenAI's reasoning models only `max_completion_tokens`.
    pub output_cap: OutputCap,
    /// Role of instructions.
    pub system_role: SystemRole,
    /// Whether streams are asked to report usage (`stream_options.include_usage`). Hosts that
    /// refuse the field report it unasked.
    pub stream_usage: bool,
    /// How reasoning is asked for.
    pub reasoning: ReasoningControl,
    /// The efforts of reasoning that the host accepts. Another effort is replaced by the nearest of them; an
    /// empty list means that reasoning can only be switched on or off.
    pub efforts: Vec<Effort>,
    /// Whether the models reason by default and can be told not to. They are told not to if the request uses a
    /// feature that excludes reasoning.
    pub thinks_unasked: bool,
    /// Field of an assistant message under which its reasoning is sent back.
    pub reasoning_history: ReasoningHistory,
    /// Name of the sampling seed.
    pub seed: SeedField,
    /// The word for a tool choice that requires a call of any tool.
    pub required_tool_choice: RequiredWord,
    /// What ids of tool calls must look like.
    pub tool_call_ids: ToolCallIds,
    /// Whether instructions may stand between other messages. Else they are moved to the beginning.
    pub system_anywhere: bool,
    /// How documents are sent, and files that are stored at the host.
    pub documents: Documents,
    /// How sound is sent.
    pub audio: AudioInput,
    /// Whether moving pictures are taken, as `video_url` parts.
    pub video: bool,
    /// Whether the message of a tool result may hold pictures. Else they follow in a message of the user.
    pub tool_result_images: bool,
    /// How the end of a prompt that is worth keeping in a cache is marked.
    pub cache_marks: CacheMarks,
    /// Whether `prompt_cache_key` is taken.
    pub prompt_cache_key: bool,
    /// Whether `prompt_cache_retention` is taken.
    pub prompt_cache_retention: bool,
    /// Field that says which of the caller's users is asking.
    pub end_user: EndUserField,
    /// The words of `service_tier` that the host takes; an empty list means that there is no such field.
    pub service_tiers: Vec<TierWord>,
    /// Whether `verbosity` is taken.
    pub verbosity: bool,
    /// Whether `logprobs` and `top_logprobs` are taken.
    pub logprobs: bool,
    /// Whether `tool_choice` can name the tools that may be called. Else only these are sent.
    pub allowed_tools: bool,
    /// How the host is asked to search the web.
    pub web_search: WebSearchForm,
    /// How the host is asked to run code.
    pub code_execution: CodeExecutionForm,
    /// Whether `top_k` is taken.
    pub top_k: bool,
    /// Whether `response_format` takes a JSON Schema.
    pub json_schema: bool,
    /// Whether tools may be `strict`.
    pub strict_tools: bool,
    /// Whether `parallel_tool_calls` is taken.
    pub parallel_tool_calls: bool,
    /// Whether a user message may follow tool results. `None`: only if ids of tool calls do not have Mistral's
    /// form, since Mistral's library checks both.
    pub user_after_tool: Option<bool>,
    /// Features that cannot be combined; `None` for those that `reasoning` implies: hosts that switch
    /// reasoning on and off do not accept a forced tool with it.
    #[serde(deserialize_with = "exclusions::read")]
    pub excludes: Option<Vec<Exclusion>>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            output_cap: OutputCap::MaxCompletionTokens,
            system_role: SystemRole::System,
            stream_usage: true,
            reasoning: ReasoningControl::ReasoningEffort,
            efforts: vec![
                Effort::None,
                Effort::Minimal,
                Effort::Low,
                Effort::Medium,
                Effort::High,
                Effort::Xhigh,
            ],
            thinks_unasked: false,
            reasoning_history: ReasoningHistory::None,
            seed: SeedField::Seed,
            required_tool_choice: RequiredWord::Required,
            tool_call_ids: ToolCallIds::Any,
            system_anywhere: true,
            documents: Documents::File,
            audio: AudioInput::InputAudio,
            video: false,
            tool_result_images: false,
            cache_marks: CacheMarks::None,
            prompt_cache_key: true,
            prompt_cache_retention: true,
            end_user: EndUserField::SafetyIdentifier,
            service_tiers: vec![TierWord::Default, TierWord::Priority, TierWord::Flex],
            verbosity: true,
            logprobs: true,
            allowed_tools: true,
            web_search: WebSearchForm::None,
            code_execution: CodeExecutionForm::None,
            top_k: false,
            json_schema: true,
            strict_tools: true,
            parallel_tool_calls: true,
            user_after_tool: None,
            excludes: None,
        }
    }
}

/// Name of the upper limit of output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputCap {
    /// `max_completion_tokens`
    MaxCompletionTokens,
    /// `max_tokens`
    MaxTokens,
}

/// Role of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemRole {
    /// `system`
    System,
    /// `developer`
    Developer,
}

/// How reasoning is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningControl {
    /// Not at all.
    None,
    /// `reasoning_effort` (OpenAI, Mistral, Groq, xAI).
    ReasoningEffort,
    /// `reasoning: {effort | max_tokens, exclude}` (OpenRouter, Vercel).
    ReasoningObject,
    /// `thinking: {type}` beside `reasoning_effort` (DeepSeek, Z.ai).
    Thinking,
    /// `enable_thinking` and `thinking_budget` (Qwen).
    EnableThinking,
}

/// Field of an assistant message under which its reasoning is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningHistory {
    /// It is not sent back (OpenAI).
    None,
    /// `reasoning_content` (DeepSeek, Moonshot, Z.ai, xAI, llama.cpp).
    ReasoningContent,
    /// `reasoning` (Groq, Cerebras, Ollama, vLLM).
    Reasoning,
    /// `reasoning_details`, with signatures (OpenRouter, Vercel).
    ReasoningDetails,
}

/// Name of the sampling seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedField {
    /// `seed`
    Seed,
    /// `random_seed` (Mistral).
    RandomSeed,
}

/// The word for a tool choice that requires a call of any tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequiredWord {
    /// `required`
    Required,
    /// `any` (Mistral).
    Any,
}

/// What ids of tool calls must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolCallIds {
    /// Anything: ids are sent as they are.
    Any,
    /// Nine letters or digits (Mistral): other ids are replaced.
    NineAlphanumerics,
}

/// How documents are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Documents {
    /// Not at all.
    None,
    /// As `file` parts that carry the bytes or the id of a stored file (OpenAI, OpenRouter).
    File,
    /// As `document_url` parts, or as `file` parts with the id of a stored file (Mistral).
    DocumentUrl,
}

impl Dialect {
    /// Whether an assistant message must stand between tool results and a user message.
    pub(super) fn parts_tool_from_user(&self) -> bool {
        match self.user_after_tool {
            Some(takes) => !takes,
            None => self.tool_call_ids == ToolCallIds::NineAlphanumerics,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_read_from_the_flags_that_differ() {
        let mistral = r#"
            output_cap = "max_tokens"
            efforts = ["none", "high"]
            seed = "random_seed"
            required_tool_choice = "any"
            tool_call_ids = "nine_alphanumerics"
            documents = "document_url"
        "#;

        let dialect: Dialect = toml::from_str(mistral).unwrap();

        assert_eq!(
            dialect,
            Dialect {
                output_cap: OutputCap::MaxTokens,
                efforts: vec![Effort::None, Effort::High],
                seed: SeedField::RandomSeed,
                required_tool_choice: RequiredWord::Any,
                tool_call_ids: ToolCallIds::NineAlphanumerics,
                documents: Documents::DocumentUrl,
                ..Dialect::default()
            }
        );
        assert!(toml::from_str::<Dialect>("max_tokens = true").is_err());
    }
}
