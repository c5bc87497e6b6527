//! OpenAI Chat Completions, and where the hosts that speak it differ.
//!
//! Specification: <https://platform.openai.com/docs/api-reference/chat>. `encode` writes requests,
//! `decode` reads answers; a host that differs is a [`Dialect`], never code of its own. What is special
//! about each host stands in `docs/providers.md`.

mod body;
mod calls;
mod capabilities;
mod chunk;
mod content;
mod decode;
mod details;
mod dialect;
mod encode;
mod extent;
mod fields;
mod finish_reason;
mod history;
mod marking;
mod media;
mod message;
mod parts;
mod reasoning;
mod response_format;
mod server_tools;
mod sources;
mod tool_calls;
mod tools;
mod whole_parts;
mod wishes;

use crate::chat::ChatRequest;
use crate::error::Unsupported;
use crate::features::{Exclusion, Features};

use super::metadata::AnswerFields;
use super::{Decoder, Framing, Recipient, Spelling, WireFormat, WireRequest};

pub use super::openai::effort::Effort;

pub use self::dialect::{
    AudioInput, CacheMarks, CodeExecutionForm, Dialect, Documents, EndUserField, OutputCap,
    ReasoningControl, ReasoningHistory, RequiredWord, SeedField, SystemRole, TierWord, ToolCallIds,
    WebSearchForm,
};

/// Its name in the configuration and in provider options.
const NAME: &str = "openai_chat";

/// Kind of the provider parts that say what tools of the host did: entries of a message's field of this name.
const EXECUTED_TOOLS: &str = "executed_tools";

/// Kind of the provider parts that say under which id the host keeps the sound of an answer, and what is said there.
const AUDIO: &str = "audio";

/// Kind of the provider parts that are entries of a message's `annotations` but no sources of its text.
const ANNOTATIONS: &str = "annotations";

/// The wire format of OpenAI and of every host that is compatible with it.
#[derive(Clone, Debug, Default)]
pub struct OpenAiChat {
    /// What the host does differently.
    pub dialect: Dialect,
}

impl WireFormat for OpenAiChat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn features(&self) -> Features {
        self.dialect.features()
    }

    fn exclusions(&self) -> &[Exclusion] {
        self.dialect.exclusions()
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
        Spelling::OpenAiChat {
            dialect: &self.dialect,
            stream: to.stream,
        }
    }

    fn answer_fields(&self) -> &'static AnswerFields {
        &fields::FIELDS
    }

    fn decoder(&self, framing: Framing) -> Box<dyn Decoder> {
        Box::new(decode::ChatDecoder::new(&self.dialect, framing))
    }
}
