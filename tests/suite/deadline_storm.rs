//! Does every call end at its deadline and none before, however many there are and wherever they are?
//!
//! `MODELWAY_DEADLINES` says how many calls there are, `MODELWAY_LONGEST` how many milliseconds the
//! longest may take, `MODELWAY_SEED` draws them; `just storms` makes two thousand of up to thirty
//! seconds.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use modelway::grpc::v1::BreakerState;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::simulator::{Ending, Received};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Code;

use crate::support::aftermath::{
    breakers, every_place_is_free, nothing_is_under_way, tasks, tasks_fall_to,
};
use crate::support::recorder::Recorder;
use crate::support::{
    Gateway, METHODS, Method, Timerless, ask, details, note_lateness, number_from, slowest,
};

/// How long before its deadline a call ends, at least and at most.
const LEAST_NOTICE: Duration = Duration::from_millis(10);
const MOST_NOTICE: Duration = Duration::from_millis(150);

/// Long enough that what is measured is not how calls wait for each other.
const BETWEEN_ARRIVALS: Duration = Duration::from_millis(5);

/// Behaviours of models that do not end their answers.
const ENDLESS: [&str; 7] = [
    "hang",
    "silence",
    "pings=100ms",
    "role-only",
    "first=1000s",
    "tokens=1000+gap=100ms",
    "stall=5",
];

/// So many calls are let in at once.
fn config(places: usize) -> String {
    let mut config = format!(
        r#"
        [admission]
        max_inflight = {places}
        [transport]
        idle_timeout = "50ms"
        [models."openai/spare"]
        timeouts = {{ stall_after = "1m", first_event = "1m" }}
        [scenarios.spare]
        targets = ["openai/spare"]
        "#
    );
    for (number, behaviour) in ENDLESS.iter().enumerate() {
        write!(
            config,
            r#"
            [models."openai/endless+{behaviour}"]
            [models."openai/endless+{behaviour}".timeouts]
            stall_after = "1h"
            first_event = "1h"
            first_content = "1h"
            byte_idle = "1h"
            progress_idle = "1h"
            [scenarios.endless{number}]
            targets = ["openai/endless+{behaviour}"]
            "#
        )
        .unwrap();
    }
    config
}

/// A call that cannot end but at its deadline.
struct Timed {
    scenario: String,
    method: Method,
    deadline: Duration,
    /// It does not begin before this.
    arrival: Instant,
}

impl Timed {
    /// Short deadlines are as likely as long ones: their logarithm is drawn. Where there is something
    /// to interrupt, there is time for it to begin.
    fn draw(random: &mut fastrand::Rng, longest: u64, arrival: Instant) -> Self {
        let behaviour = random.usize(0..ENDLESS.len());
        let shortest = match ENDLESS[behaviour] {
            "tokens=1000+gap=100ms" | "stall=5" => longest as f64 / 2.0,
            _ => 1.0,
        };
        let millis = shortest * (longest as f64 / shortest).powf(random.f64());
        Self {
            scenario: format!("endless{behaviour}"),
            method: random.choice(METHODS).unwrap(),
            deadline: Duration::from_millis(millis as u64),
            arrival,
        }
    }

    /// How late it ended, and whether it had begun to be answered.
    async fn end(self, client: &Timerless) -> (Duration, bool) {
        let grpc_timeout = format!("{}m", self.deadline.as_millis());
        let request = ask(&self.scenario, "Hello");
        sleep_until(self.arrival).await;
        let began = Instant::now();
        let (status, begun) = match self.method {
            Method::Generate => {
                let outcome = client.call(self.method, request, &grpc_timeout).await;
                (outcome.unwrap_err(), false)
            }
            Method::StreamGenerate => {
                let streamed = client.stream(request, &grpc_timeout).await;
                let is_content = |event: &Event| matches!(event, Event::TextDelta(_));
                let begun = streamed.events.iter().any(is_content);
                (streamed.failure.unwrap(), begun)
            }
        };
        let took = began.elapsed();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert_eq!(details(&status).reason, "DEADLINE_EXCEEDED");
        // A call ends a little before its deadline, so that its status still arrives.
        let notice = (self.deadline / 50).clamp(LEAST_NOTICE, MOST_NOTICE);
        let end = self.deadline.saturating_sub(notice);
        let late = took.checked_sub(end);
        (late.expect("no call ends sooner"), begun)
    }
}

#[tokio::test]
async fn every_call_ends_at_its_deadline_and_leaves_nothing_behind() {
    let calls = number_from("MODELWAY_DEADLINES", 200);
    let longest = number_from("MODELWAY_LONGEST", 500);
    let seed = number_from("MODELWAY_SEED", 1);
    let places = usize::try_from(calls).unwrap().div_ceil(10);
    let recorder = Recorder::start();
    let gateway = Gateway::start(&config(places)).await;
    gateway.generate(ask("spare", "Hello")).await.unwrap();
    let before = tasks();
    let earlier = gateway.simulator.requests().len();
    let client = Timerless::connect(gateway.address).await;

    let mut random = fastrand::Rng::with_seed(seed);
    let mut arrival = Instant::now();
    let drawn: Vec<Timed> = (0..calls)
        .map(|_| {
            arrival += BETWEEN_ARRIVALS;
            Timed::draw(&mut random, longest, arrival)
        })
        .collect();
    let ends = stream::iter(drawn)
        .map(|call| call.end(&client))
        .buffer_unordered(places);
    let mut idle = Vec::new();
    let ends: Vec<(Duration, bool)> = tokio::select! {
        ends = ends.collect() => ends,
        () = note_lateness(&mut idle) => unreachable!("it has no end"),
    };

    let is_closed = |request: &Received| request.ending == Some(Ending::ClientClosed);
    let all_closed = |log: &[Received]| log[earlier..].iter().all(is_closed);
    timeout(
        Duration::from_secs(20),
        gateway.simulator.wait_for(all_closed),
    )
    .await
    .expect("every upstream request is closed");
    let mut late: Vec<Duration> = ends.iter().map(|(late, _)| *late).collect();
    let (most, latest) = slowest(&mut late);
    let begun = ends.iter().filter(|(_, begun)| *begun).count();
    let idle = slowest(&mut idle);
    println!(
        "seed {seed}: {calls} calls, {begun} of them in the middle of a stream, ended after their \
         deadline: 99 % within {most:?}, all within {latest:?}; 99 % of idle timers rang within {:?}, all within {:?}",
        idle.0, idle.1,
    );
    assert!(begun > 0);
    // Without its deadline none of them would end within an hour.
    assert!(most < Duration::from_secs(20), "ended late");
    nothing_is_under_way(&gateway).await;
    recorder.attempts(&gateway.simulator.requests());
    for breaker in breakers(&gateway).await {
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!((breaker.window_failures, breaker.opened_total), (0, 0));
    }
    drop(client);
    every_place_is_free(&gateway, "spare", places).await;
    tasks_fall_to(before).await;
}
