//! How a target can fail, and the one table of what each kind of failure means.
//!
//! Nothing here carries text that a provider wrote, except for its error code, and a report that is kept apart for the log.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::Reason;

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
    /// A detail in our own words; empty where `kind` says it all.
    pub message: Cow<'static, str>,
    /// The report of the failure that the provider put into its answer. For the log alone.
    pub report: ProviderReport,
}

impl UpstreamError {
    /// A failure of this kind, of which nothing else is known.
    pub fn new(kind: UpstreamErrorKind) -> Self {
        Self {
            kind,
            status: None,
            provider_code: None,
            retry_after: None,
            message: Cow::Borrowed(""),
            report: ProviderReport::default(),
        }
    }

    /// The same failure with a description in our own words.
    #[must_use]
    pub fn because(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// An answer that is not what the wire format promises.
    pub fn malformed(message: &'static str) -> Self {
        Self::new(UpstreamErrorKind::Malformed).because(message)
    }

    /// The provider's code if it looks like a code. It is shown to callers and in traces; a provider that puts a piece
    /// of the prompt there must not leak it.
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

/// What a provider wrote of a failure. It may quote the prompt or a key, so only the log may show it, and only if it is asked
/// to ([`UpstreamError::report`]); it is no part of what the failure is.
#[derive(Clone, Default)]
pub struct ProviderReport(Option<Box<ReportText>>);

/// Boxed once more, so that failures without a report stay small.
#[derive(Clone)]
struct ReportText(Box<[u8]>);

impl ProviderReport {
    /// The longest report that is kept, in bytes.
    const MAX_BYTES: usize = 16 * 1024;

    /// The beginning of this text.
    pub fn of(text: &[u8]) -> Self {
        let kept = &text[..text.len().min(Self::MAX_BYTES)];
        Self(Some(Box::new(ReportText(kept.into()))))
    }

    /// Takes the text out.
    pub fn take(&mut self) -> Option<Box<[u8]>> {
        self.0.take().map(|text| text.0)
    }
}

impl fmt::Debug for ProviderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl PartialEq for ProviderReport {
    /// Failures are the same whatever their providers wrote about them.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What happened to an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamErrorKind {
    /// The provider refuses the request, and nothing proves whose fault that is.
    InvalidRequest,
    /// The model does not accept a value or a feature of the request; another model may.
    UnsupportedByModel,
    /// The prompt is longer than the model's context window.
    ContextLength,
    /// The provider does not know our key.
    Authentication,
    /// Our key is not allowed to do this.
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
    /// The provider rejects the request, with a status that says neither why nor whose fault that is.
    Rejected,
    /// A filter of the provider blocked the prompt.
    ContentBlocked,
    /// The answer is not what the wire format promises.
    Malformed,
    /// The answer ended before the provider said that it was complete.
    Truncated,
    /// The answer is complete and empty, although neither a limit nor a filter ended it.
    EmptyAnswer,
    /// No connection: name, address, TCP or TLS. Nothing was sent.
    Unreachable,
    /// No connection, because this service can open no more files or sockets. Nothing was sent.
    Shortage,
    /// The provider closed the connection, or refused the stream, before it accepted the request.
    NotTaken,
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
    /// One target of another provider. If that one refuses the request, too, the request is at fault.
    AnotherProvider,
    /// Only a target that may hold a longer prompt.
    LargerContext,
    /// None: the request itself is at fault.
    No,
}

/// Whether the same target may be tried again, where no other is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameTarget {
    /// Never: it would fail again.
    Never,
    /// After a short wait, or after the wait that the provider names.
    AfterWait,
}

/// What a failed attempt says about the health of what it tried; see `health::scopes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The target is healthy: the provider answered.
    Success,
    /// Nothing.
    Nothing,
    /// The model may fail, or only dislike this request: it fails if it rejects every request.
    Doubtful,
    /// The endpoint cannot be reached.
    EndpointFailure,
    /// The model fails.
    ModelFailure,
    /// The model fails because it lacks capacity: fewer attempts at once may help.
    Overloaded,
    /// We send too much. This is no failure, but a probe has not succeeded.
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
    /// It charges nothing.
    Zero,
    /// The tokens seen.
    Partial,
    /// Unknown: the input and perhaps some output.
    Uncertain,
}

/// One row of the table: what a kind of failure means.
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
    /// The reason that the caller gets if no target answers.
    pub reason: Reason,
}

impl Verdict {
    /// Whether the provider refuses the request itself, so that the caller gets this refusal.
    pub fn is_refusal(&self) -> bool {
        self.reason == Reason::InvalidRequest
    }

    /// Whether the request may be at fault. Then an attempt that follows must not use up the retries of other callers.
    pub fn may_blame_the_request(&self) -> bool {
        self.is_refusal() || self.health == Health::Doubtful
    }
}

impl UpstreamErrorKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequest,
        Self::UnsupportedByModel,
        Self::ContextLength,
        Self::Authentication,
        Self::Permission,
        Self::ModelNotFound,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::Overloaded,
        Self::ServerError,
        Self::Rejected,
        Self::ContentBlocked,
        Self::Malformed,
        Self::Truncated,
        Self::EmptyAnswer,
        Self::Unreachable,
        Self::Shortage,
        Self::NotTaken,
        Self::Disconnected,
        Self::TimedOut,
    ];

    /// What this kind of failure means. The only place that decides it.
    #[rustfmt::skip] // a table is read by its columns
    pub fn verdict(self) -> Verdict {
        use {Billing::*, Failover::*, Health::*, SameTarget::*};
        let row = |failover, same_target, health, billing, reason| Verdict { failover, same_target, health, billing, reason };
        match self {
            Self::InvalidRequest => row(AnotherProvider,Never,    Nothing,           Zero,      Reason::InvalidRequest),
            Self::UnsupportedByModel=>row(Yes,         Never,     Nothing,           Zero,      Reason::InvalidRequest),
            Self::ContextLength  => row(LargerContext, Never,     Success,           Zero,      Reason::ContextLengthExceeded),
            Self::Authentication => row(Yes,           Never,     CredentialRefused, Zero,      Reason::ProviderAuthFailed),
            Self::Permission     => row(Yes,           AfterWait, ModelFailure,      Zero,      Reason::ProviderAuthFailed),
            Self::ModelNotFound  => row(Yes,           AfterWait, ModelFailure,      Zero,      Reason::ProviderError),
            Self::RateLimited    => row(Yes,           AfterWait, RateLimited,       Zero,      Reason::ProviderRateLimited),
            Self::QuotaExhausted => row(Yes,           Never,     QuotaExhausted,    Zero,      Reason::ProviderQuotaExhausted),
            Self::Overloaded     => row(Yes,           AfterWait, Overloaded,        Zero,      Reason::ProviderOverloaded),
            Self::ServerError    => row(Yes,           AfterWait, ModelFailure,      Zero,      Reason::ProviderError),
            Self::Rejected       => row(Yes,           AfterWait, Doubtful,          Zero,      Reason::ProviderError),
            Self::ContentBlocked => row(No,            Never,     Nothing,           Zero,      Reason::ContentBlocked),
            Self::Malformed      => row(Yes,           AfterWait, ModelFailure,      Partial,   Reason::ProviderBadResponse),
            Self::Truncated      => row(Yes,           AfterWait, ModelFailure,      Partial,   Reason::ProviderBadResponse),
            Self::EmptyAnswer    => row(Yes,           AfterWait, Nothing,           Actual,    Reason::ProviderBadResponse),
            Self::Unreachable    => row(Yes,           AfterWait, EndpointFailure,   Zero,      Reason::ProviderUnreachable),
            Self::Shortage       => row(Yes,           AfterWait, Nothing,           Zero,      Reason::Overloaded),
            Self::NotTaken       => row(Yes,           AfterWait, Nothing,           Zero,      Reason::ProviderUnreachable),
            Self::Disconnected   => row(Yes,           AfterWait, ModelFailure,      Uncertain, Reason::ProviderUnreachable),
            Self::TimedOut       => row(Yes,           AfterWait, ModelFailure,      Uncertain, Reason::ProviderTimeout),
        }
    }
}

impl fmt::Display for UpstreamErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidRequest => "the provider refused the request",
            Self::UnsupportedByModel => "the model does not support what the request asks for",
            Self::ContextLength => "the prompt exceeds the model's context window",
            Self::Authentication => "the provider does not accept our credential",
            Self::Permission => "our credential may not use this",
            Self::ModelNotFound => "the provider does not know the model",
            Self::RateLimited => "the provider's rate limit is reached",
            Self::QuotaExhausted => "our quota at the provider is used up",
            Self::Overloaded => "the provider is overloaded",
            Self::ServerError => "the provider failed",
            Self::Rejected => "the provider rejected the request and did not say why",
            Self::ContentBlocked => "the provider's content filter blocked the prompt",
            Self::Malformed => "the provider sent an answer that cannot be read",
            Self::Truncated => "the answer ended before it was complete",
            Self::EmptyAnswer => "the answer is complete but empty",
            Self::Unreachable => "the provider cannot be reached",
            Self::Shortage => "this service is short of files or sockets",
            Self::NotTaken => "the provider did not begin to process the request",
            Self::Disconnected => "the connection to the provider was lost",
            Self::TimedOut => "the provider took too long",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_code_is_shown() {
        let (longest, too_long) = ("c".repeat(64), "c".repeat(65));
        let table = [
            ("invalid_api_key", true),
            ("Model-2.1:busy", true),
            (&longest, true),
            (&too_long, false),
            ("my prompt", false),
            ("schlüssel", false),
            ("a\nb", false),
        ];
        for (code, is_shown) in table {
            let error = UpstreamError {
                provider_code: Some(code.to_owned()),
                ..UpstreamError::new(UpstreamErrorKind::ServerError)
            };

            assert_eq!(error.safe_code(), is_shown.then_some(code), "{code}");
        }
        let without = UpstreamError::new(UpstreamErrorKind::ServerError);
        assert_eq!(without.safe_code(), None);
    }

    #[test]
    fn what_any_other_target_may_answer_is_all_that_the_same_one_is_asked_again() {
        for kind in UpstreamErrorKind::ALL {
            let verdict = kind.verdict();

            let again = verdict.same_target != SameTarget::Never;
            assert!(!again || verdict.failover == Failover::Yes, "{kind:?}");
        }
    }

    #[test]
    fn a_failure_tells_its_kind_its_status_and_what_we_saw() {
        let failed = UpstreamError::new(UpstreamErrorKind::ServerError);
        assert_eq!(failed.to_string(), "the provider failed");

        let refused = UpstreamError {
            status: Some(503),
            ..failed.because("no capacity")
        };
        assert_eq!(
            refused.to_string(),
            "the provider failed (HTTP 503): no capacity"
        );
    }

    #[test]
    fn each_kind_has_words_of_its_own() {
        let mut words: Vec<String> = UpstreamErrorKind::ALL.map(|kind| kind.to_string()).into();
        words.sort();
        words.dedup();

        assert_eq!(words.len(), UpstreamErrorKind::ALL.len());
        assert!(words.iter().all(|words| !words.is_empty()));
    }
}
