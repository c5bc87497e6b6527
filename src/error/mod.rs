//! What does a caller learn when a call is not answered? The error, its reason and its status code.
//!
//! Nothing here knows gRPC: `grpc::status` turns a [`Code`] into a status. How one target can fail, and what each
//! failure means for the call, is in `upstream`.

mod advice;
mod blame;
mod code;
mod denial;
mod reason;
mod unsupported;
mod upstream;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::advice::{advise, probably_meant};
pub use self::blame::Blame;
pub use self::code::Code;
pub use self::denial::{CredentialFault, DeniedAmounts, LimitDenial, LimitUnit};
pub use self::reason::Reason;
pub use self::unsupported::Unsupported;
pub use self::upstream::{
    Billing, Failover, Health, ProviderReport, SameTarget, UpstreamError, UpstreamErrorKind,
    Verdict,
};

/// Why a call was not answered: what the caller will see, whatever protocol it speaks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The method does not exist, or it was called in a way that it does not support. The text names what is
    /// supported and the remedy.
    #[error("{0}")]
    Unimplemented(String),
    /// The request is malformed or contradicts itself.
    #[error("{}", .0.iter().map(Violation::to_string).collect::<Vec<_>>().join("; "))]
    InvalidRequest(Vec<Violation>),
    /// No scenario of that name.
    #[error("there is no scenario `{}`; CatalogService.ListScenarios lists them", excerpt(.0))]
    ScenarioNotFound(String),
    /// No model of that id.
    #[error("there is no model `{}`; CatalogService.ListModels lists them", excerpt(.0))]
    ModelNotFound(String),
    /// No target can do what the request needs.
    #[error("no target can do what the request needs: {}", .0.join("; "))]
    CapabilityUnsupported(Vec<String>),
    /// Every target that could answer is closed off by its breaker.
    #[error("every target that could answer is closed off{}", again(.retry_after))]
    NoProviderAvailable {
        /// When the first of them is tried again; `None` if an operator holds all of them.
        retry_after: Option<Duration>,
    },
    /// The idempotency key was used for another request.
    #[error(
        "`idempotency_key` was used for a request with another body; take a new key for a new request"
    )]
    IdempotencyConflict,
    /// The service has no room for the request.
    #[error("the service has no room for the request at this time")]
    Overloaded {
        /// When there may be room.
        retry_after: Duration,
    },
    /// The requests under way take up all the memory that they may.
    #[error("the requests under way take up all the memory that requests may use (`{setting}`)")]
    NoRoom {
        /// The setting that limits it.
        setting: &'static str,
        /// When there may be room.
        retry_after: Duration,
    },
    /// The caller has reached a limit of its own.
    #[error("{limit}")]
    CallerRateLimited {
        /// The limit.
        limit: CallerLimit,
        /// When to try again.
        retry_after: Duration,
    },
    /// No credential was sent.
    #[error("no credential was sent; send an API key or a token as `authorization: Bearer ...`")]
    CredentialsMissing,
    /// The credential does not prove who calls.
    #[error("{}", match .0 {
        CredentialFault::Invalid => "the credential is not accepted; it is unknown, malformed, expired or revoked",
        CredentialFault::Conflict => "the credentials name different callers; send one of them",
        CredentialFault::Revoked => "the credential was revoked while the call was open",
    })]
    CredentialsInvalid(CredentialFault),
    /// The keys of the token's issuer are not known, so the token cannot be checked.
    #[error("the token cannot be checked at this time, since the keys of its issuer are not known")]
    CredentialsUnchecked {
        /// When to try again.
        retry_after: Duration,
    },
    /// The credential does not allow this. The text names what is not allowed.
    #[error("the credential does not allow {0}")]
    PermissionDenied(String),
    /// A label is missing, not allowed, or has a value that is not allowed.
    #[error("{0}")]
    LabelNotAllowed(Violation),
    /// Limits on the caller's account did not let the call through, or none of its attempts.
    #[error("{}", .0.first().map_or_else(String::new, LimitDenial::to_string))]
    LimitReached(Vec<LimitDenial>),
    /// Another attempt would cost more than the call may.
    #[error(
        "every target that could answer would cost more than the call may; raise `limits.max_cost`, or lower `sampling.max_output_tokens`"
    )]
    CostCapExceeded,
    /// A limit on money applies, and it is not known what the targets cost.
    #[error("the limit `{0}` on money applies, and no target that could answer has a known price")]
    PriceUnknown(Arc<str>),
    /// The ledger cannot be written.
    #[error("the ledger cannot be written at this time, so nothing was sent")]
    LedgerUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// An attempt failed, and failed attempts have recently cost too much for another one.
    #[error("{0}, and failed attempts have recently cost too much for another one")]
    WasteBudgetExhausted(UpstreamError),
    /// The deadline passed.
    #[error("the deadline passed before the answer was complete")]
    DeadlineExceeded,
    /// An attempt failed, and the retry budget, or the share of callers in a hurry, has no token for another.
    #[error("{0}, and the scenario's retry budget allows no further attempt at this time")]
    RetryBudgetExhausted(UpstreamError),
    /// The prompt was too long for the targets that were asked, and a target with a larger window could not be asked.
    #[error("{error}; `{target}`, which may hold it, was not asked: {limit}")]
    LargerTargetUnasked {
        /// The last refusal.
        error: UpstreamError,
        /// Id of the larger target.
        target: String,
        /// What kept it from being asked.
        limit: &'static str,
    },
    /// The last attempt failed.
    #[error("{0}")]
    Upstream(UpstreamError),
    /// The answer broke off after a part of it had been sent to the caller.
    #[error("the answer broke off after a part of it had been sent: {0}")]
    StreamInterrupted(UpstreamError),
    /// The service is going down.
    #[error("the service is going down; send the call to another instance")]
    Draining,
    /// The caller did not read its stream for this long.
    #[error("the caller did not read its stream for {0:?}")]
    ClientStalled(Duration),
    /// A defect of the service.
    #[error("a defect of the service: {0}")]
    Internal(&'static str),
}

impl Error {
    /// A request with one fault.
    pub fn invalid(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self::InvalidRequest(vec![Violation {
            field: field.into(),
            what: what.into(),
        }])
    }

    /// The same error for a request that is a field of another message.
    #[must_use]
    pub fn within(mut self, field: &str) -> Self {
        if let Self::InvalidRequest(violations) = &mut self {
            for violation in violations {
                violation.field = format!("{field}.{}", violation.field);
            }
        }
        self
    }

    /// The reason as programs match on it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unimplemented(_) => Reason::Unimplemented,
            Self::InvalidRequest(_) => Reason::InvalidRequest,
            Self::ScenarioNotFound(_) => Reason::ScenarioNotFound,
            Self::ModelNotFound(_) => Reason::ModelNotFound,
            Self::CapabilityUnsupported(_) => Reason::CapabilityUnsupported,
            Self::NoProviderAvailable { .. } => Reason::NoProviderAvailable,
            Self::IdempotencyConflict => Reason::IdempotencyConflict,
            Self::Overloaded { .. } | Self::NoRoom { .. } => Reason::Overloaded,
            Self::CallerRateLimited { .. } => Reason::CallerRateLimited,
            Self::CredentialsMissing => Reason::CredentialsMissing,
            Self::CredentialsInvalid(_) => Reason::CredentialsInvalid,
            Self::CredentialsUnchecked { .. } => Reason::CredentialsUnchecked,
            Self::PermissionDenied(_) => Reason::PermissionDenied,
            Self::LabelNotAllowed(_) => Reason::LabelNotAllowed,
            // A rate that is reached soon allows more; a spent budget decides if both are.
            Self::LimitReached(denials) if denials.iter().all(|denial| denial.is_rate) => {
                Reason::CallerRateLimited
            }
            Self::LimitReached(_) => Reason::CallerQuotaExhausted,
            Self::CostCapExceeded => Reason::CostCapExceeded,
            Self::PriceUnknown(_) => Reason::PriceUnknown,
            Self::LedgerUnavailable { .. } => Reason::LedgerUnavailable,
            Self::WasteBudgetExhausted(_) => Reason::WasteBudgetExhausted,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::RetryBudgetExhausted(_) => Reason::RetryBudgetExhausted,
            Self::Upstream(error) | Self::LargerTargetUnasked { error, .. } => {
                error.kind.verdict().reason
            }
            Self::StreamInterrupted(_) => Reason::StreamInterrupted,
            Self::Draining => Reason::Draining,
            Self::ClientStalled(_) => Reason::ClientStalled,
            Self::Internal(_) => Reason::Internal,
        }
    }

    /// The failure of the last attempt, where that is the cause.
    pub fn upstream(&self) -> Option<&UpstreamError> {
        match self {
            Self::Upstream(error)
            | Self::RetryBudgetExhausted(error)
            | Self::WasteBudgetExhausted(error)
            | Self::LargerTargetUnasked { error, .. }
            | Self::StreamInterrupted(error) => Some(error),
            Self::Unimplemented(_)
            | Self::InvalidRequest(_)
            | Self::ScenarioNotFound(_)
            | Self::ModelNotFound(_)
            | Self::CapabilityUnsupported(_)
            | Self::NoProviderAvailable { .. }
            | Self::IdempotencyConflict
            | Self::CallerRateLimited { .. }
            | Self::CredentialsMissing
            | Self::CredentialsInvalid(_)
            | Self::CredentialsUnchecked { .. }
            | Self::PermissionDenied(_)
            | Self::LabelNotAllowed(_)
            | Self::LimitReached(_)
            | Self::CostCapExceeded
            | Self::PriceUnknown(_)
            | Self::LedgerUnavailable { .. }
            | Self::DeadlineExceeded
            | Self::Overloaded { .. }
            | Self::NoRoom { .. }
            | Self::Draining
            | Self::ClientStalled(_)
            | Self::Internal(_) => None,
        }
    }
}

/// When the first of the targets that are closed off is tried again.
fn again(retry_after: &Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!(
            "; the first may be tried again in {:.1} s",
            wait.as_secs_f64()
        ),
        None => " until an operator lifts that".to_owned(),
    }
}

/// A limit on what one caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerLimit {
    /// Calls open at once.
    OpenCalls,
    /// Calls that were recently cancelled before they were answered.
    EarlyCancellations,
    /// Bytes of requests under way.
    RequestBytes,
    /// Bytes of requests that are not complete yet.
    UnfinishedBytes,
    /// Streams of WatchBreakers, for all callers together; the most that there may be.
    Watchers(usize),
    /// Streams of WatchBreakers, for one caller; the most that there may be.
    OwnWatchers(usize),
}

impl fmt::Display for CallerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenCalls => "the caller has too many calls open",
            Self::EarlyCancellations => {
                "the caller has cancelled too many calls before they were answered"
            }
            Self::RequestBytes => {
                "the caller's requests under way take up all the room that it has for them \
                 (`admission.max_request_bytes_per_caller`)"
            }
            Self::UnfinishedBytes => {
                "the caller has begun too many requests that are not complete yet \
                 (its share of `server.max_unfinished_bytes`)"
            }
            Self::Watchers(most) => {
                return write!(
                    f,
                    "{most} streams watch breakers already, and no more may; use ListBreakers, or end one of them"
                );
            }
            Self::OwnWatchers(most) => {
                return write!(
                    f,
                    "the caller has {most} streams that watch breakers already, and one caller may have no more; end one of them, or use ListBreakers"
                );
            }
        })
    }
}

/// The most bytes that are quoted of a text from outside.
const EXCERPT_BYTES: usize = 100;

/// A text from outside, or its beginning if it is long, for a message to its author.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    if text.len() <= EXCERPT_BYTES {
        return Cow::Borrowed(text);
    }
    let mut end = EXCERPT_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}...", &text[..end]))
}

/// A field of a request that is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `messages[2].parts[0].image.media_type`.
    pub field: String,
    /// What is wrong and the remedy.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}
