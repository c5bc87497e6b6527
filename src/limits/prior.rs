//! What was used before a limit began? The sums of the ledger at one moment, and which calls and attempts they include.

use crate::error::LimitUnit;
use crate::ledger::call_id::CallId;
use crate::ledger::{LedgerMoment, RowStanding, UsedRow};

use super::limit::Limit;
use super::preparation::Preparation;
use super::set::LimitSet;
use super::turns::ChangeTurn;
use super::windows::LimitWindow;

/// What was used before.
#[derive(Debug, Default)]
pub struct PriorUse {
    rows: Vec<UsedRow>,
    /// Where the rows were read, as it was then.
    moment: Option<LedgerMoment>,
    /// Keeps what ends in the meantime, and lets no cost become known.
    #[expect(dead_code, reason = "it is held for what its drop does")]
    preparation: Option<(Preparation, ChangeTurn)>,
    /// The numbers of the counters that begin with this.
    counters: Vec<u64>,
}

/// Which row of the ledger an attempt has; of a call, that of its first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrittenAs {
    pub(super) call_id: CallId,
    pub(super) number: u32,
}

impl PriorUse {
    /// These rows, which were read at this moment.
    pub fn of(rows: Vec<UsedRow>, moment: Option<LedgerMoment>) -> Self {
        Self {
            rows,
            moment,
            preparation: None,
            counters: Vec::new(),
        }
    }

    /// The same, read after this preparation and this turn had begun.
    pub(super) fn prepared(self, preparation: Preparation, turn: ChangeTurn) -> Self {
        Self {
            preparation: Some((preparation, turn)),
            ..self
        }
    }

    /// Takes the rows, with which the new counters of this set begin.
    pub(super) fn take_rows(&mut self, set: &LimitSet) -> Vec<UsedRow> {
        let entries = set.entries().iter();
        let new = entries.filter(|entry| entry.counters.is_new());
        self.counters = new.map(|entry| entry.counters.number()).collect();
        std::mem::take(&mut self.rows)
    }

    /// Whether the counters with this number begin with these rows.
    pub(super) fn begins(&self, counters: u64) -> bool {
        self.counters.contains(&counters)
    }

    /// Whether the rows include what this limit counts of a call or an attempt.
    pub(super) fn includes(&self, row: WrittenAs, limit: &Limit, has_ended: bool) -> bool {
        let WrittenAs { call_id, number } = row;
        let standing = self.moment.as_ref();
        match standing.map(|moment| moment.standing(call_id, number)) {
            Some(Ok(RowStanding::Absent)) => false,
            // The rows of the last minutes are single attempts. Open ones are among them, without what they use.
            Some(Ok(RowStanding::Open)) => {
                limit.window == Some(LimitWindow::Minute) && limit.unit == LimitUnit::Requests
            }
            Some(Ok(RowStanding::Settled)) => true,
            // Of what has ended the ledger knows or is about to.
            Some(Err(_)) | None => has_ended,
        }
    }
}
