//! A provider is data: where it is, how it wants to be asked, which wire format it speaks.

use http::{HeaderMap, HeaderName};
use secrecy::SecretString;
use std::sync::Arc;

use crate::wire::WireFormat;

/// A service we call, by its config name.
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// Where requests go, without a trailing slash; the wire format appends its path.
    pub base_url: String,
    /// How requests show who we are.
    pub auth: Auth,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// Appended to the query of every request, such as Azure's `api-version`.
    pub query: Vec<(String, String)>,
    /// How it spells chat.
    pub wire_format: Arc<dyn WireFormat>,
    /// Whether attempts carry `traceparent`. Off for providers that are not ours.
    pub propagate_trace: bool,
}

/// How requests show who we are.
pub enum Auth {
    /// Not at all.
    None,
    /// `authorization: Bearer KEY`.
    Bearer(SecretString),
    /// The key in a header of its own, such as `x-api-key`.
    Header(HeaderName, SecretString),
}
