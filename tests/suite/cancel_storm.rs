//! Does a caller that goes away at any moment stop everything at once, however many do so?
//!
//! `MODELWAY_CANCELS` says how many calls are cancelled, `MODELWAY_SEED` draws which; `just storms`
//! cancels ten thousand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{BreakerState, GenerateRequest};
use modelway::simulator::{Ending, Received};
use opentelemetry_sdk::trace::SpanData;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::Request;
use tonic::transport::Channel;

use crate::support::aftermath::{
    breakers, every_place_is_free, nothing_is_under_way, tasks, tasks_fall_to, tokens,
};
use crate::support::recorder::{Recorder, attribute};
use crate::support::{Gateway, METHODS, Method, ask, note_lateness, number_from, slowest};

/// Callers, each with one call after the other, and how many of them are let in at once. Few enough
/// that what is measured is not how they wait for each other.
const CALLERS: usize = 8;
const PLACES: usize = 6;

/// Where calls are when they are cancelled, by what their only model does.
const PHASES: [&str; 11] = [
    "hang",
    "delay=15ms",
    "silence",
    "pings=2ms",
    "role-only",
    "first=15ms",
    "tokens=1000+gap=2ms",
    "slice=10+drip=1ms",
    "stall=5",
    "tokens=3",
    "status=429+retry-after=10ms",
];

/// Two targets of which the first one refuses, the second one, and the tokens that this may cost.
const FAILOVER: &str = "failover";
const SECOND: &str = "second+first=15ms";
const BURST: usize = 100_000;

fn config() -> String {
    let mut config = format!(
        r#"
        [admission]
        max_inflight = {PLACES}
        max_wait = "1m"
        max_wait_overloaded = "1m"
        early_cancels = 1_000_000
        [transport]
        idle_timeout = "50ms"
        [throttle]
        base_wait = "1ms"
        max_wait = "1ms"

        [models."openai/spare"]
        timeouts = {{ stall_after = "1m", first_event = "1m" }}
        [scenarios.spare]
        targets = ["openai/spare"]
        [models."openai/refusing+status=429"]
        [models."openai/{SECOND}"]
        [scenarios.{FAILOVER}]
        targets = ["openai/refusing+status=429", "openai/{SECOND}"]
        retry = {{ ratio = 0.0, burst = {BURST} }}
        "#
    );
    for (number, phase) in PHASES.iter().enumerate() {
        write!(
            config,
            r#"
            [models."openai/phase+{phase}"]
            timeouts = {{ stall_after = "1h" }}
            [scenarios.phase{number}]
            targets = ["openai/phase+{phase}"]
            "#
        )
        .unwrap();
    }
    config
}

/// What all callers have done so far.
#[derive(Default)]
struct Storm {
    calls: Cell<u64>,
    /// When a call was cancelled, by its number.
    cancelled: RefCell<BTreeMap<u64, Instant>>,
}

/// One caller: makes one call after the other and leaves each at a moment that is drawn, until so many
/// have been left.
async fn call_and_leave(
    client: GenerationServiceClient<Channel>,
    mut random: fastrand::Rng,
    storm: Rc<Storm>,
    enough: usize,
) {
    while storm.cancelled.borrow().len() < enough {
        // From 1: the trace of number 0 would be none.
        storm.calls.set(storm.calls.get() + 1);
        let number = storm.calls.get();
        let scenario = match random.usize(0..=PHASES.len()) {
            phase if phase < PHASES.len() => format!("phase{phase}"),
            _ => FAILOVER.to_owned(),
        };
        let method = random.choice(METHODS).unwrap();
        let patience = Duration::from_millis(random.u64(0..40));
        let turns = random.usize(0..30);
        let leave = async {
            sleep(patience).await;
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        let call = call(client.clone(), method, numbered(number, &scenario));
        tokio::select! {
            () = call => {}
            () = leave => {
                storm.cancelled.borrow_mut().insert(number, Instant::now());
            }
        }
    }
}

/// A request whose trace is called like the number.
fn numbered(number: u64, scenario: &str) -> Request<GenerateRequest> {
    let mut request = Request::new(ask(scenario, "Hello"));
    let traceparent = format!("00-{number:032x}-00000000000000ff-01");
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", traceparent.parse().unwrap());
    request
}

fn number_of(request: &Received) -> u64 {
    let traceparent = request.header("traceparent").unwrap();
    u64::from_str_radix(traceparent.split('-').nth(1).unwrap(), 16).unwrap()
}

async fn call(
    mut client: GenerationServiceClient<Channel>,
    method: Method,
    request: Request<GenerateRequest>,
) {
    match method {
        Method::Generate => {
            // Some are answered before they are cancelled, and some are told to come back.
            let _ = client.generate(request).await;
        }
        Method::StreamGenerate => {
            let Ok(response) = client.stream_generate(request).await else {
                return;
            };
            let mut events = response.into_inner();
            while let Ok(Some(_)) = events.message().await {}
        }
    }
}

/// Notes when requests were closed by the service.
#[derive(Default)]
struct Closings {
    /// Requests that were looked at.
    seen: usize,
    open: Vec<usize>,
    closed: Vec<(u64, Instant)>,
}

impl Closings {
    fn note(&mut self, log: &[Received]) {
        self.open.extend(self.seen..log.len());
        self.seen = log.len();
        let now = Instant::now();
        self.open.retain(|&position| {
            let request = &log[position];
            if request.ending == Some(Ending::ClientClosed) {
                self.closed.push((number_of(request), now));
            }
            request.ending.is_none()
        });
    }
}

#[tokio::test]
async fn calls_that_are_cancelled_at_any_moment_leave_nothing_behind() {
    let cancels = usize::try_from(number_from("MODELWAY_CANCELS", 300)).unwrap();
    let seed = number_from("MODELWAY_SEED", 1);
    let recorder = Recorder::start();
    let gateway = Gateway::start(&config()).await;
    gateway.generate(ask("spare", "Hello")).await.unwrap();
    let before = tasks();
    let earlier = gateway.simulator.requests().len();

    let storm = Rc::<Storm>::default();
    let callers = LocalSet::new();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..CALLERS {
        let client = gateway.generation();
        let caller = call_and_leave(client, random.fork(), Rc::clone(&storm), cancels);
        callers.spawn_local(caller);
    }
    let mut closings = Closings::default();
    let note = |log: &[Received]| {
        closings.note(&log[earlier..]);
        false
    };
    let mut idle = Vec::new();
    tokio::select! {
        () = callers => {}
        () = gateway.simulator.wait_for(note) => unreachable!("it is never enough"),
        () = note_lateness(&mut idle) => unreachable!("it has no end"),
    }
    let all_closed = |log: &[Received]| {
        closings.note(&log[earlier..]);
        closings.open.is_empty()
    };
    timeout(
        Duration::from_secs(20),
        gateway.simulator.wait_for(all_closed),
    )
    .await
    .expect("every upstream request is closed");

    let cancelled = storm.cancelled.take();
    let since =
        |(number, closed): &(u64, Instant)| Some(closed.duration_since(*cancelled.get(number)?));
    let mut took: Vec<Duration> = closings.closed.iter().filter_map(since).collect();
    let (most, longest) = slowest(&mut took);
    nothing_is_under_way(&gateway).await;
    let log = gateway.simulator.requests();
    let attempts = recorder.attempts(&log);
    let is_added = |attempt: &&SpanData| {
        attribute(attempt, "gen_ai.request.model") == Some(&SECOND.into())
            && attribute(attempt, "modelway.attempt.number") == Some(&2.into())
    };
    let added = attempts.iter().filter(is_added).count();
    let idle = slowest(&mut idle);
    println!(
        "seed {seed}: {} calls, {} cancelled; {} attempts told, {} arrived, {added} added; {} closed, \
         99 % within {most:?}, all within {longest:?}; 99 % of idle timers rang within {:?}, all within {:?}",
        storm.calls.get(),
        cancelled.len(),
        attempts.len() - earlier,
        log.len() - earlier,
        took.len(),
        idle.0,
        idle.1,
    );
    // Later than that the model's own limits would close it.
    assert!(most < Duration::from_secs(8), "upstream closed late");
    for breaker in breakers(&gateway).await {
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!((breaker.window_failures, breaker.opened_total), (0, 0));
    }
    assert_eq!(tokens(&gateway, FAILOVER).await, BURST - added);
    every_place_is_free(&gateway, "spare", PLACES).await;
    tasks_fall_to(before).await;
}
