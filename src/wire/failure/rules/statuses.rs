//! What does the status of an error mean if its body explains nothing?

use crate::error::UpstreamErrorKind::{
    Authentication, InvalidRequest, ModelNotFound, Overloaded, Permission, RateLimited, Rejected,
    ServerError,
};

use super::Rule;

pub(super) const STATUSES: &[Rule] = &[
    // Groq has 498 for a tier without capacity, others 503 and 529.
    Rule::of(Overloaded).statuses(&[498..=498, 503..=503, 529..=529]),
    Rule::of(ServerError).statuses(&[500..=599]),
    Rule::of(RateLimited).statuses(&[429..=429]),
    Rule::of(Authentication).statuses(&[401..=401]),
    Rule::of(Permission)
        .statuses(&[403..=403])
        .codes(&["permission_denied", "permission"]),
    Rule::of(ModelNotFound)
        .statuses(&[404..=404, 410..=410])
        .codes(&["not_found_error"]),
    // These are about the body of a request, but do not say whose fault it is.
    Rule::of(InvalidRequest).statuses(&[400..=400, 413..=413, 422..=422]),
    // These ask for another try (408, 409), or blame something behind the host: 424 (AWS: the model failed) and 499
    // (Google: it was cancelled there).
    Rule::of(ServerError).statuses(&[408..=409, 424..=424, 499..=499]),
    // A firewall or a proxy sends the others, for one request or for all of them: 405, 406, 418 and 451 where it
    // dislikes a text, 407 where it wants a password, 421 and 425 where it takes no request over this connection.
    Rule::of(Rejected).statuses(&[402..=498]),
    // An error in a 200 response that claims no status.
    Rule::of(InvalidRequest).codes(&[
        "invalid_request",
        "invalid_argument",
        "bad_request",
        "base_resp/2013", // MiniMax
    ]),
];
