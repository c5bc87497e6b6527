//! What is in the file of an attempt that is under way, and of its call? The row that was written before it was sent, in the
//! numbers of the file.

use rusqlite::{OptionalExtension as _, Result, Row, Statement, params};

use super::call_id::CallId;

/// What was written of an attempt before it was sent.
pub(super) struct OpenAttempt {
    pub(super) target: i64,
    pub(super) kind: i64,
    pub(super) started_us: i64,
    pub(super) span_id: [u8; 8],
    pub(super) reserved_nanos: Option<i64>,
    pub(super) reserved_tokens: Option<i64>,
    pub(super) windows: i64,
    pub(super) call: OpenCall,
    pub(super) is_call_settled: bool,
}

/// What was written of its call.
#[derive(Clone, Copy)]
pub(super) struct OpenCall {
    pub(super) caller: i64,
    pub(super) team: i64,
    pub(super) organisation: i64,
    pub(super) key_id: i64,
    pub(super) scenario: i64,
    pub(super) label_set: i64,
    pub(super) trace_id: [u8; 16],
    pub(super) started_us: i64,
}

impl OpenAttempt {
    /// Its parameters are the call and the number.
    pub(super) const SELECT: &str = "\
        SELECT caller, team, organisation, key_id, scenario, label_set, trace_id, call_started_us, \
        target, kind, started_us, span_id, reserved_nanos, reserved_tokens, windows, \
        EXISTS (SELECT 1 FROM settled_calls WHERE call_id = ?1) \
        FROM open_attempts WHERE call_id = ?1 AND number = ?2";

    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            call: OpenCall::read(row)?,
            target: row.get(8)?,
            kind: row.get(9)?,
            started_us: row.get(10)?,
            span_id: row.get(11)?,
            reserved_nanos: row.get(12)?,
            reserved_tokens: row.get(13)?,
            windows: row.get(14)?,
            is_call_settled: row.get(15)?,
        })
    }

    /// `None` if there is none: it was settled, or never written.
    pub(super) fn find(
        select: &mut Statement<'_>,
        call_id: CallId,
        number: u32,
    ) -> Result<Option<Self>> {
        let row = select.query_row(params![call_id.bytes(), number], Self::read);
        row.optional()
    }
}

impl OpenCall {
    /// Its parameter is the call.
    pub(super) const SELECT: &str = "\
        SELECT caller, team, organisation, key_id, scenario, label_set, trace_id, call_started_us \
        FROM open_attempts WHERE call_id = ?1 LIMIT 1";

    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            caller: row.get(0)?,
            team: row.get(1)?,
            organisation: row.get(2)?,
            key_id: row.get(3)?,
            scenario: row.get(4)?,
            label_set: row.get(5)?,
            trace_id: row.get(6)?,
            started_us: row.get(7)?,
        })
    }

    /// `None` if there is none: it was settled, or nothing of it was sent.
    pub(super) fn find(select: &mut Statement<'_>, call_id: CallId) -> Result<Option<Self>> {
        let row = select.query_row([call_id.bytes()], Self::read);
        row.optional()
    }
}
