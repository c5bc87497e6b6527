//! Is every ending of an attempt settled by its class, whatever the wire format and the framing of the answer?
//!
//! Each test prints its part of the matrix: a line for each ending, a column for each wire format.

mod left;
mod refused;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use modelway::grpc::v1::{BillingClass, CallLimits, Cost, GenerateRequest};
use modelway::simulator::{Behaviour, Received};

use crate::ledger::{found, sum, table};
use crate::support::crowd::span_of;
use crate::support::{Gateway, Method, Timerless, ask, nobody, scratch};

const FORMATS: [&str; 4] = ["openai_chat", "openai_responses", "anthropic", "gemini"];

/// What a token costs, in nano-USD.
const INPUT: i64 = 2_500;
const OUTPUT: i64 = 15_000;

/// The same in the configuration, and a limit on the answer, so that something is set aside.
const PRICE: &str = "max_output_tokens = 1000\nprice = { input = 2.5, output = 15.0 }\n";

/// How an answer reaches the service and its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As a stream.
    Streamed,
    /// As a stream that the service puts together.
    Collected,
    /// As one body.
    Whole,
}

const WAYS: [Way; 3] = [Way::Streamed, Way::Collected, Way::Whole];

/// An ending that the provider brings about.
struct Ending {
    name: &'static str,
    behaviour: &'static str,
    /// The class where the answer is a stream, and where it is one body.
    classes: [BillingClass; 2],
    /// Whether the caller gets an answer for it.
    is_useful: bool,
}

const fn ending(
    name: &'static str,
    behaviour: &'static str,
    classes: [BillingClass; 2],
    is_useful: bool,
) -> Ending {
    Ending {
        name,
        behaviour,
        classes,
        is_useful,
    }
}

const ACTUAL: [BillingClass; 2] = [BillingClass::Actual; 2];
const ZERO: [BillingClass; 2] = [BillingClass::Zero; 2];
const UNCERTAIN: [BillingClass; 2] = [BillingClass::Uncertain; 2];
const PARTIAL: [BillingClass; 2] = [BillingClass::Partial; 2];
/// What was lost of a body is not known.
const BROKEN_OFF: [BillingClass; 2] = [BillingClass::Partial, BillingClass::Uncertain];

static ENDINGS: [Ending; 25] = [
    ending("complete", "tokens=7", ACTUAL, true),
    ending("complete, usage not told", "no-usage", UNCERTAIN, true),
    ending(
        "content filter",
        "tokens=6+finish=content-filter",
        ACTUAL,
        true,
    ),
    ending("length", "tokens=12+finish=length", ACTUAL, true),
    ending("refusal by the model", "refusal+text=no", ACTUAL, true),
    ending("cost cap", "tokens=900", ACTUAL, true),
    ending("not connected", "", ZERO, false),
    ending("status 400", "status=400", ZERO, false),
    ending("status 401", "status=401", ZERO, false),
    ending("status 404", "status=404", ZERO, false),
    ending("context too long", "context-length", ZERO, false),
    ending("status 429", "status=429", ZERO, false),
    ending("quota used up", "quota", ZERO, false),
    ending("status 500", "status=500", ZERO, false),
    ending("status 503", "status=503", ZERO, false),
    ending("status 529", "status=529", ZERO, false),
    ending("no head", "hang", UNCERTAIN, false),
    ending("head, then silence", "silence", UNCERTAIN, false),
    ending("connection lost after sending", "reset", UNCERTAIN, false),
    ending("cut", "tokens=60+cut=25", PARTIAL, false),
    ending("disconnected", "tokens=60+disconnect=25", BROKEN_OFF, false),
    ending("reset", "tokens=60+reset=25", BROKEN_OFF, false),
    ending("idle", "tokens=60+stall=25", BROKEN_OFF, false),
    ending("malformed", "tokens=60+malformed=25", PARTIAL, false),
    ending(
        "error in the answer",
        "tokens=60+error=25",
        [BillingClass::Partial, BillingClass::Zero],
        false,
    ),
];

/// What a cell of the matrix must hold.
#[derive(Clone, Debug)]
struct Cell {
    ending: String,
    format: &'static str,
    class: BillingClass,
    is_useful: bool,
}

/// A row of an attempt, as far as the matrix needs it.
#[derive(Clone, Debug)]
struct SettledRow {
    target: String,
    span: String,
    state: i64,
    outcome: i64,
    class: Option<i32>,
    input: i64,
    output: i64,
    nanos: i64,
    reserved: i64,
    is_wasted: bool,
}

fn settled_rows(data: &Path) -> Vec<SettledRow> {
    let select = "
        SELECT t.model, lower(hex(a.span_id)), a.state, coalesce(a.outcome, 0), a.billing_class,
            coalesce(a.input, 0), coalesce(a.output, 0), a.cost_nanos, coalesce(a.reserved_nanos, 0), a.wasted
        FROM attempts a JOIN targets t ON t.id = a.target";
    found(data, select, |row| {
        Ok(SettledRow {
            target: row.get(0)?,
            span: row.get(1)?,
            state: row.get(2)?,
            outcome: row.get(3)?,
            class: row.get(4)?,
            input: row.get(5)?,
            output: row.get(6)?,
            nanos: row.get(7)?,
            reserved: row.get(8)?,
            is_wasted: row.get(9)?,
        })
    })
}

/// What the provider's log says of a request that was answered to its end, in nano-USD.
fn charge(request: &Received) -> i64 {
    let count = |tokens: u64| i64::try_from(tokens).unwrap();
    request.counted.map_or(0, |counted| {
        count(counted.input) * INPUT + count(counted.output) * OUTPUT
    })
}

/// Compares all rows with the cells, each of which has a target of its own, and with the provider's log. Prints the matrix.
fn compare(data: &Path, cells: &BTreeMap<String, Cell>, received: &[Received]) {
    let rows = settled_rows(data);
    compare_rows(&rows, cells, received);
    let nanos: i64 = rows.iter().map(|row| row.nanos).sum();
    let wasted = rows.iter().filter(|row| row.is_wasted);
    let wasted: i64 = wasted.map(|row| row.nanos).sum();
    for table in ["calls", "usage_slots", "label_slots", "spend_slots"] {
        for (column, sum_of_rows) in [("cost_nanos", nanos), ("waste_nanos", wasted)] {
            let kept = format!("SELECT coalesce(sum({column}), 0) FROM {table}");
            assert_eq!(sum(data, &kept), sum_of_rows, "{column} of {table}");
        }
    }
}

/// The same of these rows.
fn compare_rows(rows: &[SettledRow], cells: &BTreeMap<String, Cell>, received: &[Received]) {
    let charges: BTreeMap<String, i64> = received
        .iter()
        .map(|request| (span_of(request), charge(request)))
        .collect();
    let mut matrix: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    let (mut without_class, mut off) = (0, 0);
    let [mut told, mut estimated, mut at_most] = [0; 3];
    let mut seen = BTreeMap::new();
    for row in rows {
        let Some(cell) = cells.get(&row.target) else {
            continue;
        };
        *seen.entry(&row.target).or_insert(0) += 1;
        let class = row
            .class
            .and_then(|class| BillingClass::try_from(class).ok());
        let class = class.unwrap_or_default();
        without_class += usize::from(class == BillingClass::Unspecified);
        let name = class.as_str_name().trim_start_matches("BILLING_CLASS_");
        let use_of = if row.is_wasted { "waste" } else { "useful" };
        let line = matrix.entry(&cell.ending).or_default();
        line.insert(cell.format, format!("{name} {use_of}"));
        assert_eq!(class, cell.class, "{cell:?}: {row:?}");
        assert_eq!(row.is_wasted, !cell.is_useful, "{cell:?}: {row:?}");
        let computed = row.input * INPUT + row.output * OUTPUT;
        let charged = charges.get(&row.span).copied();
        match class {
            BillingClass::Zero => off += row.nanos.abs() + charged.unwrap_or(0),
            BillingClass::Actual => {
                off += (row.nanos - charged.expect("it was received")).abs();
                told += row.nanos;
            }
            // What nobody settled costs what was set aside for it.
            _ if row.state == 3 => {
                assert!(row.reserved > 0, "{row:?}");
                off += (row.nanos - row.reserved).abs();
                estimated += row.nanos;
                at_most += charged.unwrap_or(0);
            }
            _ => {
                assert!(row.input > 0, "the prompt is charged for: {row:?}");
                assert!(row.nanos <= row.reserved, "{cell:?}: {row:?}");
                off += (row.nanos - computed).abs();
                estimated += row.nanos;
                at_most += charged.unwrap_or(0);
            }
        }
    }
    let mut text = format!(
        "{:42}{}\n",
        "",
        FORMATS.map(|of| format!("{of:20}")).concat()
    );
    for (ending, line) in &matrix {
        let of = |format: &&str| format!("{:20}", line.get(format).map_or("", String::as_str));
        let columns: String = FORMATS.iter().map(of).collect();
        let _ = writeln!(text, "{ending:42}{columns}");
    }
    println!("{text}");
    println!(
        "{} cells, {} rows, without a class {without_class}; off by {off} nano-USD from the provider's log and from the \
         tokens of the rows; told {told}, estimated {estimated} where the whole answers cost {at_most}",
        cells.len(),
        rows.len()
    );
    let missing: Vec<_> = cells
        .keys()
        .filter(|target| !seen.contains_key(target))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!((without_class, off), (0, 0));
}

/// A request, which must not cost more than a short answer where the ending asks for that.
fn request(ending: &Ending, scenario: &str) -> GenerateRequest {
    let max_cost = Cost {
        currency_code: "USD".to_owned(),
        amount_nanos: 2_000_000,
        ..Cost::default()
    };
    let is_capped = ending.name == "cost cap";
    GenerateRequest {
        limits: is_capped.then(|| CallLimits {
            max_cost: Some(max_cost),
            ..CallLimits::default()
        }),
        ..ask(scenario, "Hello there, how long is a piece of string?")
    }
}

#[tokio::test]
async fn every_ending_that_a_provider_brings_about_has_its_class_in_every_format() {
    let data = scratch::path("settled");
    let mut config = table(&data, "");
    let mut cells = BTreeMap::new();
    let mut calls = Vec::new();
    for (number, ending) in ENDINGS.iter().enumerate() {
        for format in FORMATS {
            for way in WAYS {
                // Some faults are held against the provider, so each has one of its own.
                let provider = format!("{format}-{number}-{way:?}").to_lowercase();
                let target = format!("{provider}/m");
                let place = match ending.behaviour {
                    "" => format!("base_url = 'http://{}'\nauth = 'none'", nobody()),
                    _ => "simulated = true".to_owned(),
                };
                let mode = match way {
                    Way::Whole => "upstream_mode = 'whole'\n",
                    Way::Streamed | Way::Collected => "",
                };
                let _ = write!(
                    config,
                    "[providers.{provider}]\n{place}\npropagate_trace = true\nwire_format = {format:?}\n\
                     [models.{target:?}]\nmodel = 'e{number}'\n{mode}{PRICE}\
                     timeouts = {{ first_event = '1500ms', first_content = '1500ms', byte_idle = '1500ms' }}\n\
                     [scenarios.{provider}]\ntargets = [{target:?}]\nmax_attempts = 1\n"
                );
                let cell = Cell {
                    ending: format!("{} {way:?}", ending.name),
                    format,
                    class: ending.classes[usize::from(way == Way::Whole)],
                    is_useful: ending.is_useful,
                };
                cells.insert(target, cell);
                calls.push((ending, way, provider));
            }
        }
    }
    let mut gateway = Gateway::start(&config).await;
    for (number, ending) in ENDINGS.iter().enumerate() {
        if !ending.behaviour.is_empty() {
            let behaviour: Behaviour = ending.behaviour.parse().unwrap();
            gateway.simulator.set(&format!("e{number}"), behaviour);
        }
    }
    let client = Timerless::connect(gateway.address).await;
    let calls = calls.into_iter().map(|(ending, way, scenario)| {
        let client = &client;
        async move {
            let method = match way {
                Way::Streamed => Method::StreamGenerate,
                Way::Collected | Way::Whole => Method::Generate,
            };
            // A body that never comes has no limit but the deadline.
            let timeout = match way {
                Way::Whole => "4S",
                Way::Streamed | Way::Collected => "60S",
            };
            // How it ends for its caller is shown elsewhere.
            let _ = client
                .call(method, request(ending, &scenario), timeout)
                .await;
        }
    });
    iter(calls).buffer_unordered(24).collect::<Vec<()>>().await;
    gateway.stop();
    gateway.stopped().await;
    let received = gateway.simulator.requests();
    compare(&data, &cells, &received);
    // Nobody was asked where no connection could be made.
    let unconnected = ENDINGS.iter().filter(|ending| ending.behaviour.is_empty());
    let asked = cells.len() - unconnected.count() * FORMATS.len() * WAYS.len();
    assert_eq!(received.len(), asked);
}
