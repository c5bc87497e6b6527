//! What a call and a streamed event cost in CPU time, beside a bare server that does nothing but
//! forward: `cargo bench --bench end_to_end [-- --quick] [-- CASE …]`.
//!
//! Modelway, that floor and the simulated provider are processes of their own, and this one makes
//! the load, so that the CPU time of each is known. Wall time says little on a busy machine; turns
//! are interleaved so that a busy minute falls on both.

mod cases;
mod floor;
mod gateway;
mod latency;
mod load;
mod memory;
mod process;
mod report;
mod roles;

use clap::Parser;

use self::cases::{CASES, Case};
use self::process::{Process, Processes};
use self::report::Effort;
use self::roles::Role;

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
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// What a process that this benchmark has started is to be.
    #[arg(long, hide = true)]
    role: Option<Role>,
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
        return runtime.block_on(role.play(&options.upstream));
    }
    let effort = match (options.test, options.quick) {
        (true, _) => Effort::Test,
        (false, true) => Effort::Quick,
        (false, false) => Effort::Full,
    };
    let is_wanted = |name: &str| {
        options.cases.is_empty() || options.cases.iter().any(|case| name.starts_with(case))
    };
    runtime.block_on(run(effort, is_wanted))
}

async fn run(effort: Effort, is_wanted: impl Fn(&str) -> bool) -> Result<(), Failed> {
    let simulator = Process::start(Role::Simulator, "")?;
    if effort != Effort::Test {
        println!("{}", report::HEAD);
    }
    let processes = Processes::start(&simulator)?;
    for case in &CASES {
        if is_wanted(case.name) {
            measure(case, &processes, effort).await?.print(effort);
        }
    }
    drop(processes);
    if is_wanted(memory::NAME) {
        memory::measure(&simulator, effort).await?.print(effort);
    }
    if is_wanted(latency::NAME) {
        latency::measure(&simulator, effort).await?.print(effort);
    }
    Ok(())
}

/// CPU time of one case: the two servers take turns in the order A B B A.
async fn measure(
    case: &Case,
    processes: &Processes,
    effort: Effort,
) -> Result<report::Row, Failed> {
    let Processes { floor, gateway } = processes;
    let [floor_load, gateway_load] = [
        load::Load::connect(case, floor).await?,
        load::Load::connect(case, gateway).await?,
    ];
    let calls = case.calls(effort);
    if effort == Effort::Test {
        floor_load.run(calls).await?;
        gateway_load.run(calls).await?;
        return Ok(report::Row::new(case.name, case.unit, case.goal));
    }
    // Connections are opened and code is read before anything counts.
    floor_load.run(calls.div_ceil(4)).await?;
    gateway_load.run(calls.div_ceil(4)).await?;
    let mut row = report::Row::new(case.name, case.unit, case.goal);
    for _ in 0..effort.rounds(case.rounds) {
        let units = case.units(calls);
        let first = cost(&floor_load, floor, calls).await? / units;
        let second = cost(&gateway_load, gateway, calls).await? / units;
        let third = cost(&gateway_load, gateway, calls).await? / units;
        let fourth = cost(&floor_load, floor, calls).await? / units;
        row.add([first, fourth], [second, third]);
    }
    Ok(row)
}

/// Microseconds of CPU time that a process takes for so many calls.
async fn cost(load: &load::Load, process: &Process, calls: usize) -> Result<f64, Failed> {
    let before = process.cpu_time()?;
    load.run(calls).await?;
    Ok((process.cpu_time()? - before).as_secs_f64() * 1e6)
}
