//! Which of Google's two hosts is asked, and which words does only one of them know?

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::chat::ServiceTier;

/// <https://cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo>
const SHARED_REQUEST_TYPE: HeaderName =
    HeaderName::from_static("x-vertex-ai-llm-shared-request-type");

/// Whose API a host speaks: some fields are known to one of the two only, and the other refuses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    /// The Gemini API.
    Gemini,
    /// Vertex AI.
    Vertex,
}

impl Host {
    /// Whether a search of the web can leave out sites.
    pub(super) fn excludes_domains(self) -> bool {
        self == Self::Vertex
    }

    /// Whether a request has to say that it wants functions beside tools that the provider runs:
    /// <https://ai.google.dev/gemini-api/docs/tool-combination>.
    pub(super) fn announces_combined_tools(self) -> bool {
        self == Self::Gemini
    }

    /// The tier as a field of the body.
    pub(super) fn tier_in_body(self, tier: ServiceTier) -> Option<&'static str> {
        match (self, tier) {
            (Self::Vertex, _) | (_, ServiceTier::Batch) => None,
            (Self::Gemini, ServiceTier::Standard) => Some("standard"),
            (Self::Gemini, ServiceTier::Priority) => Some("priority"),
            (Self::Gemini, ServiceTier::Flex) => Some("flex"),
        }
    }

    /// Sets the header that tells the tier. The standard one has none.
    pub(super) fn tell_tier(self, tier: ServiceTier, headers: &mut HeaderMap) {
        let value = match (self, tier) {
            (Self::Gemini, _) | (_, ServiceTier::Standard | ServiceTier::Batch) => return,
            (Self::Vertex, ServiceTier::Priority) => "priority",
            (Self::Vertex, ServiceTier::Flex) => "flex",
        };
        headers.insert(SHARED_REQUEST_TYPE, HeaderValue::from_static(value));
    }
}
