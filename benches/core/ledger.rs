//! What does the ledger cost in CPU time for each call, and what do bare rows in SQLite?

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, Throughput};
use modelway::calendar::unix_us;
use modelway::chat::ProviderToolUsage;
use modelway::error::{Billing, Code};
use modelway::identity::Labels;
use modelway::ledger::call_id::CallId;
use modelway::ledger::rows::{
    AttemptOutcome, AttemptSettlement, CallSettlement, CallStart, Intent, Reserved, TargetName,
    Tokens, UsageSource,
};
use modelway::ledger::{Ledger, Settings};
use modelway::trail::AttemptKind;
use rusqlite::{Connection, params};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

/// The CPU time of all threads of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

/// An empty directory.
fn directory() -> PathBuf {
    let name = format!("modelway-bench-ledger-{}", fastrand::u64(..));
    std::env::temp_dir().join(name)
}

fn target() -> TargetName {
    TargetName {
        model: "sim/model".into(),
        provider: "sim".into(),
        provider_model: "model".into(),
    }
}

fn call() -> Arc<CallStart> {
    let id = uuid::Uuid::now_v7();
    let mut trace_id = [0; 16];
    fastrand::fill(&mut trace_id);
    Arc::new(CallStart {
        call_id: CallId::from_bytes(*id.as_bytes()),
        caller: "indexer".into(),
        team: "search".into(),
        organisation: "shop".into(),
        key_id: "key_1".into(),
        scenario: "general".into(),
        labels: Labels::new(),
        trace_id,
        started_us: unix_us(SystemTime::now()),
    })
}

const TOKENS: Tokens = Tokens {
    input: Some(1_000),
    output: Some(100),
    cache_read: Some(0),
    cache_write: None,
    cache_write_1h: None,
    reasoning: None,
};

/// A call with one attempt that answers it.
async fn one(ledger: &Ledger) {
    let call = call();
    let intent = Intent {
        call: Arc::clone(&call),
        number: 1,
        target: target(),
        kind: AttemptKind::Primary,
        started_us: call.started_us,
        span_id: [7; 8],
        reserved: Reserved {
            nanos: Some(900),
            tokens: Some(90),
            windows: Some("money/caller/2026-11".into()),
        },
    };
    ledger
        .intent(intent)
        .await
        .expect("a ledger that can be written");
    ledger.settle_attempt(AttemptSettlement {
        call_id: call.call_id,
        number: 1,
        outcome: AttemptOutcome::Succeeded,
        is_wasted: false,
        reason: "",
        billing: Some(Billing::Actual),
        latency_us: 1_500,
        first_content_us: Some(800),
        tokens: TOKENS,
        usage_source: Some(UsageSource::Provider),
        tools: ProviderToolUsage::default(),
        tier: None,
        cost: None,
        is_priceable: true,
        provider_cost: None,
        provider_request_id: Some("req_0123456789abcdef".into()),
        response_model: Some("model-2026-11-01".into()),
    });
    ledger.settle_call(CallSettlement {
        call_id: call.call_id,
        code: Code::Ok,
        reason: "",
        attempts: 1,
        rescued: false,
        target: Some(target()),
        latency_us: 2_000,
        first_content_us: Some(900),
        overhead_us: 500,
        tokens: TOKENS,
        cost: None,
        waste_nanos: 0,
        estimated_nanos: 0,
        skips: Vec::new(),
    });
}

/// The CPU time of so many calls, some of them at a time, until all of them are settled.
async fn calls(ledger: &Ledger, count: u64, at_a_time: u64) -> Duration {
    let counts = ledger.counts().expect("a ledger that records");
    let wanted = counts.calls.count() + count;
    let begin = cpu_time();
    let mut callers = JoinSet::new();
    for caller in 0..at_a_time {
        let ledger = ledger.clone();
        let own = count / at_a_time + u64::from(caller < count % at_a_time);
        callers.spawn(async move {
            for _ in 0..own {
                one(&ledger).await;
            }
        });
    }
    callers.join_all().await;
    while counts.calls.count() < wanted {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cpu_time() - begin
}

/// Whole calls through the ledger, and rows of the same size in a file with nothing else: no index, no sum, no thread.
pub(super) fn ledger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger, CPU time");
    group.throughput(Throughput::Elements(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for at_a_time in [1, 32] {
        let path = directory();
        let settings = Settings {
            path: Some(path.clone()),
            ..Settings::default()
        };
        let (ledger, _) = Ledger::open(&settings, SystemTime::now()).expect("a ledger");
        group.bench_function(format!("calls, {at_a_time} at a time"), |bencher| {
            bencher.iter_custom(|count| runtime.block_on(calls(&ledger, count, at_a_time)));
        });
        runtime.block_on(ledger.close());
        // What stays is in the directory for such things.
        let _ = fs::remove_dir_all(path);
    }
    for in_a_commit in [1, 10, 256] {
        let path = directory();
        fs::create_dir_all(&path).expect("a directory");
        let file = bare_file(&path.join("bare.db")).expect("a file");
        group.bench_function(
            format!("bare rows, {in_a_commit} calls in a commit"),
            |bencher| {
                bencher.iter_custom(|count| {
                    let begin = cpu_time();
                    bare_rows(&file, count, in_a_commit).expect("rows");
                    cpu_time() - begin
                });
            },
        );
        drop(file);
        let _ = fs::remove_dir_all(path);
    }
}

fn bare_file(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let file = Connection::open(path)?;
    file.pragma_update(None, "journal_mode", "WAL")?;
    file.pragma_update(None, "synchronous", "NORMAL")?;
    let numbers: Vec<_> = (0..24).map(|number| format!("n{number} INTEGER")).collect();
    let numbers = numbers.join(", ");
    for table in ["calls", "attempts"] {
        file.execute_batch(&format!(
            "CREATE TABLE {table} (call_id BLOB, number INTEGER, trace_id BLOB, text TEXT, {numbers},
             PRIMARY KEY (call_id, number)) STRICT, WITHOUT ROWID"
        ))?;
    }
    Ok(file)
}

/// Two rows a call.
fn bare_rows(file: &Connection, count: u64, in_a_commit: u64) -> rusqlite::Result<()> {
    let mut left = count;
    while left > 0 {
        let now = in_a_commit.min(left);
        left -= now;
        file.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for _ in 0..now {
            let id = uuid::Uuid::now_v7();
            for insert in [
                "INSERT INTO calls VALUES (?1, 1, ?1, NULL, ?2, ?2, ?2, ?2, ?2, ?2, ?2, ?3, ?3, ?3, ?3, ?3, 0, 0, 0, 0, 0, 0, \
                 NULL, NULL, NULL, NULL, NULL, NULL)",
                "INSERT INTO attempts VALUES (?1, 1, ?1, 'req_0123456789abcdef', ?2, ?2, ?2, ?2, ?2, ?2, ?2, ?3, ?3, ?3, ?3, ?3, \
                 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL)",
            ] {
                file.prepare_cached(insert)?.execute(params![
                    id.as_bytes(),
                    7,
                    1_000_000_000_i64
                ])?;
            }
        }
        file.prepare_cached("COMMIT")?.execute([])?;
    }
    Ok(())
}
