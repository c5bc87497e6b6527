//! Why was a target not tried?

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{LimitDenial, Reason, Unsupported};

/// Why a target was not tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Skip {
    /// It cannot do what the request needs.
    Unsupported(Unsupported),
    /// Its context window is not larger than the one that was too small.
    ContextTooSmall,
    /// Another target of its provider has refused the request, without a reason that we know.
    RefusedByProvider,
    /// It is closed off, for this long if that is known.
    ClosedOff(ClosedOff, Option<Duration>),
    /// The scenario's retry budget is empty, or the tokens for callers in a hurry or for refused requests are.
    RetryBudgetExhausted,
    /// Failed attempts of the scenario have recently cost too much for another one.
    WasteBudgetExhausted,
    /// A limit of the caller's account does not let it through.
    OverLimit(Box<LimitDenial>),
    /// The limit of this id is one on money, and it is not known what the attempt may cost.
    PriceUnknown(Arc<str>),
    /// It may cost more than the call may.
    CostCap,
}

/// What closes a target off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedOff {
    /// The model's breaker.
    Model,
    /// The endpoint's breaker.
    Endpoint,
    /// It has failed, and a probe is under way that shows whether it still does.
    Probing,
    /// The provider does not accept the credential.
    Credential,
    /// There is no access token for the provider: none could be fetched.
    Token,
    /// The credential's quota is used up.
    Quota,
    /// The provider's rate limit.
    Rate,
    /// As many attempts are under way as the provider takes.
    Busy,
    /// An operator.
    Operator,
}

impl Skip {
    /// Whether the target was passed over because of its health: its breaker, a lock or a throttle.
    pub fn is_for_health(&self) -> bool {
        match self {
            Self::ClosedOff(..) => true,
            Self::Unsupported(_)
            | Self::ContextTooSmall
            | Self::RefusedByProvider
            | Self::RetryBudgetExhausted
            | Self::WasteBudgetExhausted
            | Self::OverLimit(_)
            | Self::PriceUnknown(_)
            | Self::CostCap => false,
        }
    }

    /// Id of the limit that keeps the target from being asked, if one does.
    pub fn limit(&self) -> Option<&str> {
        match self {
            Self::OverLimit(denial) => Some(&denial.limit),
            Self::PriceUnknown(limit) => Some(limit),
            Self::Unsupported(_)
            | Self::ContextTooSmall
            | Self::RefusedByProvider
            | Self::ClosedOff(..)
            | Self::RetryBudgetExhausted
            | Self::WasteBudgetExhausted
            | Self::CostCap => None,
        }
    }

    /// The reason that callers see.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unsupported(_) => Reason::CapabilityUnsupported,
            Self::ContextTooSmall => Reason::ContextLengthExceeded,
            Self::RefusedByProvider => Reason::InvalidRequest,
            Self::ClosedOff(by, _) => match by {
                ClosedOff::Model
                | ClosedOff::Endpoint
                | ClosedOff::Probing
                | ClosedOff::Operator => Reason::BreakerOpen,
                ClosedOff::Credential | ClosedOff::Token => Reason::ProviderAuthFailed,
                ClosedOff::Quota => Reason::ProviderQuotaExhausted,
                ClosedOff::Rate | ClosedOff::Busy => Reason::ProviderRateLimited,
            },
            Self::RetryBudgetExhausted => Reason::RetryBudgetExhausted,
            Self::WasteBudgetExhausted => Reason::WasteBudgetExhausted,
            Self::OverLimit(denial) if denial.is_rate => Reason::CallerRateLimited,
            Self::OverLimit(_) => Reason::CallerQuotaExhausted,
            Self::PriceUnknown(_) => Reason::PriceUnknown,
            Self::CostCap => Reason::CostCapExceeded,
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(unsupported) => write!(f, "{unsupported}"),
            Self::ContextTooSmall => f.write_str(
                "its context window is not known to be larger than those that were too small",
            ),
            Self::RefusedByProvider => f.write_str("its provider has refused the request already"),
            Self::ClosedOff(by, wait) => {
                f.write_str(match by {
                    ClosedOff::Model => "its breaker is open",
                    ClosedOff::Endpoint => "the breaker of its endpoint is open",
                    ClosedOff::Probing => "it has failed and is being probed",
                    ClosedOff::Credential => "the provider does not accept the credential",
                    ClosedOff::Token => "no access token for the provider could be fetched",
                    ClosedOff::Quota => "the quota at the provider is used up",
                    ClosedOff::Rate => "the provider's rate limit is reached",
                    ClosedOff::Busy => "as many attempts are under way as the provider takes",
                    ClosedOff::Operator => "an operator holds its breaker open",
                })?;
                match wait {
                    Some(wait) => write!(f, " for another {:.1} s", wait.as_secs_f64()),
                    None => Ok(()),
                }
            }
            Self::RetryBudgetExhausted => {
                f.write_str("the scenario's retry budget has no token for it")
            }
            Self::WasteBudgetExhausted => {
                f.write_str("failed attempts have recently cost too much for another one")
            }
            Self::OverLimit(denial) => write!(f, "{denial}"),
            Self::PriceUnknown(limit) => {
                write!(
                    f,
                    "the limit `{limit}` on money applies, and its price is not known"
                )
            }
            Self::CostCap => f.write_str("it may cost more than the call may (`max_cost`)"),
        }
    }
}
