//! The record of a call: which targets were considered, and how did each attempt end?
//!
//! The same record goes into the response, the status of a failure and the log.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::chat::{FinishReason, Usage};
use crate::error::{Billing, Blame, Code, LimitDenial, Reason, Unsupported, UpstreamError};
use crate::money::{Cost, Settled};

/// Everything that is recorded about a call, without its content.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// The id that the service gave the call; opaque.
    pub call_id: String,
    /// Hex id of the call's trace.
    pub trace_id: String,
    /// The scenario that was asked for; empty if a model was named.
    pub scenario: String,
    /// Every attempt and every skipped target, in the order in which they ended. If the call was answered, the last
    /// one answered it.
    pub attempts: Vec<AttemptRecord>,
}

impl Trail {
    /// Attempts that were sent.
    pub fn sent(&self) -> impl Iterator<Item = &AttemptRecord> {
        self.attempts.iter().filter(|attempt| attempt.number > 0)
    }

    /// The sum over all attempts that reported tokens; `None` if none did.
    pub fn usage(&self) -> Option<Usage> {
        self.attempts
            .iter()
            .filter_map(|attempt| attempt.usage)
            .reduce(Usage::plus)
    }

    /// The sum over all attempts that have ended; `None` if there is none.
    pub fn cost(&self) -> Option<Cost> {
        self.attempts
            .iter()
            .filter_map(|attempt| attempt.cost)
            .reduce(Cost::plus)
    }

    /// What attempts cost that gave no whole answer; `None` if there is none.
    pub fn wasted(&self) -> Option<Cost> {
        self.attempts
            .iter()
            .filter(|attempt| attempt.outcome != Outcome::Succeeded)
            .filter_map(|attempt| attempt.cost)
            .reduce(Cost::plus)
    }

    /// The kind of the attempt that answered, if an attempt before it had failed or was outrun, or if a target before
    /// it was passed over because of its health. Without it the call, which was answered, would have failed or been
    /// late. An attempt on the first target of the plan ([`AttemptKind::Primary`]) rescues nothing: nothing comes
    /// before it.
    pub fn rescued(&self) -> Option<AttemptKind> {
        let (answering, others) = self.attempts.split_last()?;
        if answering.number == 0 || answering.kind == AttemptKind::Primary {
            return None;
        }
        let came_before = |attempt: &AttemptRecord| attempt.number < answering.number;
        let was_at_risk = |attempt: &AttemptRecord| match &attempt.outcome {
            Outcome::Failed(_) | Outcome::Cancelled(Cancelled::Rival) => came_before(attempt),
            Outcome::Skipped(skip) => skip.is_for_health(),
            Outcome::Running
            | Outcome::Succeeded
            | Outcome::Cancelled(Cancelled::Deadline | Cancelled::Call) => false,
        };
        others.iter().any(was_at_risk).then_some(answering.kind)
    }

    /// For how long at least one attempt was under way.
    pub fn upstream(&self) -> Duration {
        let mut spans: Vec<_> = self
            .attempts
            .iter()
            .filter_map(|attempt| Some((attempt.began?, attempt.latency)))
            .collect();
        spans.sort_unstable();
        let mut sum = Duration::ZERO;
        let mut covered: Option<Instant> = None;
        for (began, latency) in spans {
            let ended = began + latency;
            let from = covered.map_or(began, |covered| covered.max(began));
            sum += ended.saturating_duration_since(from);
            covered = Some(covered.map_or(ended, |covered| covered.max(ended)));
        }
        sum
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The caller has taken the whole answer.
    Answered,
    /// The caller left before that.
    Cancelled,
    /// The call failed, for this reason.
    Failed(Reason),
}

impl CallEnd {
    /// The status code that stands for it.
    pub fn code(self) -> Code {
        match self {
            Self::Answered => Code::Ok,
            Self::Cancelled => Code::Cancelled,
            Self::Failed(reason) => reason.code(),
        }
    }

    /// Why the call failed, if it did.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Answered | Self::Cancelled => None,
            Self::Failed(reason) => Some(reason),
        }
    }

    /// The reason in one word: `OK`, `CANCELLED` or that of the failure.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Failed(reason) => reason.name(),
        }
    }

    /// Who must act on it. `had_time` says whether the caller gave at least `admission.min_time_left`.
    pub fn blame(self, had_time: bool) -> Blame {
        match self {
            Self::Answered => Blame::None,
            Self::Cancelled => Blame::Caller,
            Self::Failed(reason) => reason.blame(had_time),
        }
    }
}

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
    /// Tokens as the provider reported them.
    pub usage: Option<Usage>,
    /// What was set aside for it, in nano-USD; `None` if nothing asked for that.
    pub reserved_nanos: Option<i64>,
    /// What it costs; `None` while it runs or if it was skipped.
    pub cost: Option<Cost>,
    /// What the provider says it costs, if it says so. [`AttemptRecord::cost`] is what counts.
    pub provider_cost: Option<Cost>,
    /// The cost by the prices in nano-USD, if it is known and clearly differs from what the provider says.
    pub diverging_nanos: Option<i64>,
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
    /// Whether the caller got something for what it cost: the whole answer, or what had arrived of it when the caller
    /// left or its deadline passed.
    pub fn is_useful(&self) -> bool {
        match self.outcome {
            Outcome::Succeeded => true,
            Outcome::Cancelled(Cancelled::Call | Cancelled::Deadline) => {
                self.first_content.is_some()
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
        } = settled;
        self.outcome = outcome;
        self.usage = usage;
        self.billing = Some(class);
        self.cost = Some(cost);
        self.provider_cost = provider_cost;
        self.diverging_nanos = diverging_nanos;
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

/// State of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets everything through.
    Closed,
    /// Lets nothing through.
    Open,
    /// Lets one probe through at a time.
    HalfOpen,
    /// An operator holds it open.
    ForcedOpen,
    /// An operator holds it closed.
    ForcedClosed,
}

impl BreakerState {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 5] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::ForcedClosed,
    ];

    /// Its name in logs and traces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }
}
