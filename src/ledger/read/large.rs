//! How long do questions to a large ledger take? Run by hand, with `MODELWAY_LEDGER_ROWS` calls (a million if it is not set):
//! `cargo test --release --lib ledger::read::large -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::Connection;

use crate::error::Code;
use crate::ledger::call_id::{CallId, Day};
use crate::ledger::counts::now;
use crate::ledger::retention::drop_old;
use crate::ledger::rows::CallStart;
use crate::ledger::settings::Settings;
use crate::ledger::specimens::{MIDDAY, Specimen};
use crate::ledger::tests::{EVENING_MS, call, ends, intent};
use crate::ledger::{Ledger, LedgerFile};

use super::calls::{self, first_id};
use super::files::LedgerFiles;
use super::filter::{CallFilter, Sight};
use super::interval::Interval;
use super::question::{Dimension, UsageQuestion};
use super::usage;

const DAYS: i64 = 10;
const DAY_US: i64 = 86_400_000_000;

/// 200 callers of 20 teams, 10 scenarios, 12 targets, 50 sets of labels.
const NAMES: &str = "
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 231)
INSERT INTO names SELECT i, CASE WHEN i <= 200 THEN 'caller-' || i WHEN i <= 220 THEN 'team-' || (i - 200)
    WHEN i <= 230 THEN 'scenario-' || (i - 220) ELSE 'shop' END FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
INSERT INTO targets SELECT i, 'provider-' || (i % 4) || '/model-' || i, 'provider-' || (i % 4), 'model-' || i FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
INSERT INTO label_sets (id, text, summed) SELECT i, json_object('product', 'p' || (i % 10), 'region', 'r' || (i / 10)), i FROM n;";

/// The calls of a day: `?1` of them from the millisecond `?2` on.
const CALLS: &str = "
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
INSERT INTO settled_calls (call_id, state, version, caller, team, organisation, key_id, scenario, label_set, trace_id, started_us, code,
    attempts, rescued, target, latency_us, overhead_us, input, output, cost_nanos, cost_source)
SELECT unhex(format('%012x%020x', ms, i)), 2, 1, caller, 201 + caller % 20, 231, 0, 221 + r % 10, 1 + r % 50,
    unhex(format('%032x', i)), ms * 1000, CASE WHEN r % 100 = 0 THEN 14 ELSE 0 END, 1, r % 97 = 0, 1 + r % 12,
    100000 + r % 5000000, 500, 200 + r % 3000, 20 + r % 700, 1000 + r % 90000, CASE WHEN r % 1000 = 0 THEN 3 ELSE 1 END
FROM (SELECT i, ?2 + i * 86400000 / ?1 AS ms, abs(random() % 1000000) AS r, 1 + abs(random() % 200) AS caller FROM n)";

const ATTEMPTS: &str = "
INSERT INTO settled_attempts (call_id, number, state, version, target, kind, started_us, outcome, billing_class, latency_us, input, output,
    usage_source, cost_nanos, cost_source, span_id)
SELECT call_id, 1, 2, 1, target, 1, started_us, 1, 1, latency_us, input, output, 1, cost_nanos, cost_source,
    x'0102030405060708' FROM settled_calls;
INSERT INTO usage_slots
SELECT started_us - started_us % 1800000000, caller, team, organisation, scenario, target, code, count(*), sum(code <> 0),
    sum(rescued), sum(attempts), sum(input), sum(output), 0, 0, 0, 0, sum(cost_nanos), 0, 0, sum(cost_source IS 3)
FROM settled_calls GROUP BY 1, 2, 3, 4, 5, 6, 7;
INSERT INTO label_slots
SELECT started_us - started_us % 1800000000, team, label_set, count(*), sum(attempts), sum(input), sum(output), 0, 0, 0, 0,
    sum(cost_nanos), 0, 0, sum(cost_source IS 3)
FROM settled_calls GROUP BY 1, 2, 3;
INSERT INTO latency_slots
SELECT started_us - started_us % 1800000000, scenario, target, 100 + latency_us % 40, count(*) FROM settled_calls GROUP BY 1, 2, 3, 4;";

fn fill(file: &Connection, day: Day, calls: i64) {
    let moment = file.unchecked_transaction().unwrap();
    moment.execute_batch(NAMES).unwrap();
    moment
        .execute(CALLS, [calls, day.begin_us() / 1_000])
        .unwrap();
    moment.execute_batch(ATTEMPTS).unwrap();
    moment.commit().unwrap();
}

/// The 50th and the 99th percentile of how long this takes, in milliseconds.
fn times(count: usize, mut ask: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let begin = now();
            ask();
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(count * percent / 100).min(count - 1)].as_secs_f64() * 1e3;
    (at(50), at(99))
}

/// How long calls wait for their rows, a thousand calls a second, in a file that is large and is held by a reader.
fn intents_beside_a_reader(specimen: &Specimen, day: Day) {
    let settings = Settings {
        path: Some(specimen.data.clone()),
        ..Settings::default()
    };
    let moment = UNIX_EPOCH + Duration::from_micros(MIDDAY.unsigned_abs());
    let (ledger, _) = Ledger::open(&settings, moment).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let reader = specimen.files().open_to_read(LedgerFile::Day(day)).unwrap();
    // The first rows of a file read what the writer needs of it.
    runtime.block_on(intents(&ledger, 0));
    let told = |what: &str, series| {
        let mut times = runtime.block_on(intents(&ledger, series));
        times.sort_unstable();
        let at = |thousandth: usize| times[times.len() * thousandth / 1_000].as_secs_f64() * 1e3;
        println!(
            "INTENT at 1,000 calls a second, {what}: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
            at(500),
            at(990),
            at(999)
        );
    };
    told("alone", 1);
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM calls WHERE caller = 7;")
        .unwrap();
    told("beside a reader that holds the file", 2);
    told("beside a reader that still holds it", 3);
    reader.execute_batch("COMMIT").unwrap();
    told("alone again", 4);
    runtime.block_on(ledger.close());
}

/// The times of the intents of a thousand calls a second for five seconds.
async fn intents(ledger: &Ledger, series: u64) -> Vec<Duration> {
    let mut calls = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    for number in 0..5_000_u64 {
        ticks.tick().await;
        let ledger = ledger.clone();
        calls.spawn(async move {
            let call = CallStart {
                trace_id: [(); 16].map(|()| fastrand::u8(..)),
                ..(*call(EVENING_MS + series * 10_000 + number, 1)).clone()
            };
            let call = Arc::new(call);
            let begin = now();
            ledger.intent(intent(&call, 1)).await.unwrap();
            let time = begin.elapsed();
            ends(&ledger, &call, 1);
            time
        });
    }
    calls.join_all().await
}

#[test]
#[ignore = "it writes a ledger of a million calls and takes minutes"]
fn questions_to_a_large_ledger_are_answered_in_time() {
    let rows = std::env::var("MODELWAY_LEDGER_ROWS").ok();
    let rows = rows.map_or(1_000_000, |rows| rows.parse::<i64>().unwrap());
    let ledger = Specimen::new();
    let last = Day::of_us(MIDDAY);
    let begin = now();
    for back in 0..DAYS {
        let day = Day(last.0 - back);
        fill(&ledger.day(day), day, rows / DAYS);
    }
    let bytes: u64 = std::fs::read_dir(ledger.data.join("ledger"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    println!(
        "{rows} calls in {DAYS} files, {} bytes a call, written in {:.0} s",
        bytes / rows.unsigned_abs(),
        begin.elapsed().as_secs_f64()
    );
    let mut files = ledger.reader();
    let mut random = fastrand::Rng::with_seed(17);
    let first = Day(last.0 - DAYS + 1).begin_us();
    let mut anywhere = move || first + random.i64(0..DAYS * DAY_US);

    let get = times(500, || {
        let at = CallId::from_bytes(first_id(anywhere()));
        let filter = CallFilter {
            until: Some(at.unix_ms() * 1_000),
            ..CallFilter::default()
        };
        let page = calls::list(&mut files, &Sight::All, &filter, 1, "").unwrap();
        if let Some(call) = page.calls.first() {
            calls::get(&mut files, &Sight::All, &call.call_id.to_string()).unwrap();
        }
    });
    println!(
        "GetCall, found by a page of one: p50 {:.2} ms, p99 {:.2} ms",
        get.0, get.1
    );
    let text = |text: &str| Some(text.to_owned());
    let none = CallFilter::default;
    let mut worst: f64 = 0.0;
    for (name, filter) in [
        ("no filter", none()),
        (
            "caller",
            CallFilter {
                account: text("caller-7"),
                ..none()
            },
        ),
        (
            "team",
            CallFilter {
                account: text("team-7"),
                ..none()
            },
        ),
        (
            "scenario",
            CallFilter {
                scenario: text("scenario-3"),
                ..none()
            },
        ),
        (
            "troubled",
            CallFilter {
                troubled: true,
                ..none()
            },
        ),
        (
            "model",
            CallFilter {
                model: text("provider-1/model-5"),
                ..none()
            },
        ),
        (
            "caller and code",
            CallFilter {
                account: text("caller-7"),
                code: Some(Code::Unavailable),
                ..none()
            },
        ),
        (
            "trace that never was",
            CallFilter {
                trace_id: text(&"0a".repeat(16)),
                ..none()
            },
        ),
        (
            "code that never was",
            CallFilter {
                code: Some(Code::Aborted),
                ..none()
            },
        ),
    ] {
        let listed = times(100, || {
            let filter = CallFilter {
                until: Some(anywhere()),
                ..filter.clone()
            };
            calls::list(&mut files, &Sight::All, &filter, 100, "").unwrap();
        });
        println!(
            "ListCalls, {name}: p50 {:.1} ms, p99 {:.1} ms",
            listed.0, listed.1
        );
        worst = worst.max(listed.1);
    }
    let label = || Dimension::Label("product".to_owned());
    let ask = |files: &mut LedgerFiles, group_by: Vec<Dimension>, interval| {
        let question = UsageQuestion {
            filter: none(),
            interval,
            time_zone: "Europe/Berlin".to_owned(),
            group_by,
            max_rows: 1_000,
            needs_latency: false,
        };
        let begin = now();
        let groups = usage::query(files, &Sight::All, &question).unwrap();
        let calls: i64 = groups.iter().map(|group| group.sums.calls).sum();
        assert_eq!(calls, rows / DAYS * DAYS);
        begin.elapsed().as_secs_f64() * 1e3
    };
    for (name, group_by, interval) in [
        ("by caller and day", vec![Dimension::Caller], Interval::Day),
        (
            "by caller and model",
            vec![Dimension::Caller, Dimension::Model],
            Interval::Whole,
        ),
        ("by label", vec![label()], Interval::Whole),
        ("by model and hour", vec![Dimension::Model], Interval::Hour),
        (
            "by label and model, from the rows",
            vec![label(), Dimension::Model],
            Interval::Whole,
        ),
    ] {
        println!(
            "QueryUsage, {name}: {:.0} ms",
            ask(&mut files, group_by, interval)
        );
    }
    println!("the slowest p99 of ListCalls: {worst:.1} ms");
    drop(files);
    intents_beside_a_reader(&ledger, last);
    let oldest = Day(last.0 - DAYS + 1);
    let begin = now();
    ledger.files().unlink(oldest).unwrap();
    println!(
        "unlinking a day: {:.0} ms",
        begin.elapsed().as_secs_f64() * 1e3
    );
    // Its sums are kept for longer.
    let settings = Settings {
        keep: Duration::from_micros(DAY_US.unsigned_abs()),
        ..Settings::default()
    };
    let later = Day(oldest.0 + 3).begin_us();
    let later = UNIX_EPOCH + Duration::from_micros(later.unsigned_abs());
    let begin = now();
    let dropped = drop_old(&ledger.files(), &settings, later).unwrap();
    println!(
        "dropping a day with its sums taken over: {:.0} ms",
        begin.elapsed().as_secs_f64() * 1e3
    );
    assert_eq!(dropped, [Day(oldest.0 + 1)]);
    assert!(worst <= 200.0 || cfg!(debug_assertions), "{worst}");
}
