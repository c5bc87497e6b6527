//! How do attackers affect an honest caller (C4), and how much memory do they cost?

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::sleep;

use super::Plan;
use super::attacker::{self, ATTACKER, Damage};
use super::attacks::{Attack, attacks, unused};
use super::honest;
use super::report::{Bound, Report};
use super::service::{Service, ask};

pub(crate) const NAME: &str = "C4";

/// The time limits of the service, shorter than by default so that an attack outlasts them all.
const CONFIG: &str = r#"
[server]
handshake_timeout = "1s"
first_request_timeout = "1s"
receive_timeout = "1s"
keepalive_interval = "1s"
keepalive_timeout = "1s"
client_stall = "1s"
[admission]
early_cancels = 20
[models."sim/attacked"]
model = "attacked+first=1s+tokens=2000"
max_output_tokens = 100_000
[scenarios.attacked]
targets = ["sim/attacked"]
"#;

/// A connection that has to be closed has to be within this time: the longest of those limits twice, as some
/// follow another, and a second.
const LIMIT: Duration = Duration::from_secs(3);

/// What an attack may take of memory.
const GROWTH_MIB: f64 = 64.0;

/// What thousands of connections may take, of which the service holds 4096 at most.
const CONNECTIONS_MIB: f64 = 256.0;

/// Attackers' addresses, and how many connections each of them wants.
const ADDRESSES: u8 = 40;
const CONNECTIONS: usize = 250;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    for attack in attacks() {
        let name = format!("{NAME} {}", attack.name);
        if plan.wants(&name) {
            attacked(&name, &attack, vec![ATTACKER], GROWTH_MIB, plan, report).await;
        }
    }
    let name = format!("{NAME} connections");
    if plan.wants(&name) {
        let addresses = (0..ADDRESSES).map(|number| Ipv4Addr::new(127, 0, 1, number));
        let thousands = Attack {
            name: "connections",
            connections: CONNECTIONS,
            assault: |line| Box::pin(unused(line)),
            closed: true,
            upstream: Some(0),
        };
        let addresses = addresses.collect();
        attacked(&name, &thousands, addresses, CONNECTIONS_MIB, plan, report).await;
    }
}

async fn attacked(
    name: &str,
    attack: &Attack,
    sources: Vec<Ipv4Addr>,
    growth_mib: f64,
    plan: &Plan,
    report: &mut Report,
) {
    let service = Service::start("abuse", &format!("{CONFIG}{}", honest::CONFIG)).await;
    let client = service.client().await;
    let (mut alone, ()) = honest::during(&client, sleep(plan.attack / 2)).await;

    let memory = service.watch_memory();
    let assault = attacker::attack(
        service.process.address,
        sources,
        attack.connections,
        attack.assault,
        plan.attack,
    );
    let (mut meanwhile, damage) = honest::during(&client, assault).await;
    let (after, ()) = honest::during(&client, sleep(Duration::from_millis(500))).await;
    // Every request is answered, and every new caller is served.
    let mut newcomer = service.client().await;
    newcomer.generate(ask("honest")).await.unwrap();

    let Damage {
        opened,
        closed,
        longest,
    } = damage;
    honest::report(name, &mut alone, &mut meanwhile, report);
    report.line(
        name,
        "failed calls of others afterwards",
        after.failed as f64,
        Bound::AtMost(0.0),
    );
    let growth = memory.growth_kib() / 1024.0;
    report.line(
        name,
        "growth of memory, MiB",
        growth,
        Bound::AtMost(growth_mib),
    );
    let what = format!("longest connection, s; {closed} of {opened} closed");
    let bound = match attack.closed {
        true => Bound::AtMost(LIMIT.as_secs_f64()),
        false => Bound::None,
    };
    report.line(name, &what, longest.as_secs_f64(), bound);
    let caused = service.simulator.requests();
    let caused = caused
        .iter()
        .filter(|request| !request.model.starts_with("honest"));
    let bound = match attack.upstream {
        Some(0) => Bound::AtMost(0.0),
        Some(limit) => {
            let windows = plan.attack.as_secs_f64() / 10.0;
            let open = attack.connections;
            Bound::AtMost((limit as f64) * (windows.floor() + 1.0) + open as f64)
        }
        None => Bound::None,
    };
    report.line(
        name,
        "calls upstream that it caused",
        caused.count() as f64,
        bound,
    );
}
