use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, TransactionBehavior};
use tokio::time::Instant;

use super::call_id::{CallId, Day};
use super::repair::repair;
use super::rows::{
    AttemptOutcome, AttemptSettlement, CallSettlement, CallStart, Intent, Reserved, SkipRow,
    TargetName, Tokens, UsageSource,
};
use super::*;
use crate::chat::ProviderToolUsage;
use crate::error::{Billing, Code};
use crate::identity::Labels;
use crate::money::{Cost, CostSource};
use crate::trail::AttemptKind;

mod moving_days;

/// 2026-11-28T23:50:00Z.
pub(super) const EVENING_MS: u64 = 1_795_909_800_000;

/// A data directory that is deleted with this.
pub(super) struct Data(pub(super) PathBuf);

impl Data {
    pub(super) fn new() -> Self {
        let name = format!(
            "modelway-ledger-{}",
            uuid::Uuid::from_u64_pair(fastrand::u64(..), 7)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn settings(&self) -> Settings {
        Settings {
            path: Some(self.0.clone()),
            ..Settings::default()
        }
    }

    pub(super) fn open(&self) -> Ledger {
        let (ledger, _) = Ledger::open(&self.settings(), evening()).unwrap();
        ledger
    }

    pub(super) fn day(&self) -> PathBuf {
        self.0.join("ledger/2026-11-28.db")
    }

    fn read<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let file = Connection::open(self.day()).unwrap();
        file.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn evening() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(EVENING_MS)
}

pub(super) fn call(millis: u64, seed: u8) -> Arc<CallStart> {
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &[seed; 10]).into_uuid();
    let call_id = CallId::from_bytes(*id.as_bytes());
    Arc::new(CallStart {
        call_id,
        caller: "indexer".into(),
        team: "search".into(),
        organisation: "shop".into(),
        key_id: "".into(),
        scenario: "general".into(),
        labels: Labels::from([("product".into(), "ads".into())]),
        trace_id: [seed; 16],
        started_us: call_id.unix_ms() * 1_000,
    })
}

fn target() -> TargetName {
    TargetName {
        model: "sim/gpt".into(),
        provider: "sim".into(),
        provider_model: "gpt-9".into(),
    }
}

pub(super) fn intent(call: &Arc<CallStart>, number: u32) -> Intent {
    Intent {
        call: Arc::clone(call),
        number,
        target: target(),
        kind: AttemptKind::Primary,
        started_us: call.started_us + 5,
        span_id: [7; 8],
        reserved: Reserved {
            nanos: Some(900),
            tokens: Some(90),
            windows: None,
        },
    }
}

fn end(call: &CallStart, number: u32, nanos: i64) -> AttemptSettlement {
    AttemptSettlement {
        call_id: call.call_id,
        number,
        outcome: AttemptOutcome::Succeeded,
        is_wasted: false,
        reason: "",
        billing: Some(Billing::Actual),
        latency_us: 1_500,
        first_content_us: Some(800),
        tokens: Tokens {
            input: Some(10),
            output: Some(5),
            ..Tokens::default()
        },
        usage_source: Some(UsageSource::Provider),
        tools: ProviderToolUsage {
            web_searches: 2,
            ..ProviderToolUsage::default()
        },
        tier: None,
        cost: Some(Cost::specimen(nanos, CostSource::Prices)),
        is_priceable: true,
        provider_cost: None,
        provider_request_id: Some("req_1".into()),
        response_model: None,
    }
}

fn call_end(call: &CallStart, nanos: i64) -> CallSettlement {
    CallSettlement {
        call_id: call.call_id,
        code: Code::Ok,
        reason: "",
        attempts: 1,
        rescued: false,
        target: Some(target()),
        latency_us: 2_000,
        first_content_us: Some(900),
        overhead_us: 500,
        tokens: Tokens {
            input: Some(10),
            output: Some(5),
            ..Tokens::default()
        },
        cost: Some(Cost::specimen(nanos, CostSource::Prices)),
        waste_nanos: 0,
        estimated_nanos: 0,
        skips: vec![SkipRow {
            target: target(),
            reason: "BREAKER_OPEN",
            detail: "its breaker is open".into(),
        }],
    }
}

pub(super) async fn whole_call(ledger: &Ledger, call: &Arc<CallStart>, nanos: i64) {
    ledger.intent(intent(call, 1)).await.unwrap();
    ends(ledger, call, nanos);
}

pub(super) fn ends(ledger: &Ledger, call: &CallStart, nanos: i64) {
    ledger.settle_attempt(end(call, 1, nanos));
    ledger.settle_call(call_end(call, nanos));
}

#[tokio::test]
async fn an_acknowledged_attempt_is_in_its_file_and_its_end_follows() {
    let data = Data::new();
    let ledger = data.open();
    let call = call(EVENING_MS, 1);

    ledger.intent(intent(&call, 1)).await.unwrap();
    let open: i64 = data.read("SELECT count(*) FROM attempts WHERE state = 1");
    ledger.settle_attempt(end(&call, 1, 123));
    ledger.settle_call(call_end(&call, 123));
    ledger.close().await;

    assert_eq!(open, 1);
    let row: String = data.read(
        "SELECT format('%s %s %s %s %s %s', c.state, c.version, caller.text, t.provider_model, a.tool_uses, a.cost_nanos)
         FROM calls c JOIN attempts a USING (call_id) JOIN names caller ON caller.id = c.caller
         JOIN targets t ON t.id = a.target",
    );
    assert_eq!(row, r#"2 1 indexer gpt-9 {"web_searches":2} 123"#);
    let sums: String = data.read(
        "SELECT format('%s %s %s %s %s', u.calls, u.cost_nanos, l.calls, n.n, s.tokens)
         FROM usage_slots u, label_slots l, latency_slots n, spend_slots s",
    );
    assert_eq!(sums, "1 123 1 1 15");
    let skipped: String = data.read("SELECT detail FROM skips");
    assert_eq!(skipped, "its breaker is open");
    assert!(!data.day().with_extension("db-wal").exists());
}

#[tokio::test]
async fn what_settles_twice_counts_once() {
    let data = Data::new();
    let ledger = data.open();
    let call = call(EVENING_MS, 1);

    whole_call(&ledger, &call, 100).await;
    ledger.settle_attempt(end(&call, 1, 100));
    ledger.settle_call(call_end(&call, 100));
    ledger.close().await;

    let sums: String =
        data.read("SELECT format('%s %s', sum(calls), sum(cost_nanos)) FROM usage_slots");
    assert_eq!(sums, "1 100");
    let spent: i64 = data.read("SELECT sum(cost_nanos) FROM spend_slots");
    assert_eq!(spent, 100);
}

#[tokio::test]
async fn an_attempt_that_nobody_waits_for_leaves_no_row() {
    let data = Data::new();
    let ledger = data.open();
    let call = call(EVENING_MS, 1);

    {
        let given_up = ledger.intent(intent(&call, 1));
        tokio::pin!(given_up);
        let polled = futures_poll(given_up.as_mut()).await;
        assert!(polled.is_pending());
    }
    // The next attempt has the same number.
    ledger.close().await;
    let rows: i64 =
        data.read("SELECT (SELECT count(*) FROM calls) + (SELECT count(*) FROM attempts)");
    assert_eq!(rows, 0);
}

/// Polls a future once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn a_call_over_midnight_stays_in_the_file_of_its_id() {
    let data = Data::new();
    let ledger = data.open();
    let late = call(EVENING_MS, 1);
    let next = call(EVENING_MS + 3_600_000, 2);

    whole_call(&ledger, &next, 1).await;
    whole_call(&ledger, &late, 2).await;
    ledger.close().await;

    let files = Files::in_directory(&data.0, Durability::Process);
    let days: Vec<_> = files.days().unwrap().iter().map(Day::to_string).collect();
    assert_eq!(days, ["2026-11-29", "2026-11-28"]);
    assert_eq!(data.read::<i64>("SELECT cost_nanos FROM calls"), 2);
}

#[tokio::test]
async fn what_was_open_is_settled_once_by_what_was_reserved() {
    let data = Data::new();
    let call = call(EVENING_MS, 1);
    let ledger = data.open();
    ledger.intent(intent(&call, 1)).await.unwrap();
    ledger.settle_attempt(end(&call, 1, 100));
    ledger.intent(intent(&call, 2)).await.unwrap();
    ledger.close().await;

    let (ledger, recovered) = Ledger::open(&data.settings(), evening()).unwrap();
    let used = ledger.used_since(UNIX_EPOCH).unwrap();
    ledger.close().await;
    let (again, nothing) = Ledger::open(&data.settings(), evening()).unwrap();
    again.close().await;

    assert_eq!(
        (recovered.attempts, recovered.calls, recovered.nanos),
        (1, 1, 900)
    );
    assert_eq!(nothing, Recovered::default());
    let row: String = data.read(
        "SELECT format('%s %s %s %s %s %s', state, version, code, attempts, cost_nanos, cost_source) FROM calls",
    );
    assert_eq!(row, "3 1 14 2 1000 5");
    let row: String = data.read(
        "SELECT format('%s %s %s %s', state, outcome, billing_class, cost_source) FROM attempts WHERE number = 2",
    );
    assert_eq!(row, "3 5 4 2");
    let sums: String =
        data.read("SELECT format('%s %s', sum(calls), sum(cost_nanos)) FROM usage_slots");
    assert_eq!(sums, "1 1000");
    let told: Vec<_> = used
        .iter()
        .map(|row| {
            (
                row.calls,
                row.attempts,
                row.tokens,
                row.cost_nanos,
                row.is_estimated,
            )
        })
        .collect();
    assert_eq!(told, [(1, 1, 15, 100, false), (0, 1, 90, 900, true)]);
    assert_eq!(&*used[0].account.caller, "indexer");
    assert_eq!(used[0].account.team.as_deref(), Some("search"));
    assert_eq!(
        used[0].labels,
        Labels::from([("product".into(), "ads".into())])
    );
}

#[tokio::test]
async fn use_is_told_from_the_beginning_of_a_window_on() {
    let data = Data::new();
    let ledger = data.open();
    // More than a day before, which is told in case that the clock was set back.
    let early = call(EVENING_MS - 30 * 60_000 - 24 * 3_600_000, 1);
    let late = call(EVENING_MS, 2);
    whole_call(&ledger, &early, 1).await;
    whole_call(&ledger, &late, 2).await;
    ledger.close().await;

    let ledger = data.open();
    let since = UNIX_EPOCH + Duration::from_millis(EVENING_MS - 5 * 60_000);
    let used = ledger.used_since(since).unwrap();
    ledger.close().await;

    let nanos: Vec<_> = used.iter().map(|row| row.cost_nanos).collect();
    assert_eq!(nanos, [2]);
    assert_eq!(used[0].at, since);
}

#[tokio::test]
async fn a_file_that_is_locked_refuses_attempts_and_keeps_what_ends() {
    let data = Data::new();
    let ledger = data.open();
    let (first, second, third) = (
        call(EVENING_MS, 1),
        call(EVENING_MS, 2),
        call(EVENING_MS, 3),
    );
    ledger.intent(intent(&first, 1)).await.unwrap();
    let mut other = Connection::open(data.day()).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    lock.execute("DELETE FROM skips", []).unwrap();

    let asked = Instant::now();
    let refused = ledger.intent(intent(&second, 1)).await;
    let waited = asked.elapsed();
    ledger.settle_attempt(end(&first, 1, 100));
    ledger.settle_call(call_end(&first, 100));
    while ledger.counts().unwrap().failures.count() == 0 {
        tokio::task::yield_now().await;
    }
    let asked = Instant::now();
    let at_once = ledger.intent(intent(&second, 1)).await;
    println!("refused after {waited:?}, then after {:?}", asked.elapsed());
    drop(lock);
    while !ledger.is_available() {
        tokio::task::yield_now().await;
    }
    let written = ledger.intent(intent(&third, 1)).await;
    ledger.close().await;

    assert_eq!(refused, Err(LedgerUnavailable));
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    assert_eq!(at_once, Err(LedgerUnavailable));
    assert_eq!(written, Ok(()));
    let states: String =
        data.read("SELECT group_concat(state) FROM (SELECT state FROM calls ORDER BY call_id)");
    assert_eq!(states, "2,1");
    assert_eq!(ledger.counts().unwrap().refused.count(), 2);
}

#[tokio::test]
async fn what_ends_while_a_file_is_locked_counts_as_waiting_until_it_is_written() {
    let data = Data::new();
    let ledger = data.open();
    let call = call(EVENING_MS, 1);
    ledger.intent(intent(&call, 1)).await.unwrap();
    let mut other = Connection::open(data.day()).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    ends(&ledger, &call, 100);
    let ended = Instant::now();

    let (mut fewest, mut longest_behind) = (usize::MAX, Duration::ZERO);
    // The second try is one of rows that were put back.
    while ledger.counts().unwrap().failures.count() < 2 {
        let waited = ended.elapsed();
        let (rows, lag) = ledger.backlog();
        fewest = fewest.min(rows);
        longest_behind = longest_behind.max(waited.saturating_sub(lag));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(lock);
    while ledger.backlog().0 > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let written = ledger.counts().unwrap().calls.count();
    ledger.close().await;

    println!("both were tried twice in {:?}", ended.elapsed());
    assert_eq!(fewest, 2);
    assert_eq!(longest_behind, Duration::ZERO);
    assert_eq!(written, 1);
    assert_eq!(ledger.backlog(), (0, Duration::ZERO));
}

#[tokio::test]
async fn attempts_may_go_unrecorded() {
    let data = Data::new();
    let settings = Settings {
        on_failure: OnFailure::Unrecorded,
        ..data.settings()
    };
    let (ledger, _) = Ledger::open(&settings, evening()).unwrap();
    let mut other = Connection::open(data.day()).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();

    let sent = ledger.intent(intent(&call(EVENING_MS, 1), 1)).await;
    drop(lock);
    ledger.close().await;

    assert_eq!(sent, Ok(()));
    assert_eq!(ledger.counts().unwrap().unrecorded.count(), 1);
    assert_eq!(data.read::<i64>("SELECT count(*) FROM attempts"), 0);
}

#[tokio::test]
async fn a_reader_that_holds_its_snapshot_keeps_no_row_waiting() {
    const INTENTS: u32 = 500;
    let data = Data::new();
    let ledger = data.open();
    whole_call(&ledger, &call(EVENING_MS, 1), 1).await;
    let alone = intents(&ledger, 1, INTENTS).await;
    let files = ledger.files().unwrap();
    let reader = files
        .open_to_read(LedgerFile::Day(Day::parse("2026-11-28").unwrap()))
        .unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM calls;")
        .unwrap();

    let beside = intents(&ledger, 2, INTENTS).await;
    let log = data.day().with_extension("db-wal");
    let log = fs::metadata(log).unwrap().len();
    drop(reader);
    ledger.close().await;

    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    println!(
        "p99 of {INTENTS} intents: {:?} alone, {:?} beside a held reader: {:?} more; the slowest {:?}; a log of {} KiB",
        p99(&alone),
        p99(&beside),
        p99(&beside).saturating_sub(p99(&alone)),
        beside.last().unwrap(),
        log / 1024
    );
    assert!(*beside.last().unwrap() < Duration::from_secs(2));
    assert_eq!(
        data.read::<u32>("SELECT count(*) FROM calls WHERE state = 2"),
        1 + 2 * INTENTS
    );
}

/// How long the intents of so many whole calls took, the shortest first.
async fn intents(ledger: &Ledger, series: u64, count: u32) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..count {
        let seed = u8::try_from(number % 251).unwrap();
        let call = call(EVENING_MS + series * 1_000 + u64::from(number / 251), seed);
        let asked = Instant::now();
        ledger.intent(intent(&call, 1)).await.unwrap();
        times.push(asked.elapsed());
        ledger.settle_attempt(end(&call, 1, 1));
        ledger.settle_call(call_end(&call, 1));
    }
    times.sort_unstable();
    times
}

/// How often the log of a file has begun anew, as its header tells.
fn beginnings(log: &std::path::Path) -> Option<u32> {
    let mut number = [0; 4];
    let log = fs::File::open(log).ok()?;
    log.read_exact_at(&mut number, 12).ok()?;
    Some(u32::from_be_bytes(number))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_begins_anew_while_calls_never_cease() {
    const CALLERS: u8 = 16;
    const LONGEST: Duration = Duration::from_secs(60);
    let data = Data::new();
    let ledger = data.open();
    let log = data.day().with_extension("db-wal");
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let ledger = ledger.clone();
        callers.spawn(async move {
            for number in 0.. {
                let call = call(EVENING_MS + number % 500_000, caller);
                whole_call(&ledger, &call, 1).await;
            }
        });
    }

    let begin = Instant::now();
    let (mut first, mut longest) = (None, 0);
    while first.is_none() || beginnings(&log) <= first {
        first = first.or_else(|| beginnings(&log));
        longest = longest.max(fs::metadata(&log).map_or(0, |log| log.len()));
        assert!(begin.elapsed() < LONGEST, "{longest} bytes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    callers.shutdown().await;
    ledger.close().await;

    println!(
        "{} calls; a log of {} KiB at most; anew after {:?}",
        ledger.counts().unwrap().calls.count(),
        longest / 1024,
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_ledger_in_memory_is_read_like_one_on_a_disk() {
    let data = Data::new();
    let settings = Settings {
        durability: Durability::None,
        ..data.settings()
    };
    let (ledger, _) = Ledger::open(&settings, evening()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let call = call(u64::try_from(now.as_millis()).unwrap(), 1);
    whole_call(&ledger, &call, 5).await;
    while ledger.counts().unwrap().calls.count() == 0 {
        tokio::task::yield_now().await;
    }

    let used = ledger.used_since(UNIX_EPOCH).unwrap();
    ledger.close().await;

    assert_eq!(used.len(), 1);
    assert_eq!(fs::read_dir(&data.0).unwrap().count(), 0);
}

#[tokio::test]
async fn one_process_uses_a_data_directory() {
    let data = Data::new();
    let ledger = data.open();

    let error = Ledger::open(&data.settings(), evening()).unwrap_err();
    ledger.close().await;
    let free = Ledger::open(&data.settings(), evening());

    let expected = format!("is in use by another process (pid {})", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
    free.unwrap().0.close().await;
}

#[tokio::test]
async fn what_cannot_be_trusted_is_told_with_its_name() {
    let data = Data::new();
    let ledger = data.open();
    whole_call(&ledger, &call(EVENING_MS, 1), 1).await;
    ledger.close().await;
    let page_of_calls: i64 =
        data.read("SELECT rootpage FROM sqlite_schema WHERE name = 'settled_calls'");
    let page_of_calls = usize::try_from(page_of_calls).unwrap();
    let sound = fs::read(data.day()).unwrap();
    let told = || Ledger::open(&data.settings(), evening()).unwrap_err();

    fs::write(
        data.day(),
        b"this is no database, but it is longer than its header......",
    )
    .unwrap();
    let garbage = told();
    let mut damaged = sound.clone();
    let page = (page_of_calls - 1) * 4096;
    damaged[page..page + 4096].fill(0x5a);
    fs::write(data.day(), damaged).unwrap();
    let page = told();
    fs::write(data.day(), &sound).unwrap();
    let newer = Connection::open(data.day()).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let newer = told();
    let known = format!(
        "its tables have version 99, and this program knows versions up to {}",
        schema::VERSION
    );

    for (error, is_damage, expected) in [
        (garbage, true, "2026-11-28.db` is damaged: "),
        (page, true, "2026-11-28.db` is damaged: "),
        (newer, false, known.as_str()),
    ] {
        assert_eq!(error.is_damage(), is_damage, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_what_can_be_read_is_saved() {
    let data = Data::new();
    let ledger = data.open();
    for seed in 1..=200 {
        whole_call(&ledger, &call(EVENING_MS, seed), 10).await;
    }
    ledger.close().await;
    // The page in the middle of the calls.
    let page: i64 = data.read(
        "SELECT pageno FROM (SELECT 1 AS pageno) WHERE 0 UNION ALL SELECT rootpage FROM sqlite_schema WHERE name = 'calls_by_team'",
    );
    let mut damaged = fs::read(data.day()).unwrap();
    let offset = usize::try_from(page - 1).unwrap() * 4096;
    damaged[offset..offset + 4096].fill(0xff);
    fs::write(data.day(), &damaged).unwrap();
    let refused = Ledger::open(&data.settings(), evening()).unwrap_err();

    let repaired = repair(&data.0, evening()).unwrap();
    let again = repair(&data.0, evening()).unwrap();

    assert!(refused.is_damage(), "{refused}");
    let [file] = &repaired[..] else {
        panic!("{repaired:?}");
    };
    println!("{file:?}");
    assert_eq!(file.path, data.day());
    assert_eq!(fs::read(&file.aside).unwrap(), damaged);
    assert_eq!(file.before.unwrap().calls, 200);
    assert_eq!((file.after.calls, file.after.nanos), (200, 2_000));
    assert_eq!(again, []);
    data.open().close().await;
}

#[tokio::test]
async fn an_old_day_is_dropped_and_its_sums_stay() {
    let data = Data::new();
    let ledger = data.open();
    whole_call(&ledger, &call(EVENING_MS, 1), 10).await;
    whole_call(&ledger, &call(EVENING_MS - 5 * 86_400_000, 2), 20).await;
    ledger
        .intent(intent(&call(EVENING_MS - 5 * 86_400_000, 3), 1))
        .await
        .unwrap();
    ledger.close().await;
    let settings = Settings {
        keep: Duration::from_secs(2 * 86_400),
        ..data.settings()
    };
    // What was open is settled before.
    Ledger::open(&data.settings(), evening())
        .unwrap()
        .0
        .close()
        .await;
    let files = Files::in_directory(&data.0, Durability::Process);

    let dropped = retention::drop_old(&files, &settings, evening()).unwrap();
    let again = retention::drop_old(&files, &settings, evening()).unwrap();

    let dropped: Vec<_> = dropped.iter().map(Day::to_string).collect();
    assert_eq!(dropped, ["2026-11-23"]);
    assert!(again.is_empty());
    assert!(!data.0.join("ledger/2026-11-23.db").exists());
    let ledger = data.open();
    let mut used = ledger.used_since(UNIX_EPOCH).unwrap();
    ledger.close().await;
    used.sort_by_key(|row| row.cost_nanos);
    let told: Vec<_> = used
        .iter()
        .map(|row| (row.cost_nanos, row.is_estimated))
        .collect();
    assert_eq!(told, [(10, false), (20, false), (900, true)]);
    assert!(
        used.iter()
            .all(|row| &*row.model == "sim/gpt" && &*row.scenario == "general")
    );

    // In four years the sums are forgotten, but for those of limits.
    let later = evening() + Duration::from_secs(4 * 365 * 86_400);
    let dropped = retention::drop_old(&files, &settings, later).unwrap();
    assert_eq!(dropped.len(), 1);
    let usage = Connection::open(data.0.join("usage.db")).unwrap();
    let count = |sql| {
        usage
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM usage_slots"), 0);
    assert_eq!(
        count("SELECT sum(cost_nanos) FROM spend_slots WHERE slot = 0"),
        930
    );
    assert_eq!(count("SELECT count(*) FROM spend_slots"), 2);
}

#[tokio::test]
async fn many_attempts_share_a_commit() {
    let data = Data::new();
    let ledger = data.open();
    let mut calls = tokio::task::JoinSet::new();
    for seed in 0..=255 {
        let ledger = ledger.clone();
        calls.spawn(async move { whole_call(&ledger, &call(EVENING_MS, seed), 1).await });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    ledger.close().await;

    let counts = ledger.counts().unwrap();
    let (commits, rows) = (counts.commits.count(), 3 * 256);
    println!("{rows} rows in {commits} commits");
    assert_eq!(counts.intents.count(), 256);
    assert_eq!(counts.calls.count(), 256);
    assert!(commits < rows / 2, "{commits}");
    assert_eq!(
        data.read::<i64>("SELECT sum(cost_nanos) FROM spend_slots"),
        256
    );
}
