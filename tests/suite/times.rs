//! Do the times in the line of a call add up to the delays that its call had? Virtual time, in which the gateway's own work
//! takes none: whatever is left over, or counted twice, is a fault of the sum.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use modelway::admission::Admission;
use modelway::caller::{Caller, Method, Priority};
use modelway::chat::{ChatRequest, Message, Part, Role};
use modelway::config::Surroundings;
use modelway::config::file::File;
use modelway::dispatch::dispatcher::Dispatcher;
use modelway::dispatch::routes::Selector;
use modelway::dispatch::{AskedLimits, Interruption};
use modelway::identity::{Identity, Labels};
use modelway::provider::OutboundRequest;
use modelway::serving::{
    CallHead, CallReading, CallRequest, Failure, Serving, StreamEvent, StreamSpelling,
};
use modelway::telemetry::metrics::{Configured, ConfiguredModel, Metrics};
use modelway::telemetry::names::GenAiNames;
use modelway::telemetry::observe::{CallOrigin, Observer};
use modelway::telemetry::spans::{CallSpan, Tracer};
use modelway::transport::{Carrier, Response, Sending, Transport};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::support::log::Log;
use crate::support::scraped::Scraped;

/// How many calls of each shape.
const CALLS: usize = 1000;

/// Nothing that failures do to later calls is wanted here.
const CONFIG: &str = r#"
[admission]
max_inflight = 1
max_wait = "10s"
[breaker]
consecutive_failures = 1000000
consecutive_failures_busy = 1000000
min_samples = 1000000
min_commits = 1000000
[throttle]
base_wait = "1ms"
max_wait = "1ms"
[providers.p]
wire_format = "openai_chat"
base_url = "https://p.test/v1"
auth = "none"
[models."p/first"]
timeouts = { first_event = "20m", first_content = "20m", byte_idle = "20m", progress_idle = "20m" }
[models."p/second"]
[scenarios.both]
targets = ["p/first", "p/second"]
retry = { ratio = 1, burst = 100000 }
[scenarios.one]
targets = ["p/first"]
retry = { ratio = 1, burst = 100000 }
timeout = "25m"
max_timeout = "25m"
"#;

/// How one attempt of a call goes.
#[derive(Clone, Debug)]
struct Course {
    /// Until the head of the answer.
    head: Duration,
    status: u16,
    /// Before each event with content, of which the last ends the answer.
    gaps: Vec<Duration>,
}

/// When an attempt was sent, and when its last byte had come.
type Interval = (Instant, Instant);

/// A provider whose delays the test sets and knows.
#[derive(Clone, Debug, Default)]
struct Known(Arc<Mutex<Courses>>);

#[derive(Debug, Default)]
struct Courses {
    to_come: HashMap<usize, VecDeque<Course>>,
    attempts: HashMap<usize, Vec<Interval>>,
}

const MIDDLE: &str = "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\".\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

impl Known {
    fn expect(&self, call: usize, courses: Vec<Course>) {
        self.0.lock().unwrap().to_come.insert(call, courses.into());
    }

    fn attempts(&self, call: usize) -> Vec<Interval> {
        self.0.lock().unwrap().attempts[&call].clone()
    }

    fn reached(&self, call: usize, attempt: usize) {
        let mut courses = self.0.lock().unwrap();
        courses.attempts.get_mut(&call).unwrap()[attempt].1 = Instant::now();
    }
}

impl Carrier for Known {
    fn send(&self, request: OutboundRequest) -> Sending {
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        let number = body.split("call ").nth(1).unwrap();
        let digits = number.split(|char: char| !char.is_ascii_digit()).next();
        let call: usize = digits.unwrap().parse().unwrap();
        let (known, now) = (self.clone(), Instant::now());
        let (course, attempt) = {
            let mut courses = self.0.lock().unwrap();
            let attempts = courses.attempts.entry(call).or_default();
            attempts.push((now, now));
            let attempt = attempts.len() - 1;
            let course = courses.to_come.get_mut(&call).unwrap().pop_front();
            (course.expect("no such attempt was expected"), attempt)
        };
        Box::pin(async move {
            sleep(course.head).await;
            known.reached(call, attempt);
            let head = http::Response::builder()
                .status(course.status)
                .header("content-type", "text/event-stream");
            let gaps = course.gaps.into_iter();
            let body = unfold((gaps, known), move |(mut gaps, known)| async move {
                sleep(gaps.next()?).await;
                known.reached(call, attempt);
                let event = if gaps.len() == 0 { LAST } else { MIDDLE };
                let event = Bytes::from_static(event.as_bytes());
                Some((Ok::<_, io::Error>(event), (gaps, known)))
            });
            Ok(Response::carried(head.body(()).unwrap(), body))
        })
    }
}

/// Spells nothing: a message is a message.
struct Unspelled;

impl StreamSpelling for Unspelled {
    type Message = ();
    type Failure = Failure;

    fn event(&mut self, _: StreamEvent<'_>) -> Option<()> {
        Some(())
    }

    fn failure(&mut self, failure: Failure) -> Failure {
        failure
    }
}

/// The service without its doors and its network.
struct Bench {
    serving: Serving,
    observer: Arc<Observer>,
    metrics: Arc<Metrics>,
    provider: Known,
}

impl Bench {
    fn new() -> Self {
        let config = File::parse(CONFIG)
            .resolve(&Surroundings::without_secrets(None))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let provider = Known::default();
        let transport = Transport::carried_by(Arc::new(provider.clone()));
        let dispatcher = Arc::new(Dispatcher::new(config.catalog, config.scopes, transport));
        let metrics = Arc::new(Metrics::new(
            Vec::new(),
            Default::default(),
            GenAiNames::default(),
        ));
        let model = |name: &str| ConfiguredModel {
            id: format!("p/{name}"),
            provider: "p".to_owned(),
            model: name.to_owned(),
        };
        metrics.configure(&Configured {
            scenarios: vec!["both".to_owned(), "one".to_owned()],
            models: vec![model("first"), model("second")],
            providers: vec!["p".to_owned()],
        });
        let observer = Observer::new(Tracer::default(), Arc::clone(&metrics), Arc::default());
        let admission = Arc::new(Admission::new(config.admission));
        Self {
            serving: Serving::new(dispatcher, admission, Duration::from_secs(3600)),
            observer: Arc::new(observer),
            metrics,
            provider,
        }
    }

    /// Makes a call whose caller takes `reads` over each message. Returns when it ended.
    async fn call(&self, number: usize, scenario: &str, method: Method, reads: Duration) {
        let origin = CallOrigin::new(CallSpan::default(), Caller::Unknown, method);
        let head = CallHead {
            baggage: Default::default(),
            caller: Caller::Unknown,
            identity: Ok(Identity::local()),
            observed: self.observer.call(origin),
            arrived: Instant::now(),
            held: None,
        };
        let message = Message {
            role: Role::User,
            parts: vec![Part::Text(format!("call {number}"))],
        };
        let reading = CallReading {
            request: CallRequest {
                selector: Selector::Scenario(scenario.to_owned()),
                request: ChatRequest {
                    messages: vec![message],
                    ..ChatRequest::default()
                },
                limits: AskedLimits::default(),
                interruption: Interruption::Fail,
                priority: Priority::Default,
                labels: Labels::new(),
                conversation_id: String::new(),
            },
            timeout: None,
            key: None,
        };
        let whole = method == Method::Generate;
        let begun = self.serving.begin(head, whole, || Ok(reading)).await;
        let begun = begun.unwrap_or_else(|failure| panic!("{}", failure.error));
        if whole {
            let answered = begun.whole(|_, _| ()).await;
            let ((), delivery) = answered.unwrap_or_else(|failure| panic!("{}", failure.error));
            delivery.note(true);
            sleep(reads).await;
            delivery.taken();
            return;
        }
        let opened = begun.stream(Unspelled).await;
        let mut stream = opened.unwrap_or_else(|failure| panic!("{}", failure.error));
        while let Some(message) = stream.next().await {
            message.unwrap_or_else(|failure| panic!("{}", failure.error));
            sleep(reads).await;
        }
    }
}

/// Runs on this thread, in virtual time.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test);
}

fn ms(draws: &mut fastrand::Rng, most: u64) -> Duration {
    Duration::from_millis(draws.u64(1..most))
}

fn answer(draws: &mut fastrand::Rng, events: usize) -> Course {
    Course {
        head: ms(draws, 400),
        status: 200,
        gaps: (0..events).map(|_| ms(draws, 80)).collect(),
    }
}

fn failure(draws: &mut fastrand::Rng) -> Course {
    Course {
        head: ms(draws, 300),
        status: 503,
        gaps: Vec::new(),
    }
}

/// A time of a line, in milliseconds; what is left out is 0.
fn time(line: &Value, name: &str) -> f64 {
    line.get(name).map_or(0.0, |value| value.as_f64().unwrap())
}

fn assert_near(line: &Value, name: &str, known: Duration) {
    let known = known.as_secs_f64() * 1e3;
    let told = time(line, name);
    assert!((told - known).abs() <= 1.0, "{name} is {known} ms: {line}");
}

/// What the test knows of the times of a call.
#[derive(Clone, Copy, Default)]
struct Times {
    queue: Duration,
    upstream: Duration,
    paused: Duration,
    stalled: Duration,
}

impl Times {
    /// Those of a call with these attempts, one after the other.
    fn of(attempts: &[Interval]) -> Self {
        let upstream = attempts.iter().map(|(began, ended)| *ended - *began).sum();
        let waits = attempts.windows(2).map(|pair| pair[1].0 - pair[0].1);
        Self {
            upstream,
            paused: waits.sum(),
            ..Self::default()
        }
    }

    /// Holds the times of a line against these.
    fn assert_told(self, line: &Value) {
        let Self {
            queue,
            upstream,
            paused,
            stalled,
        } = self;
        assert_near(line, "queue_ms", queue);
        assert_near(line, "upstream_ms", upstream);
        assert_near(line, "paused_ms", paused);
        assert_near(line, "stalled_ms", stalled);
        let known = queue + upstream + paused + stalled;
        assert_near(line, "total_ms", known);
        let rest = time(line, "total_ms") - known.as_secs_f64() * 1e3;
        let difference = (time(line, "overhead_ms") - rest).abs();
        assert!(difference <= 1.0, "{difference} ms: {line}");
    }
}

/// Holds the lines of all calls against what is known of them, in the order in which they were made.
async fn assert_all_told(known: &[Times], log: &Log) {
    let lines = log.calls(known.len()).await;
    assert_eq!(lines.len(), known.len());
    for (times, line) in known.iter().zip(&lines) {
        times.assert_told(line);
    }
}

/// Calls of one shape, one after the other: what is known of each, beside its line.
fn calls(
    method: Method,
    scenario: &str,
    shape: impl Fn(&mut fastrand::Rng) -> Vec<Course>,
    judge: impl Fn(Times, &Value),
) {
    run(async {
        let log = Log::default();
        let _subscriber = log.listen("info");
        let bench = Bench::new();
        let mut draws = fastrand::Rng::with_seed(12);
        for number in 0..CALLS {
            bench.provider.expect(number, shape(&mut draws));
            let call = bench.call(number, scenario, method, Duration::ZERO);
            call.await;
        }
        let lines = log.calls(CALLS).await;
        assert_eq!(lines.len(), CALLS);
        for (number, line) in lines.iter().enumerate() {
            let times = Times::of(&bench.provider.attempts(number));
            times.assert_told(line);
            judge(times, line);
        }
    });
}

const METHODS: [Method; 2] = [Method::Generate, Method::StreamGenerate];

#[test]
fn the_wait_for_the_provider_is_upstream_and_nothing_is_left_over() {
    for method in METHODS {
        let shape = |draws: &mut fastrand::Rng| {
            let events = draws.usize(1..6);
            vec![answer(draws, events)]
        };
        calls(method, "one", shape, |times, line| {
            assert_eq!(line["attempts"], 1);
            assert_eq!(times.paused, Duration::ZERO);
        });
    }
}

#[test]
fn a_failover_is_upstream_from_the_first_attempt_to_the_last() {
    for method in METHODS {
        let shape = |draws: &mut fastrand::Rng| vec![failure(draws), answer(draws, 3)];
        calls(method, "both", shape, |times, line| {
            assert_eq!(line["rescued"], true, "{line}");
            assert_eq!(times.paused, Duration::ZERO, "the other target was ready");
        });
    }
}

#[test]
fn the_wait_before_a_retry_is_paused_and_neither_upstream_nor_our_own_work() {
    for method in METHODS {
        let shape = |draws: &mut fastrand::Rng| vec![failure(draws), answer(draws, 2)];
        calls(method, "one", shape, |times, line| {
            assert!(times.paused > Duration::ZERO, "{line}");
            assert_eq!(line["attempts"], 2);
        });
    }
}

#[test]
fn the_wait_for_a_place_is_queue() {
    run(async {
        let log = Log::default();
        let _subscriber = log.listen("info");
        let bench = Bench::new();
        let mut draws = fastrand::Rng::with_seed(5);
        let mut known = Vec::new();
        for number in (0..CALLS).step_by(2) {
            let next = number + 1;
            bench.provider.expect(number, vec![answer(&mut draws, 2)]);
            bench.provider.expect(next, vec![answer(&mut draws, 2)]);
            let began = Instant::now();
            let method = METHODS[number / 2 % 2];
            tokio::join!(
                bench.call(number, "one", method, Duration::ZERO),
                bench.call(next, "one", method, Duration::ZERO),
            );

            let of = |number: usize| Times::of(&bench.provider.attempts(number));
            let queue = bench.provider.attempts(next)[0].0 - began;
            assert!(queue > Duration::ZERO);
            known.extend([of(number), Times { queue, ..of(next) }]);
        }
        assert_all_told(&known, &log).await;
    });
}

#[test]
fn a_whole_answer_that_waits_for_its_reader_is_stalled() {
    run(async {
        let log = Log::default();
        let _subscriber = log.listen("info");
        let bench = Bench::new();
        let mut draws = fastrand::Rng::with_seed(6);
        let mut known = Vec::new();
        for number in 0..CALLS {
            bench.provider.expect(number, vec![answer(&mut draws, 2)]);
            let stalled = ms(&mut draws, 5000);
            bench.call(number, "one", Method::Generate, stalled).await;

            let upstream = Times::of(&bench.provider.attempts(number));
            known.push(Times {
                stalled,
                ..upstream
            });
        }
        assert_all_told(&known, &log).await;
    });
}

#[test]
fn a_stream_whose_caller_reads_slowly_is_not_the_gateways_own_work() {
    run(async {
        let log = Log::default();
        let _subscriber = log.listen("info");
        let bench = Bench::new();
        let mut draws = fastrand::Rng::with_seed(7);
        let mut totals = Vec::new();
        for number in 0..CALLS {
            let courses = vec![failure(&mut draws), answer(&mut draws, 4)];
            bench.provider.expect(number, courses);
            let (reads, began) = (ms(&mut draws, 200), Instant::now());
            let call = bench.call(number, "both", Method::StreamGenerate, reads);
            call.await;
            totals.push(began.elapsed());
        }
        let lines = log.calls(CALLS).await;
        for (total, line) in totals.iter().zip(&lines) {
            assert_near(line, "total_ms", *total);
            assert_near(line, "overhead_ms", Duration::ZERO);
            let waits = time(line, "upstream_ms") + time(line, "stalled_ms");
            assert!((waits - time(line, "total_ms")).abs() <= 1.0, "{line}");
        }
    });
}

#[test]
fn durations_up_to_minutes_fall_into_buckets_of_their_own() {
    // The upper bounds of the bucket and of the one before.
    for (millis, below, bound) in [
        (700, "0.64", "1.28"),
        (90_000, "81.92", "163.84"),
        (700_000, "655.36", "1310.72"),
    ] {
        for method in METHODS {
            run(async {
                let bench = Bench::new();
                let slow = Course {
                    head: Duration::from_millis(millis),
                    status: 200,
                    gaps: vec![Duration::ZERO],
                };
                bench.provider.expect(0, vec![slow]);

                bench.call(0, "one", method, Duration::ZERO).await;

                let scraped = Scraped::read(&bench.metrics.text());
                for name in [
                    "modelway_call_duration_seconds_bucket",
                    "modelway_call_time_to_first_content_seconds_bucket",
                    "gen_ai_client_inference_duration_seconds_bucket",
                ] {
                    let until = |bound| scraped.sum(name, &[("le", bound)]);
                    assert_eq!((until(below), until(bound)), (0.0, 1.0), "{name} {millis}");
                }
            });
        }
    }
}
