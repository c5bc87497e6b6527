//! A caller that behaves: how long its calls take, whatever else goes on.

use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::transport::Channel;

use super::report::{Bound, Report, millis, percentile};
use super::service::ask;

/// Between two of its calls.
const PERIOD: Duration = Duration::from_millis(10);

/// Its model, which takes 50 ms, and its scenario, in every configuration here.
pub(crate) const CONFIG: &str = r#"
[models."sim/honest"]
model = "honest+delay=50ms"
[scenarios.honest]
targets = ["sim/honest"]
"#;

/// How its calls went.
pub(crate) struct Tally {
    times: Vec<Duration>,
    pub(crate) failed: usize,
}

impl Tally {
    pub(crate) fn p99(&mut self) -> Duration {
        percentile(&mut self.times, 99)
    }
}

/// Calls steadily, answered or not, for as long as something else takes.
pub(crate) async fn during<T>(
    client: &GenerationServiceClient<Channel>,
    work: impl Future<Output = T>,
) -> (Tally, T) {
    let mut work = std::pin::pin!(work);
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut calls = JoinSet::new();
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = period.tick() => {
                let mut client = client.clone();
                calls.spawn(async move {
                    let began = Instant::now();
                    let answer = client.generate(ask("honest")).await;
                    answer.is_ok().then(|| began.elapsed())
                });
            }
        }
    };
    let mut tally = Tally {
        times: Vec::new(),
        failed: 0,
    };
    for time in calls.join_all().await {
        match time {
            Some(time) => tally.times.push(time),
            None => tally.failed += 1,
        }
    }
    (tally, outcome)
}

/// How much slower its calls may become: twice as slow as alone.
const SLOWDOWN: u32 = 2;

/// Compares how it is served meanwhile with how it is served alone.
pub(crate) fn report(case: &str, alone: &mut Tally, meanwhile: &mut Tally, report: &mut Report) {
    let limit = millis(alone.p99() * SLOWDOWN);
    let what = format!("p99 of others, ms; alone {:.1}", millis(alone.p99()));
    report.line(case, &what, millis(meanwhile.p99()), Bound::AtMost(limit));
    let failed = meanwhile.failed as f64;
    report.line(case, "failed calls of others", failed, Bound::AtMost(0.0));
}
