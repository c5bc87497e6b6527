//! Google Gemini: generateContent and streamGenerateContent, at the Gemini API and at Vertex AI.
//!
//! The base URL ends where `/models/…` begins: `…/v1beta` for the Gemini API,
//! `…/publishers/google` for Vertex AI.

mod answer_parts;
mod calls;
mod conversation;
mod decode;
mod encode;
mod fields;
mod function_calls;
mod host;
mod json_path;
mod logprobs;
mod modalities;
mod partial_args;
mod parts;
mod piece;
mod positions;
mod request;
mod response;
mod response_format;
mod schemas;
mod sources;
mod thinking;
mod tools;
mod worder;

use serde::Deserialize;

use crate::chat::ChatRequest;
use crate::error::Unsupported;
use crate::features::{Feature, Features};

pub use self::host::Host;

use super::metadata::AnswerFields;
use super::{Framing, PathSays, Recipient, Spelling, WireFormat, WireRequest};

/// Its name.
const FORMAT: &str = "gemini";

/// The Gemini wire format.
#[derive(Clone, Debug, Default)]
pub struct Gemini {
    dialect: Dialect,
}

/// How hosts and models of this family differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// Which requests the models understand; `None` reads it from the model's name.
    pub generation: Option<Generation>,
    /// Whether tool calls and their results carry ids. Vertex AI's `v1` has no ids and matches results by name and
    /// order; the Gemini API and Vertex AI's `v1beta1` accept them.
    pub call_ids: bool,
    /// The levels of thinking that models of the third generation have; `None` reads them from the
    /// model's name.
    pub levels: Option<Vec<Level>>,
    /// Whose API it is. `None` takes a host without ids of calls for Vertex AI, any other for the Gemini API.
    pub host: Option<Host>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            generation: None,
            call_ids: true,
            levels: None,
            host: None,
        }
    }
}

/// A generation of models, as far as requests differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Generation {
    /// Gemini 2.5 and before: thinking is a budget of tokens, tools exclude JSON output.
    #[serde(rename = "2")]
    Second,
    /// Gemini 3 and later: thinking is a level, tool calls in the history must be signed, tool
    /// results may hold media.
    #[serde(rename = "3")]
    Third,
}

/// A level of thinking, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `MINIMAL`
    Minimal,
    /// `LOW`
    Low,
    /// `MEDIUM`
    Medium,
    /// `HIGH`
    High,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Minimal, Self::Low, Self::Medium, Self::High];
}

/// Which requests a model understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking<'a> {
    /// Its generation.
    pub generation: Generation,
    /// Whether tool calls carry ids.
    pub call_ids: bool,
    /// Its levels of thinking, if it is of the third generation.
    pub levels: &'a [Level],
    /// Its budgets for thinking, if it is of the second.
    pub budgets: Budgets,
    /// Whose API it is asked by.
    pub host: Host,
}

/// Which budgets for thinking a model takes, in tokens:
/// <https://ai.google.dev/gemini-api/docs/thinking#set-budget>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// The least besides none.
    pub least: u32,
    /// The most.
    pub most: u32,
    /// Whether thinking can be switched off.
    pub can_be_none: bool,
}

impl Budgets {
    /// Those of Gemini 2.5 Flash.
    const WIDEST: Self = Self {
        least: 1,
        most: 24_576,
        can_be_none: true,
    };

    fn of(model: &str) -> Self {
        if model.contains("2.5-pro") {
            return Self {
                least: 128,
                most: 32_768,
                can_be_none: false,
            };
        }
        if model.contains("2.5-flash-lite") {
            return Self {
                least: 512,
                ..Self::WIDEST
            };
        }
        Self::WIDEST
    }
}

impl Gemini {
    fn asking(&self, model: &str) -> Asking<'_> {
        Asking {
            generation: self.generation_of(model),
            call_ids: self.dialect.call_ids,
            levels: self.levels_of(model),
            budgets: Budgets::of(model),
            host: self.host(),
        }
    }

    fn host(&self) -> Host {
        match self.dialect.host {
            Some(host) => host,
            None if self.dialect.call_ids => Host::Gemini,
            None => Host::Vertex,
        }
    }

    /// <https://ai.google.dev/gemini-api/docs/thinking#thinking-levels>: Gemini 3 Pro has two, Pro since
    /// 3.1 has no `MINIMAL`.
    fn levels_of(&self, model: &str) -> &[Level] {
        match &self.dialect.levels {
            Some(written) => written,
            None if model.contains("gemini-3-pro") => &[Level::Low, Level::High],
            None if model.contains("-pro") => &[Level::Low, Level::Medium, Level::High],
            None => &Level::ALL,
        }
    }

    /// The format as `dialect` describes it.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect }
    }

    fn generation_of(&self, model: &str) -> Generation {
        match self.dialect.generation {
            Some(generation) => generation,
            None if model.starts_with("gemini-1.") || model.starts_with("gemini-2.") => {
                Generation::Second
            }
            None => Generation::Third,
        }
    }
}

impl WireFormat for Gemini {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn features(&self) -> Features {
        Features::ALL.without(Feature::SerialToolCalls)
    }

    fn encode(
        &self,
        request: &ChatRequest,
        to: &Recipient<'_>,
    ) -> Result<WireRequest, Unsupported> {
        encode::encode(request, to, self.asking(to.model))
    }

    fn check(&self, request: &ChatRequest, to: &Recipient<'_>) -> Result<(), Unsupported> {
        encode::compose(request, to, self.asking(to.model)).map(drop)
    }

    fn spelling<'a>(&'a self, to: &Recipient<'_>) -> Spelling<'a> {
        Spelling::Gemini(self.asking(to.model))
    }

    fn path_says(&self) -> PathSays {
        PathSays {
            model: true,
            stream: true,
        }
    }

    fn answer_fields(&self) -> &'static AnswerFields {
        &fields::FIELDS
    }

    fn decoder(&self, framing: Framing) -> Box<dyn super::Decoder> {
        Box::new(decode::Decoder::new(framing))
    }
}

/// The provider's numbers are `int32`; a larger limit has no effect.
fn as_int32(number: u32) -> u32 {
    number.min(i32::MAX as u32)
}

/// The error that a value of this field cannot be expressed, for this reason.
fn refused(field: &'static str, why: &'static str) -> Unsupported {
    Unsupported::Value { field, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_read_from_the_name_unless_it_is_configured() {
        let by_name = Gemini::default();
        let configured = Gemini::new(Dialect {
            generation: Some(Generation::Second),
            ..Dialect::default()
        });

        for (model, generation) in [
            ("gemini-1.5-pro-002", Generation::Second),
            ("gemini-2.5-flash", Generation::Second),
            ("gemini-3-pro-preview", Generation::Third),
            ("gemini-flash-latest", Generation::Third),
        ] {
            assert_eq!(by_name.generation_of(model), generation, "{model}");
        }
        assert_eq!(configured.generation_of("tuned"), Generation::Second);
    }

    #[test]
    fn levels_and_budgets_are_read_from_the_name_unless_levels_are_configured() {
        use Level::{High, Low, Medium};
        let by_name = Gemini::default();
        let configured = Gemini::new(toml::from_str(r#"levels = ["low"]"#).unwrap());

        for (model, levels) in [
            ("gemini-3-pro-preview", &[Low, High][..]),
            ("google/gemini-3-pro", &[Low, High]),
            ("gemini-3.1-pro-preview", &[Low, Medium, High]),
            ("gemini-3.5-flash", &Level::ALL),
            ("gemini-3.1-flash-lite", &Level::ALL),
        ] {
            assert_eq!(by_name.asking(model).levels, levels, "{model}");
            assert_eq!(configured.asking(model).levels, [Low]);
        }
        for (model, least, most, can_be_none) in [
            ("gemini-2.5-pro", 128, 32_768, false),
            ("gemini-2.5-flash", 1, 24_576, true),
            ("gemini-2.5-flash-lite", 512, 24_576, true),
        ] {
            let budgets = Budgets {
                least,
                most,
                can_be_none,
            };
            assert_eq!(by_name.asking(model).budgets, budgets, "{model}");
        }
    }

    #[test]
    fn a_dialect_is_read_from_configuration_and_refuses_unknown_keys() {
        let dialect: Dialect = toml::from_str("generation = \"3\"\ncall_ids = false").unwrap();

        assert_eq!(dialect.generation, Some(Generation::Third));
        assert!(!dialect.call_ids);
        assert_eq!(toml::from_str::<Dialect>("").unwrap(), Dialect::default());
        assert!(toml::from_str::<Dialect>("generations = \"3\"").is_err());
    }
}
