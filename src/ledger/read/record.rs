//! What does the ledger say of one call, of its attempts, and of the targets that it passed over?

use std::sync::Arc;

use rusqlite::{Connection, Row};

use crate::chat::{ProviderToolUsage, ServedTier, ServiceTier};
use crate::error::Billing;
use crate::ledger::call_id::CallId;
use crate::ledger::rows::{
    AttemptOutcome, RecordState, TargetName, Tokens, UsageSource, billing_number, kind_number,
    tier_number,
};
use crate::trail::AttemptKind;

use super::super::tools;
use super::texts::{KnownTexts, LabelTexts};

/// An amount of money, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// In nano-USD: what is known of it.
    pub nanos: i64,
    /// [`cost_source_number`](crate::ledger::rows::cost_source_number).
    pub source: i64,
}

/// A call in the ledger.
#[derive(Clone, Debug)]
pub struct RecordedCall {
    /// Its id.
    pub call_id: CallId,
    /// How far its record has come.
    pub state: RecordState,
    /// The account that called.
    pub caller: Arc<str>,
    /// Its team; empty if it has none.
    pub team: Arc<str>,
    /// Its organisation; empty if it has none.
    pub organisation: Arc<str>,
    /// Id of the API key; empty for other credentials.
    pub key_id: Arc<str>,
    /// The scenario; empty if a model was named.
    pub scenario: Arc<str>,
    /// Its labels.
    pub labels: Arc<LabelTexts>,
    /// Id of its trace.
    pub trace_id: [u8; 16],
    /// When it came, in microseconds since 1970.
    pub started_us: i64,
    /// Number of its gRPC status code; `None` while it is open.
    pub code: Option<i64>,
    /// The reason of its failure; empty if it did not fail.
    pub reason: Arc<str>,
    /// How many attempts were sent.
    pub attempts: i64,
    /// Whether it was answered after an attempt had failed.
    pub rescued: bool,
    /// What answered it; all names are empty if nothing did.
    pub target: Arc<TargetName>,
    /// Until its end, in microseconds.
    pub latency_us: Option<i64>,
    /// Until its first content, in microseconds.
    pub first_content_us: Option<i64>,
    /// Sums over its attempts.
    pub tokens: Tokens,
    /// The sum over its attempts; `None` while it is open, and if nothing was charged.
    pub cost: Option<Amount>,
    /// Part of it for attempts that did not give the answer, in nano-USD.
    pub waste_nanos: i64,
    /// Part of it that is an estimate, in nano-USD.
    pub estimated_nanos: i64,
}

/// An attempt in the ledger.
#[derive(Clone, Debug)]
pub struct RecordedAttempt {
    /// From 1, in the order of sending.
    pub number: i64,
    /// How far its record has come.
    pub state: RecordState,
    /// What was tried.
    pub target: Arc<TargetName>,
    /// Why; `None` if a later version of this program knows.
    pub kind: Option<AttemptKind>,
    /// When it began, in microseconds since 1970.
    pub started_us: i64,
    /// How it ended; `None` while it is open.
    pub outcome: Option<AttemptOutcome>,
    /// Whether its caller got nothing for what it cost.
    pub is_wasted: bool,
    /// The reason of its failure; empty if it did not fail.
    pub reason: Arc<str>,
    /// What the provider charges for; `None` while it is open.
    pub billing: Option<Billing>,
    /// Until its end, in microseconds.
    pub latency_us: Option<i64>,
    /// Until its first content, in microseconds.
    pub first_content_us: Option<i64>,
    /// Tokens.
    pub tokens: Tokens,
    /// Who counted them.
    pub usage_source: Option<UsageSource>,
    /// How often the provider ran tools of its own: a JSON object.
    pub tool_uses: Option<String>,
    /// The tier that the provider says it served.
    pub tier: Option<ServedTier>,
    /// Version of the prices; empty if none was needed.
    pub price_version: Arc<str>,
    /// What was reserved for it, in nano-USD.
    pub reserved_nanos: Option<i64>,
    /// What it costs; `None` while it is open, and if nothing was charged.
    pub cost: Option<Amount>,
    /// What the provider says it costs, in nano-USD.
    pub provider_cost_nanos: Option<i64>,
    /// The provider's id of the request.
    pub provider_request_id: Option<String>,
    /// The model that the provider says answered.
    pub response_model: Option<String>,
    /// Id of its span.
    pub span_id: [u8; 8],
}

/// What an attempt cost before a price became known.
#[derive(Clone, Debug)]
pub struct RecordedCorrection {
    /// The attempt.
    pub number: i64,
    /// The version of its row since then.
    pub version: i64,
    /// When that was, in microseconds since 1970.
    pub corrected_us: i64,
    /// Version of the prices of before; empty if none was needed.
    pub price_version: Arc<str>,
    /// What it cost before.
    pub cost: Amount,
}

/// A target that was passed over.
#[derive(Clone, Debug)]
pub struct RecordedSkip {
    /// Which.
    pub target: Arc<TargetName>,
    /// Why, as callers see it.
    pub reason: Arc<str>,
    /// Why, in a sentence.
    pub detail: String,
}

/// The columns that [`RecordedCall::read`] reads.
pub(super) const CALL_COLUMNS: &str = "call_id, state, caller, team, organisation, key_id, scenario, label_set, trace_id, \
     started_us, code, reason, attempts, rescued, target, latency_us, first_content_us, input, output, cache_read, \
     cache_write, cache_write_1h, reasoning, cost_nanos, waste_nanos, estimated_nanos, cost_source";

/// The columns that [`RecordedAttempt::read`] reads.
pub(in crate::ledger) const ATTEMPT_COLUMNS: &str = "number, state, target, kind, started_us, outcome, reason, \
     billing_class, latency_us, first_content_us, input, output, cache_read, cache_write, cache_write_1h, reasoning, \
     tool_uses, usage_source, service_tier, price_id, reserved_nanos, cost_nanos, cost_source, provider_cost_nanos, \
     provider_request_id, response_model, span_id, wasted";

/// The columns that [`RecordedCorrection::read`] reads.
pub(super) const CORRECTION_COLUMNS: &str =
    "number, version, corrected_us, price_id, cost_nanos, cost_source";

impl RecordedCorrection {
    /// The correction of a row with the [`CORRECTION_COLUMNS`].
    pub(super) fn read(
        row: &Row<'_>,
        texts: &mut KnownTexts,
        file: &Connection,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get("number")?,
            version: row.get("version")?,
            corrected_us: row.get("corrected_us")?,
            price_version: texts.text(file, row.get("price_id")?)?,
            cost: Amount {
                nanos: row.get("cost_nanos")?,
                source: row.get("cost_source")?,
            },
        })
    }
}

impl RecordedCall {
    /// The call of a row with the [`CALL_COLUMNS`].
    pub(super) fn read(
        row: &Row<'_>,
        texts: &mut KnownTexts,
        file: &Connection,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            call_id: CallId::from_bytes(row.get("call_id")?),
            state: state(row.get("state")?),
            caller: texts.text(file, row.get("caller")?)?,
            team: texts.text(file, row.get("team")?)?,
            organisation: texts.text(file, row.get("organisation")?)?,
            key_id: texts.text(file, row.get("key_id")?)?,
            scenario: texts.text(file, row.get("scenario")?)?,
            labels: texts.labels(file, row.get("label_set")?)?,
            trace_id: row.get("trace_id")?,
            started_us: row.get("started_us")?,
            code: row.get("code")?,
            reason: texts.text(file, row.get("reason")?)?,
            attempts: row.get("attempts")?,
            rescued: row.get("rescued")?,
            target: texts.target(file, row.get("target")?)?,
            latency_us: row.get("latency_us")?,
            first_content_us: row.get("first_content_us")?,
            tokens: tokens(row)?,
            cost: amount(row)?,
            waste_nanos: row.get("waste_nanos")?,
            estimated_nanos: row.get("estimated_nanos")?,
        })
    }
}

impl RecordedAttempt {
    /// The attempt of a row with the [`ATTEMPT_COLUMNS`].
    pub(in crate::ledger) fn read(
        row: &Row<'_>,
        texts: &mut KnownTexts,
        file: &Connection,
    ) -> rusqlite::Result<Self> {
        let kind: i64 = row.get("kind")?;
        let outcome: Option<i64> = row.get("outcome")?;
        let billing: Option<i64> = row.get("billing_class")?;
        let source: Option<i64> = row.get("usage_source")?;
        let tier: Option<i64> = row.get("service_tier")?;
        Ok(Self {
            number: row.get("number")?,
            state: state(row.get("state")?),
            target: texts.target(file, row.get("target")?)?,
            kind: AttemptKind::ALL
                .into_iter()
                .find(|known| kind_number(*known) == kind),
            started_us: row.get("started_us")?,
            outcome: OUTCOMES
                .into_iter()
                .find(|known| Some(known.number()) == outcome),
            is_wasted: row.get("wasted")?,
            reason: texts.text(file, row.get("reason")?)?,
            billing: BILLINGS
                .into_iter()
                .find(|known| Some(billing_number(*known)) == billing),
            latency_us: row.get("latency_us")?,
            first_content_us: row.get("first_content_us")?,
            tokens: tokens(row)?,
            usage_source: SOURCES
                .into_iter()
                .find(|known| Some(known.number()) == source),
            tool_uses: row.get("tool_uses")?,
            tier: TIERS
                .into_iter()
                .find(|known| Some(tier_number(*known)) == tier),
            price_version: texts.text(file, row.get("price_id")?)?,
            reserved_nanos: row.get("reserved_nanos")?,
            cost: amount(row)?,
            provider_cost_nanos: row.get("provider_cost_nanos")?,
            provider_request_id: row.get("provider_request_id")?,
            response_model: row.get("response_model")?,
            span_id: row.get("span_id")?,
        })
    }
}

impl RecordedAttempt {
    /// How often the provider ran each of its tools.
    pub fn tool_uses(&self) -> ProviderToolUsage {
        tools::read(self.tool_uses.as_deref())
    }
}

impl RecordedSkip {
    /// The skip of a row with its columns `target`, `reason` and `detail`.
    pub(super) fn read(
        row: &Row<'_>,
        texts: &mut KnownTexts,
        file: &Connection,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            target: texts.target(file, row.get("target")?)?,
            reason: texts.text(file, row.get("reason")?)?,
            detail: row.get("detail")?,
        })
    }
}

const OUTCOMES: [AttemptOutcome; 4] = [
    AttemptOutcome::Succeeded,
    AttemptOutcome::Failed,
    AttemptOutcome::Cancelled,
    AttemptOutcome::Lost,
];

const BILLINGS: [Billing; 4] = [
    Billing::Actual,
    Billing::Partial,
    Billing::Zero,
    Billing::Uncertain,
];

const SOURCES: [UsageSource; 2] = [UsageSource::Provider, UsageSource::Estimated];

const TIERS: [ServedTier; 5] = [
    ServedTier::Other,
    ServedTier::Known(ServiceTier::Standard),
    ServedTier::Known(ServiceTier::Priority),
    ServedTier::Known(ServiceTier::Flex),
    ServedTier::Known(ServiceTier::Batch),
];

/// A state that this program does not know is none of those that may still change.
fn state(number: i64) -> RecordState {
    [RecordState::Open, RecordState::Recovered]
        .into_iter()
        .find(|known| known.number() == number)
        .unwrap_or(RecordState::Settled)
}

fn tokens(row: &Row<'_>) -> rusqlite::Result<Tokens> {
    Ok(Tokens {
        input: row.get("input")?,
        output: row.get("output")?,
        cache_read: row.get("cache_read")?,
        cache_write: row.get("cache_write")?,
        cache_write_1h: row.get("cache_write_1h")?,
        reasoning: row.get("reasoning")?,
    })
}

fn amount(row: &Row<'_>) -> rusqlite::Result<Option<Amount>> {
    let source: Option<i64> = row.get("cost_source")?;
    let nanos = row.get("cost_nanos")?;
    Ok(source.map(|source| Amount { nanos, source }))
}
