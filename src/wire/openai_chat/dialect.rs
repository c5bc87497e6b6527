//! How do hosts that speak OpenAI's format differ, and what can each of them do?

use serde::Deserialize;

use crate::features::{Exclusion, Feature, Features};
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
    /// How documents are sent.
    pub documents: Documents,
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
            documents: Documents::File,
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
    /// As `file` parts that carry the bytes (OpenAI, OpenRouter).
    File,
    /// As `document_url` parts (Mistral).
    DocumentUrl,
}

impl Dialect {
    pub(super) fn exclusions(&self) -> &[Exclusion] {
        match (&self.excludes, self.reasoning) {
            (Some(written), _) => written,
            (None, ReasoningControl::Thinking | ReasoningControl::EnableThinking) => {
                &[Exclusion::FORCED_TOOL_AND_REASONING]
            }
            (
                None,
                ReasoningControl::None
                | ReasoningControl::ReasoningEffort
                | ReasoningControl::ReasoningObject,
            ) => &[],
        }
    }

    /// Whether an assistant message must stand between tool results and a user message.
    pub(super) fn parts_tool_from_user(&self) -> bool {
        match self.user_after_tool {
            Some(takes) => !takes,
            None => self.tool_call_ids == ToolCallIds::NineAlphanumerics,
        }
    }

    pub(super) fn features(&self) -> Features {
        let controls_effort = match self.reasoning {
            ReasoningControl::None => false,
            ReasoningControl::ReasoningEffort | ReasoningControl::ReasoningObject => {
                !self.efforts.is_empty()
            }
            ReasoningControl::Thinking | ReasoningControl::EnableThinking => true,
        };
        let controls_budget = match self.reasoning {
            ReasoningControl::ReasoningObject | ReasoningControl::EnableThinking => true,
            ReasoningControl::None
            | ReasoningControl::ReasoningEffort
            | ReasoningControl::Thinking => false,
        };
        let (document_data, document_uri) = match self.documents {
            Documents::None => (false, false),
            Documents::File => (true, false),
            Documents::DocumentUrl => (true, true),
        };
        let lacks = |feature: &Feature| match feature {
            Feature::DocumentData => !document_data,
            Feature::DocumentUri => !document_uri,
            Feature::SerialToolCalls => !self.parallel_tool_calls,
            Feature::StrictTools => !self.strict_tools,
            Feature::JsonSchema => !self.json_schema,
            Feature::TopK => !self.top_k,
            Feature::ReasoningEffort => !controls_effort,
            Feature::ReasoningBudget => !controls_budget,
            Feature::Reasoning => !controls_effort && !controls_budget,
            Feature::ImageData
            | Feature::ImageUri
            | Feature::Tools
            | Feature::ForcedToolChoice
            | Feature::JsonObject
            | Feature::Temperature
            | Feature::TopP
            | Feature::FrequencyPenalty
            | Feature::PresencePenalty
            | Feature::Seed
            | Feature::StopSequences => false,
        };
        Features::ALL.minus(Features::ALL.iter().filter(lacks).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_follow_the_dialect() {
        let lacking = |dialect: &Dialect| {
            let names = Features::ALL.minus(dialect.features());
            names.iter().map(Feature::name).collect::<Vec<_>>()
        };
        let bare = Dialect {
            reasoning: ReasoningControl::None,
            documents: Documents::None,
            json_schema: false,
            strict_tools: false,
            parallel_tool_calls: false,
            ..Dialect::default()
        };
        let rich = Dialect {
            reasoning: ReasoningControl::ReasoningObject,
            documents: Documents::DocumentUrl,
            top_k: true,
            ..Dialect::default()
        };

        assert_eq!(
            lacking(&Dialect::default()),
            ["document_uri", "top_k", "reasoning_budget"]
        );
        assert_eq!(
            lacking(&bare),
            [
                "document_data",
                "document_uri",
                "serial_tool_calls",
                "strict_tools",
                "json_schema",
                "top_k",
                "reasoning_effort",
                "reasoning_budget",
                "reasoning"
            ]
        );
        assert_eq!(lacking(&rich), [""; 0]);
    }

    #[test]
    fn what_cannot_be_combined_is_written_in_the_dialect_or_implied_by_how_reasoning_is_switched() {
        let exclusions = |text: &str| {
            let dialect: Dialect = toml::from_str(text).unwrap();
            dialect.exclusions().to_vec()
        };

        assert_eq!(exclusions(""), []);
        assert_eq!(exclusions(r#"reasoning = "reasoning_object""#), []);
        for control in ["thinking", "enable_thinking"] {
            assert_eq!(
                exclusions(&format!("reasoning = \"{control}\"")),
                [Exclusion::FORCED_TOOL_AND_REASONING]
            );
            assert_eq!(
                exclusions(&format!("reasoning = \"{control}\"\nexcludes = []")),
                []
            );
        }
        assert_eq!(
            exclusions(r#"excludes = [["tools", "reasoning"]]"#),
            [Exclusion(Feature::Tools, Feature::Reasoning)]
        );
    }

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
