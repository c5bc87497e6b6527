//! How is a chat spelled in Anthropic's Messages API?
//!
//! The reference is <https://platform.claude.com/docs/en/api/messages>. Other hosts speak it too; what
//! they and the generations of models differ in is a [`Dialect`].

mod betas;
mod blocks;
mod cited;
mod encode;
mod event;
mod fields;
mod marked;
mod opaque;
mod output;
mod parts;
mod pieces;
mod provided;
mod schemas;
mod stream;
mod thinking;
mod tools;
mod turns;
mod whole;

use serde::Deserialize;

use super::openai::effort::Effort;
use super::{Decoder, Framing, PathSays, Recipient, Spelling, WireFormat, WireRequest, exclusions};
use crate::chat::ChatRequest;
use crate::error::Unsupported;
use crate::features::{Exclusion, Feature, Features};
use crate::wire::metadata::AnswerFields;

/// The format's name in the configuration and in provider options.
const NAME: &str = "anthropic";

/// The Messages API in one dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anthropic {
    /// What differs between hosts and generations of models.
    pub dialect: Dialect,
}

/// What differs between hosts and generations of models; the default is Anthropic itself with a
/// model of its present generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// How reasoning is asked for.
    pub thinking: ThinkingDialect,
    /// Where the version of the API and the model's name stand.
    pub host: Host,
    /// Efforts of reasoning that the model takes where thinking is adaptive, in any order; `None` for `low` to `max`.
    /// Those of Claude 4.6 do not take `xhigh`.
    pub efforts: Option<Vec<Effort>>,
    /// Features that cannot be combined; `None` for those of Claude 4.1 and later: a temperature beside
    /// `top_p`, a forced tool beside reasoning.
    #[serde(deserialize_with = "exclusions::read")]
    pub excludes: Option<Vec<Exclusion>>,
}

/// How reasoning is asked for. The newest models refuse a budget; those before Claude 4.6 accept nothing
/// else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingDialect {
    /// `thinking: adaptive` and `output_config.effort`: the effort goes by name, one that the model does not take as
    /// the nearest one, and the reasoning tokens cannot be limited.
    #[default]
    Adaptive,
    /// `thinking: enabled` with `budget_tokens`: an effort becomes a share of the output limit
    /// (`minimal` the least budget of 1024 tokens, `low` 20 %, `medium` 50 %, `high` 80 %, `xhigh` 90 %, `max` 95 %),
    /// never less than 1024 tokens and never more than the request's own limit of reasoning tokens.
    Budget,
}

/// Where the version of the API and the model's name stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// The version in the header `anthropic-version`, the model in the body: Anthropic itself, and most others.
    #[default]
    Anthropic,
    /// The version in the body, the model in the path: Google's Vertex AI,
    /// <https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai>.
    Vertex,
}

impl Dialect {
    fn efforts(&self) -> &[Effort] {
        const OF_CLAUDE: [Effort; 5] = [
            Effort::Low,
            Effort::Medium,
            Effort::High,
            Effort::Xhigh,
            Effort::Max,
        ];
        self.efforts.as_deref().unwrap_or(&OF_CLAUDE)
    }
}

impl WireFormat for Anthropic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn features(&self) -> Features {
        let features = Features::ALL
            .without(Feature::JsonObject)
            .without(Feature::FrequencyPenalty)
            .without(Feature::PresencePenalty)
            .without(Feature::Seed)
            .without(Feature::AudioData)
            .without(Feature::AudioUri)
            .without(Feature::VideoData)
            .without(Feature::VideoUri)
            .without(Feature::Logprobs);
        let features = match self.dialect.host {
            Host::Anthropic => features,
            // https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai#features-not-supported
            Host::Vertex => features
                .without(Feature::StoredFile)
                .without(Feature::CodeExecution),
        };
        match self.dialect.thinking {
            ThinkingDialect::Adaptive => features.without(Feature::ReasoningBudget),
            ThinkingDialect::Budget => features,
        }
    }

    fn exclusions(&self) -> &[Exclusion] {
        const OF_CLAUDE: [Exclusion; 2] = [
            // Vali-98/ChatterUI#564, QuantumNous/new-api#5122
            Exclusion::TEMPERATURE_AND_TOP_P,
            // https://platform.claude.com/docs/en/build-with-claude/extended-thinking
            Exclusion::FORCED_TOOL_AND_REASONING,
        ];
        self.dialect.excludes.as_deref().unwrap_or(&OF_CLAUDE)
    }

    fn encode(
        &self,
        request: &ChatRequest,
        to: &Recipient<'_>,
    ) -> Result<WireRequest, Unsupported> {
        encode::encode(&self.dialect, request, to)
    }

    fn check(&self, request: &ChatRequest, to: &Recipient<'_>) -> Result<(), Unsupported> {
        encode::compose(&self.dialect, request, to).map(drop)
    }

    fn spelling<'a>(&'a self, to: &Recipient<'_>) -> Spelling<'a> {
        Spelling::Anthropic {
            dialect: &self.dialect,
            max_output_tokens: to.max_output_tokens,
            stream: to.stream,
        }
    }

    fn path_says(&self) -> PathSays {
        let is_vertex = self.dialect.host == Host::Vertex;
        PathSays {
            model: is_vertex,
            stream: is_vertex,
        }
    }

    fn answer_fields(&self) -> &'static AnswerFields {
        &fields::FIELDS
    }

    fn decoder(&self, framing: Framing) -> Box<dyn Decoder> {
        match framing {
            Framing::Sse => Box::new(stream::Events::default()),
            Framing::Json => Box::new(whole::Whole),
        }
    }
}

fn value(field: &'static str, why: &'static str) -> Unsupported {
    Unsupported::Value { field, why }
}

#[cfg(test)]
mod tests;
