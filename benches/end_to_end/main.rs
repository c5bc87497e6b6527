//! What do a call and a streamed event cost in CPU time, compared with a bare server that only forwards?
//! `cargo bench --bench end_to_end [-- --quick] [-- CASE …]`.
//!
//! Modelway, that floor and the simulated provider are processes of their own, and this one makes
//! the load, so that the CPU time of each is known. Wall time says little on a busy machine; turns
//! are interleaved so that a busy minute falls on both.

mod cases;
mod credentials;
mod floor;
mod front;
mod gateway;
mod governance;
mod latency;
mod load;
mod memory;
mod process;
mod report;
mod roles;
mod telemetry;
mod ways;

use clap::Parser;

use self::cases::{CASES, Case};
use self::process::{Process, Processes};
use self::report::Effort;
use self::roles::{Layout, Role};

// The same for all processes, and the same as Modelway's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any failure: a benchmark that cannot run is over.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Compares Modelway's CPU time with that of a server that only forwards.
#[derive(Parser)]
struct Options {
    /// About 20 seconds, for a first look.
    #[arg(long)]
    quick: bool,
    /// Runs everything once and measures nothing, as other benchmarks do with this flag.
    #[arg(long)]
    test: bool,
    /// Connections that the callers of a case share.
    #[arg(long, default_value_t = load::CONNECTIONS)]
    connections: usize,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// What a process that this benchmark has started is to be.
    #[arg(long, hide = true)]
    role: Option<Role>,
    /// How that process uses the cores.
    #[arg(long, hide = true, default_value = "shared")]
    layout: Layout,
    /// Where the simulated provider listens.
    #[arg(long, hide = true, default_value = "")]
    upstream: String,
    /// Names of the cases to run; all without any.
    cases: Vec<String>,
}

fn main() -> Result<(), Failed> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if let Some(role) = options.role {
        return runtime.block_on(role.play(options.layout, &options.upstream));
    }
    let effort = match (options.test, options.quick) {
        (true, _) => Effort::Test,
        (false, true) => Effort::Quick,
        (false, false) => Effort::Full,
    };
    let is_wanted = |name: &str| {
        options.cases.is_empty() || options.cases.iter().any(|case| name.starts_with(case))
    };
    runtime.block_on(run(effort, options.connections, is_wanted))
}

async fn run(
    effort: Effort,
    connections: usize,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), Failed> {
    let simulator = Process::start(Role::Simulator, Layout::Shared, "")?;
    if effort != Effort::Test {
        println!("{}", report::HEAD);
    }
    let mut servers = Vec::new();
    for layout in Layout::ALL {
        servers.push((layout, Processes::start(layout, &simulator)?));
    }
    for case in &CASES {
        if is_wanted(case.name) {
            measure(case, &servers, connections, effort)
                .await?
                .print(effort);
        }
    }
    drop(servers);
    if is_wanted(telemetry::NAME) {
        for rows in telemetry::measure(&simulator, connections, effort).await? {
            rows.print(effort);
        }
    }
    if is_wanted(governance::NAME) {
        governance::measure(&simulator, connections, effort).await?;
    }
    if is_wanted(memory::NAME) {
        memory::measure(&simulator, effort).await?.print(effort);
    }
    if is_wanted(latency::NAME) {
        latency::measure(&simulator, effort).await?.print(effort);
    }
    if is_wanted(ways::NAME) {
        ways::measure(&simulator, connections, effort).await?;
    }
    Ok(())
}

/// CPU time of one case: the two servers of a layout take turns in the order A B B A, and the layouts
/// take turns, too.
async fn measure(
    case: &Case,
    servers: &[(Layout, Processes)],
    connections: usize,
    effort: Effort,
) -> Result<report::Rows, Failed> {
    let calls = case.calls(effort);
    let mut loads = Vec::new();
    for (layout, Processes { floor, gateway }) in servers {
        let floor = (floor, load::Load::connect(case, floor, connections).await?);
        let gateway = (
            gateway,
            load::Load::connect(case, gateway, connections).await?,
        );
        loads.push((*layout, floor, gateway));
    }
    let mut rows = report::Rows::new(case.name, case.unit, case.goal);
    // Connections are opened and code is loaded before measuring starts.
    for (_, floor, gateway) in &loads {
        floor.1.run(calls.div_ceil(4)).await?;
        gateway.1.run(calls.div_ceil(4)).await?;
    }
    if effort == Effort::Test {
        return Ok(rows);
    }
    let units = case.units(calls);
    for _ in 0..effort.rounds(case.rounds) {
        for (layout, floor, gateway) in &loads {
            let first = cost(floor, calls).await? / units;
            let second = cost(gateway, calls).await? / units;
            let third = cost(gateway, calls).await? / units;
            let fourth = cost(floor, calls).await? / units;
            rows.add(*layout, [first, fourth], [second, third]);
        }
    }
    Ok(rows)
}

/// Microseconds of CPU time that a process takes for so many calls.
async fn cost((process, load): &(&Process, load::Load), calls: usize) -> Result<f64, Failed> {
    let before = process.cpu_time()?;
    load.run(calls).await?;
    Ok((process.cpu_time()? - before).as_secs_f64() * 1e6)
}
