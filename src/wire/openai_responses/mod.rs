//! How is a chat spelled in OpenAI's Responses API?
//!
//! Specification: <https://platform.openai.com/docs/api-reference/responses>. Requests are stateless: nothing is
//! stored at the provider, and the conversation is sent again with the reasoning that it has encrypted. A host that
//! differs is a [`Dialect`].

mod about_text;
mod accounts;
mod body;
mod dialect;
mod encode;
mod ending;
mod fields;
mod history;
mod items;
mod numbers;
mod opaque;
mod parts;
mod passed;
mod reply;
mod stream;
mod tools;
mod whole;

use super::{Decoder, Framing, Recipient, Spelling, WireFormat, WireRequest};
use crate::chat::ChatRequest;
use crate::error::Unsupported;
use crate::features::{Exclusion, Features};
use crate::wire::metadata::AnswerFields;

pub use self::dialect::{Dialect, InstructionsRole, ReasoningReplay};

/// The Responses API in one dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenAiResponses {
    /// What the host or the model does differently.
    pub dialect: Dialect,
}

const NAME: &str = "openai_responses";

impl WireFormat for OpenAiResponses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn features(&self) -> Features {
        self.dialect.features()
    }

    fn exclusions(&self) -> &[Exclusion] {
        self.dialect.excludes.as_deref().unwrap_or_default()
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
        Spelling::OpenAiResponses {
            dialect: &self.dialect,
            stream: to.stream,
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
