//! Which attempts of a time have a cost that is not known? Those of settled calls, some calls at a time.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::{Row, params};

use crate::chat::Usage;
use crate::identity::AccountPath;

use super::Ledger;
use super::call_id::{CallId, Day};
use super::files::LedgerFile;
use super::read::record::{ATTEMPT_COLUMNS, RecordedAttempt};
use super::read::texts::KnownTexts;
use super::rows::{RecordState, UNKNOWN_COST, UsageSource};
use super::schema::SchemaError;
use super::used::{Unpriced, UsedRow, labels_of};

/// The most calls that are read, and then corrected, at a time: so few that the writer's other rows hardly wait for it.
const CALLS_AT_ONCE: i64 = 100;

/// Which attempts are looked for.
#[derive(Clone, Debug)]
pub struct UnpricedTime {
    /// From this moment on, in microseconds since 1970.
    pub from_us: i64,
    /// Before this moment.
    pub until_us: i64,
    /// Id of the model; `None` for all.
    pub model: Option<String>,
}

/// A settled attempt whose cost is not known.
#[derive(Clone, Debug)]
pub struct UnpricedAttempt {
    /// Its call.
    pub call_id: CallId,
    /// Its number.
    pub number: i64,
    /// The version of its row.
    pub version: i64,
    /// When it began, in microseconds since 1970.
    pub started_us: i64,
    /// What it used; `None` if that is more than its row shows, so that no price makes its cost known.
    pub usage: Option<Usage>,
    /// What is known of its cost, in nano-USD.
    pub known_nanos: i64,
    /// What it used as limits count it, without its cost.
    pub used: UsedRow,
}

/// Some attempts of a day.
#[derive(Clone, Debug)]
pub struct UnpricedPage {
    /// The attempts.
    pub attempts: Vec<UnpricedAttempt>,
    /// The last call that was looked at; `None` if the day has no more.
    pub last: Option<CallId>,
}

impl Ledger {
    /// The days that can have such attempts, the earliest first. Blocks.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn days_of(&self, time: &UnpricedTime) -> Result<Vec<Day>, SchemaError> {
        let Some(files) = self.files() else {
            return Ok(Vec::new());
        };
        let days = files.days();
        let mut days =
            days.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        // A call is in the file of the day in which it came, and may have been tried after midnight.
        let first = Day::of_us(time.from_us).0 - 1;
        let last = Day::of_us(time.until_us).0;
        days.retain(|day| (first..=last).contains(&day.0));
        days.reverse();
        Ok(days)
    }

    /// The first day whose rows are kept; `None` if none was dropped yet. Blocks.
    ///
    /// # Errors
    /// The file of sums cannot be read.
    pub fn kept_from(&self) -> Result<Option<Day>, SchemaError> {
        let Some(files) = self.files() else {
            return Ok(None);
        };
        if !files.path(LedgerFile::Usage).exists() {
            return Ok(None);
        }
        let sums = files.open_to_read(LedgerFile::Usage)?;
        let last = "SELECT max(day) FROM merged_days";
        let last: Option<i64> = sums.query_row(last, [], |row| row.get(0))?;
        Ok(last.map(|day| Day(day + 1)))
    }

    /// The attempts of the calls that come after this one. Blocks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn unpriced(
        &self,
        day: Day,
        time: &UnpricedTime,
        after: Option<CallId>,
    ) -> Result<UnpricedPage, SchemaError> {
        let mut page = UnpricedPage {
            attempts: Vec::new(),
            last: None,
        };
        let Some(files) = self.files() else {
            return Ok(page);
        };
        let file = files.open_to_read(LedgerFile::Day(day))?;
        let mut texts = KnownTexts::default();
        let calls = "
            SELECT call_id FROM settled_calls WHERE cost_source = 3 AND call_id > ?1 ORDER BY call_id LIMIT ?2";
        let after = after.map_or([0; 16], |call| *call.bytes());
        let calls: Vec<[u8; 16]> = file
            .prepare(calls)?
            .query_map(params![after, CALLS_AT_ONCE], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let sql = format!(
            "SELECT {ATTEMPT_COLUMNS}, version, is_priceable,
                 (SELECT text FROM windows WHERE id = settled_attempts.windows) AS reserved_in
             FROM settled_attempts
             WHERE call_id = ?1 AND cost_source = ?2 AND state = ?3 AND started_us >= ?4 AND started_us < ?5
             ORDER BY number"
        );
        let mut select = file.prepare(&sql)?;
        for id in &calls {
            let call_id = CallId::from_bytes(*id);
            let values = params![
                id,
                UNKNOWN_COST,
                RecordState::Settled.number(),
                time.from_us,
                time.until_us,
            ];
            let found: Vec<FoundAttempt> = select
                .query_map(values, |row| {
                    Ok(FoundAttempt {
                        attempt: RecordedAttempt::read(row, &mut texts, &file)?,
                        version: row.get("version")?,
                        is_priceable: row.get::<_, Option<bool>>("is_priceable")?,
                        windows: row.get("reserved_in")?,
                    })
                })?
                .collect::<rusqlite::Result<_>>()?;
            let of_model = |found: &FoundAttempt| {
                let model = time.model.as_deref();
                model.is_none_or(|model| *found.attempt.target.model == *model)
            };
            let mut found = found.into_iter().filter(of_model).peekable();
            if found.peek().is_none() {
                continue;
            }
            let caller = "
                SELECT caller.text, team.text, organisation.text, key.text, scenario.text, l.text
                FROM settled_calls c
                JOIN names caller ON caller.id = c.caller
                JOIN names team ON team.id = c.team
                JOIN names organisation ON organisation.id = c.organisation
                JOIN names key ON key.id = c.key_id
                JOIN names scenario ON scenario.id = c.scenario
                JOIN label_sets l ON l.id = c.label_set
                WHERE c.call_id = ?1";
            let used = file.prepare_cached(caller)?.query_row([id], used_by)?;
            page.attempts
                .extend(found.map(|found| found.told(call_id, used.clone())));
        }
        if calls.len() == usize::try_from(CALLS_AT_ONCE).unwrap_or(usize::MAX) {
            page.last = calls.last().map(|id| CallId::from_bytes(*id));
        }
        Ok(page)
    }
}

struct FoundAttempt {
    attempt: RecordedAttempt,
    version: i64,
    is_priceable: Option<bool>,
    windows: Arc<str>,
}

impl FoundAttempt {
    fn told(self, call_id: CallId, used: UsedRow) -> UnpricedAttempt {
        let Self {
            attempt,
            version,
            is_priceable,
            windows,
        } = self;
        let tokens = attempt.tokens;
        let is_estimated = attempt.usage_source == Some(UsageSource::Estimated);
        let count = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
        let usage = Usage {
            input_tokens: count(tokens.input),
            output_tokens: count(tokens.output),
            cache_read_input_tokens: count(tokens.cache_read),
            cache_write_input_tokens: count(tokens.cache_write),
            cache_write_long_input_tokens: count(tokens.cache_write_1h),
            reasoning_output_tokens: count(tokens.reasoning),
            provider_tools: attempt.tool_uses(),
            service_tier: attempt.tier,
            is_estimated,
            ..Usage::default()
        };
        let started = u64::try_from(attempt.started_us).unwrap_or(0);
        UnpricedAttempt {
            call_id,
            number: attempt.number,
            version,
            started_us: attempt.started_us,
            usage: (is_priceable == Some(true)).then_some(usage),
            known_nanos: attempt.cost.map_or(0, |cost| cost.nanos),
            used: UsedRow {
                at: UNIX_EPOCH + Duration::from_micros(started),
                provider: Arc::from(&*attempt.target.provider),
                model: Arc::from(&*attempt.target.model),
                tokens: u64::try_from(tokens.total()).unwrap_or(0),
                attempts: 1,
                is_estimated,
                unpriced: Some(Unpriced {
                    reserved_nanos: attempt.reserved_nanos.unwrap_or(0),
                    is_wasted: attempt.is_wasted,
                }),
                windows,
                ..used
            },
        }
    }
}

/// To whom the use of a call is charged.
fn used_by(row: &Row<'_>) -> rusqlite::Result<UsedRow> {
    let some = |column| {
        let text: Arc<str> = row.get(column)?;
        Ok::<_, rusqlite::Error>(Some(text).filter(|text| !text.is_empty()))
    };
    let labels: String = row.get(5)?;
    Ok(UsedRow {
        is_attempt: false,
        at: UNIX_EPOCH,
        account: AccountPath {
            caller: row.get(0)?,
            team: some(1)?,
            organisation: some(2)?,
        },
        key_id: some(3)?,
        scenario: row.get(4)?,
        provider: Arc::from(""),
        model: Arc::from(""),
        labels: labels_of(&labels),
        calls: 0,
        attempts: 0,
        tokens: 0,
        cost_nanos: 0,
        waste_nanos: 0,
        is_estimated: false,
        unpriced: None,
        windows: Arc::from(""),
    })
}
