//! Is a model that takes long to answer taken for one that fails, and is it used again after an outage?

use std::time::Duration;

use std::sync::Arc;

use modelway::dispatch::Interruption;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::outages::{Goal, Outage, Outcomes, simulate};
use super::world::{Told, Weather};
use super::{How, Simulation, run};

/// A scenario whose primary has such lines of its own.
fn config(primary: &str) -> String {
    format!(
        r#"
[providers.primary]
wire_format = "openai_chat"
base_url = "https://p0.test/v1"
auth = "none"
[providers.backup]
wire_format = "openai_chat"
base_url = "https://p1.test/v1"
auth = "none"
[models."primary/m0"]
{primary}
[models."backup/m0"]
[scenarios.s]
targets = ["primary/m0", "backup/m0"]
timeout = "8m"
"#
    )
}

fn after_an_outage(primary: &str, calls_per_second: f64, healthy: Weather) -> Outcomes {
    let outage = Outage {
        name: "slow",
        calls_per_second,
        fault: Duration::from_secs(60),
        primary: Weather::Errors(1.0),
        backup: Weather::Fine,
        healthy,
        goal: Goal::default(),
    };
    run(simulate(&config(primary), outage, 1))
}

/// The longest time until a probe is sent, and until three have been answered of which each that is
/// late lets the next one through after ten seconds.
fn soon(answer: f64) -> f64 {
    let wait_for_calls = 3.0;
    14.0 + wait_for_calls + (3.0 * answer).min(answer + 20.0)
}

#[test]
fn a_primary_is_soon_back_however_long_its_answers_take() {
    let reasoning = r#"timeouts = { first_event = "60s", first_content = "2m", byte_idle = "2m" }"#;
    let example =
        r#"timeouts = { first_event = "30s", first_content = "2m", progress_idle = "2m" }"#;
    let table = [
        (
            "whole answers",
            r#"upstream_mode = "whole""#,
            Weather::Slow(12),
        ),
        (
            "whole answers",
            r#"upstream_mode = "whole""#,
            Weather::Slow(30),
        ),
        (
            "whole answers",
            r#"upstream_mode = "whole""#,
            Weather::Slow(60),
        ),
        ("long silence", reasoning, Weather::Slow(20)),
        ("longer silence", reasoning, Weather::Slow(45)),
        ("the example's limits", example, Weather::Slow(25)),
        ("the default limits", "", Weather::Slow(8)),
        ("long reasoning", reasoning, Weather::Thinking(100)),
    ];
    for (name, primary, healthy) in table {
        let (Weather::Slow(seconds) | Weather::Thinking(seconds)) = healthy else {
            panic!("{healthy:?} is not slow");
        };
        for calls_per_second in [2.0, 20.0] {
            let outcomes = after_an_outage(primary, calls_per_second, healthy);

            let back = outcomes.recovered.unwrap_or(f64::INFINITY);
            println!("{name} of {seconds} s, {calls_per_second} calls/s: back after {back:.1} s");
            assert!(back <= soon(seconds as f64), "{name}: {back} s");
        }
    }
}

#[test]
fn silence_that_a_models_limits_allow_opens_no_breaker() {
    let limits = [
        (r#"first_event = "60s""#, 8),
        (r#"first_event = "60s""#, 15),
        (r#"first_event = "60s", first_content = "2m""#, 20),
        (
            r#"first_event = "30s", first_content = "2m", stall_after = "20s""#,
            15,
        ),
    ];
    for (limits, seconds) in limits {
        for calls_per_second in [1, 5, 20] {
            let primary = format!("timeouts = {{ {limits} }}");

            let (answered, opened) =
                run(answers(&primary, Weather::Slow(seconds), calls_per_second));

            assert_eq!(answered, 60 * calls_per_second, "{limits}");
            assert_eq!(opened, 0, "{limits}, {calls_per_second} calls/s");
        }
    }
}

/// A minute of such answers: how many calls are answered by the primary, and how often its breaker opens.
async fn answers(primary: &str, weather: Weather, calls_per_second: usize) -> (usize, u64) {
    let config = config(primary);
    let simulation = Simulation::begin(&config, 1, Told(Arc::new(|_, _| {})));
    simulation.world.set(0, weather);
    let simulation = Arc::new(simulation);
    let route = simulation.route("s");
    let mut calls = JoinSet::new();
    for number in 0..60 * calls_per_second {
        sleep(Duration::from_secs(1) / calls_per_second as u32).await;
        let (simulation, route) = (Arc::clone(&simulation), Arc::clone(&route));
        calls.spawn(async move {
            let how = How {
                whole: true,
                interruption: Interruption::Fail,
                timeout: None,
            };
            let mut call = simulation.call(&route, number, how);
            call.whole().await.is_ok() && call.trail().attempts.len() == 1
        });
    }
    let answered = calls
        .join_all()
        .await
        .into_iter()
        .filter(|answered| *answered);
    let routes = simulation.dispatcher.routes();
    let primary = &routes.target("primary/m0").unwrap().health;
    (answered.count(), primary.snapshot().opened_total)
}
