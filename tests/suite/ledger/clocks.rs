//! Do the ledger and the counters of limits agree whatever the clock does: set by an hour, or over the days on which clocks
//! change?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use tonic::transport::Channel;

use super::windows::{reserved, used};
use super::{rows, table};
use crate::clocks::{step_to, stepped};
use crate::support::{Process, ask, collect, scratch};

const HOUR: i64 = 3_600;

/// A program whose clock is set by the seconds in a file.
pub(crate) struct Clock {
    library: PathBuf,
    step: PathBuf,
}

impl Clock {
    /// `None` where there is no compiler for what sets the clock.
    pub(crate) fn new() -> Option<Self> {
        let library = stepped()?;
        let step = scratch::file("step", 0_i64.to_ne_bytes());
        Some(Self { library, step })
    }

    /// Sets it to this many seconds after the true time.
    pub(crate) fn step(&self, seconds: i64) {
        step_to(&self.step, seconds);
    }

    /// Sets it to this second.
    fn set(&self, second: i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.step(second - i64::try_from(now.as_secs()).unwrap());
    }

    pub(crate) fn serve(&self, config: &Path) -> Process {
        let variables = [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("CLOCK_STEP", self.step.to_str().unwrap()),
        ];
        Process::serve(Some(config), &variables)
    }
}

fn config(data: &Path, limits: &str) -> PathBuf {
    let text = format!(
        "{}
        [server]
        predrain = '0s'
        [providers.sim]
        simulated = true
        wire_format = 'openai_chat'
        [models.'sim/first']
        model = 'first'
        max_output_tokens = 1000
        price = {{ input = 2.5, output = 15.0 }}
        [models.'sim/slow']
        model = 'slow+tokens=30+gap=20ms'
        max_output_tokens = 1000
        price = {{ input = 2.5, output = 15.0 }}
        [scenarios.s]
        targets = ['sim/first']
        [scenarios.slow]
        targets = ['sim/slow']
        {limits}",
        table(data, "")
    );
    scratch::file("modelway.toml", text)
}

fn limit(id: &str, window: &str, zone: &str) -> String {
    let zone = match window {
        "total" => String::new(),
        _ => format!("time_zone = '{zone}'\n"),
    };
    format!(
        "[[limits]]\nid = '{id}'\nmoney = '1000 USD'\nwindow = '{window}'\n{zone}per = ['caller']\n"
    )
}

async fn calls(channel: &Channel, count: usize) {
    let mut client = GenerationServiceClient::new(channel.clone());
    for _ in 0..count {
        client.generate(ask("s", "Hello")).await.unwrap();
    }
}

/// By how much the counters of a service differ from the ledger, in the windows that the counters name.
async fn off(process: &Process, data: &Path) -> i64 {
    let told = used(process).await;
    let rows = reserved(data);
    let mut off = 0;
    // What is counted for ever has no window.
    for (limit, start, used) in told.into_iter().filter(|(_, start, _)| *start != 0) {
        let of_window = rows.iter().filter(|row| row.starts[&limit] == start);
        off += (used - of_window.map(|row| row.nanos).sum::<i64>()).abs();
    }
    off
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_by_an_hour_loses_no_row_and_counts_none_twice() {
    const EACH: usize = 3;
    let Some(clock) = Clock::new() else {
        return;
    };
    let data = scratch::path("clock-hours");
    let limits = [
        limit("hour", "hour", "UTC"),
        limit("day", "day", "Europe/Berlin"),
        limit("total", "total", ""),
    ];
    let config = config(&data, &limits.concat());
    let process = clock.serve(&config);
    let channel = process.connect().await;
    let steps = [HOUR, 0, -HOUR, 0, HOUR, -HOUR, 0];
    for seconds in steps {
        calls(&channel, EACH).await;
        let mut client = GenerationServiceClient::new(channel.clone());
        // It has begun once its head is there.
        let stream = client.stream_generate(ask("slow", "Hello")).await;
        clock.step(seconds);
        let streamed = collect(stream.unwrap().into_inner()).await;
        assert!(streamed.failure.is_none(), "{:?}", streamed.failure);
    }
    calls(&channel, EACH).await;
    process.terminate();
    let (status, log) = process.ended().await;
    assert!(status.success(), "{log}");

    let made = steps.len() * (EACH + 1) + EACH;
    let rows = rows(&data);
    let nanos: i64 = rows.iter().map(|row| row.nanos).sum();
    let mut totals = Vec::new();
    let mut difference = 0;
    for _ in 0..2 {
        let process = clock.serve(&config);
        difference += off(&process, &data).await;
        let told = used(&process).await;
        let total = told.iter().find(|(limit, _, _)| limit == "total");
        totals.push(total.unwrap().2);
        process.terminate();
        assert!(process.ended().await.0.success());
    }
    println!(
        "{made} calls beside {} steps of the clock: {} rows, {} open; counters are off by {difference} nano-USD",
        steps.len(),
        rows.len(),
        rows.iter().filter(|row| row.state != 2).count()
    );
    assert_eq!(rows.len(), made);
    assert!(rows.iter().all(|row| row.state == 2 && row.nanos > 0));
    assert_eq!(totals, [nanos; 2]);
    assert_eq!(difference, 0);
}

/// Zones with a day on which their clocks change, or would: its beginning and its end.
const DAYS: [(&str, &str, &str); 8] = [
    ("Europe/Berlin", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
    ("Europe/Berlin", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
    ("America/New_York", "2026-03-08T05:00Z", "2026-03-09T04:00Z"),
    ("America/New_York", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),
    ("Asia/Kolkata", "2026-03-28T18:30Z", "2026-03-29T18:30Z"),
    ("Asia/Kolkata", "2026-10-24T18:30Z", "2026-10-25T18:30Z"),
    ("Africa/Cairo", "2026-04-23T22:00Z", "2026-04-24T21:00Z"),
    ("Africa/Cairo", "2026-10-28T21:00Z", "2026-10-29T22:00Z"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_call_counts_in_its_own_day_where_clocks_change_also_after_a_restart() {
    const EACH: usize = 2;
    /// Longer than a few calls take on a busy machine.
    const MARGIN: i64 = 300;
    let Some(clock) = Clock::new() else {
        return;
    };
    let (mut made, mut wrong, mut difference) = (0, 0, 0);
    for (number, (zone, start, end)) in DAYS.into_iter().enumerate() {
        let [start, end] = [start, end].map(|text| text.parse::<Timestamp>().unwrap().as_second());
        let data = scratch::path(&format!("clock-days-{number}"));
        let config = config(&data, &limit("day", "day", zone));
        let mut process = None;
        for (second, window) in [
            (start - MARGIN, None),
            (start + 1, Some(start)),
            ((start + end) / 2, Some(start)),
            (end - MARGIN, Some(start)),
            (end + 1, Some(end)),
        ] {
            clock.set(second);
            let going = process.take().unwrap_or_else(|| clock.serve(&config));
            calls(&going.connect().await, EACH).await;
            made += EACH;
            going.terminate();
            assert!(going.ended().await.0.success());
            // The next process knows what was used, and goes on over the next change of the clock.
            let next = clock.serve(&config);
            let told = used(&next).await;
            wrong += usize::from(window.is_some_and(|window| told[0].1 != window));
            difference += off(&next, &data).await;
            process = Some(next);
        }
        drop(process);

        let mut by_day: BTreeMap<i64, usize> = BTreeMap::new();
        for row in reserved(&data) {
            let day = row.starts["day"];
            *by_day.entry(day.clamp(start - 1, end)).or_default() += 1;
        }
        let expected = BTreeMap::from([(start - 1, EACH), (start, 3 * EACH), (end, EACH)]);
        for (day, count) in &expected {
            wrong += count.abs_diff(by_day.get(day).copied().unwrap_or(0));
        }
    }
    println!(
        "{made} calls over {} days, a restart after every {EACH}: {wrong} in the wrong window, counters off by {difference} nano-USD",
        DAYS.len()
    );
    assert_eq!((wrong, difference), (0, 0));
}
