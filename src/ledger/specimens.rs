//! Ledgers for tests: files with the calls that a test names, written without the writer.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};

use super::Durability;
use super::Files;
use super::call_id::{CallId, Day};
use super::read::calls::first_id;
use super::read::files::LedgerFiles;
use super::{schema, sums};

/// Midday of 28 November 2026 in UTC, in microseconds since 1970.
pub(super) const MIDDAY: i64 = 1_795_867_200_000_000;

/// A minute, in microseconds.
pub(super) const MINUTE: i64 = 60_000_000;

/// A data directory that is deleted with this.
pub(super) struct Specimen {
    pub(super) data: PathBuf,
    calls: u64,
}

/// A call to be written.
#[derive(Clone)]
pub(super) struct CallSpecimen {
    pub(super) at: i64,
    pub(super) caller: &'static str,
    pub(super) team: &'static str,
    pub(super) organisation: &'static str,
    pub(super) scenario: &'static str,
    pub(super) labels: String,
    pub(super) code: i64,
    pub(super) is_open: bool,
    pub(super) latency_us: i64,
    pub(super) attempts: Vec<AttemptSpecimen>,
}

/// An attempt to be written.
#[derive(Clone)]
pub(super) struct AttemptSpecimen {
    pub(super) model: &'static str,
    pub(super) has_succeeded: bool,
    pub(super) input: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) cache_read: Option<i64>,
    pub(super) nanos: i64,
    /// As in the files; 1: by prices, 2: estimated, 3: unknown, 4: reported by the provider.
    pub(super) source: i64,
    pub(super) price_version: String,
}

impl Default for CallSpecimen {
    fn default() -> Self {
        Self {
            at: MIDDAY,
            caller: "indexer",
            team: "search",
            organisation: "shop",
            scenario: "general",
            labels: "{}".to_owned(),
            code: 0,
            is_open: false,
            latency_us: 250_000,
            attempts: vec![AttemptSpecimen::default()],
        }
    }
}

impl Default for AttemptSpecimen {
    fn default() -> Self {
        Self {
            model: "groq/fast",
            has_succeeded: true,
            input: Some(100),
            output: Some(20),
            cache_read: None,
            nanos: 1_000,
            source: 1,
            price_version: String::new(),
        }
    }
}

impl Specimen {
    /// An empty data directory.
    pub(super) fn new() -> Self {
        static DIRECTORIES: AtomicU64 = AtomicU64::new(0);
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let name = format!("modelway-reading-{}-{number}", std::process::id());
        let data = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(data.join("ledger")).unwrap();
        Self { data, calls: 0 }
    }

    /// Its files, to be read.
    pub(super) fn files(&self) -> Files {
        Files::in_directory(&self.data, Durability::Process)
    }

    /// A reader of its files.
    pub(super) fn reader(&self) -> LedgerFiles {
        LedgerFiles::new(self.files())
    }

    /// The file of a day, to be written.
    pub(super) fn day(&self, day: Day) -> Connection {
        opened(&self.data.join(format!("ledger/{day}.db")))
    }

    /// The file with the sums of days that are no longer kept, to be written.
    pub(super) fn sums(&self) -> Connection {
        opened(&self.data.join("usage.db"))
    }

    /// Writes a call, as the writer would have by its end. Returns its id.
    pub(super) fn add(&mut self, call: &CallSpecimen) -> CallId {
        let file = self.day(Day::of_us(call.at));
        let moment = file.unchecked_transaction().unwrap();
        let id = self.add_to(&moment, call);
        moment.commit().unwrap();
        id
    }

    /// As [`Self::add`], for many calls of one day.
    pub(super) fn add_to(&mut self, file: &Connection, call: &CallSpecimen) -> CallId {
        let CallSpecimen {
            at,
            caller,
            team,
            organisation,
            scenario,
            labels,
            code,
            is_open,
            latency_us,
            attempts,
        } = call;
        self.calls += 1;
        let mut id = first_id(*at);
        id[8..].copy_from_slice(&self.calls.to_be_bytes());
        let call_id = CallId::from_bytes(id);
        let name = |text| name(file, text);
        let answered = attempts.iter().find(|attempt| attempt.has_succeeded);
        if *is_open {
            for (position, attempt) in attempts.iter().enumerate() {
                file.prepare_cached(
                    "INSERT INTO open_attempts (call_id, number, target, kind, started_us, span_id, windows, caller, team, \
                     organisation, key_id, scenario, label_set, trace_id, call_started_us) \
                     VALUES (?1, ?2, ?3, 1, ?4, x'0102030405060708', 0, ?5, ?6, ?7, 0, ?8, ?9, ?1, ?4)",
                )
                .unwrap()
                .execute(params![
                    id,
                    i64::try_from(position).unwrap() + 1,
                    target(file, attempt.model),
                    at,
                    name(caller),
                    name(team),
                    name(organisation),
                    name(scenario),
                    label_set(file, labels),
                ])
                .unwrap();
            }
            return call_id;
        }
        let total = |count: fn(&AttemptSpecimen) -> Option<i64>| -> Option<i64> {
            attempts
                .iter()
                .filter_map(count)
                .reduce(|one, other| one + other)
        };
        let sum = |which: &dyn Fn(&AttemptSpecimen) -> bool| -> i64 {
            attempts
                .iter()
                .filter(|attempt| which(attempt))
                .map(|attempt| attempt.nanos)
                .sum()
        };
        let is_unknown = attempts.iter().any(|attempt| attempt.source == 3);
        file.prepare_cached(
            "INSERT INTO settled_calls (call_id, state, version, caller, team, organisation, key_id, scenario, label_set, trace_id, \
             started_us, code, attempts, rescued, target, latency_us, input, output, cache_read, cost_nanos, waste_nanos, \
             estimated_nanos, cost_source) VALUES (?1, 2, 1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
             ?16, ?17, ?18, ?19, ?20)",
        )
        .unwrap()
        .execute(params![
            id,
            name(caller),
            name(team),
            name(organisation),
            name(scenario),
            label_set(file, labels),
            id,
            at,
            *code,
            i64::try_from(attempts.len()).unwrap(),
            *code == 0 && attempts.len() > 1,
            answered.map_or(0, |attempt| target(file, attempt.model)),
            *latency_us,
            total(|attempt| attempt.input),
            total(|attempt| attempt.output),
            total(|attempt| attempt.cache_read),
            sum(&|_| true),
            sum(&|attempt| !attempt.has_succeeded),
            sum(&|attempt| attempt.source == 2),
            if is_unknown { 3 } else { 1 },
        ])
        .unwrap();
        for (position, attempt) in attempts.iter().enumerate() {
            file.prepare_cached(
                "INSERT INTO settled_attempts (call_id, number, state, version, target, kind, started_us, outcome, billing_class, \
                 latency_us, input, output, cache_read, usage_source, price_id, cost_nanos, cost_source, span_id, wasted) \
                 VALUES (?1, ?2, 2, 1, ?3, 1, ?4, ?5, 1, ?6, ?7, ?8, ?9, 1, ?10, ?11, ?12, x'0102030405060708', ?5 > 1)",
            )
            .unwrap()
            .execute(params![
                id,
                i64::try_from(position).unwrap() + 1,
                target(file, attempt.model),
                at,
                if attempt.has_succeeded { 1 } else { 2 },
                latency_us,
                attempt.input,
                attempt.output,
                attempt.cache_read,
                name(&attempt.price_version),
                attempt.nanos,
                attempt.source,
            ])
            .unwrap();
        }
        sums::add_call(file, call_id).unwrap();
        if *code == 0 {
            sums::add_latency(file, call_id, *latency_us).unwrap();
        }
        call_id
    }
}

impl Drop for Specimen {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.data);
    }
}

fn opened(path: &Path) -> Connection {
    let mut file = Connection::open(path).unwrap();
    file.pragma_update(None, "journal_mode", "WAL").unwrap();
    file.pragma_update(None, "synchronous", "OFF").unwrap();
    file.set_prepared_statement_cache_capacity(64);
    schema::migrate(&mut file).unwrap();
    file
}

fn name(file: &Connection, text: &str) -> i64 {
    file.prepare_cached("INSERT OR IGNORE INTO names (text) VALUES (?1)")
        .unwrap()
        .execute([text])
        .unwrap();
    let mut select = file
        .prepare_cached("SELECT id FROM names WHERE text = ?1")
        .unwrap();
    select.query_row([text], |row| row.get(0)).unwrap()
}

fn target(file: &Connection, model: &str) -> i64 {
    let provider = model.split('/').next().unwrap();
    let insert =
        "INSERT OR IGNORE INTO targets (model, provider, provider_model) VALUES (?1, ?2, ?1)";
    file.prepare_cached(insert)
        .unwrap()
        .execute([model, provider])
        .unwrap();
    let mut select = file
        .prepare_cached("SELECT id FROM targets WHERE model = ?1")
        .unwrap();
    select.query_row([model], |row| row.get(0)).unwrap()
}

fn label_set(file: &Connection, labels: &str) -> i64 {
    let insert = "INSERT OR IGNORE INTO label_sets (id, text, summed) SELECT max(id) + 1, ?1, max(id) + 1 FROM label_sets";
    file.prepare_cached(insert)
        .unwrap()
        .execute([labels])
        .unwrap();
    let mut select = file
        .prepare_cached("SELECT id FROM label_sets WHERE text = ?1")
        .unwrap();
    select.query_row([labels], |row| row.get(0)).unwrap()
}
