//! Why did a call fail, in one word, and which status code goes with it?

use super::code::Code;

/// Why a call failed, in one word that programs can match on.
///
/// The names are those of `modelway.v1.ErrorReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The method does not exist, or it was called in a way that it does not support: a compression, a number of
    /// messages.
    Unimplemented,
    /// The request is malformed or contradicts itself, or a provider has refused it.
    InvalidRequest,
    /// No scenario of that name.
    ScenarioNotFound,
    /// No model of that name.
    ModelNotFound,
    /// No target can do what the request needs.
    CapabilityUnsupported,
    /// The prompt is longer than the context window of every target that the call could ask.
    ContextLengthExceeded,
    /// The key was used for another request.
    IdempotencyConflict,
    /// The caller has too many calls open, or has cancelled too many.
    CallerRateLimited,
    /// No credential was sent.
    CredentialsMissing,
    /// The credential is not accepted.
    CredentialsInvalid,
    /// The credential does not allow this.
    PermissionDenied,
    /// A label is missing, not allowed, or has a value that is not allowed.
    LabelNotAllowed,
    /// A limit on money is reached, or one on requests or tokens of an hour or longer.
    CallerQuotaExhausted,
    /// Another attempt would cost more than the call may.
    CostCapExceeded,
    /// A limit on money applies, and it is not known what a target costs.
    PriceUnknown,
    /// The ledger cannot be written.
    LedgerUnavailable,
    /// Failed attempts have recently cost too much for another one.
    WasteBudgetExhausted,
    /// The credential cannot be checked.
    CredentialsUnchecked,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// The service has no room for the request.
    Overloaded,
    /// The service is going down.
    Draining,
    /// The caller did not read its stream.
    ClientStalled,
    /// A defect of the service.
    Internal,
    /// Every target of the plan is closed off by its breaker.
    NoProviderAvailable,
    /// A target was skipped because its breaker is open.
    BreakerOpen,
    /// A further attempt was refused because the retry budget, or the share of callers in a hurry, is empty.
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
    pub const ALL: [Self; 36] = [
        Self::Unimplemented,
        Self::InvalidRequest,
        Self::ScenarioNotFound,
        Self::ModelNotFound,
        Self::CapabilityUnsupported,
        Self::ContextLengthExceeded,
        Self::IdempotencyConflict,
        Self::CallerRateLimited,
        Self::CredentialsMissing,
        Self::CredentialsInvalid,
        Self::PermissionDenied,
        Self::LabelNotAllowed,
        Self::CallerQuotaExhausted,
        Self::CostCapExceeded,
        Self::PriceUnknown,
        Self::LedgerUnavailable,
        Self::WasteBudgetExhausted,
        Self::CredentialsUnchecked,
        Self::DeadlineExceeded,
        Self::Overloaded,
        Self::Draining,
        Self::ClientStalled,
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

    /// The reason of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Its name on the wire, in traces and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::ScenarioNotFound => "SCENARIO_NOT_FOUND",
            Self::ModelNotFound => "MODEL_NOT_FOUND",
            Self::CapabilityUnsupported => "CAPABILITY_UNSUPPORTED",
            Self::ContextLengthExceeded => "CONTEXT_LENGTH_EXCEEDED",
            Self::IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
            Self::CallerRateLimited => "CALLER_RATE_LIMITED",
            Self::CredentialsMissing => "CREDENTIALS_MISSING",
            Self::CredentialsInvalid => "CREDENTIALS_INVALID",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::LabelNotAllowed => "LABEL_NOT_ALLOWED",
            Self::CallerQuotaExhausted => "CALLER_QUOTA_EXHAUSTED",
            Self::CostCapExceeded => "COST_CAP_EXCEEDED",
            Self::PriceUnknown => "PRICE_UNKNOWN",
            Self::LedgerUnavailable => "LEDGER_UNAVAILABLE",
            Self::WasteBudgetExhausted => "WASTE_BUDGET_EXHAUSTED",
            Self::CredentialsUnchecked => "CREDENTIALS_UNCHECKED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Overloaded => "OVERLOADED",
            Self::Draining => "DRAINING",
            Self::ClientStalled => "CLIENT_STALLED",
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
            Self::Unimplemented => Code::Unimplemented,
            Self::InvalidRequest | Self::ContextLengthExceeded | Self::LabelNotAllowed => {
                Code::InvalidArgument
            }
            Self::ScenarioNotFound | Self::ModelNotFound => Code::NotFound,
            Self::CapabilityUnsupported
            | Self::ProviderAuthFailed
            | Self::ProviderQuotaExhausted
            | Self::CostCapExceeded
            | Self::PriceUnknown
            | Self::ContentBlocked => Code::FailedPrecondition,
            Self::IdempotencyConflict => Code::Aborted,
            Self::CredentialsMissing | Self::CredentialsInvalid => Code::Unauthenticated,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::CallerRateLimited | Self::CallerQuotaExhausted => Code::ResourceExhausted,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
            Self::ClientStalled => Code::ResourceExhausted,
            Self::Overloaded
            | Self::Draining
            | Self::NoProviderAvailable
            | Self::BreakerOpen
            | Self::RetryBudgetExhausted
            | Self::LedgerUnavailable
            | Self::WasteBudgetExhausted
            | Self::CredentialsUnchecked
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
