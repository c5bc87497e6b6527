//! Does the service keep its bounds under load and attack? `just load`, or
//! `cargo bench --bench load [-- --brief] [-- --soak MINUTES] [-- CASE …]`.
//!
//! The service is `modelway serve` in a process of its own, so that its memory and its files are its own.
//! The provider and the honest callers are here; attackers have a thread of their own. Every line is
//! a number with its bound; a bound that is broken makes the run fail.
#![allow(
    clippy::unwrap_used,
    reason = "as in tests: what cannot be set up ends the run"
)]

mod abuse;
mod attacker;
mod attacks;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/suite/support/frames.rs"]
mod frames;
mod honest;
mod overload;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/suite/support/process.rs"]
mod process;
mod report;
mod service;
mod soak;
mod stalled;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::report::Report;

/// Measures the service under load and attack, and fails if a bound is broken.
#[derive(Parser)]
struct Options {
    /// Everything shorter, for a first look: about two minutes.
    #[arg(long)]
    brief: bool,
    /// How long the soak lasts, in minutes.
    #[arg(long, default_value_t = 1.0)]
    soak: f64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// Passed by cargo: everything is shorter.
    #[arg(long, hide = true)]
    test: bool,
    /// Beginnings of the names of the cases to run, such as `C4` or `"C4 rapid"`; all without any.
    cases: Vec<String>,
}

/// How long everything lasts, and which cases are run.
struct Plan {
    /// How long a caller may leave its stream unread.
    client_stall: Duration,
    /// How long each attack lasts.
    attack: Duration,
    /// How long an overload lasts.
    overload: Duration,
    /// How long the soak lasts.
    soak: Duration,
    cases: Vec<String>,
}

impl Plan {
    /// Whether a case is to be run.
    fn wants(&self, name: &str) -> bool {
        let wanted = |case: &String| name.starts_with(case) || case.starts_with(name);
        self.cases.is_empty() || self.cases.iter().any(wanted)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let brief = options.brief || options.test;
    let plan = Plan {
        client_stall: Duration::from_secs(if brief { 4 } else { 30 }),
        attack: Duration::from_secs(if brief { 5 } else { 10 }),
        overload: Duration::from_secs(if brief { 5 } else { 20 }),
        soak: Duration::from_secs_f64(options.soak * 60.0),
        cases: options.cases,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut report = Report::begin();
    runtime.block_on(async {
        if plan.wants(stalled::NAME) {
            stalled::measure(&plan, &mut report).await;
        }
        if plan.wants(overload::NAME) {
            overload::measure(&plan, &mut report).await;
        }
        if plan.wants(abuse::NAME) {
            abuse::measure(&plan, &mut report).await;
        }
        if plan.wants(soak::NAME) {
            soak::measure(&plan, &mut report).await;
        }
    });
    report.end()
}
