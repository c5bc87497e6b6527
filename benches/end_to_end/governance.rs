//! What does governance cost? Modelway with identity, limits and a ledger, and with each of them, beside one with none.

use std::fs;
use std::path::PathBuf;

use super::cases::{CASES, Case, Kind};
use super::credentials::{Credentials, ISSUER};
use super::process::Process;
use super::report::Effort;
use super::roles::{Layout, Role};
use super::{Failed, cost, load, memory};

/// This case's name.
pub(crate) const NAME: &str = "governance";

/// The most that all of it may make of a call or an event.
const GOAL: f64 = 1.25;

/// The most that it may add to an open stream, in KiB.
const GOAL_KIB: f64 = 1.0;

/// Rounds of a full measurement: in each, every server is measured on the way there and on the way back.
const ROUNDS: usize = 8;

/// The file with the keys of the issuer, in the directory of a server.
const JWKS: &str = "keys.json";

/// What each server has. The first has nothing, the last one everything.
const SERVERS: [(&str, &str); 9] = [
    ("nothing", ""),
    ("identity by key", "key"),
    // It is verified once, and then known for a minute.
    ("identity by token", "token"),
    ("limit: requests", "requests"),
    ("limit: open calls", "open"),
    ("ledger (process)", "ledger"),
    // A limit on money needs a ledger.
    ("limit: money, ledger", "money ledger"),
    ("these limits, ledger", "requests open money ledger"),
    ("all of it", "key requests open money ledger"),
];

fn has(features: &str, feature: &str) -> bool {
    features.split(' ').any(|other| other == feature)
}

/// The tables of a configuration with these features: `hash` is that of the key.
pub(crate) fn tables(features: &str, hash: &str, directory: &str) -> String {
    let has = |feature| has(features, feature);
    let mut text = String::new();
    let mut table = |table: &str| text.push_str(table);
    if has("key") || has("token") {
        table(
            "[[accounts]]\nid = \"shop\"\nkind = \"team\"\n[[accounts]]\nid = \"bench\"\nkind = \"caller\"\nparent = \"shop\"\n",
        );
    }
    if has("token") {
        table(&format!(
            "bindings = [{{ token = {{ issuer = \"bench\", subject = \"bench\" }} }}]\n[[auth.issuers]]\nname = \"bench\"\n\
             issuer = \"{ISSUER}\"\naudience = [\"modelway\"]\njwks = \"file:{directory}/{JWKS}\"\n"
        ));
    }
    if has("key") {
        table(&format!(
            "[[keys]]\nid = \"bench-1\"\naccount = \"bench\"\nsha256 = \"{hash}\"\n"
        ));
    }
    for (feature, limit) in [
        ("requests", "requests = 1000000000\nwindow = \"day\""),
        ("open", "concurrent_calls = 1000000"),
        ("money", "money = \"1000000 USD\"\nwindow = \"month\""),
    ] {
        if has(feature) {
            table(&format!(
                "[[limits]]\nid = \"{feature}\"\nper = [\"caller\"]\n{limit}\n"
            ));
        }
    }
    if has("ledger") {
        table(&format!("[ledger]\npath = {directory:?}\n"));
    }
    text
}

fn start(simulator: &Process, number: usize, features: &str) -> Result<(Process, PathBuf), Failed> {
    let name = format!("modelway-bench-{}-{number}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir_all(&directory)?;
    let credentials = Credentials::of_process()?;
    fs::write(directory.join(JWKS), &credentials.jwks)?;
    let upstream = format!(
        "{}#{features}#{}#{}",
        simulator.address,
        credentials.key_hash,
        directory.display()
    );
    let role = match (has(features, "key"), has(features, "token")) {
        (true, _) => Role::Keyed,
        (false, true) => Role::Tokened,
        (false, false) => Role::Gateway,
    };
    let process = Process::start(role, Layout::PerCore, &upstream)?;
    Ok((process, directory))
}

/// Measures all servers by turns, and prints a table for calls, one for events, and the memory of open streams.
pub(crate) async fn measure(
    simulator: &Process,
    connections: usize,
    effort: Effort,
) -> Result<(), Failed> {
    let of = |kind| CASES.iter().find(|case| case.kind == kind);
    for (unit, case) in [
        ("call", of(Kind::Whole)),
        ("event", of(Kind::Streamed(100))),
    ] {
        if let Some(case) = case {
            by_turns(simulator, unit, case, connections, effort).await?;
        }
    }
    let (streams, rounds) = memory::scale(effort);
    let mut grown = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (features, grown) in ["", SERVERS[SERVERS.len() - 1].1].iter().zip(&mut grown) {
            let (process, directory) = start(simulator, 99, features)?;
            grown.push(memory::growth(&process, streams).await?);
            drop(process);
            fs::remove_dir_all(directory)?;
        }
    }
    if effort != Effort::Test {
        let [off, on] = grown.map(|mut grown| median(&mut grown));
        println!(
            "{NAME} memory: {off:.1} KiB a stream without, {on:.1} with all of it: {:+.2} (goal: at most {GOAL_KIB:+.1})",
            on - off
        );
    }
    Ok(())
}

async fn by_turns(
    simulator: &Process,
    unit: &str,
    case: &Case,
    connections: usize,
    effort: Effort,
) -> Result<(), Failed> {
    let calls = case.calls(effort);
    let mut servers = Vec::new();
    for (number, (_, features)) in SERVERS.iter().enumerate() {
        let (process, directory) = start(simulator, number, features)?;
        servers.push((process, directory));
    }
    let mut loads = Vec::new();
    for (process, _) in &servers {
        let load = load::Load::connect(case, process, connections).await?;
        load.run(calls.div_ceil(4)).await?;
        loads.push((process, load));
    }
    if effort != Effort::Test {
        let mut taken = vec![Vec::new(); loads.len()];
        for _ in 0..effort.rounds(ROUNDS) {
            let there = 0..loads.len();
            for at in there.clone().chain(there.rev()) {
                taken[at].push(cost(&loads[at], calls).await? / case.units(calls));
            }
        }
        print(unit, &taken);
    }
    drop(loads);
    for (process, directory) in servers {
        drop(process);
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}

/// The least and the middle of each server's turns. The ratio is the middle of those within one turn, so that a busy
/// minute falls on both.
fn print(unit: &str, taken: &[Vec<f64>]) {
    let Some(nothing) = taken.first().cloned() else {
        return;
    };
    println!("{NAME}, µs a {unit}    least   median    added    ratio");
    for ((name, _), turns) in SERVERS.iter().zip(taken) {
        let pairs = || turns.iter().zip(&nothing);
        let mut added: Vec<f64> = pairs().map(|(with, without)| with - without).collect();
        let mut ratios: Vec<f64> = pairs().map(|(with, without)| with / without).collect();
        let mut turns = turns.clone();
        let least = turns.iter().copied().fold(f64::INFINITY, f64::min);
        println!(
            "{name:20} {least:8.2} {:8.2} {:+8.2} {:8.3}",
            median(&mut turns),
            median(&mut added),
            median(&mut ratios),
        );
    }
    println!("goal: all of it at most {GOAL}");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count => f64::midpoint(values[(count - 1) / 2], values[count / 2]),
    }
}
