//! Does anything but the time of day in a line depend on the clock or the zone of the machine? A clock may be set at any time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{Breaker, BreakerState, ListBreakersRequest};
use modelway::simulator::text;
use prost_types::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Request;
use tonic::transport::Channel;

use crate::support::log::calls_in;
use crate::support::{Process, ask, collect, scratch};

const CONFIG: &str = r#"
[server]
predrain = "0s"
[logging]
format = "json"
[breaker]
consecutive_failures = 1
open_base = "10m"
open_max = "10m"
[providers.sim]
simulated = true
wire_format = "openai_chat"
[models."sim/steady"]
model = "steady+tokens=20+gap=10ms"
[models."sim/silent"]
model = "silent+hang"
[models."sim/broken"]
model = "broken+status=500"
[scenarios.steady]
targets = ["sim/steady"]
[scenarios.silent]
targets = ["sim/silent"]
[scenarios.broken]
targets = ["sim/broken"]
"#;

/// Stands between a program and the time of day: adds the seconds in a file to it, whenever it is asked for.
const STEPPED: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *step;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CLOCK_STEP"), O_RDONLY);
    step = mmap(0, sizeof *step, PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME && step && step != MAP_FAILED) now->tv_sec += *step;
    return failed;
}
"#;

/// Builds that; `None` where there is no compiler for C.
pub(crate) fn stepped() -> Option<PathBuf> {
    let source = scratch::file("stepped.c", STEPPED);
    let library = source.with_extension("so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .status();
    let Ok(built) = built else {
        println!("skipped: there is no `cc`");
        return None;
    };
    assert!(built.success());
    Some(library)
}

pub(crate) fn step_to(path: &Path, seconds: i64) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
}

/// The lines of the calls in a log, and when each says that it was written.
fn lines(log: &str) -> Vec<(Value, SystemTime)> {
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let of_calls = calls_in(lines.collect());
    let with_time = of_calls.into_iter().map(|line: Value| {
        let time = line["time"].as_str().unwrap();
        assert!(time.ends_with('Z'), "{line}");
        let read: Timestamp = time.parse().unwrap();
        (line, read.try_into().unwrap())
    });
    with_time.collect()
}

/// Asserts that no time of a line is one that a clock has made.
fn assert_measured(line: &Value, most: Duration) {
    for (name, value) in line.as_object().unwrap() {
        if let Some(of) = name.strip_suffix("_ms").filter(|of| *of != "deadline") {
            let millis = value.as_f64().unwrap();
            let sound = (0.0..=most.as_secs_f64() * 1e3).contains(&millis);
            assert!(sound, "{of}: {line}");
        }
    }
}

async fn breaker(channel: &Channel) -> Breaker {
    let mut operations = OperationsServiceClient::new(channel.clone());
    let listed = operations.list_breakers(ListBreakersRequest::default());
    let breakers = listed.await.unwrap().into_inner().breakers;
    let broken = breakers.into_iter().find(|one| one.model == "sim/broken");
    broken.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_while_calls_run_changes_no_duration_deadline_or_breaker() {
    const HOUR: i64 = 3600;
    const TIMEOUT: Duration = Duration::from_millis(1500);
    let Some(library) = stepped() else { return };
    let step = scratch::file("step", 0_i64.to_ne_bytes());
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("CLOCK_STEP", step.to_str().unwrap()),
    ];
    let began = Instant::now();
    let process = Process::serve(Some(&scratch::file("stepped.toml", CONFIG)), &variables);
    let channel = process.connect().await;
    let mut client = GenerationServiceClient::new(channel.clone());
    client.generate(ask("broken", "Hello")).await.unwrap_err();
    assert_eq!(breaker(&channel).await.state(), BreakerState::Open);

    for seconds in [HOUR, -HOUR] {
        let mut waits = Request::new(ask("silent", "Hello"));
        waits.set_timeout(TIMEOUT);
        let mut waiting_client = client.clone();
        let asked = Instant::now();
        let mut waiting = JoinSet::new();
        waiting.spawn(async move {
            waiting_client.generate(waits).await.unwrap_err();
            asked.elapsed()
        });
        // It has begun once its head is there.
        let stream = client.stream_generate(ask("steady", "Hello")).await;

        step_to(&step, seconds);

        let streamed = collect(stream.unwrap().into_inner()).await;
        assert!(streamed.failure.is_none(), "{:?}", streamed.failure);
        assert_eq!(streamed.text(), text(20));
        let took = waiting.join_next().await.unwrap().unwrap();
        assert!(took + Duration::from_millis(50) >= TIMEOUT, "{took:?}");
        assert_eq!(breaker(&channel).await.state(), BreakerState::Open);
    }
    let whole = began.elapsed();
    drop((client, channel));
    process.terminate();
    let (status, log) = process.ended().await;

    assert_eq!(status.code(), Some(0), "{log}");
    let lines = lines(&log);
    assert_eq!(lines.len(), 5, "{log}");
    for (line, _) in &lines {
        assert_measured(line, whole);
    }
    // The clock was set: the lines show it.
    let times = lines.iter().map(|(_, time)| *time);
    let earliest = times.clone().min().unwrap();
    let span = times.max().unwrap().duration_since(earliest).unwrap();
    assert!(span > Duration::from_secs(7000), "{span:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_the_same_in_every_zone() {
    // Written so that no database of zones is needed: 8 h and 12.75 h east, 5 h and 3.5 h west.
    const ZONES: [&str; 5] = ["UTC0", "CST-8", "CHAST-12:45", "EST5EDT", "NST3:30"];
    let mut all = Vec::new();
    for zone in ZONES {
        let before = SystemTime::now();
        let process = Process::serve(Some(&scratch::file("zones.toml", CONFIG)), &[("TZ", zone)]);
        let channel = process.connect().await;
        let mut client = GenerationServiceClient::new(channel);
        client.generate(ask("steady", "Hello")).await.unwrap();
        client.generate(ask("broken", "Hello")).await.unwrap_err();
        drop(client);
        process.terminate();
        let (_, log) = process.ended().await;
        let after = SystemTime::now();

        let mut shown = Vec::new();
        for (mut line, time) in lines(&log) {
            // Microseconds are cut off.
            let earliest = before - Duration::from_micros(1);
            assert!((earliest..=after).contains(&time), "{zone}: {line}");
            let fields = line.as_object_mut().unwrap();
            fields.retain(|name, _| {
                let differs = ["time", "call_id", "trace_id", "tried"].contains(&name.as_str());
                !differs && !name.ends_with("_ms")
            });
            shown.push(line);
        }
        assert_eq!(shown.len(), 2, "{log}");
        all.push(shown);
    }
    for shown in &all[1..] {
        assert_eq!(*shown, all[0]);
    }
}
