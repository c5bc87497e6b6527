//! Which limit on an account did not let a call through, and when may it be tried again?

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitUnit {
    /// Calls; attempts, where the limit names providers or models.
    Requests,
    /// Input and output tokens of all attempts.
    Tokens,
    /// Calls that are open at one time.
    ConcurrentCalls,
    /// What all attempts cost, in nano-USD.
    Money,
    /// What attempts cost that did not give the answer, in nano-USD.
    Waste,
}

impl LimitUnit {
    /// Every unit.
    pub const ALL: [Self; 5] = [
        Self::Requests,
        Self::Tokens,
        Self::ConcurrentCalls,
        Self::Money,
        Self::Waste,
    ];

    /// Its name in the configuration, messages, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::ConcurrentCalls => "concurrent_calls",
            Self::Money => "money",
            Self::Waste => "waste",
        }
    }

    /// Whether it is counted in nano-USD.
    pub fn is_money(self) -> bool {
        match self {
            Self::Money | Self::Waste => true,
            Self::Requests | Self::Tokens | Self::ConcurrentCalls => false,
        }
    }
}

/// Why a limit did not let a call or an attempt through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitDenial {
    /// Id of the limit.
    pub limit: Arc<str>,
    /// What it counts.
    pub unit: LimitUnit,
    /// Whether its window is a minute or it counts open calls, so that trying again soon makes sense.
    pub is_rate: bool,
    /// What was asked for, and what was left; `None` if the limit is that of another account.
    pub amounts: Option<DeniedAmounts>,
    /// How long until the window ends, or what was asked for is there again; `None` for never.
    pub reset: Option<Duration>,
}

/// What a limit was asked for and what it had. In nano-USD or a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeniedAmounts {
    /// What was asked for.
    pub requested: i64,
    /// What was left; not negative.
    pub remaining: i64,
}

impl fmt::Display for LimitDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, unit, .. } = self;
        write!(
            f,
            "the limit `{limit}` on {} is reached",
            unit.name().replace('_', " ")
        )?;
        match self.reset {
            Some(reset) => write!(f, "; it allows more in {} s", reset.as_secs().max(1)),
            None => Ok(()),
        }
    }
}

/// What is wrong with a credential. Whether a key is unknown, expired or revoked is not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialFault {
    /// It is unknown, malformed, expired or revoked.
    Invalid,
    /// Two credentials name different callers.
    Conflict,
    /// It was revoked while the call was open.
    Revoked,
}

impl CredentialFault {
    /// Its name in statuses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Revoked => "revoked",
        }
    }
}
