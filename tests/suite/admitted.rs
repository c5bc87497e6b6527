//! Is every request that reaches a provider one that was let through by the limits and written down before, whatever door,
//! method or rule has sent it?

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use futures_util::future::join_all;
use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::{
    BillingClass, ExplainPlanRequest, GenerateRequest, ListModelsRequest, OnInterruption,
    StreamOptions, WhoAmIRequest,
};
use modelway::limits::Now;
use modelway::simulator::Behaviour;
use prost::Message as _;
use tokio::time::Instant;

use crate::doors::http::{Http1, post, post_json};
use crate::ledger::{rows, sum, table};
use crate::support::crowd::span_of;
use crate::support::posted::framed;
use crate::support::{Gateway, METHODS, Method, ask, scratch, until};

/// A limit on providers counts attempts.
const LIMITS: &str = r#"
[[limits]]
id = "attempts"
requests = 1000000
window = "day"
per = ["provider"]
[[limits]]
id = "money"
money = "1000 USD"
window = "day"
"#;

const PATIENT: &str = r#"
[breaker]
consecutive_failures = 100000
min_samples = 100000
min_commits = 100000
[throttle]
base_wait = "1ms"
max_wait = "1ms"
[models."openai/flaky"]
price = { input = 1, output = 10 }
max_output_tokens = 100
timeouts = { first_event = "400ms", first_content = "400ms" }
[models."anthropic/steady"]
price = { input = 1, output = 10 }
max_output_tokens = 100
[models."gemini/late"]
price = { input = 1, output = 10 }
max_output_tokens = 100
[scenarios.flaky]
targets = ["openai/flaky", "anthropic/steady"]
retry_first = {}
retry = { ratio = 1.0, burst = 1000 }
[scenarios.hedged]
targets = ["gemini/late", "anthropic/steady"]
hedge = { min_delay = "50ms", burst = 1000, max_cost = 1 }
[scenarios.steady]
targets = ["anthropic/steady"]
"#;

/// Breakers that open at once and stay open.
const TOUCHY: &str = r#"
[breaker]
consecutive_failures = 1
consecutive_failures_busy = 1
open_base = "60s"
[models."openai/one"]
price = { input = 1, output = 10 }
max_output_tokens = 100
[models."anthropic/two"]
price = { input = 1, output = 10 }
max_output_tokens = 100
[scenarios.s]
targets = ["openai/one", "anthropic/two"]
"#;

/// What the flaky target does, over and over.
const FLAKY: [&str; 8] = [
    "status=503",
    "cut=3",
    "tokens=2",
    "hang",
    "no-usage",
    "reset",
    "status=429",
    "error=2",
];

/// All ways in.
#[derive(Clone, Copy, Debug)]
enum Door {
    Grpc(Method),
    Web(&'static str),
    Json(&'static str),
}

const DOORS: [Door; 6] = [
    Door::Grpc(Method::Generate),
    Door::Grpc(Method::StreamGenerate),
    Door::Web("/modelway.v1.GenerationService/Generate"),
    Door::Web("/modelway.v1.GenerationService/StreamGenerate"),
    Door::Json("/v1/generate"),
    Door::Json("/v1/stream"),
];

/// A request that is answered anew if its stream breaks off.
fn restarting(scenario: &str) -> GenerateRequest {
    GenerateRequest {
        stream_options: Some(StreamOptions {
            on_interruption: OnInterruption::Restart.into(),
        }),
        ..ask(scenario, "Hello")
    }
}

/// Makes a call; how it ends is told elsewhere.
async fn call(gateway: &Gateway, door: Door, scenario: &str) {
    match door {
        Door::Grpc(method) => {
            let _ = gateway.call(method, restarting(scenario)).await;
        }
        Door::Web(path) => {
            let lines = "content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n";
            let message = framed(0, &restarting(scenario).encode_to_vec());
            let mut http = Http1::connect(gateway.address).await;
            http.ask(&post(path, lines, &message)).await;
        }
        Door::Json(path) => {
            let body = format!(
                r#"{{"scenario":"{scenario}","messages":[{{"role":"ROLE_USER","text":"Hello"}}]}}"#
            );
            let mut http = Http1::connect(gateway.address).await;
            http.ask(&post_json(path, "", &body)).await;
        }
    }
}

/// Attempts that the limits have counted, and what is still set aside.
fn counted(gateway: &Gateway) -> (i64, i64) {
    let now = Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    };
    let states = gateway.limits.states(now);
    let attempts = states.iter().filter(|state| &*state.limit.id == "attempts");
    (
        attempts.map(|state| state.used).sum(),
        states.iter().map(|state| state.reserved).sum(),
    )
}

/// Ends a service and compares what its provider has received with what was counted and written down by all services on
/// this data directory, which had received `before` requests. Returns how many there are now.
async fn compare(what: &str, mut gateway: Gateway, data: &Path, before: usize) -> usize {
    until("nothing is set aside", async || counted(&gateway).1 == 0).await;
    let (attempts, _) = counted(&gateway);
    gateway.stop();
    gateway.stopped().await;
    let received = gateway.simulator.requests();
    let rows = rows(data);
    let written: BTreeSet<&str> = rows.iter().map(|row| &*row.span_id).collect();
    let sent: BTreeSet<String> = received.iter().map(span_of).collect();
    let unwritten = sent.iter().filter(|span| !written.contains(span.as_str()));
    let unwritten = unwritten.count();
    // A rival may be given up before it has arrived.
    let unsent = rows.len() - before - sent.len();
    let counts = i64::try_from(rows.len()).unwrap();
    println!(
        "{what}: {} requests received, {} rows more, {unsent} of them given up before they arrived, {unwritten} requests \
         without a row; the limits have counted {attempts} attempts, {} off",
        received.len(),
        rows.len() - before,
        attempts.abs_diff(counts),
    );
    assert_eq!((sent.len(), unwritten), (received.len(), 0));
    assert_eq!((written.len(), attempts), (rows.len(), counts));
    let given_up = rows
        .iter()
        .filter(|row| row.class() != BillingClass::Actual);
    assert!(unsent <= given_up.count());
    rows.len()
}

/// How many attempts of this kind have a row.
fn of_kind(data: &Path, kind: u32) -> i64 {
    sum(
        data,
        &format!("SELECT count(*) FROM attempts WHERE kind = {kind}"),
    )
}

#[tokio::test]
async fn no_door_method_or_rule_sends_what_was_not_let_through_and_written_down() {
    const ROUNDS: usize = 24;
    const KNOWN_AFTER: usize = 200;
    let data = scratch::path("admitted");
    let config = format!("{PATIENT}{LIMITS}{}", table(&data, ""));
    let gateway = Gateway::start(&config).await;
    let script = FLAKY.iter().cycle().take(ROUNDS * DOORS.len() * 3);
    let script = script.map(|text| text.parse::<Behaviour>().unwrap());
    gateway.simulator.script("flaky", script);
    for _ in 0..ROUNDS {
        let calls = DOORS.map(|door| call(&gateway, door, "flaky"));
        join_all(calls).await;
    }
    // Repeats of a call, during it and after it.
    let slow: Behaviour = "tokens=10+gap=10ms".parse().unwrap();
    gateway.simulator.set("steady", slow);
    for key in 0..8 {
        let keyed = || GenerateRequest {
            idempotency_key: format!("k{key}"),
            ..ask("steady", "Hello")
        };
        let before = gateway.simulator.requests().len();
        join_all([(); 5].map(|()| gateway.generate(keyed()))).await;
        gateway.generate(keyed()).await.unwrap();
        assert_eq!(gateway.simulator.requests().len(), before + 1);
    }
    gateway.simulator.set("steady", Behaviour::default());
    // Rivals, once it is known what is usual.
    for number in 0..KNOWN_AFTER {
        let method = METHODS[number % METHODS.len()];
        gateway.call(method, ask("hedged", "Hello")).await.unwrap();
    }
    let late: Behaviour = "first=20s".parse().unwrap();
    gateway.simulator.set("late", late);
    for door in DOORS {
        call(&gateway, door, "hedged").await;
    }
    // What sends nothing.
    let before = gateway.simulator.requests().len();
    for _ in 0..5 {
        let request = ExplainPlanRequest {
            request: Some(ask("hedged", "Hello")),
        };
        gateway.operations().explain_plan(request).await.unwrap();
        let models = ListModelsRequest::default();
        gateway.catalog().list_models(models).await.unwrap();
        let mut callers = CallerServiceClient::new(gateway.channel());
        callers.who_am_i(WhoAmIRequest {}).await.unwrap();
    }
    assert_eq!(gateway.simulator.requests().len(), before);
    let rows = compare("every door, rivals and repeats", gateway, &data, 0).await;

    // The next process goes on from there.
    let gateway = Gateway::start(&config).await;
    assert_eq!(counted(&gateway).0, i64::try_from(rows).unwrap());
    for door in DOORS {
        call(&gateway, door, "flaky").await;
    }
    compare("after a restart", gateway, &data, rows).await;
    // Primary, retry, failover, rival.
    assert!((1..=4).all(|kind| of_kind(&data, kind) > 0));
}

#[tokio::test]
async fn probes_and_last_resorts_are_let_through_and_written_down() {
    const BEFORE: usize = 30;
    let data = scratch::path("admitted-probes");
    let config = format!("{TOUCHY}{LIMITS}{}", table(&data, ""));
    let gateway = Gateway::start(&config).await;
    let failing: Behaviour = "status=500".parse().unwrap();
    gateway.simulator.set("one", failing.clone());
    let mut script = vec![Behaviour::default(); BEFORE];
    script.push(failing);
    script.push(Behaviour::default());
    gateway.simulator.script("two", script);
    for _ in 0..BEFORE {
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }
    gateway.generate(ask("s", "Hello")).await.unwrap_err();
    for _ in 0..10 {
        for door in DOORS {
            call(&gateway, door, "s").await;
        }
    }

    compare("last resort and probes", gateway, &data, 0).await;
    let [probes, last_resorts] = [5, 6].map(|kind| of_kind(&data, kind));
    println!("{probes} probes, {last_resorts} last resorts");
    assert!(probes > 0 && last_resorts > 0);
}
