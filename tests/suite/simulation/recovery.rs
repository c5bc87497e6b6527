//! How soon is a primary used again once it has recovered, whichever moment of its outage that is?

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::outages::{BURST, CONFIG, Goal, Outage, Outcomes, RATIO, simulate};
use super::run;
use super::world::Weather;
use crate::support::number_from;

/// Share of runs, and the seconds after which the primary is used again in so many of them.
const PROMISES: [(f64, f64); 2] = [(0.9, 20.0), (0.99, 30.0)];

/// The part of a breaker's cycle at which a fault ends is drawn, too.
const LONGEST_CYCLE: f64 = 14.0;

/// Calls a second, and how many minutes the fault lasts.
const FEW: [(f64, u64); 2] = [(1.0, 1), (5.0, 1)];

#[rustfmt::skip]
const ALL: [(f64, u64); 8] = [
    (1.0, 1), (5.0, 1), (20.0, 1), (50.0, 1),
    (1.0, 10), (5.0, 10), (20.0, 10), (50.0, 10),
];

#[test]
fn a_recovered_primary_is_soon_used_again() {
    let runs = number_from("MODELWAY_RUNS", 100);
    let cells = match number_from("MODELWAY_RECOVERIES", 0) {
        0 => FEW.as_slice(),
        _ => ALL.as_slice(),
    };
    let mut table = String::from(
        "| primary | for | calls/s | attempts per call | answered | half | 90 % | 99 % | all | in 20 s | in 30 s |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut broken = Vec::new();
    for &(calls_per_second, minutes) in cells {
        for (name, primary) in [("down", Weather::Errors(1.0)), ("silent", Weather::Silent)] {
            let all = recoveries(calls_per_second, minutes, primary, runs);
            let line = line(name, minutes, calls_per_second, &all);
            println!("{line}");
            for (share, seconds) in PROMISES {
                if within(&all, seconds) < share {
                    broken.push(format!("in {seconds} s: {line}"));
                }
            }
            if !all.iter().all(is_within_the_law) {
                broken.push(format!("too many attempts: {line}"));
            }
            writeln!(table, "{line}").unwrap();
        }
    }
    println!("{runs} runs a line\n{table}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What comes of so many outages that differ in nothing but draws. Every core takes its share.
fn recoveries(calls_per_second: f64, minutes: u64, primary: Weather, runs: u64) -> Vec<Outcomes> {
    let next_seed = AtomicU64::new(1);
    let some = || {
        let seeds = std::iter::from_fn(|| Some(next_seed.fetch_add(1, Ordering::Relaxed)));
        let seeds = seeds.take_while(|seed| *seed <= runs);
        let live = |seed| {
            let outage = outage(calls_per_second, minutes, primary, seed);
            run(simulate(CONFIG, outage, seed))
        };
        seeds.map(live).collect::<Vec<_>>()
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(some)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().collect()
    })
}

fn outage(calls_per_second: f64, minutes: u64, primary: Weather, seed: u64) -> Outage {
    let longer = fastrand::Rng::with_seed(seed).f64() * LONGEST_CYCLE;
    Outage {
        name: "recovery",
        calls_per_second,
        fault: Duration::from_secs(60 * minutes) + Duration::from_secs_f64(longer),
        primary,
        backup: Weather::Fine,
        healthy: Weather::Fine,
        goal: Goal::default(),
    }
}

fn is_within_the_law(outcomes: &Outcomes) -> bool {
    outcomes.attempts <= outcomes.calls + BURST + RATIO * outcomes.answered
}

/// The share of runs in which the primary was used again within so many seconds.
fn within(all: &[Outcomes], seconds: f64) -> f64 {
    let is_within = |outcomes: &&Outcomes| outcomes.recovered.is_some_and(|after| after <= seconds);
    all.iter().filter(is_within).count() as f64 / all.len() as f64
}

fn line(name: &str, minutes: u64, calls_per_second: f64, all: &[Outcomes]) -> String {
    let sum = |of: fn(&Outcomes) -> f64| all.iter().map(of).sum::<f64>();
    let after = |outcomes: &Outcomes| outcomes.recovered.unwrap_or(f64::INFINITY);
    let mut back: Vec<_> = all.iter().map(after).collect();
    back.sort_by(f64::total_cmp);
    let after_which = |share: f64| {
        let nth = (share * back.len() as f64).ceil() as usize;
        back[nth.max(1) - 1]
    };
    format!(
        "| {name} | {minutes} min | {calls_per_second} | {:.3} | {:.2} % | {:.1} s | {:.1} s | {:.1} s | {:.1} s | {:.1} % | {:.1} % |",
        sum(|outcomes| outcomes.attempts) / sum(|outcomes| outcomes.calls),
        100.0 * sum(|outcomes| outcomes.answered) / sum(|outcomes| outcomes.calls),
        after_which(0.5),
        after_which(0.9),
        after_which(0.99),
        after_which(1.0),
        100.0 * within(all, 20.0),
        100.0 * within(all, 30.0),
    )
}
