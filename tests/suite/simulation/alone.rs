//! What becomes of calls that have one target while its breaker is open, and of that target once it is back?

use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelway::dispatch::Interruption;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::world::{Told, Weather};
use super::{How, Simulation, run};

const CONFIG: &str = r#"
[providers.only]
wire_format = "openai_chat"
base_url = "https://p0.test/v1"
auth = "none"
[models."only/m0"]
[scenarios.s]
targets = ["only/m0"]
"#;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The longest that a call waits for a target to be tried again.
const LONGEST_WAIT: f64 = 2.0;

/// The most calls that wait for a provider at a time.
const MOST_WAITING: usize = 64;

/// One call: when it began, after how long it ended, and whether it was answered.
#[derive(Clone, Debug)]
struct Ended {
    began: Instant,
    took: Duration,
    is_answered: bool,
}

struct Outcome {
    calls: Vec<Ended>,
    /// When each attempt was sent.
    attempts: Vec<Instant>,
    recovered: Instant,
}

/// A target that is well for half a minute, down for so long, and well again for as long as it takes.
async fn outage(calls_per_second: f64, down: Duration, seed: u64) -> Outcome {
    let simulation = Arc::new(Simulation::begin(CONFIG, seed, Told(Arc::new(|_, _| {}))));
    let route = simulation.route("s");
    let mut draw = fastrand::Rng::with_seed(seed.wrapping_mul(31));
    let falls = Instant::now() + Duration::from_secs(30);
    let recovered = falls + down;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let mut number = 0;
    while Instant::now() < recovered + Duration::from_secs(60) {
        let gap = -(1.0 - draw.f64()).ln() / calls_per_second;
        sleep(Duration::from_secs_f64(gap)).await;
        while tasks.try_join_next().is_some() {}
        let began = Instant::now();
        let is_down = began >= falls && began < recovered;
        let weather = match is_down {
            true => Weather::Errors(1.0),
            false => Weather::Fine,
        };
        simulation.world.set(0, weather);
        number += 1;
        let (simulation, route, calls) = (
            Arc::clone(&simulation),
            Arc::clone(&route),
            Arc::clone(&calls),
        );
        tasks.spawn(async move {
            let how = How {
                whole: true,
                interruption: Interruption::Fail,
                timeout: Some(TIMEOUT),
            };
            let mut call = simulation.call(&route, number, how);
            let is_answered = call.whole().await.is_ok();
            let took = began.elapsed();
            calls.lock().unwrap().push(Ended {
                began,
                took,
                is_answered,
            });
        });
    }
    tasks.join_all().await;
    let attempts = simulation
        .world
        .seen()
        .iter()
        .map(|seen| seen.began)
        .collect();
    let calls = std::mem::take(&mut *calls.lock().unwrap());
    Outcome {
        calls,
        attempts,
        recovered,
    }
}

#[test]
fn calls_with_one_target_wait_for_a_probe_that_is_due_and_come_to_it_one_after_the_other() {
    println!("calls/s | down for | lost after it | in seconds | attempts at most in 100 ms");
    for calls_per_second in [1.0, 5.0, 20.0] {
        for down in [10, 60] {
            let (mut lost, mut longest, mut most) = (0, 0.0_f64, 0);
            for seed in 1..=5 {
                let Outcome {
                    calls,
                    attempts,
                    recovered,
                } = run(outage(calls_per_second, Duration::from_secs(down), seed));
                let after = calls.iter().filter(|call| call.began >= recovered);
                for call in after.clone().filter(|call| !call.is_answered) {
                    lost += 1;
                    longest = longest.max((call.began - recovered).as_secs_f64());
                    assert!(
                        call.took <= Duration::from_secs_f64(LONGEST_WAIT + 0.2),
                        "{call:?}"
                    );
                }
                let in_a_row = |first: &Instant| {
                    let last = *first + Duration::from_millis(100);
                    let others = attempts.iter().filter(|at| *at >= first && **at < last);
                    others.count()
                };
                most = most.max(attempts.iter().map(in_a_row).max().unwrap_or(0));
            }
            println!("{calls_per_second} | {down} s | {lost} | {longest:.1} | {most}");
            // Those that come while many wait, and as fast as they come anyhow.
            let usual = (calls_per_second / 10.0) as usize + 5;
            assert!(most <= usual + MOST_WAITING / 4, "{most} at a time");
            assert!(longest <= 14.0, "{longest}");
        }
    }
}
