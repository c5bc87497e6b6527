//! What does the connection to a provider cost: TLS with HTTP/1.1 or HTTP/2, compared with plain HTTP/1.1?

use super::cases::{CASES, Case};
use super::load::Load;
use super::process::Process;
use super::report::{Effort, median};
use super::roles::{Layout, Role};
use super::{Failed, cost, memory};

/// This case's name.
pub(crate) const NAME: &str = "ways";

/// The cases that are measured on each way.
const MEASURED: [&str; 4] = ["A folded", "A whole", "B events", "D paced"];

/// How Modelway reaches the provider.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// The setting, where a front with TLS stands before the provider.
    http: Option<&'static str>,
}

const WAYS: [Way; 3] = [
    Way {
        name: "plain 1.1",
        http: None,
    },
    Way {
        name: "TLS 1.1",
        http: Some("1.1"),
    },
    Way {
        name: "TLS 2",
        http: Some("2"),
    },
];

/// Where a server finds its provider: `ADDRESS`, or `ADDRESS CA_FILE HTTP` behind TLS.
fn upstream(way: Way, simulator: &Process, front: &Process) -> String {
    match way.http {
        None => simulator.address.clone(),
        Some(http) => format!("{} {http}", front.address),
    }
}

/// Measures each way with servers of their own, which take turns, and prints a table.
pub(crate) async fn measure(
    simulator: &Process,
    connections: usize,
    effort: Effort,
) -> Result<(), Failed> {
    let front = Process::start(Role::Front, Layout::Shared, &simulator.address)?;
    if effort != Effort::Test {
        println!(
            "\ncase      unit        {:23} {:23} {:23}",
            WAYS[0].name, WAYS[1].name, WAYS[2].name
        );
    }
    let mut servers = Vec::new();
    for way in WAYS {
        let upstream = upstream(way, simulator, &front);
        servers.push(Process::start(Role::Gateway, Layout::PerCore, &upstream)?);
    }
    for case in CASES.iter().filter(|case| MEASURED.contains(&case.name)) {
        let costs = costs(case, &servers, connections, effort).await?;
        print(case.name, case.unit, &costs, effort);
    }
    drop(servers);
    let (streams, rounds) = memory::scale(effort);
    let mut grown = WAYS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (way, grown) in WAYS.into_iter().zip(&mut grown) {
            let upstream = upstream(way, simulator, &front);
            let server = Process::start(Role::Gateway, Layout::PerCore, &upstream)?;
            grown.push(memory::growth(&server, streams).await?);
        }
    }
    print(memory::NAME, memory::UNIT, &grown, effort);
    Ok(())
}

async fn costs(
    case: &Case,
    servers: &[Process],
    connections: usize,
    effort: Effort,
) -> Result<Vec<Vec<f64>>, Failed> {
    let calls = case.calls(effort);
    let mut loads = Vec::new();
    for server in servers {
        let load = Load::connect(case, server, connections).await?;
        load.run(calls.div_ceil(4)).await?;
        loads.push((server, load));
    }
    let mut costs = vec![Vec::new(); servers.len()];
    if effort == Effort::Test {
        return Ok(costs);
    }
    for _ in 0..effort.rounds(case.rounds) {
        for (load, costs) in loads.iter().zip(&mut costs) {
            costs.push(cost(load, calls).await? / case.units(calls));
        }
    }
    Ok(costs)
}

fn print(name: &str, unit: &str, columns: &[Vec<f64>], effort: Effort) {
    if effort == Effort::Test {
        println!("{name}, ways: runs");
        return;
    }
    let spreads = columns.iter().map(|values| {
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!(
            "{:<23} ",
            format!("{:.2} ({lowest:.2}–{highest:.2})", median(values))
        )
    });
    println!("{name:9} {unit:11} {}", spreads.collect::<String>());
}
