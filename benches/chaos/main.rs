//! Do the promises to callers hold, whatever a provider does? Plays every fault over real sockets:
//! `cargo bench --bench chaos [-- --quick] [-- FAULT …]`.
//!
//! Each cell of the matrix has a service and two simulated providers of its own. Calls are made at
//! even intervals before, during and after the fault; what each of them got is compared with what
//! the simulator was told to say and with what has arrived there. Prints one table, then every law
//! that was broken, and fails if there is any. Takes three minutes.

mod caller;
mod cell;
mod faults;
mod findings;
mod laws;
#[path = "../../tests/suite/support/proxy.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod proxy;
mod report;
mod stage;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::caller::Method;
use self::cell::{Cell, Load};
use self::faults::{Effect, Fault, Means};
use self::findings::Findings;
use self::laws::Ill;

/// Any failure but a broken law.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Plays every fault and holds what callers get against the promises.
#[derive(Parser)]
struct Options {
    /// Less than 30 seconds, for every change.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// How many cells are played at a time.
    #[arg(long, default_value_t = 20)]
    at_once: usize,
    /// Beginnings of the names of the faults to play; all without any.
    faults: Vec<String>,
}

fn main() -> Result<ExitCode, Failed> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> Result<ExitCode, Failed> {
    let is_wanted = |fault: &Fault| {
        let mut wanted = options.faults.iter();
        options.faults.is_empty() || wanted.any(|wanted| fault.name.starts_with(wanted.as_str()))
    };
    // They live as long as the program.
    let faults: &'static [Fault] = faults::faults().leak();
    let at_once = Arc::new(Semaphore::new(options.at_once));
    let mut playing = JoinSet::new();
    for (place, cell) in cells(faults, options.quick).into_iter().enumerate() {
        if !is_wanted(cell.fault) {
            continue;
        }
        let at_once = Arc::clone(&at_once);
        let load = load(&cell, options.quick);
        playing.spawn(async move {
            let _permit = at_once.acquire_owned().await?;
            let played = cell.play(load).await?;
            let findings = played.map(|played| Findings::of(&cell, &played));
            Ok::<_, Failed>((place, cell, findings))
        });
    }
    let mut found = Vec::new();
    while let Some(cell) = playing.join_next().await {
        found.push(cell??);
    }
    found.sort_by_key(|(place, ..)| *place);
    let all = found.len();
    let shown = |(_, cell, findings)| Some((cell, findings?));
    let found: Vec<_> = found.into_iter().filter_map(shown).collect();
    report::print(&found);
    if found.len() < all {
        let unshown = all - found.len();
        eprintln!("not shown, because the machine was too busy: {unshown} of {all} cells");
    }
    let is_broken = report::print_breaches(&found);
    // On a busy machine some cells show nothing, which breaks no law; but a run that shows nothing at all is an error.
    Ok(match is_broken || found.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// The matrix, of which a quick run leaves out what shows least in a few calls.
fn cells(faults: &'static [Fault], quick: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for fault in faults {
        let methods: &[Method] = match fault.effect {
            Effect::None | Effect::Told(_) | Effect::Before(_) => &[Method::Unary, Method::Stream],
            Effect::After(_) => &[Method::Unary, Method::Stream, Method::Restart],
        };
        for ill in [Ill::Tenth, Ill::Primary, Ill::Both] {
            let is_partial = matches!(&fault.means, Means::Model(model) if model.fault.is_some());
            if ill == Ill::Tenth && (quick || !is_partial) {
                continue;
            }
            for method in methods {
                if quick && ill == Ill::Both && *method != Method::Unary {
                    continue;
                }
                cells.push(Cell {
                    fault,
                    ill,
                    method: *method,
                });
            }
        }
    }
    cells
}

/// The calls of a cell.
fn load(cell: &Cell, quick: bool) -> Load {
    let pace = Duration::from_millis(25);
    let load = match (quick, cell.ill) {
        (true, _) => Load {
            calls: 16,
            healthy_calls: 3,
            pace: 2 * pace,
            // The laws must hold on a machine that does other work.
            patience: 2,
        },
        (false, Ill::Primary | Ill::Both) => Load {
            calls: 250,
            healthy_calls: 20,
            pace,
            patience: 1,
        },
        (false, Ill::Tenth) => Load {
            calls: 500,
            healthy_calls: 20,
            pace: pace / 2,
            patience: 1,
        },
    };
    let costly = cell.fault.costly;
    Load {
        calls: load.calls.div_ceil(costly),
        healthy_calls: load.healthy_calls.div_ceil(costly),
        pace: load.pace * costly,
        patience: load.patience,
    }
}
