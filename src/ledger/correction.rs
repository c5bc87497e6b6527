//! How does an attempt get a cost that was not known when it ended? Its row gets a later version, and everything that was
//! summed up from it follows in the same transaction.
//!
//! The writer does it, some attempts at a time, between its other rows. What an attempt cost before is kept, so that exports
//! can tell of the change. A piece that was written has no effect when it comes again: the cost is known by then.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc;

use rusqlite::{Connection, Result, params};

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
        // The caller may no longer wait for the result.
        let _ = self.waits.send(self.added.into_inner());
    }

    /// Writes it.
    pub(super) fn write(&self, file: &Connection, names: &mut InternedNames) -> Result<()> {
        let mut added = Vec::with_capacity(self.attempts.len());
        let mut calls: BTreeMap<CallId, AddedCost> = BTreeMap::new();
        for attempt in &self.attempts {
            if let Some(by_attempt) = correct_attempt(file, names, attempt, self.at_us)? {
                added.push(CorrectedCost {
                    call_id: attempt.call_id,
                    number: attempt.number,
                    added_nanos: by_attempt.nanos,
                });
                let of_call = calls.entry(attempt.call_id).or_default();
                of_call.nanos += by_attempt.nanos;
                of_call.waste_nanos += by_attempt.waste_nanos;
                of_call.estimated_nanos += by_attempt.estimated_nanos;
            }
        }
        for (call_id, added) in calls {
            correct_call(file, call_id, added)?;
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
) -> Result<Option<AddedCost>> {
    let CorrectedAttempt {
        call_id,
        number,
        version,
        cost,
    } = attempt;
    let keep = "
        INSERT INTO corrections
        SELECT a.call_id, a.number, a.version + 1, ?4, a.price_id, a.cost_nanos, a.cost_source
        FROM settled_attempts a JOIN settled_calls c USING (call_id)
        WHERE a.call_id = ?1 AND a.number = ?2 AND a.version = ?3 AND a.cost_source = ?5 AND a.state = ?6";
    let is_kept = file.prepare_cached(keep)?.execute(params![
        call_id.bytes(),
        number,
        version,
        at_us,
        UNKNOWN_COST,
        RecordState::Settled.number(),
    ])?;
    if is_kept == 0 {
        return Ok(None);
    }
    let before =
        "SELECT cost_nanos, wasted FROM settled_attempts WHERE call_id = ?1 AND number = ?2";
    let (before, is_wasted): (i64, bool) = file
        .prepare_cached(before)?
        .query_row(params![call_id.bytes(), number], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    // It counts under another key, since its cost is known.
    let number_of_sums = u32::try_from(*number).unwrap_or(u32::MAX);
    sums::remove_attempt(file, *call_id, number_of_sums)?;
    let update = "
        UPDATE settled_attempts SET version = version + 1, price_id = ?3, cost_nanos = ?4, cost_source = ?5
        WHERE call_id = ?1 AND number = ?2";
    let source = cost_source_number(cost.source());
    file.prepare_cached(update)?.execute(params![
        call_id.bytes(),
        number,
        match cost.version() {
            Some(version) => names.text(file, &version.to_string())?,
            None => 0,
        },
        cost.nanos(),
        source,
    ])?;
    let nanos = cost.nanos().saturating_sub(before);
    sums::add_attempt(file, *call_id, number_of_sums)?;
    Ok(Some(AddedCost {
        nanos,
        waste_nanos: if is_wasted { nanos } else { 0 },
        estimated_nanos: if source == ESTIMATED_COST {
            cost.nanos()
        } else {
            0
        },
        unknown_calls: 0,
    }))
}

/// Adds to the cost of a settled call, which is known if that of all its attempts is.
fn correct_call(file: &Connection, call_id: CallId, added: AddedCost) -> Result<()> {
    let select = "
        SELECT cost_nanos, cost_source, price_id FROM settled_attempts WHERE call_id = ?1 AND cost_source IS NOT NULL";
    // What costs nothing says nothing about the others, as in `Cost::plus`.
    let sources: Vec<i64> = file
        .prepare_cached(select)?
        .query_map([call_id.bytes()], |row| {
            let of: (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Some(of.1).filter(|_| of != (0, BY_PRICES, 0)))
        })?
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    let sum = sources.into_iter().reduce(|one, other| match (one, other) {
        (UNKNOWN_COST, _) | (_, UNKNOWN_COST) => UNKNOWN_COST,
        (one, other) if one == other => one,
        _ => MIXED,
    });
    let source = sum.unwrap_or(BY_PRICES);
    let update = "
        UPDATE settled_calls SET version = version + 1, cost_nanos = cost_nanos + ?2, waste_nanos = waste_nanos + ?3,
            estimated_nanos = estimated_nanos + ?4, cost_source = ?5
        WHERE call_id = ?1";
    file.prepare_cached(update)?.execute(params![
        call_id.bytes(),
        added.nanos,
        added.waste_nanos,
        added.estimated_nanos,
        source,
    ])?;
    let unknown_calls = match source {
        UNKNOWN_COST => 0,
        _ => -1,
    };
    let added = AddedCost {
        unknown_calls,
        ..added
    };
    sums::add_cost_of_call(file, call_id, added)
}

/// [`cost_source_number`] of an amount by prices, and of one from several sources.
const BY_PRICES: i64 = 1;
const MIXED: i64 = 5;
