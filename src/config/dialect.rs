//! Reads `dialect` of a provider or a model: how it differs from the usual wire format.

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::wire::WireFormat;
use crate::wire::anthropic::{self, Anthropic};
use crate::wire::gemini::{self, Gemini};
use crate::wire::openai_chat::{self, OpenAiChat};
use crate::wire::openai_responses::{self, OpenAiResponses};

use super::family::Family;
use super::table::Value;

/// A wire format in the dialect of a provider or a model.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Dialect {
    OpenAiChat(openai_chat::Dialect),
    OpenAiResponses(openai_responses::Dialect),
    Anthropic(anthropic::Dialect),
    Gemini(gemini::Dialect),
}

impl Dialect {
    fn wire_format(self) -> Arc<dyn WireFormat> {
        match self {
            Self::OpenAiChat(dialect) => Arc::new(OpenAiChat { dialect }),
            Self::OpenAiResponses(dialect) => Arc::new(OpenAiResponses { dialect }),
            Self::Anthropic(dialect) => Arc::new(Anthropic { dialect }),
            Self::Gemini(dialect) => Arc::new(Gemini::new(dialect)),
        }
    }
}

/// The wire formats of a configuration. Equal ones share one object.
#[derive(Default)]
pub(super) struct WireFormats(HashMap<Dialect, Arc<dyn WireFormat>>);

impl WireFormats {
    /// The wire format in the provider's dialect, whose keys the model's own keys override. `None` if one of them is
    /// wrong.
    pub(super) fn get(
        &mut self,
        family: Family,
        of_provider: Option<&Value<'_>>,
        of_model: Option<&Value<'_>>,
    ) -> Option<Arc<dyn WireFormat>> {
        let dialect = match family {
            Family::OpenAiChat => Dialect::OpenAiChat(merged(of_provider, of_model)?),
            Family::OpenAiResponses => Dialect::OpenAiResponses(merged(of_provider, of_model)?),
            Family::Anthropic => Dialect::Anthropic(merged(of_provider, of_model)?),
            Family::Gemini => Dialect::Gemini(merged(of_provider, of_model)?),
        };
        let known = self.0.entry(dialect.clone());
        Some(Arc::clone(known.or_insert_with(|| dialect.wire_format())))
    }
}

fn merged<T: Default + DeserializeOwned>(
    of_provider: Option<&Value<'_>>,
    of_model: Option<&Value<'_>>,
) -> Option<T> {
    match (of_provider, of_model) {
        (None, None) => Some(T::default()),
        (Some(one), None) | (None, Some(one)) => one.deserialize(),
        (Some(of_provider), Some(of_model)) => {
            // A mistake in it is noted where the dialect stands.
            of_model.deserialize::<T>()?;
            of_model.over(of_provider)
        }
    }
}
