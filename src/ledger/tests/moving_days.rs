//! What is read of days whose sums move to `usage.db` meanwhile?

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::*;
use crate::ledger::read::files::LedgerFiles;
use crate::ledger::read::filter::{CallFilter, Sight};
use crate::ledger::read::interval::Interval;
use crate::ledger::read::question::UsageQuestion;
use crate::ledger::read::usage;

const DAY: Duration = Duration::from_secs(86_400);

/// A ledger with a call on each of so many days, the last of them that of the evening. Each costs 10.
async fn days(count: u8) -> Data {
    let data = Data::new();
    let ledger = data.open();
    for day in 0..count {
        let before = u64::from(day) * 86_400_000;
        whole_call(&ledger, &call(EVENING_MS - before, day), 10).await;
    }
    ledger.close().await;
    data
}

/// Drops the days before the one that was so many days before the evening.
fn drop_before(files: &Files, days: u8) {
    let settings = Settings {
        keep: DAY * u32::from(days),
        ..Settings::default()
    };
    retention::drop_old(files, &settings, evening()).unwrap();
}

/// What all calls cost, as each of those who read sums has it: whoever starts, whoever changes limits, whoever asks for usage.
fn costs(files: &Files, reader: &mut LedgerFiles) -> [i64; 3] {
    let cost = |rows: Vec<UsedRow>| rows.iter().map(|row| row.cost_nanos).sum();
    let used = files.used_since(UNIX_EPOCH).unwrap();
    let (of_moment, _) = files.moment(UNIX_EPOCH, None, evening()).unwrap();
    let question = UsageQuestion {
        filter: CallFilter::default(),
        interval: Interval::Whole,
        time_zone: String::new(),
        group_by: Vec::new(),
        max_rows: 1,
        needs_latency: false,
    };
    let groups = usage::query(reader, &Sight::All, &question).unwrap();
    let asked = groups.iter().map(|group| group.sums.cost_nanos).sum();
    [cost(used), cost(of_moment), asked]
}

#[tokio::test]
async fn a_day_that_is_in_both_files_is_counted_once() {
    let data = days(3).await;
    let files = Files::in_directory(&data.0, Durability::Process);
    let first = files.path(LedgerFile::Day(files.days().unwrap()[2]));
    let content = fs::read(&first).unwrap();

    drop_before(&files, 1);
    // As it is until it has been deleted.
    assert!(!first.exists());
    fs::write(&first, content).unwrap();

    let mut reader = LedgerFiles::new(files.clone());
    assert_eq!(costs(&files, &mut reader), [30; 3]);
}

#[tokio::test]
async fn every_day_is_counted_once_while_old_days_are_dropped() {
    const DAYS: u8 = 12;
    let data = days(DAYS).await;
    let files = Files::in_directory(&data.0, Durability::Process);
    let (begun, is_over) = (AtomicU8::new(0), AtomicBool::new(false));

    let costs_read = std::thread::scope(|threads| {
        let reading = threads.spawn(|| {
            let mut reader = LedgerFiles::new(files.clone());
            let mut all = BTreeSet::new();
            while !is_over.load(Ordering::SeqCst) {
                begun.fetch_add(1, Ordering::SeqCst);
                all.insert(costs(&files, &mut reader));
            }
            all
        });
        for dropped in 0..DAYS - 1 {
            while begun.load(Ordering::SeqCst) <= dropped && !reading.is_finished() {
                std::thread::yield_now();
            }
            // Each day goes a little later in a reading than the one before.
            for _ in 0..1_000 * u32::from(dropped) {
                std::thread::yield_now();
            }
            drop_before(&files, DAYS - 1 - dropped);
        }
        is_over.store(true, Ordering::SeqCst);
        reading.join().unwrap()
    });

    println!("{begun:?} readings while {DAYS} days were dropped");
    assert_eq!(files.days().unwrap().len(), 2);
    assert_eq!(costs_read, BTreeSet::from([[10 * i64::from(DAYS); 3]]));
}
