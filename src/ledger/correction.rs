//! How does an attempt get a cost that was not known when it ended? Its row gets a later version, and everything that was
//! summed up from it follows in the same transaction.
//!
//! The writer does it, some attempts at a time, between its other rows. What an attempt cost before is kept, so that exports
//! can tell of the change. A piece that was written has no effect when it comes again: the cost is known by then.

use std::cell::RefCell;
use std::sync::mpsc;

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use crate::money::Cost;

use super::call_id::CallId;
use super::names::InternedNames;
use super::rows::{ESTIMATED_COST, RecordState, UNKNOWN_COST, cost_source_number};
use super::sums::{self, AddedCost};

/// What a waiting attempt takes, roughly, in bytes.
const ATTEMPT_BYTES: usize = 96;

/// An attempt whose cost is known by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorrectedAttempt {
    /// Its call.
    pub call_id: CallId,
    /// Its number.
    pub number: i64,
    /// The version of its row that the cost was worked out from.
    pub version: i64,
    /// What it costs.
    pub cost: Cost,
}

/// What was added to the cost of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorrectedCost {
    /// Its call.
    pub call_id: CallId,
    /// Its number.
    pub number: i64,
    /// In nano-USD.
    pub added_nanos: i64,
}

/// Attempts of one day that are corrected together, and who waits for that.
#[derive(Debug)]
pub(super) struct CorrectionPiece {
    attempts: Vec<CorrectedAttempt>,
    at_us: i64,
    /// What the transaction under way has added.
    added: RefCell<Vec<CorrectedCost>>,
    waits: mpsc::Sender<Vec<CorrectedCost>>,
}

impl CorrectionPiece {
    /// These attempts, corrected at this moment in microseconds since 1970. What is returned tells what was added once it is
    /// committed, or ends if it is not.
    pub(super) fn new(
        attempts: Vec<CorrectedAttempt>,
        at_us: i64,
    ) -> (Self, mpsc::Receiver<Vec<CorrectedCost>>) {
        let (waits, committed) = mpsc::channel();
        let piece = Self {
            attempts,
            at_us,
            added: RefCell::default(),
            waits,
        };
        (piece, committed)
    }

    /// One of its calls. All are of the same day.
    pub(super) fn call_id(&self) -> CallId {
        let first = self.attempts.first();
        first.map_or(CallId::from_bytes([0; 16]), |attempt| attempt.call_id)
    }

    /// The memory that it takes, roughly, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.attempts.len() * ATTEMPT_BYTES
    }

    /// The transaction that wrote it is committed.
    pub(super) fn committed(self) {
        // Who asked may have gone.
        let _ = self.waits.send(self.added.into_inner());
    }

    /// Writes it.
    pub(super) fn write(&self, file: &Connection, names: &mut InternedNames) -> Result<()> {
        let mut added = Vec::with_capacity(self.attempts.len());
        let mut calls: Vec<CallId> = Vec::new();
        for attempt in &self.attempts {
            if let Some(nanos) = correct_attempt(file, names, attempt, self.at_us)? {
                added.push(CorrectedCost {
                    call_id: attempt.call_id,
                    number: attempt.number,
                    added_nanos: nanos,
                });
                calls.push(attempt.call_id);
            }
        }
        calls.sort_unstable();
        calls.dedup();
        for call_id in calls {
            correct_call(file, call_id)?;
        }
        // The same piece may be tried again after a failure.
        self.added.replace(added);
        Ok(())
    }
}

/// Gives an attempt its cost. Returns what that adds, or `None` if its row is not the one that was read.
fn correct_attempt(
    file: &Connection,
    names: &mut InternedNames,
    attempt: &CorrectedAttempt,
    at_us: i64,
) -> Result<Option<i64>> {
    let CorrectedAttempt {
        call_id,
        number,
        version,
        cost,
    } = attempt;
    let keep = "
        INSERT INTO corrections
        SELECT a.call_id, a.number, a.version + 1, ?4, a.price_id, a.cost_nanos, a.cost_source
        FROM attempts a JOIN calls c USING (call_id)
        WHERE a.call_id = ?1 AND a.number = ?2 AND a.version = ?3 AND a.cost_source = ?5 AND a.state = ?6
            AND c.state <> ?7
        RETURNING cost_nanos";
    let before: Option<i64> = file
        .prepare_cached(keep)?
        .query_row(
            params![
                call_id.bytes(),
                number,
                version,
                at_us,
                UNKNOWN_COST,
                RecordState::Settled.number(),
                RecordState::Open.number(),
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(before) = before else {
        return Ok(None);
    };
    let update = "
        UPDATE attempts SET version = version + 1, price_id = ?3, cost_nanos = ?4, cost_source = ?5
        WHERE call_id = ?1 AND number = ?2";
    file.prepare_cached(update)?.execute(params![
        call_id.bytes(),
        number,
        match cost.version() {
            Some(version) => names.text(file, &version.to_string())?,
            None => 0,
        },
        cost.nanos(),
        cost_source_number(cost.source()),
    ])?;
    let added = cost.nanos().saturating_sub(before);
    sums::add_cost_of_attempt(file, *call_id, *number, added)?;
    Ok(Some(added))
}

/// An attempt as far as the cost of its call depends on it.
struct AttemptCost {
    nanos: i64,
    source: i64,
    is_waste: bool,
    is_nothing: bool,
}

/// Sums a settled call up anew from its attempts.
fn correct_call(file: &Connection, call_id: CallId) -> Result<()> {
    let select = "
        SELECT a.cost_nanos, a.cost_source, a.price_id, a.outcome, a.first_content_us IS NOT NULL, c.code
        FROM attempts a JOIN calls c USING (call_id)
        WHERE a.call_id = ?1 AND a.cost_source IS NOT NULL";
    let attempts: Vec<AttemptCost> = file
        .prepare_cached(select)?
        .query_map([call_id.bytes()], |row| {
            let (nanos, source): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (outcome, has_content): (i64, bool) = (row.get(3)?, row.get(4)?);
            // What had arrived when the caller left is of use to it, unless another attempt gave the answer.
            let is_cut_short = outcome == 4 && has_content && row.get::<_, i64>(5)? != 0;
            Ok(AttemptCost {
                nanos,
                source,
                is_waste: outcome != 1 && !is_cut_short,
                is_nothing: nanos == 0 && source == 1 && row.get::<_, i64>(2)? == 0,
            })
        })?
        .collect::<Result<_>>()?;
    let sum = |which: fn(&AttemptCost) -> bool| {
        let chosen = attempts.iter().filter(|attempt| which(attempt));
        chosen.fold(0_i64, |sum, attempt| sum.saturating_add(attempt.nanos))
    };
    // As `Cost::plus` does.
    let mut sources = attempts
        .iter()
        .filter(|attempt| !attempt.is_nothing)
        .map(|attempt| attempt.source);
    let first = sources.next().unwrap_or(1);
    let source = sources.fold(first, |one, other| match (one, other) {
        (UNKNOWN_COST, _) | (_, UNKNOWN_COST) => UNKNOWN_COST,
        (one, other) if one == other => one,
        _ => 5,
    });
    let (nanos, waste) = (sum(|_| true), sum(|attempt| attempt.is_waste));
    let estimated = sum(|attempt| attempt.source == ESTIMATED_COST);
    let before = "SELECT cost_nanos, waste_nanos, estimated_nanos, cost_source FROM calls WHERE call_id = ?1";
    let added = file
        .prepare_cached(before)?
        .query_row([call_id.bytes()], |row| {
            let was_unknown = row.get::<_, Option<i64>>(3)? == Some(UNKNOWN_COST);
            Ok(AddedCost {
                nanos: nanos - row.get::<_, i64>(0)?,
                waste_nanos: waste - row.get::<_, i64>(1)?,
                estimated_nanos: estimated - row.get::<_, i64>(2)?,
                unknown_calls: i64::from(source == UNKNOWN_COST) - i64::from(was_unknown),
            })
        })?;
    let update = "
        UPDATE calls SET version = version + 1, cost_nanos = ?2, waste_nanos = ?3, estimated_nanos = ?4, cost_source = ?5
        WHERE call_id = ?1";
    let values = params![call_id.bytes(), nanos, waste, estimated, source];
    file.prepare_cached(update)?.execute(values)?;
    sums::add_cost_of_call(file, call_id, added)
}
