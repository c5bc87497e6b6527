//! What becomes of health, budgets and calls under way when another table of routes takes the place of the present one?

use std::sync::Arc;
use std::time::Duration;

use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::dispatch::Interruption;
use modelway::dispatch::routes::Selector;
use modelway::dispatch::target::Catalog;
use modelway::error::Error;
use modelway::trail::BreakerState;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::world::{Told, Weather};
use super::{How, Simulation, request, run};

const PROVIDERS: &str = r#"
[providers.p0]
wire_format = "openai_chat"
base_url = "https://p0.test/v1"
auth = "none"
[providers.p1]
wire_format = "openai_chat"
base_url = "https://p1.test/v1"
auth = "none"
"#;

/// The first table, and one in which a model has gone, another is new, and a scenario has other targets.
const BEFORE: &str = r#"
[models."p0/m0"]
[models."p0/m1"]
[models."p1/m0"]
[scenarios.stays]
targets = ["p0/m0", "p1/m0"]
retry = { ratio = 0.0, burst = 20 }
[scenarios.goes]
targets = ["p0/m1"]
"#;
const AFTER: &str = r#"
[models."p0/m0"]
[models."p1/m0"]
[models."p1/m2"]
[scenarios.stays]
targets = ["p0/m0", "p1/m2", "p1/m0"]
retry = { ratio = 0.0, burst = 20 }
[scenarios.comes]
targets = ["p1/m2"]
"#;

const PROMPTLY: How = How {
    whole: true,
    interruption: Interruption::Fail,
    timeout: Some(Duration::from_secs(60)),
};

fn catalog(models: &str) -> Catalog {
    let config = File::parse(&format!("{PROVIDERS}{models}"))
        .resolve(&Surroundings::without_secrets(None))
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    config.catalog
}

fn begin(seed: u64) -> Simulation {
    let told = Told(Arc::new(|_, _| {}));
    Simulation::begin(&format!("{PROVIDERS}{BEFORE}"), seed, told)
}

fn tokens(simulation: &Simulation, scenario: &str) -> u32 {
    let selector = Selector::Scenario(scenario.to_owned());
    let explanation = simulation.dispatcher.explain(&selector, &request(0));
    explanation.unwrap().retry_tokens
}

fn state(simulation: &Simulation, model: &str) -> BreakerState {
    let routes = simulation.dispatcher.routes();
    routes.target(model).unwrap().health.snapshot().state
}

#[test]
fn what_is_known_of_models_and_scenarios_that_stay_goes_on_and_the_rest_is_forgotten() {
    run(async {
        let simulation = begin(1);
        let dispatcher = &simulation.dispatcher;
        let mut changes = dispatcher.watch_breakers();
        simulation.world.set(0, Weather::Errors(1.0));
        for number in 0..8 {
            for scenario in ["stays", "goes"] {
                let route = simulation.route(scenario);
                let _ = simulation.call(&route, number, PROMPTLY).whole().await;
            }
        }
        assert_ne!(state(&simulation, "p0/m0"), BreakerState::Closed);
        assert_ne!(state(&simulation, "p0/m1"), BreakerState::Closed);
        let left = tokens(&simulation, "stays");
        assert!(left < 20);
        while changes.try_recv().is_ok() {}

        dispatcher.exchange(catalog(AFTER));

        assert_ne!(state(&simulation, "p0/m0"), BreakerState::Closed);
        assert_eq!(state(&simulation, "p1/m2"), BreakerState::Closed);
        assert_eq!(tokens(&simulation, "stays"), left);
        let gone = dispatcher.route(&Selector::Scenario("goes".to_owned()));
        assert_eq!(gone.err(), Some(Error::ScenarioNotFound("goes".to_owned())));
        assert!(dispatcher.routes().target("p0/m1").is_none());

        // What comes back is new, and those who watch go on watching.
        dispatcher.exchange(catalog(BEFORE));
        assert_eq!(state(&simulation, "p0/m1"), BreakerState::Closed);
        assert_ne!(state(&simulation, "p0/m0"), BreakerState::Closed);
        assert_eq!(tokens(&simulation, "goes"), 50);
        simulation.world.set(1, Weather::Errors(1.0));
        let route = simulation.route("stays");
        for number in 8..16 {
            let _ = simulation.call(&route, number, PROMPTLY).whole().await;
        }
        assert!(changes.try_recv().is_ok());
    });
}

#[test]
fn a_call_goes_on_with_the_table_that_it_began_with() {
    run(async {
        let simulation = begin(2);
        simulation.world.set(0, Weather::Slow(5));
        let old = simulation.route("goes");
        let mut call = simulation.call(&old, 0, PROMPTLY);
        let mut prepared = simulation.call(&old, 1, PROMPTLY);
        drop(old);

        let exchanged = async {
            sleep(Duration::from_secs(1)).await;
            simulation.dispatcher.exchange(catalog(AFTER));
        };
        let (answer, ()) = tokio::join!(call.whole(), exchanged);

        assert!(answer.is_ok());
        assert!(
            prepared.whole().await.is_ok(),
            "its target is known as long as it needs it"
        );
        let trail = &prepared.trail().attempts;
        assert_eq!(trail[0].target, "p0/m1");
    });
}

#[test]
fn tables_are_exchanged_while_calls_run_and_nothing_is_lost_or_held() {
    run(async {
        let simulation = Arc::new(begin(3));
        simulation.world.set(0, Weather::Wild(0.3));
        simulation.world.set(1, Weather::Wild(0.3));
        let mut draw = fastrand::Rng::with_seed(3);
        let mut calls = JoinSet::new();
        let began = Instant::now();
        let mut number = 0;
        while began.elapsed() < Duration::from_secs(120) {
            sleep(Duration::from_millis(draw.u64(0..40))).await;
            if draw.u32(0..50) == 0 {
                let table = [BEFORE, AFTER][draw.usize(0..2)];
                simulation.dispatcher.exchange(catalog(table));
            }
            number += 1;
            let simulation = Arc::clone(&simulation);
            calls.spawn(async move {
                let route = simulation.route("stays");
                let mut call = simulation.call(&route, number, PROMPTLY);
                match call.whole().await {
                    Ok(_) => true,
                    Err(failure) => {
                        assert!(!matches!(failure.error, Error::Internal(_)), "{failure:?}");
                        false
                    }
                }
            });
        }
        let answered = calls.join_all().await;

        println!(
            "{number} calls, {} answered",
            answered.iter().filter(|so| **so).count()
        );
        simulation.dispatcher.exchange(catalog(BEFORE));
        for guarded in simulation.dispatcher.routes().targets() {
            assert_eq!(guarded.health.concurrency().0, 0, "{}", guarded.target.id);
        }
        assert!(tokens(&simulation, "stays") <= 20);
        let providers: Vec<_> = simulation
            .dispatcher
            .routes()
            .providers()
            .map(|provider| provider.models().len())
            .collect();
        assert_eq!(providers, [2, 1], "no model is left that no table names");
    });
}
