//! Is every attempt whose price came late priced once, however often the process that does it is killed?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use rusqlite::{Connection, OpenFlags};
use tokio::time::Instant;

use crate::support::{Process, ask, program, scratch};

/// Calls of [`Unpriced`].
pub(super) const CALLS: i64 = 1_500;

/// Longer than any of the commands takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The rows of calls whose price was not known when they ended, all in the file of one day.
pub(super) struct Unpriced {
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    /// A configuration that keeps its ledger in `data`.
    pub(super) config: PathBuf,
    file: Connection,
}

impl Unpriced {
    /// Makes the calls. `name` is that of the folder, and `more` stands in the configuration besides.
    pub(super) async fn make(name: &str, more: &str) -> Self {
        let folder = scratch::folder(name);
        let data = folder.join("data");
        let config = folder.join("modelway.toml");
        let text = format!(
            "[auth]\nanonymous = 'local'\n[[accounts]]\nid = 'local'\nkind = 'caller'\n\
             [server]\npredrain = '0s'\n[admission]\nmax_inflight_per_caller = 100\n\
             [ledger]\npath = {data:?}\n[providers.p]\nsimulated = true\nwire_format = 'openai_chat'\n[models.'p/m']\n\
             [scenarios.one]\ntargets = ['p/m']\n{more}"
        );
        fs::write(&config, text).unwrap();
        let process = Process::serve(Some(&config), &[]);
        let client = GenerationServiceClient::new(process.connect().await);
        let callers = (0..10).map(async |_| {
            let mut client = client.clone();
            for _ in 0..CALLS / 10 {
                client.generate(ask("one", "Hello")).await.unwrap();
            }
        });
        futures_util::future::join_all(callers).await;
        process.terminate();
        process.ended().await;
        let mut days = fs::read_dir(data.join("ledger")).unwrap();
        let file = days.find_map(|entry| {
            let path = entry.unwrap().path();
            (path.extension()? == "db").then_some(path)
        });
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let file = Connection::open_with_flags(file.unwrap(), flags).unwrap();
        let unpriced = Self {
            folder,
            data,
            config,
            file,
        };
        assert_eq!(unpriced.number(UNKNOWN), CALLS);
        unpriced
    }

    /// The number that a statement finds now.
    pub(super) fn number(&self, select: &str) -> i64 {
        self.file.query_row(select, [], |row| row.get(0)).unwrap()
    }

    /// How many attempts have been priced.
    pub(super) fn corrected(&self) -> i64 {
        self.number("SELECT count(*) FROM corrections")
    }

    /// What all rows cost, in nano-USD. The sums must say the same, and no attempt must have been priced twice.
    pub(super) fn nanos(&self) -> i64 {
        let twice = "SELECT count(*) FROM (SELECT 1 FROM corrections GROUP BY call_id, number HAVING count(*) > 1)";
        assert_eq!(self.number(twice), 0);
        // One moment of the file, whoever writes to it.
        let all = "
            SELECT (SELECT sum(cost_nanos) FROM attempts), (SELECT sum(cost_nanos) FROM calls),
                (SELECT sum(cost_nanos) FROM usage_slots), (SELECT sum(cost_nanos) FROM label_slots),
                (SELECT sum(cost_nanos) FROM spend_slots)";
        let read = |row: &rusqlite::Row<'_>| (0..5).map(|column| row.get(column)).collect();
        let sums: rusqlite::Result<Vec<i64>> = self.file.query_row(all, [], read);
        let sums = sums.unwrap();
        assert_eq!(sums, [sums[0]; 5]);
        sums[0]
    }

    /// What all rows cost once each was priced, which must be so.
    pub(super) fn priced(&self) -> i64 {
        assert_eq!(self.corrected(), CALLS);
        assert_eq!(self.number(UNKNOWN), 0);
        let nanos = self.nanos();
        // All calls are alike.
        let each = self.number("SELECT max(cost_nanos) FROM attempts");
        assert!(each > 0);
        assert_eq!(nanos, CALLS * each);
        nanos
    }
}

const UNKNOWN: &str = "SELECT count(*) FROM attempts WHERE cost_source = 3";

fn prices(data: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = program();
    command
        .arg("prices")
        .args(arguments)
        .arg("--data")
        .arg(data);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[tokio::test]
async fn attempts_whose_price_came_late_are_priced_once_though_whoever_does_it_is_killed() {
    let unpriced = Unpriced::make("unknown-killed", "[admin]\nlisten = 'none'\n").await;
    let Unpriced { folder, data, .. } = &unpriced;
    let list = folder.join("prices.toml");
    let price = "[[price]]\nmodel = 'p/m'\ninput = '2.5'\noutput = '10'\nstart_time = 2020-01-01T00:00:00Z\n";
    fs::write(&list, price).unwrap();
    let list = list.display().to_string();
    assert!(prices(data, &["put", &list]).status().unwrap().success());

    let corrected = || unpriced.corrected();
    let (mut kills, mut partly) = (0, 0);
    let begun = Instant::now();
    loop {
        let before = corrected();
        let mut command = prices(data, &["price-unknown", "--since", "1d"]);
        let mut child = command.spawn().unwrap();
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            // Between two pieces, or in the middle of one.
            if corrected() > before {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            assert!(begun.elapsed() < PATIENCE, "{before} of {CALLS}");
        };
        match ended {
            None => {
                kills += 1;
                partly += usize::from(corrected() < CALLS);
            }
            Some(status) => {
                assert!(status.success(), "{status}");
                if corrected() == before {
                    break;
                }
            }
        }
    }

    assert!(
        kills > 0 && partly > 0,
        "{kills} kills, {partly} before the end"
    );
    unpriced.priced();
    println!(
        "attempts priced late by processes that were killed {kills} times, {partly} of them before the end: {CALLS}, \
         priced twice: 0, drift of sums: 0"
    );
}
