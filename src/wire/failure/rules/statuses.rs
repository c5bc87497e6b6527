//! What does the status of an error mean if its body explains nothing?

use crate::error::UpstreamErrorKind::{
    Authentication, InvalidRequest, ModelNotFound, Overloaded, Permission, RateLimited, ServerError,
};

use super::Rule;

pub(super) const STATUSES: &[Rule] = &[
    // Groq has 498 for a tier without capacity, others 503 and 529.
    Rule::of(Overloaded).statuses(&[498..=498, 503..=503, 529..=529]),
    Rule::of(ServerError).statuses(&[500..=599]),
    Rule::of(RateLimited).statuses(&[429..=429]),
    Rule::of(Authentication).statuses(&[401..=401]),
    Rule::of(Permission)
        .statuses(&[403..=403, 451..=451])
        .codes(&["permission_denied", "permission"]),
    Rule::of(ModelNotFound)
        .statuses(&[404..=404, 410..=410])
        .codes(&["not_found_error"]),
    // These are about the body of a request, but do not say whose fault it is.
    Rule::of(InvalidRequest).statuses(&[400..=400, 413..=413, 422..=422]),
    // The others say nothing about the body of a request: a proxy sends them, they ask for a retry (409, 425), or they
    // blame something behind the host: 408, 424 (AWS: the model failed) and 499 (Google: it was cancelled there).
    Rule::of(ServerError).statuses(&[402..=499]),
    // An error in a 200 response that claims no status.
    Rule::of(InvalidRequest).codes(&[
        "invalid_request",
        "invalid_argument",
        "bad_request",
        "base_resp/2013", // MiniMax
    ]),
];
