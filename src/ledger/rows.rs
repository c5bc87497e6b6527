//! What is written of a call and its attempts? No content: names, times, counts and amounts.
//!
//! The numbers that stand for states, kinds and sources in the files are given here, and nowhere else.

use std::sync::Arc;

use crate::chat::{ProviderToolUsage, ServedTier, ServiceTier, Usage};
use crate::error::{Billing, Code};
use crate::identity::Labels;
use crate::money::{Cost, CostSource};
use crate::trail::AttemptKind;

use super::call_id::CallId;

/// How far a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// Under way.
    Open,
    /// Ended; its cost is final.
    Settled,
    /// Was open when the service died, and was settled by its estimate at the next start.
    Recovered,
}

impl RecordState {
    /// Its number in the files.
    pub fn number(self) -> i64 {
        match self {
            Self::Open => 1,
            Self::Settled => 2,
            Self::Recovered => 3,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It gave the whole answer.
    Succeeded,
    /// It failed, before or in the middle of its answer.
    Failed,
    /// The service ended it.
    Cancelled,
    /// The service died before its end.
    Lost,
}

impl AttemptOutcome {
    /// Its number in the files.
    pub fn number(self) -> i64 {
        match self {
            Self::Succeeded => 1,
            Self::Failed => 2,
            Self::Cancelled => 4,
            Self::Lost => 5,
        }
    }
}

/// Who counted the tokens of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageSource {
    /// The provider.
    Provider,
    /// This service, in part or wholly.
    Estimated,
}

impl UsageSource {
    /// Its number in the files.
    pub fn number(self) -> i64 {
        match self {
            Self::Provider => 1,
            Self::Estimated => 2,
        }
    }
}

/// The number of the kind of an attempt in the files.
pub fn kind_number(kind: AttemptKind) -> i64 {
    match kind {
        AttemptKind::Primary => 1,
        AttemptKind::Retry => 2,
        AttemptKind::Failover => 3,
        AttemptKind::Hedge => 4,
        AttemptKind::Probe => 5,
        AttemptKind::LastResort => 6,
    }
}

/// The number of a class of charges in the files.
pub fn billing_number(billing: Billing) -> i64 {
    match billing {
        Billing::Actual => 1,
        Billing::Partial => 2,
        Billing::Zero => 3,
        Billing::Uncertain => 4,
    }
}

/// The number of a source of an amount in the files; 2 is what [`Recovered`](RecordState::Recovered) records hold.
pub fn cost_source_number(source: CostSource) -> i64 {
    match source {
        CostSource::Prices => 1,
        CostSource::Estimated => ESTIMATED_COST,
        CostSource::Unknown => UNKNOWN_COST,
        CostSource::Provider => 4,
        CostSource::Mixed => 5,
    }
}

/// [`cost_source_number`] of an amount that was settled by an estimate.
pub const ESTIMATED_COST: i64 = 2;

/// [`cost_source_number`] of an amount that is not the whole.
pub const UNKNOWN_COST: i64 = 3;

/// The number of a served tier in the files.
pub fn tier_number(tier: ServedTier) -> i64 {
    match tier {
        ServedTier::Other => 0,
        ServedTier::Known(ServiceTier::Standard) => 1,
        ServedTier::Known(ServiceTier::Priority) => 2,
        ServedTier::Known(ServiceTier::Flex) => 3,
        ServedTier::Known(ServiceTier::Batch) => 4,
    }
}

/// The number that gRPC gives a status code.
pub fn code_number(code: Code) -> i64 {
    match code {
        Code::Ok => 0,
        Code::Cancelled => 1,
        Code::InvalidArgument => 3,
        Code::DeadlineExceeded => 4,
        Code::NotFound => 5,
        Code::PermissionDenied => 7,
        Code::ResourceExhausted => 8,
        Code::FailedPrecondition => 9,
        Code::Aborted => 10,
        Code::Unimplemented => 12,
        Code::Internal => 13,
        Code::Unavailable => 14,
        Code::Unauthenticated => 16,
    }
}

/// What is known of a call before its first attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStart {
    /// Its id, which holds the time at which it came.
    pub call_id: CallId,
    /// Id of the account that calls.
    pub caller: Arc<str>,
    /// Id of the team of the caller; empty if it has none.
    pub team: Arc<str>,
    /// Id of the organisation of the caller; empty if it has none.
    pub organisation: Arc<str>,
    /// Id of the API key; empty for other credentials.
    pub key_id: Arc<str>,
    /// The scenario; empty if a model was named.
    pub scenario: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Id of its trace.
    pub trace_id: [u8; 16],
    /// When it came, in microseconds since 1970.
    pub started_us: i64,
}

/// What can be tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetName {
    /// Id of the model in the configuration.
    pub model: Box<str>,
    /// Name of the provider in the configuration.
    pub provider: Box<str>,
    /// The model as it is named to the provider.
    pub provider_model: Box<str>,
}

/// An attempt that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its call.
    pub call: Arc<CallStart>,
    /// From 1, in the order of sending.
    pub number: u32,
    /// What is tried.
    pub target: TargetName,
    /// Why.
    pub kind: AttemptKind,
    /// When it begins, in microseconds since 1970.
    pub started_us: i64,
    /// Id of its span.
    pub span_id: [u8; 8],
    /// What is reserved for it.
    pub reserved: Reserved,
}

/// What is reserved for an attempt. If the service dies while it is under way, this is what it is charged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Money in nano-USD; `None` if its price is not known.
    pub nanos: Option<i64>,
    /// Tokens; `None` if they were not estimated.
    pub tokens: Option<i64>,
    /// The counters of its reservation, as the limits spell them.
    pub windows: Option<Box<str>>,
}

/// Counts of tokens; `None` where none was reported, which is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the prompt.
    pub input: Option<i64>,
    /// Of the answer.
    pub output: Option<i64>,
    /// Part of the input that a cache served.
    pub cache_read: Option<i64>,
    /// Part of the input that was written to a cache.
    pub cache_write: Option<i64>,
    /// Part of that which is kept for an hour or more.
    pub cache_write_1h: Option<i64>,
    /// Part of the output.
    pub reasoning: Option<i64>,
}

impl From<&Usage> for Tokens {
    fn from(usage: &Usage) -> Self {
        let count = |count: Option<u64>| count.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        Self {
            input: count(usage.input_tokens),
            output: count(usage.output_tokens),
            cache_read: count(usage.cache_read_input_tokens),
            cache_write: count(usage.cache_write_input_tokens),
            cache_write_1h: count(usage.cache_write_long_input_tokens),
            reasoning: count(usage.reasoning_output_tokens),
        }
    }
}

impl Tokens {
    /// Whether anything was reported.
    pub fn are_known(&self) -> bool {
        *self != Self::default()
    }

    /// Input and output together, as limits count them.
    pub fn total(&self) -> i64 {
        let (input, output) = (self.input.unwrap_or(0), self.output.unwrap_or(0));
        input.saturating_add(output)
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptSettlement {
    /// Its call.
    pub call_id: CallId,
    /// Its number.
    pub number: u32,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Whether its caller got nothing for what it cost.
    pub is_wasted: bool,
    /// The reason of its failure; empty if it did not fail.
    pub reason: &'static str,
    /// What the provider charges for.
    pub billing: Option<Billing>,
    /// Until its end, in microseconds.
    pub latency_us: i64,
    /// Until its first content, in microseconds.
    pub first_content_us: Option<i64>,
    /// Tokens.
    pub tokens: Tokens,
    /// Who counted them; `None` if they were not counted.
    pub usage_source: Option<UsageSource>,
    /// How often the provider ran tools of its own.
    pub tools: ProviderToolUsage,
    /// The tier that the provider says it served.
    pub tier: Option<ServedTier>,
    /// What it costs.
    pub cost: Option<Cost>,
    /// Whether prices alone tell the whole of that.
    pub is_priceable: bool,
    /// What the provider says it costs.
    pub provider_cost: Option<Cost>,
    /// The provider's id of the request.
    pub provider_request_id: Option<String>,
    /// The model that the provider says answered.
    pub response_model: Option<String>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSettlement {
    /// Its id.
    pub call_id: CallId,
    /// Its status code.
    pub code: Code,
    /// The reason of its failure; empty if it did not fail.
    pub reason: &'static str,
    /// How many attempts were sent.
    pub attempts: u32,
    /// Whether it was answered after an attempt had failed.
    pub rescued: bool,
    /// What answered it.
    pub target: Option<TargetName>,
    /// Until its end, in microseconds.
    pub latency_us: i64,
    /// Until its first content, in microseconds.
    pub first_content_us: Option<i64>,
    /// What the gateway itself took, in microseconds.
    pub overhead_us: i64,
    /// Sums over its attempts.
    pub tokens: Tokens,
    /// The sum over its attempts; `None` if there is none.
    pub cost: Option<Cost>,
    /// Part of the cost of attempts that gave no whole answer, in nano-USD.
    pub waste_nanos: i64,
    /// Part of the cost that is an estimate, in nano-USD.
    pub estimated_nanos: i64,
    /// The targets that were passed over, in order.
    pub skips: Vec<SkipRow>,
}

/// A target that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkipRow {
    /// Which.
    pub target: TargetName,
    /// Why, as callers see it.
    pub reason: &'static str,
    /// Why, in a sentence.
    pub detail: String,
}
