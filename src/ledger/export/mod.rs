//! How is the ledger of a time written for other programs, so that its sum is that of the ledger?
//!
//! An export goes hour by hour, and within an hour some thousand calls at a time. Each piece is read when it is asked for.
//! Between two pieces the export holds neither a thread nor a read transaction, so that a reader that is slow, or stops,
//! holds up neither the writer nor other readers.

mod corrections;
pub mod csv;
pub mod decimal;
mod focus;
pub mod json_lines;
pub mod price_book;
mod rows;
mod split;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::chat::ServedTier;
use crate::hash::Sha256;
use crate::ledger::call_id::Day;
use crate::ledger::read::calls::CallDetails;
use crate::ledger::read::error::ReadError;
use crate::ledger::read::files::LedgerFiles;
use crate::ledger::read::filter::Sight;
use crate::ledger::read::record::{RecordedAttempt, RecordedCall};
use crate::ledger::rows::{ESTIMATED_COST, UNKNOWN_COST, UsageSource};

use self::decimal::PICO_OF_NANO;
use self::focus::{ChargeHour, LineKey, LineSums, OneAttempt, Payer};
use self::price_book::PriceBook;
use self::rows::HourCursor;

/// An hour, in seconds.
const HOUR: i64 = 3_600;

/// How long ago the last hour of an export must have ended, in seconds: by then its calls have ended, too.
const SETTLED_AFTER: i64 = HOUR;

/// A chunk is handed over when it has this many bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// In which format the ledger is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated values with the columns of FOCUS 1.2.
    FocusCsv,
    /// A JSON object for each call.
    JsonLines,
}

/// What is exported.
#[derive(Clone, Debug)]
pub struct ExportQuestion {
    /// From this moment on: a full hour, in microseconds since 1970.
    pub from: i64,
    /// Before this moment: a full hour, in microseconds since 1970.
    pub until: i64,
    /// In which format.
    pub format: ExportFormat,
    /// Id of an account: it and those below it; `None` for all that may be seen.
    pub account: Option<String>,
    /// Whether each attempt has lines of its own. In JSON, each call has.
    pub single_attempts: bool,
}

/// A piece of an export.
#[derive(Debug, PartialEq, Eq)]
pub enum ExportPiece {
    /// Whole lines.
    Chunk(Vec<u8>),
    /// The end.
    Summary(ExportSummary),
}

/// Sums of what was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSummary {
    /// Lines without the header.
    pub lines: u64,
    /// What they cost, in nano-USD.
    pub cost_nanos: i64,
    /// Whether part of the cost is not known.
    pub is_unknown: bool,
    /// Whether part of the cost is an estimate.
    pub is_estimated: bool,
    /// SHA-256 of all chunks.
    pub sha256: [u8; 32],
}

/// An export that is under way.
#[derive(Debug)]
pub struct Export {
    format: ExportFormat,
    is_single: bool,
    cursor: Option<HourCursor>,
    prices: PriceBook,
    groups: BTreeMap<LineKey, LineSums>,
    roundings: BTreeMap<(bool, Payer), i128>,
    out: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
    lines: u64,
    cost_nanos: i128,
    is_unknown: bool,
    is_estimated: bool,
    hash: Sha256,
}

impl Export {
    /// Begins an export of what may be seen. `now` is the present moment in microseconds since 1970.
    ///
    /// # Errors
    /// A field of the question is wrong.
    pub fn begin(
        files: &mut LedgerFiles,
        sight: &Sight,
        question: &ExportQuestion,
        now: i64,
    ) -> Result<Self, ReadError> {
        let ExportQuestion {
            from,
            until,
            format,
            account,
            single_attempts,
        } = question;
        check(*from, *until, now)?;
        let (from, until) = (from / 1_000_000, until / 1_000_000);
        still_kept(files, from)?;
        let seen = match sight {
            Sight::All => None,
            Sight::Account(account) => Some(Arc::clone(account)),
        };
        let accounts = seen.into_iter().chain(account.as_deref().map(Arc::from));
        let mut out = Vec::new();
        if *format == ExportFormat::FocusCsv {
            focus::header(&mut out);
        }
        Ok(Self {
            format: *format,
            is_single: *single_attempts,
            cursor: HourCursor::new(files, from, until, accounts.collect())?,
            prices: PriceBook::new(files.files()),
            groups: BTreeMap::new(),
            roundings: BTreeMap::new(),
            out,
            ready: VecDeque::new(),
            lines: 0,
            cost_nanos: 0,
            is_unknown: false,
            is_estimated: false,
            hash: Sha256::default(),
        })
    }

    /// The next piece, and the export, which is over (`None`) after the summary.
    ///
    /// # Errors
    /// Those of reading, and [`ReadError::NotYet`] if a call of this time has not ended.
    pub fn next(
        mut self,
        files: &mut LedgerFiles,
    ) -> Result<(ExportPiece, Option<Self>), ReadError> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                self.hash.update(&chunk);
                return Ok((ExportPiece::Chunk(chunk), Some(self)));
            }
            let Some(mut cursor) = self.cursor.take() else {
                if self.out.is_empty() {
                    return Ok((ExportPiece::Summary(self.summary()), None));
                }
                self.ready.push_back(std::mem::take(&mut self.out));
                continue;
            };
            let read = cursor.read(files)?;
            let hour = ChargeHour::beginning(read.hour);
            let hour = hour.ok_or_else(|| ReadError::invalid("start_time", OUT_OF_RANGE))?;
            for details in read.calls {
                self.take(&hour, &corrections::as_first_told(details));
            }
            for details in &read.corrected {
                self.correct(&hour, details, read.hour);
            }
            if read.is_hour_over {
                self.end_hour(&hour);
            }
            self.cursor = (!cursor.is_over()).then_some(cursor);
        }
    }

    /// Takes a call in.
    fn take(&mut self, hour: &ChargeHour, details: &CallDetails) {
        let call = &details.call;
        for attempt in &details.attempts {
            let Some(cost) = attempt.cost else {
                continue;
            };
            self.cost_nanos += i128::from(cost.nanos);
            self.is_unknown |= cost.source == UNKNOWN_COST;
            self.is_estimated |= cost.source == ESTIMATED_COST;
        }
        if self.format == ExportFormat::JsonLines {
            json_lines::write(&mut self.out, details);
            self.end_line();
            return;
        }
        for attempt in &details.attempts {
            self.charge(hour, call, attempt, Sign::Plus);
        }
    }

    /// Takes in what became known in this hour of a call: each attempt is taken back as it was exported and charged anew.
    fn correct(&mut self, hour: &ChargeHour, details: &CallDetails, begins: i64) {
        let changes = corrections::in_hour(details, begins);
        for change in &changes {
            self.cost_nanos += i128::from(change.added_nanos());
        }
        if self.format == ExportFormat::JsonLines {
            json_lines::write_correction(&mut self.out, details, &changes);
            self.end_line();
            return;
        }
        for change in &changes {
            self.charge(hour, &details.call, &change.before, Sign::Minus);
            self.charge(hour, &details.call, &change.after, Sign::Again);
        }
    }

    /// Takes an attempt in.
    fn charge(
        &mut self,
        hour: &ChargeHour,
        call: &RecordedCall,
        attempt: &RecordedAttempt,
        sign: Sign,
    ) {
        let Some(cost) = attempt.cost else {
            return;
        };
        let payer = Payer {
            organisation: Arc::clone(&call.organisation),
            team: Arc::clone(&call.team),
            caller: Arc::clone(&call.caller),
        };
        let labels: Arc<str> = serde_json::json!(*call.labels).to_string().into();
        let is_correction = sign != Sign::Plus;
        let factor: i128 = if sign == Sign::Minus { -1 } else { 1 };
        let prices = self
            .prices
            .prices(&attempt.price_version, &attempt.target.model);
        let parts = split::parts(attempt, prices);
        let split_up: i128 = parts.iter().map(|part| part.cost).sum();
        *self
            .roundings
            .entry((is_correction, payer.clone()))
            .or_default() += factor * (i128::from(cost.nanos) * PICO_OF_NANO - split_up);
        let one: Option<OneAttempt> = self
            .is_single
            .then(|| (call.call_id.to_string(), attempt.number));
        for part in parts {
            let key = LineKey {
                is_correction,
                payer: payer.clone(),
                scenario: Arc::clone(&call.scenario),
                provider: Arc::from(&*attempt.target.provider),
                model: Arc::from(&*attempt.target.model),
                tier: match attempt.tier {
                    None => "standard",
                    Some(ServedTier::Known(tier)) => tier.name(),
                    Some(ServedTier::Other) => "other",
                },
                price_version: Arc::clone(&attempt.price_version),
                labels: Arc::clone(&labels),
                is_waste: attempt.is_wasted,
                is_estimated: cost.source == ESTIMATED_COST
                    || attempt.usage_source == Some(UsageSource::Estimated),
                is_unknown: cost.source == UNKNOWN_COST,
                meter: part.meter,
                unit_price: part.unit_price,
            };
            let own = LineSums {
                quantity: factor * part.quantity,
                cost: factor * part.cost,
                attempts: if sign == Sign::Minus { -1 } else { 1 },
            };
            if one.is_some() {
                focus::charge(&mut self.out, hour, &key, &own, one.as_ref());
                self.end_line();
                continue;
            }
            let sums = self.groups.entry(key).or_default();
            sums.quantity += own.quantity;
            sums.cost += own.cost;
            sums.attempts += own.attempts;
        }
    }

    /// Writes what an hour sums up to.
    fn end_hour(&mut self, hour: &ChargeHour) {
        for (key, sums) in std::mem::take(&mut self.groups) {
            // What was taken back and charged again as it was.
            if key.is_correction && sums == LineSums::default() {
                continue;
            }
            focus::charge(&mut self.out, hour, &key, &sums, None);
            self.end_line();
        }
        for ((is_correction, payer), cost) in std::mem::take(&mut self.roundings) {
            if cost != 0 {
                focus::rounding(&mut self.out, hour, &payer, is_correction, cost);
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        self.lines += 1;
        if self.out.len() >= CHUNK_BYTES {
            self.ready.push_back(std::mem::take(&mut self.out));
        }
    }

    fn summary(&mut self) -> ExportSummary {
        ExportSummary {
            lines: self.lines,
            cost_nanos: i64::try_from(self.cost_nanos).unwrap_or(i64::MAX),
            is_unknown: self.is_unknown,
            is_estimated: self.is_estimated,
            sha256: std::mem::take(&mut self.hash).finish(),
        }
    }
}

/// How an attempt enters an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// It is exported for the first time.
    Plus,
    /// It is taken back as it was exported.
    Minus,
    /// It is exported again as it is.
    Again,
}

const OUT_OF_RANGE: &str =
    "it is outside of the calendar; take a time between the years 1970 and 9998";

fn check(from: i64, until: i64, now: i64) -> Result<(), ReadError> {
    for (field, moment) in [("start_time", from), ("end_time", until)] {
        if moment % (HOUR * 1_000_000) != 0 {
            return Err(ReadError::invalid(
                field,
                "an export is made of full hours; take one such as 2026-11-28T10:00:00Z",
            ));
        }
        if moment < 0 {
            return Err(ReadError::invalid(field, OUT_OF_RANGE));
        }
    }
    if from >= until {
        return Err(ReadError::invalid(
            "end_time",
            "it is not after start_time; an export has at least one hour",
        ));
    }
    if until > now - SETTLED_AFTER * 1_000_000 {
        return Err(ReadError::invalid(
            "end_time",
            "it is less than an hour ago, so calls of that time may still be open; an export of it could not be made again \
             with the same bytes. Take an earlier one",
        ));
    }
    Ok(())
}

/// Refuses a time whose rows are no longer kept: an export without them would look complete.
fn still_kept(files: &mut LedgerFiles, from: i64) -> Result<(), ReadError> {
    let Some(last) = rows::last_dropped(files)? else {
        return Ok(());
    };
    let kept_from = Day(last.0 + 1);
    if let Some(corrected_us) = rows::last_dropped_correction(files)?
        && from * 1_000_000 <= corrected_us
    {
        let hour = Timestamp::from_second(corrected_us / 1_000_000 / HOUR * HOUR + HOUR);
        let hour = hour.map(|hour| hour.to_string()).unwrap_or_default();
        return Err(ReadError::invalid(
            "start_time",
            format!(
                "the rows of a day whose costs were corrected in this time are no longer kept (`ledger.keep`); take a \
                 start_time from {hour} on"
            ),
        ));
    }
    match from * 1_000_000 < kept_from.begin_us() {
        false => Ok(()),
        true => Err(ReadError::invalid(
            "start_time",
            format!(
                "the rows of days before {kept_from} are no longer kept (`ledger.keep`), only their sums, which QueryUsage \
                 shows; take a start_time from {kept_from}T00:00:00Z on"
            ),
        )),
    }
}
