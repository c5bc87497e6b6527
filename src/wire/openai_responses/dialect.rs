//! How do hosts and models that speak the Responses API differ?

use serde::Deserialize;

use crate::features::{Exclusion, Feature, Features};
use crate::wire::exclusions;
use crate::wire::openai::effort::Effort;

/// What a host or a model does differently from OpenAI's reasoning models, which are the default.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// How instructions are sent.
    pub system_role: InstructionsRole,
    /// Whether the models reason. Models that do not refuse the fields that ask for it.
    pub reasoning: bool,
    /// The efforts of reasoning that are accepted. Another effort is replaced by the nearest of them.
    pub efforts: Vec<Effort>,
    /// Whether a summary of the reasoning can be asked for.
    pub summaries: bool,
    /// How earlier reasoning is sent back.
    pub reasoning_history: ReasoningReplay,
    /// Whether tools may be `strict`.
    pub strict_tools: bool,
    /// Whether the host searches the web and runs code, by the names that OpenAI has for these tools.
    pub provider_tools: bool,
    /// Whether parts can end what is kept in the prompt cache (OpenAI since GPT-5.6).
    pub cache_breakpoints: bool,
    /// Whether `parallel_tool_calls` is taken.
    pub parallel_tool_calls: bool,
    /// Features that cannot be combined.
    #[serde(deserialize_with = "exclusions::read")]
    pub excludes: Option<Vec<Exclusion>>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            system_role: InstructionsRole::System,
            reasoning: true,
            efforts: vec![
                Effort::None,
                Effort::Minimal,
                Effort::Low,
                Effort::Medium,
                Effort::High,
                Effort::Xhigh,
            ],
            summaries: true,
            reasoning_history: ReasoningReplay::Encrypted,
            strict_tools: true,
            provider_tools: true,
            cache_breakpoints: false,
            parallel_tool_calls: true,
            excludes: None,
        }
    }
}

/// How instructions are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstructionsRole {
    /// As messages with the role `system`.
    System,
    /// As messages with the role `developer`.
    Developer,
    /// In the field `instructions`, for hosts that require it.
    Instructions,
}

/// How earlier reasoning is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningReplay {
    /// Not at all.
    None,
    /// As the provider has encrypted it; what it has not encrypted is left out (OpenAI, Azure, xAI).
    Encrypted,
    /// As the provider has encrypted it, else as plain text (DeepSeek, LM Studio, OpenRouter).
    Plain,
}

impl Dialect {
    pub(super) fn features(&self) -> Features {
        let lacks = |feature: &Feature| match feature {
            Feature::ReasoningEffort => !self.reasoning || self.efforts.is_empty(),
            Feature::Reasoning => !self.reasoning,
            Feature::StrictTools => !self.strict_tools,
            Feature::SerialToolCalls => !self.parallel_tool_calls,
            Feature::TopK
            | Feature::FrequencyPenalty
            | Feature::PresencePenalty
            | Feature::Seed
            | Feature::StopSequences
            | Feature::AudioData
            | Feature::AudioUri
            | Feature::VideoData
            | Feature::VideoUri
            | Feature::ReasoningBudget => true,
            Feature::WebSearch | Feature::CodeExecution => !self.provider_tools,
            Feature::ImageData
            | Feature::ImageUri
            | Feature::DocumentData
            | Feature::DocumentUri
            | Feature::Tools
            | Feature::ForcedToolChoice
            | Feature::JsonObject
            | Feature::JsonSchema
            | Feature::StoredFile
            | Feature::Logprobs
            | Feature::Temperature
            | Feature::TopP => false,
        };
        Features::ALL.minus(Features::ALL.iter().filter(lacks).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(text: &str) -> Vec<&'static str> {
        let dialect: Dialect = toml::from_str(text).unwrap();
        let lacking = Features::ALL.minus(dialect.features());
        lacking.iter().map(Feature::name).collect()
    }

    #[test]
    fn features_are_those_of_the_api_without_those_that_the_dialect_takes_away() {
        const OF_THE_API: [&str; 10] = [
            "audio_data",
            "audio_uri",
            "video_data",
            "video_uri",
            "top_k",
            "frequency_penalty",
            "presence_penalty",
            "seed",
            "stop_sequences",
            "reasoning_budget",
        ];
        let with = |more: &[&'static str]| {
            let mut names = [&OF_THE_API[..], more].concat();
            names.sort_unstable();
            names
        };
        for (text, more) in [
            ("", &[][..]),
            ("reasoning = false", &["reasoning_effort", "reasoning"]),
            ("efforts = []", &["reasoning_effort"]),
            ("strict_tools = false", &["strict_tools"]),
            ("provider_tools = false", &["web_search", "code_execution"]),
            ("parallel_tool_calls = false", &["serial_tool_calls"]),
        ] {
            let mut lacking = lacking(text);
            lacking.sort_unstable();
            assert_eq!(lacking, with(more), "{text}");
        }
        assert!(toml::from_str::<Dialect>("seed = \"seed\"").is_err());
    }
}
