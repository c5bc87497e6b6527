//! What is recorded of one attempt, and of a skipped target?

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use crate::chat::{FinishReason, Usage};
use crate::error::{Billing, Reason, UpstreamError};
use crate::money::{Cost, Settled};

use super::BreakerState;
use super::skip::Skip;

/// One attempt, or a target that was skipped.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// From 1, in the order of sending; 0 for a skipped target.
    pub number: u32,
    /// Id of the model in the catalogue.
    pub target: String,
    /// The provider's config name.
    pub provider: String,
    /// The model's name at the provider.
    pub model: String,
    /// Why the attempt was made.
    pub kind: AttemptKind,
    /// The breaker's state when the attempt was admitted or refused.
    pub breaker: BreakerState,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began, by the calendar.
    pub started: SystemTime,
    /// When it began, by the clock that measures durations; `None` if it was not sent.
    pub began: Option<Instant>,
    /// From its beginning to its end; zero for a skipped target.
    pub latency: Duration,
    /// From its beginning to its first content.
    pub first_content: Option<Duration>,
    /// Whether its content is passed on as it arrives: the caller asked for a stream.
    pub is_streamed: bool,
    /// Tokens as the provider reported them.
    pub usage: Option<Usage>,
    /// What was set aside for it, in nano-USD; `None` if nothing asked for that.
    pub reserved_nanos: Option<i64>,
    /// The tokens of input and output that were set aside for it; `None` if nothing asked for that.
    pub reserved_tokens: Option<u64>,
    /// What it costs; `None` while it runs or if it was skipped.
    pub cost: Option<Cost>,
    /// What the provider says it costs, if it says so. [`AttemptRecord::cost`] is what counts.
    pub provider_cost: Option<Cost>,
    /// The cost by the prices in nano-USD, if it is known and clearly differs from what the provider says.
    pub diverging_nanos: Option<i64>,
    /// Whether prices alone tell the whole cost; false while it runs or if it was skipped.
    pub is_priceable: bool,
    /// What the provider charges for it; `None` while it runs or if it was skipped.
    pub billing: Option<Billing>,
    /// Hex id of the attempt's span; empty if it was skipped.
    pub span_id: String,
    /// The provider's id of the HTTP request.
    pub provider_request_id: Option<String>,
    /// The model that the provider says answered.
    pub response_model: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// Why the model stopped.
    pub finish: Option<FinishReason>,
}

impl AttemptRecord {
    /// Whether the caller got something for what it cost: the whole answer, or what had arrived of a stream when the caller
    /// left or its deadline passed.
    pub fn is_useful(&self) -> bool {
        match self.outcome {
            Outcome::Succeeded => true,
            Outcome::Cancelled(Cancelled::Call | Cancelled::Deadline) => {
                self.is_streamed && self.first_content.is_some()
            }
            Outcome::Cancelled(Cancelled::Rival)
            | Outcome::Running
            | Outcome::Failed(_)
            | Outcome::Skipped(_) => false,
        }
    }

    /// Notes how it ended, and what that costs.
    pub fn settle(&mut self, outcome: Outcome, settled: Settled) {
        let Settled {
            usage,
            class,
            cost,
            provider_cost,
            diverging_nanos,
            is_priceable,
        } = settled;
        self.outcome = outcome;
        self.usage = usage;
        self.billing = Some(class);
        self.cost = Some(cost);
        self.provider_cost = provider_cost;
        self.diverging_nanos = diverging_nanos;
        self.is_priceable = is_priceable;
    }
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// The first of the call.
    Primary,
    /// Again on the same target.
    Retry,
    /// On another target.
    Failover,
    /// Tests whether a failing target has recovered.
    Probe,
    /// On a target whose breaker is open, because all others are closed off, too.
    LastResort,
    /// On another target while the call's first attempt is late: whichever answers first is kept.
    Hedge,
}

impl AttemptKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 6] = [
        Self::Primary,
        Self::Retry,
        Self::Failover,
        Self::Probe,
        Self::LastResort,
        Self::Hedge,
    ];

    /// Its name in traces and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Retry => "retry",
            Self::Failover => "failover",
            Self::Probe => "probe",
            Self::LastResort => "last_resort",
            Self::Hedge => "hedge",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It has not ended.
    Running,
    /// It gave the whole answer.
    Succeeded,
    /// It failed, before or in the middle of its answer.
    Failed(UpstreamError),
    /// It was not sent.
    Skipped(Skip),
    /// The service ended it, which says nothing about its target.
    Cancelled(Cancelled),
}

/// Why the service ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The deadline of its call.
    Deadline,
    /// Another attempt of its call, which answered or failed for good.
    Rival,
    /// The end of its call: the caller went away, did not read, or the service stops.
    Call,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the deadline of the call passed before its end",
            Self::Rival => "another attempt decided the call before its end",
            Self::Call => "the call was ended before its end",
        })
    }
}

impl Outcome {
    /// Its name in traces and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// The reason that callers see; `None` if nothing failed.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Running | Self::Succeeded | Self::Cancelled(_) => None,
            Self::Failed(error) => Some(error.kind.verdict().reason),
            Self::Skipped(skip) => Some(skip.reason()),
        }
    }
}
