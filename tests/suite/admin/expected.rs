//! Does a service go on after a restart with what it has learned of the tokens of its targets?

use std::fs;
use std::path::Path;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Settings, Simulator, WireName};
use rusqlite::Connection;

use crate::support::{Process, ask, scratch};

fn config(data: &Path, url: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\npredrain = \"0s\"\n[auth]\nanonymous = \"local\"\n\
         [[accounts]]\nid = \"local\"\nkind = \"caller\"\n[ledger]\npath = {:?}\n\
         [providers.sim]\nbase_url = {url:?}\nauth = \"none\"\nwire_format = \"openai_chat\"\n\
         [models.\"sim/good\"]\nprice = {{ input = 1, output = 1 }}\n\
         [scenarios.one]\ntargets = [\"sim/good\"]\nmax_output_tokens = 100\n",
        data.display().to_string()
    )
}

/// What was set aside for each of these calls.
async fn reserved(folder: &Path, calls: usize) -> Vec<i64> {
    let process = Process::serve(Some(&folder.join("modelway.toml")), &[]);
    let mut client = GenerationServiceClient::new(process.connect().await);
    for _ in 0..calls {
        client.generate(ask("one", "Hello there")).await.unwrap();
    }
    process.terminate();
    let (status, log) = process.ended().await;
    assert!(status.success(), "{log}");
    let mut rows = Vec::new();
    for file in fs::read_dir(folder.join("data/ledger")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "db") {
            let file = Connection::open(path).unwrap();
            let mut select = file
                .prepare("SELECT started_us, reserved_nanos FROM attempts")
                .unwrap();
            let found = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
            rows.extend(found.unwrap().map(|row| row.unwrap()));
        }
    }
    rows.sort_unstable_by_key(|(started, _): &(i64, i64)| *started);
    let last = rows.len() - calls;
    rows[last..].iter().map(|(_, nanos)| *nanos).collect()
}

/// Changes what was learned, in a store that no service uses.
fn change(folder: &Path, sql: &str) {
    let store = Connection::open(folder.join("data/control.db")).unwrap();
    assert!(store.execute(sql, []).unwrap() > 0, "{sql}");
}

#[tokio::test]
async fn the_first_estimate_after_a_restart_is_the_last_one_before() {
    let folder = scratch::folder("expected");
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let url = simulator.base_url(WireName::OpenAiChat);
    let config = config(&folder.join("data"), &url);
    fs::write(folder.join("modelway.toml"), config).unwrap();

    let before = reserved(&folder, 9).await;
    let after = reserved(&folder, 1).await;

    let (cold, warm) = (before[0], before[8]);
    println!(
        "set aside when nothing was known: {cold}, before the restart: {warm}, after it: {}",
        after[0]
    );
    assert_ne!(cold, warm);
    assert_eq!(after[0], warm);
    // A damaged row is no row: the target is learned anew.
    change(&folder, "UPDATE expectations SET learned = '[1,2'");
    assert_eq!(reserved(&folder, 1).await[0], cold);
    // So it is without any.
    change(&folder, "DELETE FROM expectations");
    assert_eq!(reserved(&folder, 1).await[0], cold);
}
