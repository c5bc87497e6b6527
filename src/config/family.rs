//! Which wire formats can the configuration name, and what are the defaults for hosts of each?

use http::HeaderName;

use super::address::Manner;

/// The wire formats, as the configuration names them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    OpenAiChat,
    OpenAiResponses,
    Anthropic,
    Gemini,
}

pub(super) const FAMILIES: [(&str, Family); 4] = [
    (Family::OpenAiChat.name(), Family::OpenAiChat),
    (Family::OpenAiResponses.name(), Family::OpenAiResponses),
    (Family::Anthropic.name(), Family::Anthropic),
    (Family::Gemini.name(), Family::Gemini),
];

impl Family {
    /// As the configuration names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// How keys are usually sent to hosts of this format.
    pub(super) fn usual_manner(self) -> Manner {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => Manner::Bearer,
            Self::Anthropic => Manner::Header(HeaderName::from_static("x-api-key")),
            Self::Gemini => Manner::Header(HeaderName::from_static("x-goog-api-key")),
        }
    }

    /// What comes before the paths that the wire format appends.
    pub(super) fn usual_prefix(self) -> &'static str {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses | Self::Anthropic => "/v1",
            Self::Gemini => "/v1beta",
        }
    }
}
