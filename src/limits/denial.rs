//! Why does a limit refuse a call or an attempt?

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::LimitUnit;

use super::windows::LimitWindow;

/// The refusal of a call or an attempt by a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Id of the limit.
    pub limit: Arc<str>,
    /// What is counted.
    pub unit: LimitUnit,
    /// The time over which it is counted; `None` for open calls.
    pub window: Option<LimitWindow>,
    /// Why.
    pub cause: DenialCause,
    /// What was asked for, in nano-USD or as a count; 0 if that is not known.
    pub requested: i64,
    /// What was left; not negative.
    pub remaining: i64,
    /// When the window ends, or what was asked for is there again; `None` if that will never be, or is not known.
    pub reset: Option<SystemTime>,
    /// Whether the counter is the caller's own. That of others is nothing that the caller may see without the right to
    /// read their usage.
    pub is_own: bool,
}

/// Why a limit refuses something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialCause {
    /// What is left is less than what was asked for.
    Reached,
    /// The limit is one on money, and what the attempt may cost is not known.
    PriceUnknown,
}

impl Denial {
    /// Whether it passes within a minute or when other calls end, so that it is worth the wait. Money and longer windows
    /// are not.
    pub fn is_rate(&self) -> bool {
        match self.unit {
            LimitUnit::ConcurrentCalls => true,
            LimitUnit::Requests | LimitUnit::Tokens => self.window == Some(LimitWindow::Minute),
            LimitUnit::Money | LimitUnit::Waste => false,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            DenialCause::Reached => write!(f, "limit `{}` is reached", self.limit),
            DenialCause::PriceUnknown => write!(
                f,
                "limit `{}` is one on money, and the price is not known",
                self.limit
            ),
        }
    }
}
