//! Three times the calls that there are places for, in four priorities (C2).

use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{Attempt, GenerateRequest, Priority};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tonic::transport::Channel;

use super::Plan;
use super::report::{Bound, Report, millis, percentile};
use super::service::{Service, ask};

pub(crate) const NAME: &str = "C2 overload";

/// Calls that may be under way, and how long each takes: 200 calls a second.
const PLACES: u32 = 40;
const WORK: Duration = Duration::from_millis(200);

const PRIORITIES: [Priority; 4] = [
    Priority::Critical,
    Priority::Default,
    Priority::Batch,
    Priority::Shadow,
];

/// Calls a second of each priority: three times, and half, of what can be answered.
const TOO_MANY: [u32; 4] = [60, 240, 200, 100];
const HALF: [u32; 4] = [30, 40, 20, 10];

/// How often it is looked which calls are due.
const TICK: Duration = Duration::from_millis(5);

/// A call that waited longer than this, or was refused, shows that the overload is not over.
const NOTICEABLE: Duration = Duration::from_millis(50);

/// How a call went.
struct Outcome {
    priority: Priority,
    begun: Instant,
    ended: Instant,
    answered: bool,
    /// What it took beyond the attempts.
    wait: Duration,
}

pub(crate) async fn measure(plan: &Plan, report: &mut Report) {
    let config = format!(
        r#"
        [admission]
        max_inflight = {PLACES}
        [models."sim/work"]
        model = "work+delay={}ms"
        [scenarios.work]
        targets = ["sim/work"]
        "#,
        WORK.as_millis()
    );
    let service = Service::start("overload", &config).await;
    let client = service.client().await;

    let peak = peak(&client, plan.overload / 4).await;
    let dropped = Instant::now() + plan.overload;
    let overload = offer(&client, TOO_MANY, plan.overload).await;
    let after = offer(&client, HALF, Duration::from_secs(8)).await;

    report.line(NAME, "answers a second at the peak", peak, Bound::None);
    let in_time = |outcome: &&Outcome| outcome.answered && outcome.ended <= dropped;
    let answered = overload.iter().filter(in_time).count();
    let goodput = answered as f64 / plan.overload.as_secs_f64();
    let what = "of that, with three times the calls, %";
    let share = 100.0 * goodput / peak;
    report.line(NAME, what, share, Bound::AtLeast(90.0));
    for priority in PRIORITIES {
        let of_priority = || {
            overload
                .iter()
                .filter(|outcome| outcome.priority == priority)
        };
        let answered = of_priority().filter(|outcome| outcome.answered).count();
        let share = 100.0 * answered as f64 / of_priority().count() as f64;
        let name = priority.as_str_name().trim_start_matches("PRIORITY_");
        let bound = match priority {
            Priority::Critical => Bound::AtLeast(99.0),
            _ => Bound::None,
        };
        report.line(NAME, &format!("{name} answered, %"), share, bound);
    }
    let mut waits: Vec<_> = overload.iter().map(|outcome| outcome.wait).collect();
    let p99 = millis(percentile(&mut waits, 99));
    let what = "wait of answered and refused, p99, ms";
    report.line(NAME, what, p99, Bound::AtMost(500.0));
    let disturbed = after
        .iter()
        .filter(|outcome| !outcome.answered || outcome.wait > NOTICEABLE)
        .map(|outcome| outcome.begun - dropped)
        .max();
    let recovery = disturbed.unwrap_or_default().as_secs_f64();
    let what = "last disturbed call after its end, s";
    report.line(NAME, what, recovery, Bound::AtMost(5.0));
}

/// Answers a second while every place is in use and nobody waits.
async fn peak(client: &GenerationServiceClient<Channel>, span: Duration) -> f64 {
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..PLACES {
        let mut client = client.clone();
        callers.spawn(async move {
            let mut answered = 0;
            while began.elapsed() < span {
                client.generate(ask("work")).await.unwrap();
                answered += 1;
            }
            answered
        });
    }
    let answered: u32 = callers.join_all().await.into_iter().sum();
    f64::from(answered) / began.elapsed().as_secs_f64()
}

/// Makes so many calls of each priority in a second, answered or not.
async fn offer(
    client: &GenerationServiceClient<Channel>,
    rates: [u32; 4],
    span: Duration,
) -> Vec<Outcome> {
    let began = Instant::now();
    let mut made = [0; 4];
    let mut ticks = interval(TICK);
    let mut calls = JoinSet::new();
    while began.elapsed() < span {
        ticks.tick().await;
        let seconds = began.elapsed().min(span).as_secs_f64();
        for ((priority, rate), made) in PRIORITIES.into_iter().zip(rates).zip(&mut made) {
            while f64::from(*made) < seconds * f64::from(rate) {
                *made += 1;
                calls.spawn(call(client.clone(), priority));
            }
        }
    }
    calls.join_all().await
}

async fn call(mut client: GenerationServiceClient<Channel>, priority: Priority) -> Outcome {
    let request = GenerateRequest {
        priority: priority.into(),
        ..ask("work")
    };
    let begun = Instant::now();
    let answer = client.generate(request).await;
    let ended = Instant::now();
    let worked = |attempt: &Attempt| Duration::try_from(attempt.latency?).ok();
    let worked: Duration = match &answer {
        Ok(answer) => answer.get_ref().attempts.iter().filter_map(worked).sum(),
        Err(_) => Duration::ZERO,
    };
    Outcome {
        priority,
        begun,
        ended,
        answered: answer.is_ok(),
        wait: (ended - begun).saturating_sub(worked),
    }
}
