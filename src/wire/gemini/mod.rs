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
mod generation;
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

pub use self::generation::{Asking, Budgets, Generation, Level};
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

impl Gemini {
    /// The format as `dialect` describes it.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect }
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
    fn a_dialect_is_read_from_configuration_and_refuses_unknown_keys() {
        let dialect: Dialect = toml::from_str("generation = \"3\"\ncall_ids = false").unwrap();

        assert_eq!(dialect.generation, Some(Generation::Third));
        assert!(!dialect.call_ids);
        assert_eq!(toml::from_str::<Dialect>("").unwrap(), Dialect::default());
        assert!(toml::from_str::<Dialect>("generations = \"3\"").is_err());
    }
}
