//! Which features does a host have, and which of them can it not combine?

use crate::features::{Exclusion, Feature, Features};

use super::{AudioInput, CodeExecutionForm, Dialect, Documents, ReasoningControl, WebSearchForm};

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
            Feature::AudioData => self.audio == AudioInput::None,
            Feature::AudioUri => self.audio != AudioInput::AudioUrl,
            Feature::VideoData | Feature::VideoUri => !self.video,
            // Only documents are sent by the id of a file.
            Feature::StoredFile => self.documents == Documents::None,
            Feature::WebSearch => self.web_search == WebSearchForm::None,
            Feature::CodeExecution => self.code_execution == CodeExecutionForm::None,
            Feature::Logprobs => !self.logprobs,
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
            audio: AudioInput::None,
            logprobs: false,
            json_schema: false,
            strict_tools: false,
            parallel_tool_calls: false,
            ..Dialect::default()
        };
        let rich = Dialect {
            reasoning: ReasoningControl::ReasoningObject,
            documents: Documents::DocumentUrl,
            audio: AudioInput::AudioUrl,
            video: true,
            web_search: WebSearchForm::WebSearchOptions,
            code_execution: CodeExecutionForm::CodeInterpreter,
            top_k: true,
            ..Dialect::default()
        };

        assert_eq!(
            lacking(&Dialect::default()),
            [
                "document_uri",
                "audio_uri",
                "video_data",
                "video_uri",
                "top_k",
                "reasoning_budget",
                "web_search",
                "code_execution"
            ]
        );
        assert_eq!(
            lacking(&bare),
            [
                "document_data",
                "document_uri",
                "audio_data",
                "audio_uri",
                "video_data",
                "video_uri",
                "stored_file",
                "serial_tool_calls",
                "strict_tools",
                "json_schema",
                "top_k",
                "reasoning_effort",
                "reasoning_budget",
                "reasoning",
                "web_search",
                "code_execution",
                "logprobs"
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
}
