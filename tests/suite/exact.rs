//! Is what an attempt costs the same wherever it is told, and what the log of the provider itself says?
//!
//! The provider's side is worked out here from the simulator's log, with arithmetic of its own, not with that of the
//! service. `MODELWAY_EXACT=10000` makes as many calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use modelway::grpc::v1::{Attempt, BillingClass, OnInterruption, StreamOptions};
use modelway::ledger::export::ExportFormat;
use modelway::limits::Now;
use modelway::simulator::{Behaviour, Received, Settings, Simulator};
use opentelemetry::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::ledger::{Row, rows, table};
use crate::ledger_reading::{attempts_in_lines, exported};
use crate::support::crowd::span_of;
use crate::support::recorder::{Recorder, attribute};
use crate::support::scraped::Scraped;
use crate::support::{Gateway, METHODS, Method, Timerless, ask, details, number_from, scratch};

/// A provider for each wire format, and the rates of its models in pico-USD for a token: input, output, fee in nano-USD.
const PROVIDERS: [(&str, &str, [u128; 3]); 3] = [
    ("chat", "openai_chat", [2_512_345, 15_000_777, 0]),
    ("claude", "anthropic", [3_300_001, 15_700_003, 11]),
    ("gem", "gemini", [75_019, 300_007, 0]),
];

/// What models do, and what the scenario named after each tries first.
const BEHAVIOURS: [(&str, &str); 14] = [
    ("whole", "tokens=17"),
    ("slow", "tokens=30+gap=4ms"),
    ("late", "tokens=9+delay=60ms"),
    ("filtered", "tokens=6+finish=content-filter"),
    ("long", "tokens=12+finish=length"),
    ("uncounted", "no-usage+ratio=0.3"),
    ("refusing", "status=500+ratio=0.3"),
    ("cut", "cut=5+ratio=0.3"),
    ("reset", "reset=5+ratio=0.3"),
    ("broken", "malformed=5+ratio=0.3"),
    ("failing", "error=5+ratio=0.3"),
    ("gone", "reset+ratio=0.3"),
    ("silent", "stall=5+ratio=0.3"),
    ("hanging", "hang+ratio=0.3"),
];

/// What a price in pico-USD for a token is in USD for a million, as decimal text.
fn usd(pico: u128) -> String {
    format!("{}.{:06}", pico / 1_000_000, pico % 1_000_000)
}

fn config(data: &Path) -> String {
    let mut config = String::new();
    for (provider, format, [input, output, fee]) in PROVIDERS {
        let _ = write!(
            config,
            "[providers.{provider}]\nsimulated = true\npropagate_trace = true\nwire_format = {format:?}\non_disconnect = \"drain\"\n"
        );
        for (name, _) in BEHAVIOURS {
            let _ = write!(
                config,
                "[models.\"{provider}/{name}\"]\nmax_output_tokens = 1000\n\
                 timeouts = {{ first_event = \"400ms\", byte_idle = \"400ms\" }}\n\
                 price = {{ input = {}, output = {}, request = 0.{fee:09} }}\n",
                usd(input),
                usd(output),
            );
        }
    }
    for (at, (provider, _, _)) in PROVIDERS.iter().enumerate() {
        let (rescue, _, _) = PROVIDERS[(at + 1) % PROVIDERS.len()];
        for (name, _) in BEHAVIOURS {
            let hedge = match name {
                "late" => "hedge = { min_delay = \"20ms\", burst = 1000, max_cost = 1 }\n",
                _ => "",
            };
            let _ = write!(
                config,
                "[scenarios.{provider}-{name}]\ntargets = [\"{provider}/{name}\", \"{rescue}/whole\"]\n\
                 retry = {{ ratio = 1.0, burst = 1000 }}\nwaste = {{ ratio = 0.1, burst = 1000.0 }}\n{hedge}"
            );
        }
    }
    for (id, amount, window) in [
        ("money", "money = \"1000000 USD\"", "day"),
        ("total", "money = \"1000000 USD\"", "total"),
        ("tokens", "tokens = 100000000000", "month"),
        ("wasted", "waste = \"1000000 USD\"", "day"),
        ("requests", "requests = 1000000", "day"),
    ] {
        let _ = write!(
            config,
            "[[limits]]\nid = \"{id}\"\n{amount}\nwindow = \"{window}\"\n"
        );
    }
    let _ = write!(
        config,
        "[[limits]]\nid = \"open\"\nconcurrent_calls = 1000\n{}",
        table(data, "")
    );
    config
}

/// What a call does besides waiting for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The caller takes the answer.
    Waits,
    /// The caller leaves after so long.
    Leaves(Duration),
    /// The call has a deadline of so many milliseconds.
    HasDeadline(u32),
}

/// Makes one call. What it is told of its attempts; nothing if it left.
async fn call(gateway: &Caller, scenario: &str, method: Method, fate: Fate) -> Vec<Attempt> {
    let mut request = ask(scenario, "How long is a piece of string?");
    if method == Method::StreamGenerate {
        request.stream_options = Some(StreamOptions {
            on_interruption: OnInterruption::Restart.into(),
        });
    }
    let timeout_of = match fate {
        Fate::HasDeadline(ms) => format!("{ms}m"),
        Fate::Waits | Fate::Leaves(_) => "60S".to_owned(),
    };
    let calling = gateway.call(method, request, &timeout_of);
    let outcome = match fate {
        Fate::Leaves(after) => match timeout(after, calling).await {
            Ok(outcome) => outcome,
            Err(_) => return Vec::new(),
        },
        Fate::Waits | Fate::HasDeadline(_) => calling.await,
    };
    let attempts = match outcome {
        Ok(response) => response.attempts,
        Err(status) => match details(&status).failure {
            Some(failure) => failure.attempts,
            None => Vec::new(),
        },
    };
    attempts
        .into_iter()
        .filter(|attempt| attempt.number > 0)
        .collect()
}

type Caller = Timerless;

/// What an attempt costs by this test's own arithmetic, in nano-USD: each rate is of a token, in millionths of a
/// nano-USD's thousandth, and half a nano-USD is rounded up.
fn cost_of(provider: &str, input: i64, output: i64) -> i64 {
    let (_, _, [in_rate, out_rate, fee]) = PROVIDERS
        .into_iter()
        .find(|(name, _, _)| *name == provider)
        .unwrap();
    let count = |tokens| u128::try_from(tokens).unwrap();
    let pico = count(input) * in_rate + count(output) * out_rate;
    let (whole, part) = (pico / 1_000, pico % 1_000);
    i64::try_from(whole + u128::from(part >= 500) + fee).unwrap()
}

/// What is used and set aside of each limit.
fn counted(gateway: &Gateway) -> BTreeMap<String, (i64, i64)> {
    let now = Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    };
    let states = gateway.limits.states(now);
    let counted = states
        .iter()
        .map(|state| (state.limit.id.to_string(), (state.used, state.reserved)));
    counted.collect()
}

async fn start(data: &Path) -> Gateway {
    let settings = Settings {
        log_capacity: 1_000_000,
        ..Settings::default()
    };
    let simulator = Simulator::start(settings).await.unwrap();
    for (name, behaviour) in BEHAVIOURS {
        simulator.set(name, behaviour.parse::<Behaviour>().unwrap());
    }
    Gateway::before(simulator, &config(data)).await
}

/// What the ledger, the counters, the spans, the metrics, the export and the provider's log say must be the same.
#[tokio::test]
async fn every_attempt_costs_the_same_wherever_it_is_told_and_what_the_providers_log_says() {
    let calls = number_from("MODELWAY_EXACT", 400);
    let data = scratch::path("exact");
    let recorder = Recorder::start();
    let mut gateway = start(&data).await;
    let mut rng = Rng::with_seed(number_from("MODELWAY_SEED", 7));
    let mut under_way: JoinSet<Vec<Attempt>> = JoinSet::new();
    let mut told: Vec<Attempt> = Vec::new();
    let mut callers = Vec::new();
    for _ in 0..8 {
        callers.push(std::sync::Arc::new(
            Timerless::connect(gateway.address).await,
        ));
    }
    for number in 0..calls {
        let (provider, _, _) = PROVIDERS[rng.usize(..PROVIDERS.len())];
        let (name, _) = BEHAVIOURS[rng.usize(..BEHAVIOURS.len())];
        let scenario = format!("{provider}-{name}");
        let method = METHODS[rng.usize(..2)];
        // What hangs is read on for half a minute.
        let hangs = calls < 10_000 && ["silent", "hanging"].contains(&name);
        let fate = match rng.u32(..10) {
            _ if hangs => Fate::Waits,
            0..6 => Fate::Waits,
            6..9 => Fate::Leaves(Duration::from_micros(rng.u64(..150_000))),
            _ => Fate::HasDeadline(rng.u32(20..200)),
        };
        let caller = callers[usize::try_from(number).unwrap() % callers.len()].clone();
        under_way.spawn(async move { call(&caller, &scenario, method, fate).await });
        while under_way.len() >= 32 {
            told.extend(under_way.join_next().await.unwrap().unwrap());
        }
        recorder.take_in();
    }
    while let Some(attempts) = under_way.join_next().await {
        told.extend(attempts.unwrap());
    }
    while counted(&gateway)
        .values()
        .any(|(_, reserved)| *reserved != 0)
    {
        recorder.take_in();
        sleep(Duration::from_millis(2)).await;
    }
    let at_rest = counted(&gateway);
    let scraped = Scraped::read(&gateway.metrics.text());
    gateway.stop();
    gateway.stopped().await;
    let log = gateway.simulator.requests();
    let rows = rows(&data);
    let by_span: BTreeMap<&str, &Row> = rows.iter().map(|row| (&*row.span_id, row)).collect();
    assert_eq!(by_span.len(), rows.len());

    // Nothing was sent without a row, and what has a row and did not arrive was given up or lost before.
    let arrived: BTreeSet<String> = log.iter().map(span_of).collect();
    assert_eq!(
        arrived.len(),
        log.len(),
        "each request is an attempt of its own"
    );
    let unledgered = arrived
        .iter()
        .filter(|span| !by_span.contains_key(&***span));
    let unledgered = unledgered.count();
    let unsent = rows.iter().filter(|row| !arrived.contains(&row.span_id));
    let unsent = unsent.inspect(|row| {
        assert_ne!(row.class(), BillingClass::Actual, "{row:?}");
    });
    let unsent = unsent.count();
    println!(
        "{calls} calls, {} requests in the provider's log, {} attempts in the ledger: {unledgered} without a row, \
         {unsent} given up before they arrived",
        log.len(),
        rows.len()
    );
    assert_eq!(unledgered, 0);

    // A day of the provider's own log, worked out anew.
    let (tokens_off, money_off, exact) = against_the_log(&log, &by_span);
    println!(
        "{exact} attempts that the provider counted: {tokens_off} tokens and {money_off} nano-USD off"
    );
    assert_eq!((tokens_off, money_off), (0, 0));
    assert!(exact * 2 > log.len());
    let classes = rows.iter().fold(BTreeMap::new(), |mut classes, row| {
        *classes.entry(row.class().as_str_name()).or_insert(0) += 1;
        classes
    });
    println!("{classes:?}");
    assert!(!classes.contains_key("BILLING_CLASS_UNSPECIFIED"));

    // Answers.
    let known = told.iter().filter(|attempt| {
        // A status after a deadline does not wait for what is read on.
        attempt.billing_class() != BillingClass::Unspecified
    });
    let of_answers: i64 = known
        .map(|attempt| {
            let row = by_span[&*attempt.span_id];
            let nanos = attempt.cost.as_ref().unwrap().amount_nanos;
            (nanos - row.nanos).abs()
        })
        .sum();
    // Spans.
    // An attempt may also time out before it has arrived, on a busy machine.
    let mut spans = recorder.spans();
    spans.retain(|span| span.span_kind == opentelemetry::trace::SpanKind::Client);
    assert_eq!(spans.len(), rows.len());
    let of_spans: i64 = spans
        .iter()
        .map(|span| {
            let row = by_span[&*span.span_context.span_id().to_string()];
            let usd = match attribute(span, "modelway.cost.usd") {
                Some(Value::F64(usd)) => *usd,
                other => panic!("{other:?}"),
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "far from the end of the range"
            )]
            let nanos = (usd * 1e9).round() as i64;
            (nanos - row.nanos).abs()
        })
        .sum();
    // Metrics.
    let mut of_metrics = 0;
    for target in rows.iter().map(|row| &*row.target).collect::<BTreeSet<_>>() {
        let (provider, model) = target.split_once('/').unwrap();
        let of_target = rows.iter().filter(|row| row.target == target);
        let sum: i64 = of_target.map(|row| row.nanos).sum();
        let labels = [("provider", provider), ("model", model)];
        let shown = scraped.nanos("modelway_cost_usd_total", &labels);
        of_metrics += (shown - sum).abs();
    }
    // The export.
    let (lines, summary) = exported(&data, ExportFormat::JsonLines, true);
    let in_lines = attempts_in_lines(&lines);
    let of_export: i64 = rows
        .iter()
        .map(|row| {
            let key = (row.call_id.replace('-', ""), row.number);
            (in_lines[&key] - row.nanos).abs()
        })
        .sum();
    let (_, of_csv) = exported(&data, ExportFormat::FocusCsv, true);
    let sum: i64 = rows.iter().map(|row| row.nanos).sum();
    println!(
        "differences in nano-USD: answers {of_answers} ({} attempts), spans {of_spans}, metrics {of_metrics}, export \
         {of_export}; the sum is {sum}",
        told.len()
    );
    assert_eq!([of_answers, of_spans, of_metrics, of_export], [0; 4]);
    assert_eq!((summary.cost_nanos, of_csv.cost_nanos), (sum, sum));

    // Counters at rest, and again after a restart.
    let expected = sums(&rows, &data);
    let drift: i64 = expected
        .iter()
        .map(|(id, sum)| (at_rest[*id].0 - sum).abs())
        .sum();
    println!("counters at rest: {at_rest:?}, drift {drift}");
    assert_eq!(drift, 0, "{expected:?}");
    let gateway = start(&data).await;
    let again = counted(&gateway);
    for (id, sum) in expected {
        assert_eq!(again[id], (sum, 0), "{id} after a restart");
    }
}

/// What tokens and money of attempts with a known class differ from the provider's log, and how many attempts it counted
/// to their ends.
fn against_the_log(log: &[Received], by_span: &BTreeMap<&str, &Row>) -> (u64, u64, usize) {
    let (mut tokens_off, mut money_off, mut exact) = (0, 0, 0);
    for request in log {
        let row = by_span[&*span_of(request)];
        let (provider, _) = row.target.split_once('/').unwrap();
        let (input, output) = match row.class() {
            BillingClass::Actual => {
                exact += 1;
                let counted = request.counted.expect("an answer");
                let count = |tokens: u64| i64::try_from(tokens).unwrap();
                (count(counted.input), count(counted.output))
            }
            BillingClass::Zero => {
                assert_eq!(request.counted, None, "{row:?}");
                money_off += row.nanos.unsigned_abs();
                continue;
            }
            // What it did not count is estimated, and costs what as many tokens cost.
            BillingClass::Partial | BillingClass::Uncertain => {
                (row.input.unwrap(), row.output.unwrap())
            }
            BillingClass::Unspecified => panic!("{row:?}"),
        };
        let pair = |mine: i64, other: Option<i64>| mine.abs_diff(other.unwrap_or(0));
        tokens_off += pair(input, row.input) + pair(output, row.output);
        money_off += cost_of(provider, input, output).abs_diff(row.nanos);
    }
    (tokens_off, money_off, exact)
}

/// What the counters of limits must say of these rows.
fn sums<'a>(rows: &[Row], data: &Path) -> BTreeMap<&'a str, i64> {
    let money = rows.iter().map(|row| row.nanos).sum();
    let tokens = rows
        .iter()
        .map(|row| row.input.unwrap_or(0) + row.output.unwrap_or(0));
    let requests: BTreeSet<_> = rows.iter().map(|row| &row.call_id).collect();
    BTreeMap::from([
        ("money", money),
        ("total", money),
        ("tokens", tokens.sum()),
        ("requests", i64::try_from(requests.len()).unwrap()),
        ("open", 0),
        (
            "wasted",
            crate::ledger::sum(data, "SELECT sum(waste_nanos) FROM spend_slots"),
        ),
    ])
}
