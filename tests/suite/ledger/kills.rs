//! Does a process that is killed at any moment leave a row for everything that it sent, at no less than it costs?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::{BillingClass, WhoAmIRequest};
use modelway::simulator::{Behaviour, Received, Settings, Simulator, WireName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tonic::transport::Channel;

use super::{Row, rows, span_id, sum, table};
use crate::support::{Process, ask, collect, number_from, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// Between two calls: fifty a second.
const BETWEEN: Duration = Duration::from_millis(20);

/// The tokens of each answer.
const ANSWER: i64 = 8;

/// What a token costs, in nano-USD.
const INPUT: i64 = 2_500;
const OUTPUT: i64 = 15_000;

/// The same, as the configuration says it.
const PRICE: &str = "{ input = 2.5, output = 15.0 }";

/// What a provider can charge at most for a request, by its own log: the prompt and the whole answer, also where that was cut
/// short.
fn charge(request: &Received) -> i64 {
    let counted = request.counted.expect("an answer");
    let count = |tokens: u64| i64::try_from(tokens).unwrap();
    count(counted.input) * INPUT + count(counted.output) * OUTPUT
}

/// What limits have counted, after a start.
async fn counted(process: &Process) -> (i64, i64) {
    let mut callers = CallerServiceClient::new(process.connect().await);
    let told = callers.who_am_i(WhoAmIRequest {}).await.unwrap();
    let limit = told.into_inner().limits.remove(0);
    (limit.used, limit.reserved)
}

fn config(data: &Path, simulator: &Simulator) -> PathBuf {
    let url = simulator.base_url(WireName::OpenAiChat);
    let text = format!(
        "{}
        [server]
        predrain = '0s'
        drain_timeout = '30s'
        [providers.sim]
        wire_format = 'openai_chat'
        base_url = '{url}'
        auth = 'none'
        propagate_trace = true
        [models.'sim/first']
        model = 'first'
        max_output_tokens = 100
        price = {PRICE}
        [scenarios.s]
        targets = ['sim/first']
        [[limits]]
        id = 'all'
        money = '1000 USD'
        window = 'total'
        per = ['caller']",
        table(data, "")
    );
    scratch::file("modelway.toml", text)
}

/// Calls fifty times a second until this is dropped, and counts the answers. Half of the calls are streams.
async fn load(channel: Channel, answered: watch::Sender<usize>) {
    let mut calls = JoinSet::new();
    let mut ticks = interval(BETWEEN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        ticks.tick().await;
        let mut client = GenerationServiceClient::new(channel.clone());
        let answered = answered.clone();
        calls.spawn(async move {
            let request = ask("s", "Hello");
            // Many of them end with the process.
            let is_answered = match number.is_multiple_of(2) {
                true => client.generate(request).await.is_ok(),
                false => match client.stream_generate(request).await {
                    Ok(stream) => collect(stream.into_inner()).await.failure.is_none(),
                    Err(_) => false,
                },
            };
            answered.send_modify(|answered| *answered += usize::from(is_answered));
        });
        while calls.try_join_next().is_some() {}
    }
}

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    Terminate,
}

async fn rounds(end: End, count: u64) {
    let data = scratch::path("data");
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let behaviour: Behaviour = format!("tokens={ANSWER}+gap=4ms").parse().unwrap();
    simulator.set("first", behaviour);
    let config = config(&data, &simulator);
    let mut slowest = Duration::ZERO;
    for round in 0..count {
        let asked = Instant::now();
        let process = Process::serve(Some(&config), &[]);
        slowest = slowest.max(asked.elapsed());
        let channel = process.connect().await;
        let (before, wanted) = (
            simulator.requests().len(),
            usize::try_from(3 + round % 9).unwrap(),
        );
        let (answers, mut answered) = watch::channel(0);
        // In every second round some calls have been answered.
        let far_enough = async {
            match round % 2 {
                0 => simulator.wait_for(|log| log.len() >= before + wanted).await,
                _ => drop(answered.wait_for(|answered| *answered >= wanted).await),
            }
        };
        // It goes on until the process has ended: nobody takes a call back before.
        let mut load = Box::pin(load(channel, answers));
        tokio::select! {
            () = &mut load => {}
            reached = timeout(PROMPTLY, far_enough) => reached.unwrap(),
        }
        match end {
            // Dropped, it is killed.
            End::Kill => drop(process),
            End::Terminate => {
                process.terminate();
                let ended = tokio::select! {
                    () = &mut load => unreachable!("it has no end"),
                    ended = timeout(PROMPTLY, process.ended()) => ended.unwrap(),
                };
                assert!(ended.0.success(), "{}", ended.1);
            }
        }
    }
    // What the last one left open is settled by the next, which does nothing else.
    let process = Process::serve(Some(&config), &[]);
    let counted = counted(&process).await;
    process.terminate();
    timeout(PROMPTLY, process.ended()).await.unwrap();

    let rows = rows(&data);
    let received = simulator.requests();
    let sent: Vec<_> = received.iter().map(span_id).collect();
    let charges: BTreeMap<_, _> = received
        .iter()
        .map(|it| (span_id(it), charge(it)))
        .collect();
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *written.entry(&row.span_id).or_default() += 1;
    }
    let unledgered = sent
        .iter()
        .filter(|span| !written.contains_key(span.as_str()))
        .count();
    let twice = written.values().filter(|count| **count > 1).count();
    // An attempt that was written down and not sent any more costs nothing.
    let over = |row: &&Row| row.nanos - charges.get(&row.span_id).copied().unwrap_or(0);
    // What a provider counted costs that; what was open, or ended with the time to drain, an estimate.
    let (counted_rows, lost): (Vec<_>, Vec<_>) = rows
        .iter()
        .partition(|row| row.class() == BillingClass::Actual);
    let off: i64 = counted_rows.iter().map(|row| over(row).abs()).sum();
    let lost = lost.into_iter();
    let least = lost.clone().map(|row| over(&row)).min().unwrap_or(0);
    let too_much: i64 = lost.clone().map(|row| over(&row)).sum();
    let set_aside: i64 = lost.map(|row| row.nanos).sum();
    let true_cost: i64 = charges.values().sum();
    let distinct: BTreeSet<_> = sent.iter().collect();
    let open = rows.iter().filter(|row| row.state == 1).count();
    let recovered = rows.iter().filter(|row| row.state == 3).count();
    println!(
        "{count} × {end:?}: {} requests, {} rows, unledgered {unledgered}, twice {twice}, open {open}, recovered \
         {recovered}; slowest start {slowest:?}",
        sent.len(),
        rows.len(),
    );
    let nanos: i64 = rows.iter().map(|row| row.nanos).sum();
    println!(
        "charged at most {true_cost}, in the ledger {nanos} nano-USD: {} counted rows are off by {off}, the others are at \
         least {least} and together {too_much} too high, of their {set_aside}; the counter of the limit says {} \
         and reserves {}",
        counted_rows.len(),
        counted.0,
        counted.1
    );
    assert_eq!(distinct.len(), sent.len());
    assert!(nanos >= true_cost);
    assert_eq!(off, 0);
    assert!(least >= 0, "{least}");
    assert!(too_much <= set_aside);
    assert_eq!(counted, (nanos, 0));
    assert_eq!((unledgered, twice, open), (0, 0, 0));
    assert_eq!(sum(&data, "SELECT sum(cost_nanos) FROM usage_slots"), nanos);
    assert_eq!(sum(&data, "SELECT sum(cost_nanos) FROM spend_slots"), nanos);
    assert_eq!(
        sum(&data, "SELECT sum(attempts) FROM usage_slots"),
        i64::try_from(rows.len()).unwrap()
    );
    if end == End::Terminate {
        assert_eq!(recovered, 0);
    }
}

/// `MODELWAY_KILLS` sets the number; `just kills` takes 200.
#[tokio::test]
async fn a_killed_process_has_written_everything_that_it_sent() {
    rounds(End::Kill, number_from("MODELWAY_KILLS", 4)).await;
}

/// `MODELWAY_TERMINATIONS` sets the number; `just kills` takes 50.
#[tokio::test]
async fn a_terminated_process_has_settled_everything_that_it_sent() {
    let count = number_from("MODELWAY_TERMINATIONS", 2);
    rounds(End::Terminate, count).await;
}
