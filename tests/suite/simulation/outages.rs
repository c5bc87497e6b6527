//! What does an outage cost, how soon is it noticed, and how soon is its end?

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelway::dispatch::Interruption;
use modelway::trail::{AttemptKind, BreakerState, Outcome};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::world::{Told, Weather};
use super::{How, Simulation, run};
use crate::support::number_from;

pub(super) const CONFIG: &str = r#"
[providers.primary]
wire_format = "openai_chat"
base_url = "https://p0.test/v1"
auth = "none"
[providers.backup]
wire_format = "openai_chat"
base_url = "https://p1.test/v1"
auth = "none"
[models."primary/m0"]
[models."backup/m0"]
[scenarios.s]
targets = ["primary/m0", "backup/m0"]
"#;

/// Tokens of the scenario's budget, which is the default one, and what a success adds to them.
pub(super) const BURST: f64 = 50.0;
pub(super) const RATIO: f64 = 0.2;

const WARM_UP: Duration = Duration::from_secs(30);
const FAULT: Duration = Duration::from_secs(120);

/// The longest time that is simulated after a fault, beyond any lock of a credential.
const AFTERMATH: Duration = Duration::from_secs(400);

/// An outage, and what must come of it.
#[derive(Clone, Copy)]
pub(super) struct Outage {
    pub(super) name: &'static str,
    pub(super) calls_per_second: f64,
    pub(super) fault: Duration,
    pub(super) primary: Weather,
    pub(super) backup: Weather,
    /// How the primary answers before and after.
    pub(super) healthy: Weather,
    pub(super) goal: Goal,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Goal {
    /// Share of calls that are answered, at least.
    pub(super) answered: f64,
    /// Seconds until the primary's breaker opens, at most; `None` if it need not.
    pub(super) opened: Option<f64>,
    /// Seconds from the end of the fault until the primary serves calls as before, at most.
    pub(super) recovered: f64,
}

/// What came of an outage.
#[derive(Clone, Copy, Default)]
pub(super) struct Outcomes {
    pub(super) calls: f64,
    pub(super) attempts: f64,
    pub(super) answered: f64,
    opened: Option<f64>,
    /// Seconds from the end of the fault until the primary served calls as before.
    pub(super) recovered: Option<f64>,
}

/// The longest time that a breaker stays open, and three probes of 1.5 s with calls to make them.
const RECOVERY: f64 = 14.0 + 3.0 * 1.5 + 8.0;

#[rustfmt::skip] // a table is read by its columns
fn outages() -> Vec<Outage> {
    use Weather::{Cuts, Errors, FallsSilent, Fine, KeyRefused, RateLimited, Silent};
    let goal = |answered, opened, recovered| Goal { answered, opened, recovered };
    let row = |name, calls_per_second, primary, backup, goal| Outage { name, calls_per_second, fault: FAULT, primary, backup, healthy: Fine, goal };
    let down = Errors(1.0);
    vec![
        row("both down",                   5.0, down,                down,        goal(0.0,   Some(5.0), RECOVERY)),
        row("both down",                  20.0, down,                down,        goal(0.0,   Some(5.0), RECOVERY)),
        row("both down",                  50.0, down,                down,        goal(0.0,   Some(5.0), RECOVERY)),
        row("both silent",                20.0, Silent,              Silent,      goal(0.0,   Some(5.0), RECOVERY)),
        row("primary down",                1.0, down,                Fine,        goal(1.0,   Some(10.0), RECOVERY)),
        row("primary down",                5.0, down,                Fine,        goal(1.0,   Some(5.0), RECOVERY)),
        row("primary down",               20.0, down,                Fine,        goal(1.0,   Some(5.0), RECOVERY)),
        row("primary down",               50.0, down,                Fine,        goal(0.998,   Some(5.0), RECOVERY)),
        row("primary silent",             20.0, Silent,              Fine,        goal(0.99,  Some(5.0), RECOVERY)),
        row("primary cuts answers",       20.0, Cuts,                Fine,        goal(0.99,  Some(5.0), RECOVERY)),
        row("primary cuts answers",        0.2, Cuts,                Fine,        goal(0.99,  Some(60.0), 60.0)),
        row("primary stops half-way",      2.0, FallsSilent,         Fine,        goal(0.99,  None,      RECOVERY)),
        row("primary stops half-way",     20.0, FallsSilent,         Fine,        goal(0.80,  None,      RECOVERY)),
        row("primary 25 % errors",         2.0, Errors(0.25),        Fine,        goal(0.999, None,      RECOVERY)),
        row("primary 25 % errors",        20.0, Errors(0.25),        Fine,        goal(0.999, None,      RECOVERY)),
        row("primary 45 % errors",        20.0, Errors(0.45),        Fine,        goal(0.999, None,      RECOVERY)),
        row("both 20 % errors",            2.0, Errors(0.2),         Errors(0.2), goal(0.88,  None,      RECOVERY)),
        row("both 20 % errors",           20.0, Errors(0.2),         Errors(0.2), goal(0.95,  None,      RECOVERY)),
        row("both 45 % errors",           20.0, Errors(0.45),        Errors(0.45),goal(0.546, None,      RECOVERY)),
        row("both 70 % errors",           20.0, Errors(0.7),         Errors(0.7), goal(0.19, None,      RECOVERY)),
        row("primary 429, hint 2 s",      20.0, RateLimited(Some(2)),Fine,        goal(0.999, None,      62.0)),
        row("primary 429, no hint",       20.0, RateLimited(None),   Fine,        goal(0.999, None,      62.0)),
        row("primary refuses the key",    20.0, KeyRefused,          Fine,        goal(1.0,   None,      300.0)),
    ]
}

#[test]
fn outages_cost_little_and_are_noticed_soon() {
    let first_seed = number_from("MODELWAY_SEED", 1);
    let seeds = number_from("MODELWAY_SEEDS", 1);
    let mut table = String::from(
        "| fault | calls/s | attempts per call | answered | opens after | primary back after |\n|---|---|---|---|---|---|\n",
    );
    let mut missed = Vec::new();
    for outage in outages() {
        let all: Vec<_> = (first_seed..first_seed + seeds)
            .map(|seed| run(simulate(CONFIG, outage, seed)))
            .collect();
        let line = line(&outage, &all);
        missed.extend(
            misses(&outage, &all)
                .iter()
                .map(|what| format!("{what}: {line}")),
        );
        writeln!(table, "{line}").unwrap();
    }
    println!("seeds {first_seed} to {}\n{table}", first_seed + seeds - 1);
    assert!(missed.is_empty(), "{table}\n{}", missed.join("\n"));
}

#[test]
fn ten_minutes_without_any_answer_add_no_more_attempts_than_the_burst() {
    for calls_per_second in [1.0, 5.0, 50.0] {
        let outage = Outage {
            name: "ten minutes",
            calls_per_second,
            fault: Duration::from_secs(600),
            primary: Weather::Errors(1.0),
            backup: Weather::Errors(1.0),
            healthy: Weather::Fine,
            goal: Goal {
                answered: 0.0,
                opened: None,
                recovered: RECOVERY,
            },
        };

        let Outcomes {
            calls, attempts, ..
        } = run(simulate(CONFIG, outage, number_from("MODELWAY_SEED", 1)));

        println!("{calls_per_second}/s: {attempts} attempts for {calls} calls");
        assert!(
            attempts <= calls + BURST,
            "{attempts} attempts for {calls} calls"
        );
    }
}

/// What an outage did that it must not do.
fn misses(outage: &Outage, all: &[Outcomes]) -> Vec<&'static str> {
    let goal = outage.goal;
    let mut missed = Vec::new();
    for outcomes in all {
        if outcomes.attempts > (1.0 + RATIO) * outcomes.calls + BURST {
            missed.push("too many attempts");
        }
        let late = |limit| outcomes.opened.is_none_or(|opened| opened > limit);
        if goal.opened.is_some_and(late) {
            missed.push("opened too late");
        }
        if outcomes
            .recovered
            .is_none_or(|after| after > goal.recovered)
        {
            missed.push("recovered too late");
        }
    }
    let answered: f64 = all.iter().map(|outcomes| outcomes.answered).sum();
    let calls: f64 = all.iter().map(|outcomes| outcomes.calls).sum();
    if answered < goal.answered * calls {
        missed.push("too few answered");
    }
    missed
}

fn line(outage: &Outage, all: &[Outcomes]) -> String {
    let sum = |of: fn(&Outcomes) -> f64| all.iter().map(of).sum::<f64>();
    let calls = sum(|outcomes| outcomes.calls);
    let range = |of: fn(&Outcomes) -> Option<f64>| {
        let mut values: Vec<f64> = all.iter().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        match (values.first(), values.last()) {
            (Some(least), Some(most)) if values.len() == all.len() => {
                format!("{least:.1}–{most:.1} s")
            }
            (Some(least), Some(most)) => {
                format!("{least:.1}–{most:.1} s ({} of {})", values.len(), all.len())
            }
            _ => "–".to_owned(),
        }
    };
    format!(
        "| {} | {} | {:.3} | {:.2} % | {} | {} |",
        outage.name,
        outage.calls_per_second,
        sum(|outcomes| outcomes.attempts) / calls,
        100.0 * sum(|outcomes| outcomes.answered) / calls,
        range(|outcomes| outcomes.opened),
        range(|outcomes| outcomes.recovered),
    )
}

/// What the calls of a simulation report.
#[derive(Default)]
struct Tally {
    calls: u32,
    attempts: u32,
    answered: u32,
    /// When the primary first answered a call as its ordinary first target after the fault.
    back: Option<Instant>,
}

pub(super) async fn simulate(config: &str, outage: Outage, seed: u64) -> Outcomes {
    let simulation = Arc::new(Simulation::begin(config, seed, Told(Arc::new(|_, _| {}))));
    let route = simulation.route("s");
    let mut changes = simulation.dispatcher.watch_breakers();
    let mut draw = fastrand::Rng::with_seed(seed.wrapping_mul(31));
    let fault_begins = Instant::now() + WARM_UP;
    let fault_ends = fault_begins + outage.fault;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut tasks = JoinSet::new();
    let mut opened = None;
    let mut number = 0;
    loop {
        // Calls come independently of each other.
        sleep(Duration::from_secs_f64(
            -(1.0 - draw.f64()).ln() / outage.calls_per_second,
        ))
        .await;
        while tasks.try_join_next().is_some() {}
        let now = Instant::now();
        let in_fault = now >= fault_begins && now < fault_ends;
        let (primary, backup) = if in_fault {
            (outage.primary, outage.backup)
        } else {
            (outage.healthy, Weather::Fine)
        };
        simulation.world.set(0, primary);
        simulation.world.set(1, backup);
        while let Ok(change) = changes.try_recv() {
            if change.target.as_deref() == Some("primary/m0")
                && change.transition.to == BreakerState::Open
                && opened.is_none()
                && in_fault
            {
                opened = Some(now.duration_since(fault_begins).as_secs_f64());
            }
        }
        let is_over = tally.lock().unwrap().back.is_some() || now > fault_ends + AFTERMATH;
        if now > fault_ends && is_over {
            break;
        }
        number += 1;
        let (simulation, route) = (Arc::clone(&simulation), Arc::clone(&route));
        let tally = Arc::clone(&tally);
        tasks.spawn(async move {
            let how = How {
                whole: true,
                interruption: Interruption::Fail,
                timeout: None,
            };
            let mut call = simulation.call(&route, number, how);
            let answer = call.whole().await;
            let answered = answer.is_ok();
            let trail = answer.err().map(|failure| failure.trail);
            let trail = trail.as_ref().unwrap_or(call.trail());
            let first = trail.attempts.first();
            let by_primary = first.is_some_and(|first| {
                first.kind == AttemptKind::Primary && first.outcome == Outcome::Succeeded
            });
            let mut tally = tally.lock().unwrap();
            if in_fault {
                tally.calls += 1;
                tally.attempts += trail.sent().count() as u32;
                tally.answered += u32::from(answered);
            }
            if by_primary && now >= fault_ends {
                tally.back.get_or_insert(now);
            }
        });
    }
    tasks.join_all().await;
    let tally = tally.lock().unwrap();
    Outcomes {
        calls: f64::from(tally.calls),
        attempts: f64::from(tally.attempts),
        answered: f64::from(tally.answered),
        opened,
        recovered: tally
            .back
            .map(|back| back.duration_since(fault_ends).as_secs_f64()),
    }
}
