//! Everything at once for a long time, faults included (C5): does anything grow, break or get lost?

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{GenerateRequest, Priority};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::Plan;
use super::report::{Bound, Report};
use super::service::{Service, ask};

pub(crate) const NAME: &str = "C5 soak";

/// What goes wrong with one call in twenty: a scenario for each, with a healthy second target.
const FAULTS: [&str; 16] = [
    "status=500",
    "status=502",
    "status=503+retry-after=1s",
    "status=529",
    "status=429+retry-after=1s",
    "status=400",
    "hang",
    "reset",
    "silence",
    "pings=100ms",
    "error=5",
    "cut=5",
    "disconnect=5",
    "reset=5",
    "stall=5",
    "malformed=5",
];

/// Between two calls: 100 a second.
const PERIOD: Duration = Duration::from_millis(10);

/// Calls that may be under way; all places must be free again in the end.
const PLACES: usize = 200;

/// How often memory and files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What memory may grow by in an hour, once it has had time to settle.
const MIB_AN_HOUR: f64 = 1.0;

/// Too short a time tells no slope; what it may grow by instead, from the middle to the end.
const SHORT: Duration = Duration::from_secs(1800);
const SHORT_MIB: f64 = 8.0;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let service = Service::start("soak", &config()).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(service.client().await);
    }
    // Files that the first use of anything opens are not leaks.
    for number in 0..200 {
        call(clients[number % clients.len()].clone(), number).await;
    }
    let files_before = quiet_files(&service).await;

    let (ended, looks) = run(&service, &clients, plan.soak).await;
    let files_after = quiet_files(&service).await;

    let calls: usize = ended.values().sum();
    report.line(NAME, "calls", calls as f64, Bound::None);
    let mut codes: Vec<_> = ended.into_iter().collect();
    codes.sort_unstable_by_key(|(code, _)| *code as i32);
    for (code, count) in codes {
        let bound = match code {
            Code::Internal | Code::Unknown | Code::Unimplemented | Code::DataLoss => {
                Bound::AtMost(0.0)
            }
            _ => Bound::None,
        };
        report.line(NAME, &format!("ended {code:?}"), count as f64, bound);
    }
    if plan.soak >= SHORT {
        let slope = slope_an_hour(&looks[looks.len() / 4..]);
        let what = "growth of memory in an hour, MiB";
        report.line(NAME, what, slope, Bound::AtMost(MIB_AN_HOUR));
    } else {
        let what = "growth of memory in the second half, MiB";
        report.line(NAME, what, growth(&looks), Bound::AtMost(SHORT_MIB));
    }
    let opened = files_after as f64 - files_before as f64;
    let what = format!("files left open beyond {files_before}");
    report.line(NAME, &what, opened, Bound::AtMost(0.0));
    let open = service.simulator.requests();
    let open = open.iter().filter(|request| request.ending.is_none());
    let what = "requests left open upstream";
    report.line(NAME, what, open.count() as f64, Bound::AtMost(0.0));
    let places = full_house(&clients).await;
    let what = format!("of {PLACES} places free");
    report.line(NAME, &what, places as f64, Bound::AtLeast(PLACES as f64));

    drop(clients);
    let Service { process, simulator } = service;
    process.terminate();
    let asked = Instant::now();
    let (status, log) = process.ended().await;
    let what = "end after the signal to stop, s";
    let took = asked.elapsed().as_secs_f64();
    report.line(NAME, what, took, Bound::AtMost(5.0));
    let failed = f64::from(u8::from(!status.success()));
    report.line(NAME, "failed end", failed, Bound::AtMost(0.0));
    let panics = log.matches("panicked").count() as f64;
    report.line(NAME, "panics", panics, Bound::AtMost(0.0));
    drop(simulator);
}

fn config() -> String {
    let mut text = format!(
        r#"
        [server]
        predrain = "0s"
        client_stall = "2s"
        [admission]
        max_inflight = {PLACES}
        early_cancels = 1_000_000
        [transport]
        idle_timeout = "1s"
        [models."sim/backup"]
        model = "backup+first=20ms+gap=1ms"
        [models."sim/slow"]
        model = "slow+delay=1s"
        [scenarios.slow]
        targets = ["sim/slow"]
        "#
    );
    for (number, fault) in FAULTS.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"
            [models."sim/faulty{number}"]
            model = "faulty{number}+first=20ms+gap=1ms+ratio=0.05+{fault}"
            timeouts = {{ first_event = "1s", first_content = "2s", byte_idle = "1s", progress_idle = "2s" }}
            [scenarios.scenario{number}]
            targets = ["sim/faulty{number}", "sim/backup"]
            "#
        );
    }
    text
}

/// Makes calls for so long. How many ended with which status, and what was seen of memory, in KiB, at
/// which time.
async fn run(
    service: &Service,
    clients: &[GenerationServiceClient<Channel>],
    span: Duration,
) -> (HashMap<Code, usize>, Vec<(Duration, f64)>) {
    let began = Instant::now();
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = interval(LOOK);
    let mut calls = JoinSet::new();
    let mut ended = HashMap::new();
    let mut looks = Vec::new();
    let mut number = 0;
    while began.elapsed() < span {
        tokio::select! {
            _ = period.tick() => {
                calls.spawn(call(clients[number % clients.len()].clone(), number));
                number += 1;
            }
            Some(code) = calls.join_next() => *ended.entry(code.unwrap()).or_default() += 1,
            _ = look.tick() => {
                let resident = service.process.resident_kib() as f64;
                looks.push((began.elapsed(), resident));
            }
        }
    }
    for code in calls.join_all().await {
        *ended.entry(code).or_default() += 1;
    }
    (ended, looks)
}

/// The call of this number: each has a kind, a priority and a scenario of its own.
async fn call(mut client: GenerationServiceClient<Channel>, number: usize) -> Code {
    let priorities = [
        Priority::Critical,
        Priority::Default,
        Priority::Batch,
        Priority::Shadow,
    ];
    let message = GenerateRequest {
        priority: priorities[number % 4].into(),
        ..ask(&format!("scenario{}", number / 4 % FAULTS.len()))
    };
    let mut request = Request::new(message);
    // Primes, so that all combinations come up.
    if number.is_multiple_of(11) {
        request.set_timeout(Duration::from_millis(40));
    }
    if number.is_multiple_of(7) {
        let cancelled = timeout(Duration::from_millis(30), client.generate(request)).await;
        return match cancelled {
            Ok(answer) => answer.map_or_else(|status| status.code(), |_| Code::Ok),
            Err(_) => Code::Cancelled,
        };
    }
    if number.is_multiple_of(3) {
        return match client.generate(request).await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        };
    }
    let mut stream = match client.stream_generate(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return status.code(),
    };
    let mut messages = 0;
    loop {
        match stream.message().await {
            Ok(Some(_)) => messages += 1,
            Ok(None) => return Code::Ok,
            Err(status) => return status.code(),
        }
        if number.is_multiple_of(13) && messages == 5 {
            return Code::Cancelled;
        }
    }
}

/// Files that are open once nothing goes on: unused connections to the provider are closed by then.
async fn quiet_files(service: &Service) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..20 {
        sleep(Duration::from_millis(200)).await;
        let directory = format!("/proc/{}/fd", service.process.id());
        fewest = fewest.min(std::fs::read_dir(directory).unwrap().count());
    }
    fewest
}

/// How many of as many calls as there are places are answered when they are made at the same time.
async fn full_house(clients: &[GenerationServiceClient<Channel>]) -> usize {
    let mut calls = JoinSet::new();
    for number in 0..PLACES {
        let mut client = clients[number % clients.len()].clone();
        calls.spawn(async move { client.generate(ask("slow")).await.is_ok() });
    }
    calls.join_all().await.into_iter().filter(|&ok| ok).count()
}

/// What memory has grown by from the middle to the end, in MiB.
fn growth(looks: &[(Duration, f64)]) -> f64 {
    let Some(((_, middle), (_, last))) = looks.get(looks.len() / 2).zip(looks.last()) else {
        return 0.0;
    };
    (last - middle) / 1024.0
}

/// The slope of the line that is closest to what was seen (least squares), in MiB an hour.
fn slope_an_hour(looks: &[(Duration, f64)]) -> f64 {
    let points: Vec<_> = looks
        .iter()
        .map(|(at, kib)| (at.as_secs_f64() / 3600.0, kib / 1024.0))
        .collect();
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let mut covariance = 0.0;
    let mut variance = 0.0;
    for (x, y) in points {
        covariance += (x - mean_x) * (y - mean_y);
        variance += (x - mean_x) * (x - mean_x);
    }
    covariance / variance
}
