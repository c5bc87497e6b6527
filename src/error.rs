//! What can go wrong with a provider and with a call, and the one table of what each kind means.
//!
//! Nothing here knows gRPC: `grpc::status` turns a [`Reason`] into a code. Nothing here carries text
//! that a provider or a caller wrote, but for a provider's own error code.

use std::fmt;
use std::time::Duration;

use crate::features::Feature;

/// A failure of one attempt: the only shape an upstream failure ever has.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{kind}{}", self.detail())]
pub struct UpstreamError {
    /// What happened.
    pub kind: UpstreamErrorKind,
    /// The HTTP status; `None` if there was no response.
    pub status: Option<u16>,
    /// The provider's own code for the error, as it sent it. Show it only through [`UpstreamError::safe_code`].
    pub provider_code: Option<String>,
    /// How long the provider asks to be left alone, unclamped.
    pub retry_after: Option<Duration>,
    /// What we saw, in our own words; empty where `kind` says it all.
    pub message: &'static str,
}

impl UpstreamError {
    /// A failure of which nothing but its kind is known.
    pub fn new(kind: UpstreamErrorKind) -> Self {
        Self {
            kind,
            status: None,
            provider_code: None,
            retry_after: None,
            message: "",
        }
    }

    /// The same failure with our own words on what was seen.
    #[must_use]
    pub fn because(mut self, message: &'static str) -> Self {
        self.message = message;
        self
    }

    /// An answer that is not what the wire format promises.
    pub fn malformed(message: &'static str) -> Self {
        Self::new(UpstreamErrorKind::Malformed).because(message)
    }

    /// The provider's code if it looks like a code: it is shown to callers and in traces, and a
    /// provider that puts a piece of the prompt there must not leak it.
    pub fn safe_code(&self) -> Option<&str> {
        let legal = |code: &&str| {
            code.len() <= 64
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
        };
        self.provider_code.as_deref().filter(legal)
    }

    fn detail(&self) -> String {
        let status = self
            .status
            .map(|status| format!(" (HTTP {status})"))
            .unwrap_or_default();
        let message = if self.message.is_empty() {
            String::new()
        } else {
            format!(": {}", self.message)
        };
        format!("{status}{message}")
    }
}

/// What happened to an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamErrorKind {
    /// The provider refuses the request as it is.
    InvalidRequest,
    /// The prompt is longer than the model's context window.
    ContextLength,
    /// The provider does not know our key.
    Authentication,
    /// Our key may not do this.
    Permission,
    /// The provider does not know the model.
    ModelNotFound,
    /// Too many requests or tokens for now.
    RateLimited,
    /// Credit, spending limit or a long-term quota is used up.
    QuotaExhausted,
    /// The provider has no capacity for anybody.
    Overloaded,
    /// The provider failed.
    ServerError,
    /// A filter of the provider blocked the prompt.
    ContentBlocked,
    /// The answer is not what the wire format promises.
    Malformed,
    /// The answer ended before the provider said that it was complete.
    Truncated,
    /// No connection: name, address, TCP or TLS. Nothing was sent.
    Unreachable,
    /// The connection was lost after the request had been sent.
    Disconnected,
    /// The provider sent nothing, or no progress, for too long.
    TimedOut,
}

/// Whether another target may answer instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// Any other target.
    Yes,
    /// Only a target whose context window is larger.
    LargerContext,
    /// None: the request itself is at fault.
    No,
}

/// Whether the same target may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameTarget {
    /// Never.
    Never,
    /// Once, because nothing was sent.
    Once,
    /// If the provider names a short wait.
    AfterHint,
}

/// What a failed attempt says about the health of what it tried; see `dispatch::scopes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well: the provider answered, if only to refuse.
    Success,
    /// The endpoint cannot be reached.
    EndpointFailure,
    /// The model fails.
    ModelFailure,
    /// The model fails for want of capacity: fewer attempts at once may help.
    Overloaded,
    /// We ask too much. No failure, but a probe has not succeeded.
    RateLimited,
    /// The credential is not accepted.
    CredentialRefused,
    /// The credential's quota or credit is used up.
    QuotaExhausted,
}

/// What the provider will charge for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// The tokens that it reported.
    Actual,
    /// Nothing.
    Zero,
    /// The tokens seen.
    Partial,
    /// Unknown: the input and perhaps some output.
    Uncertain,
}

/// One row of the table: what a kind of failure means for everything that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether another target may answer instead.
    pub failover: Failover,
    /// Whether the same target may be tried again.
    pub same_target: SameTarget,
    /// What it says about the target's health.
    pub health: Health,
    /// What it costs.
    pub billing: Billing,
    /// What the caller is told if nothing else answers.
    pub reason: Reason,
}

impl UpstreamErrorKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 15] = [
        Self::InvalidRequest,
        Self::ContextLength,
        Self::Authentication,
        Self::Permission,
        Self::ModelNotFound,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::Overloaded,
        Self::ServerError,
        Self::ContentBlocked,
        Self::Malformed,
        Self::Truncated,
        Self::Unreachable,
        Self::Disconnected,
        Self::TimedOut,
    ];

    /// What this kind of failure means. The only place that decides it.
    #[rustfmt::skip] // a table is read by its columns
    pub fn verdict(self) -> Verdict {
        use {Billing::*, Failover::*, Health::*, SameTarget::*};
        let row = |failover, same_target, health, billing, reason| Verdict { failover, same_target, health, billing, reason };
        match self {
            Self::InvalidRequest => row(No,            Never,     Success,           Zero,      Reason::InvalidRequest),
            Self::ContextLength  => row(LargerContext, Never,     Success,           Zero,      Reason::ContextLengthExceeded),
            Self::Authentication => row(Yes,           Never,     CredentialRefused, Zero,      Reason::ProviderAuthFailed),
            Self::Permission     => row(Yes,           Never,     ModelFailure,      Zero,      Reason::ProviderAuthFailed),
            Self::ModelNotFound  => row(Yes,           Never,     ModelFailure,      Zero,      Reason::ProviderError),
            Self::RateLimited    => row(Yes,           AfterHint, RateLimited,       Zero,      Reason::ProviderRateLimited),
            Self::QuotaExhausted => row(Yes,           Never,     QuotaExhausted,    Zero,      Reason::ProviderQuotaExhausted),
            Self::Overloaded     => row(Yes,           Never,     Overloaded,        Zero,      Reason::ProviderOverloaded),
            Self::ServerError    => row(Yes,           Never,     ModelFailure,      Zero,      Reason::ProviderError),
            Self::ContentBlocked => row(No,            Never,     Success,           Zero,      Reason::ContentBlocked),
            Self::Malformed      => row(Yes,           Never,     ModelFailure,      Partial,   Reason::ProviderBadResponse),
            Self::Truncated      => row(Yes,           Never,     ModelFailure,      Partial,   Reason::ProviderBadResponse),
            Self::Unreachable    => row(Yes,           Once,      EndpointFailure,   Zero,      Reason::ProviderUnreachable),
            Self::Disconnected   => row(Yes,           Never,     ModelFailure,      Uncertain, Reason::ProviderUnreachable),
            Self::TimedOut       => row(Yes,           Never,     ModelFailure,      Uncertain, Reason::ProviderTimeout),
        }
    }
}

impl fmt::Display for UpstreamErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidRequest => "the provider refused the request",
            Self::ContextLength => "the prompt exceeds the model's context window",
            Self::Authentication => "the provider does not accept our credential",
            Self::Permission => "our credential may not use this",
            Self::ModelNotFound => "the provider does not know the model",
            Self::RateLimited => "the provider's rate limit is reached",
            Self::QuotaExhausted => "our quota at the provider is used up",
            Self::Overloaded => "the provider is overloaded",
            Self::ServerError => "the provider failed",
            Self::ContentBlocked => "the provider's content filter blocked the prompt",
            Self::Malformed => "the provider sent an answer that cannot be read",
            Self::Truncated => "the answer ended before it was complete",
            Self::Unreachable => "the provider cannot be reached",
            Self::Disconnected => "the connection to the provider was lost",
            Self::TimedOut => "the provider took too long",
        })
    }
}

/// Something the request needs and a target cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The model or its wire format lacks a feature.
    #[error("it lacks `{}`", .0.name())]
    Feature(Feature),
    /// A value that the wire format cannot express.
    #[error("it cannot express `{field}`: {why}")]
    Value {
        /// Path of the field in the request.
        field: &'static str,
        /// The limit, in our words.
        why: &'static str,
    },
}

/// What a caller is told went wrong, as a word that programs can match on.
///
/// The names are those of `modelway.v1.ErrorReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request is malformed or contradicts itself.
    InvalidRequest,
    /// No scenario of that name.
    ScenarioNotFound,
    /// No model of that name.
    ModelNotFound,
    /// No target can do what the request needs.
    CapabilityUnsupported,
    /// The prompt is longer than every target's context window.
    ContextLengthExceeded,
    /// The caller went away.
    CallerCancelled,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// The service has no room for the call.
    Overloaded,
    /// The service is going down.
    Draining,
    /// A defect of the service.
    Internal,
    /// Every target of the plan is closed off by its breaker.
    NoProviderAvailable,
    /// A target was skipped because its breaker is open.
    BreakerOpen,
    /// A further attempt was refused because the retry budget is empty.
    RetryBudgetExhausted,
    /// The last provider's rate limit is reached.
    ProviderRateLimited,
    /// The last provider is overloaded.
    ProviderOverloaded,
    /// The last provider failed.
    ProviderError,
    /// The last provider took too long.
    ProviderTimeout,
    /// The last provider cannot be reached.
    ProviderUnreachable,
    /// The last provider does not accept our credential.
    ProviderAuthFailed,
    /// Our quota at the last provider is used up.
    ProviderQuotaExhausted,
    /// The last provider sent something that cannot be read.
    ProviderBadResponse,
    /// The answer broke off after a part of it had been sent to the caller.
    StreamInterrupted,
    /// A provider's filter blocked the prompt.
    ContentBlocked,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 23] = [
        Self::InvalidRequest,
        Self::ScenarioNotFound,
        Self::ModelNotFound,
        Self::CapabilityUnsupported,
        Self::ContextLengthExceeded,
        Self::CallerCancelled,
        Self::DeadlineExceeded,
        Self::Overloaded,
        Self::Draining,
        Self::Internal,
        Self::NoProviderAvailable,
        Self::BreakerOpen,
        Self::RetryBudgetExhausted,
        Self::ProviderRateLimited,
        Self::ProviderOverloaded,
        Self::ProviderError,
        Self::ProviderTimeout,
        Self::ProviderUnreachable,
        Self::ProviderAuthFailed,
        Self::ProviderQuotaExhausted,
        Self::ProviderBadResponse,
        Self::StreamInterrupted,
        Self::ContentBlocked,
    ];

    /// Its name on the wire, in traces and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::ScenarioNotFound => "SCENARIO_NOT_FOUND",
            Self::ModelNotFound => "MODEL_NOT_FOUND",
            Self::CapabilityUnsupported => "CAPABILITY_UNSUPPORTED",
            Self::ContextLengthExceeded => "CONTEXT_LENGTH_EXCEEDED",
            Self::CallerCancelled => "CALLER_CANCELLED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Overloaded => "OVERLOADED",
            Self::Draining => "DRAINING",
            Self::Internal => "INTERNAL",
            Self::NoProviderAvailable => "NO_PROVIDER_AVAILABLE",
            Self::BreakerOpen => "BREAKER_OPEN",
            Self::RetryBudgetExhausted => "RETRY_BUDGET_EXHAUSTED",
            Self::ProviderRateLimited => "PROVIDER_RATE_LIMITED",
            Self::ProviderOverloaded => "PROVIDER_OVERLOADED",
            Self::ProviderError => "PROVIDER_ERROR",
            Self::ProviderTimeout => "PROVIDER_TIMEOUT",
            Self::ProviderUnreachable => "PROVIDER_UNREACHABLE",
            Self::ProviderAuthFailed => "PROVIDER_AUTH_FAILED",
            Self::ProviderQuotaExhausted => "PROVIDER_QUOTA_EXHAUSTED",
            Self::ProviderBadResponse => "PROVIDER_BAD_RESPONSE",
            Self::StreamInterrupted => "STREAM_INTERRUPTED",
            Self::ContentBlocked => "CONTENT_BLOCKED",
        }
    }
}

impl Reason {
    /// The status code that goes with it.
    ///
    /// UNAVAILABLE alone tells a caller that the same call may succeed later. A fault in our own
    /// relation to a provider (credential, quota) is FAILED_PRECONDITION: nothing the caller does
    /// about its own credential or quota would help.
    pub fn code(self) -> Code {
        match self {
            Self::InvalidRequest | Self::ContextLengthExceeded => Code::InvalidArgument,
            Self::ScenarioNotFound | Self::ModelNotFound => Code::NotFound,
            Self::CapabilityUnsupported
            | Self::ProviderAuthFailed
            | Self::ProviderQuotaExhausted
            | Self::ContentBlocked => Code::FailedPrecondition,
            Self::CallerCancelled => Code::Cancelled,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
            Self::Overloaded
            | Self::Draining
            | Self::NoProviderAvailable
            | Self::BreakerOpen
            | Self::RetryBudgetExhausted
            | Self::ProviderRateLimited
            | Self::ProviderOverloaded
            | Self::ProviderError
            | Self::ProviderTimeout
            | Self::ProviderUnreachable
            | Self::ProviderBadResponse
            | Self::StreamInterrupted => Code::Unavailable,
        }
    }
}

/// The status codes of gRPC that are produced on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Answered.
    Ok,
    /// The caller went away.
    Cancelled,
    /// The request is wrong, whatever the state of the service.
    InvalidArgument,
    /// The deadline passed.
    DeadlineExceeded,
    /// What the request names does not exist.
    NotFound,
    /// The request cannot be served as things are set up.
    FailedPrecondition,
    /// A defect of the service.
    Internal,
    /// The same call may succeed later.
    Unavailable,
}

impl Code {
    /// Its name in the gRPC specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// Whether OpenTelemetry's RPC conventions make it an error of the serving side.
    pub fn is_service_fault(self) -> bool {
        match self {
            Self::DeadlineExceeded | Self::Internal | Self::Unavailable => true,
            Self::Ok
            | Self::Cancelled
            | Self::InvalidArgument
            | Self::NotFound
            | Self::FailedPrecondition => false,
        }
    }
}

/// Why a call was not answered: what the caller will see, whatever protocol it speaks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The request is malformed or contradicts itself.
    #[error("{}", .0.iter().map(Violation::to_string).collect::<Vec<_>>().join("; "))]
    InvalidRequest(Vec<Violation>),
    /// No scenario of that name.
    #[error("there is no scenario `{0}`; CatalogService.ListScenarios lists those there are")]
    ScenarioNotFound(String),
    /// No model of that id.
    #[error("there is no model `{0}`; CatalogService.ListModels lists those there are")]
    ModelNotFound(String),
    /// No target can do what the request needs.
    #[error("no target can do what the request needs: {}", .0.join("; "))]
    CapabilityUnsupported(Vec<String>),
    /// Every target that could answer is closed off by its breaker.
    #[error("every target is closed off; the first may be tried again in {:.1} s", .retry_after.as_secs_f64())]
    NoProviderAvailable {
        /// When the first of them is tested again.
        retry_after: Duration,
    },
    /// The deadline passed.
    #[error("the deadline passed before the answer was complete")]
    DeadlineExceeded,
    /// An attempt failed, and another was refused because the retry budget is empty.
    #[error("{0}, and the scenario's retry budget allows no further attempt at this time")]
    RetryBudgetExhausted(UpstreamError),
    /// The last attempt failed.
    #[error("{0}")]
    Upstream(UpstreamError),
    /// The answer broke off after a part of it had been sent to the caller.
    #[error("the answer broke off after a part of it had been sent: {0}")]
    StreamInterrupted(UpstreamError),
    /// The service is going down.
    #[error("the service is going down; send the call to another instance")]
    Draining,
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

    /// The reason as programs match on it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::InvalidRequest(_) => Reason::InvalidRequest,
            Self::ScenarioNotFound(_) => Reason::ScenarioNotFound,
            Self::ModelNotFound(_) => Reason::ModelNotFound,
            Self::CapabilityUnsupported(_) => Reason::CapabilityUnsupported,
            Self::NoProviderAvailable { .. } => Reason::NoProviderAvailable,
            Self::DeadlineExceeded => Reason::DeadlineExceeded,
            Self::RetryBudgetExhausted(_) => Reason::RetryBudgetExhausted,
            Self::Upstream(error) => error.kind.verdict().reason,
            Self::StreamInterrupted(_) => Reason::StreamInterrupted,
            Self::Draining => Reason::Draining,
            Self::Internal(_) => Reason::Internal,
        }
    }

    /// The failure of the last attempt, where that is the cause.
    pub fn upstream(&self) -> Option<&UpstreamError> {
        match self {
            Self::Upstream(error)
            | Self::RetryBudgetExhausted(error)
            | Self::StreamInterrupted(error) => Some(error),
            Self::InvalidRequest(_)
            | Self::ScenarioNotFound(_)
            | Self::ModelNotFound(_)
            | Self::CapabilityUnsupported(_)
            | Self::NoProviderAvailable { .. }
            | Self::DeadlineExceeded
            | Self::Draining
            | Self::Internal(_) => None,
        }
    }
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
