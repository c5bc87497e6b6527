//! How much memory does an open stream hold while it waits for its next event?

use modelway::grpc::v1::stream_generate_response::Event;

use super::cases::{IDLE, Kind, OTHERS, request};
use super::credentials::credited;
use super::process::{Process, Processes};
use super::report::{Effort, Goal, Rows};
use super::roles::Layout;
use super::{Failed, load};

/// This case's name.
pub(crate) const NAME: &str = "memory";

/// What is counted.
pub(crate) const UNIT: &str = "KiB/stream";

/// The most that one of ours may hold.
const GOAL_KIB: f64 = 40.0;

/// Opens streams at fresh servers and sees how they grow.
pub(crate) async fn measure(simulator: &Process, effort: Effort) -> Result<Rows, Failed> {
    let (streams, rounds) = scale(effort);
    let mut rows = Rows::new(NAME, UNIT, Goal::AtMost(GOAL_KIB));
    for _ in 0..rounds {
        for layout in Layout::ALL {
            let Processes { floor, gateway } = Processes::start(layout, simulator)?;
            rows.add(
                layout,
                [growth(&floor, streams).await?],
                [growth(&gateway, streams).await?],
            );
        }
    }
    Ok(rows)
}

/// How many streams are opened, and how often.
pub(crate) fn scale(effort: Effort) -> (usize, usize) {
    match effort {
        Effort::Test => (20, 1),
        Effort::Quick => (1000, 1),
        Effort::Full => (1000, 5),
    }
}

/// KiB of resident memory for each of so many streams that have begun to answer and wait.
pub(crate) async fn growth(process: &Process, streams: usize) -> Result<f64, Failed> {
    let model = OTHERS
        .iter()
        .find_map(|(scenario, model)| (*scenario == IDLE).then_some(*model))
        .unwrap_or_default();
    let request = request(process.role, IDLE, model, Kind::Streamed(1));
    let mut clients = load::clients(process, load::CONNECTIONS).await?;
    let connections = clients.len();
    let mut open = Vec::new();
    let mut before = 0.0;
    for number in 0..connections + streams {
        if number == connections {
            // Memory that the first use of anything takes does not belong to the streams.
            before = process.resident_kib()?;
        }
        let client = &mut clients[number % connections];
        let answer = client.stream_generate(credited(process.role, request.clone()));
        let mut answer = answer.await?.into_inner();
        while let Some(message) = answer.message().await? {
            if matches!(message.event, Some(Event::TextDelta(_))) {
                break;
            }
        }
        open.push(answer);
    }
    Ok((process.resident_kib()? - before) / streams as f64)
}
