//! Google Gemini: generateContent and streamGenerateContent, at the Gemini API and at Vertex AI.
//!
//! The base URL ends where `/models/…` begins: `…/v1beta` for the Gemini API,
//! `…/publishers/google` for Vertex AI.

mod conversation;
mod decode;
mod encode;
mod partial_args;
mod request;
mod response;

use serde::Deserialize;

use crate::chat::ChatRequest;
use crate::error::Unsupported;
use crate::features::{Feature, Features};

use super::{Framing, Recipient, Spelling, WireFormat, WireRequest};

/// The Gemini wire format.
#[derive(Clone, Debug, Default)]
pub struct Gemini {
    dialect: Dialect,
}

/// What hosts and models of this family differ in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// How the models want to be asked; `None` reads it from the model's name.
    pub generation: Option<Generation>,
    /// Whether tool calls and their results carry ids. Vertex AI's `v1` knows none and matches by
    /// name and order; the Gemini API and Vertex AI's `v1beta1` take them.
    pub call_ids: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            generation: None,
            call_ids: true,
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

impl Gemini {
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
    fn features(&self) -> Features {
        Features::ALL.without(Feature::SerialToolCalls)
    }

    fn encode(
        &self,
        request: &ChatRequest,
        to: &Recipient<'_>,
    ) -> Result<WireRequest, Unsupported> {
        encode::encode(
            request,
            to,
            self.generation_of(to.model),
            self.dialect.call_ids,
        )
    }

    fn check(&self, request: &ChatRequest, to: &Recipient<'_>) -> Result<(), Unsupported> {
        let generation = self.generation_of(to.model);
        encode::compose(request, to, generation, self.dialect.call_ids).map(drop)
    }

    fn spelling<'a>(&'a self, to: &Recipient<'_>) -> Spelling<'a> {
        Spelling::Gemini {
            generation: self.generation_of(to.model),
            call_ids: self.dialect.call_ids,
        }
    }

    fn decoder(&self, framing: Framing) -> Box<dyn super::Decoder> {
        Box::new(decode::Decoder::new(framing))
    }
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
    fn a_dialect_is_read_from_configuration_and_refuses_unknown_keys() {
        let dialect: Dialect = toml::from_str("generation = \"3\"\ncall_ids = false").unwrap();

        assert_eq!(dialect.generation, Some(Generation::Third));
        assert!(!dialect.call_ids);
        assert_eq!(toml::from_str::<Dialect>("").unwrap(), Dialect::default());
        assert!(toml::from_str::<Dialect>("generations = \"3\"").is_err());
    }
}
