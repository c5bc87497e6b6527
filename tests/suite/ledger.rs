//! Is everything that was sent written down, at what it cost, and nothing else?

mod canaries;
pub(crate) mod clocks;
mod compared;
mod disk;
mod kills;
mod questions;
mod refusals;
mod trouble;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use modelway::grpc::v1::{Attempt, GenerateRequest};
use modelway::simulator::{Behaviour, Received};
use rusqlite::Connection;

use crate::support::{Gateway, METHODS, ask, details, scratch};

const CONFIG: &str = r#"
[models."openai/first"]
price = { input = 2.5, output = 15.0, cache_read_input = 0.25 }
timeouts = { first_event = "500ms", first_content = "600ms", byte_idle = "500ms" }
[models."anthropic/second"]
max_output_tokens = 1000
price = { input = 3.0, output = 15.0, cache_read_input = 0.3, cache_write_input = 3.75, cache_write_long_input = 6.0 }
[models."gemini/third"]

[scenarios.s]
targets = ["openai/first", "anthropic/second", "gemini/third"]
"#;

/// `[ledger]` with this directory, and what else stands in the table.
pub(crate) fn table(data: &Path, more: &str) -> String {
    format!("[ledger]\npath = {:?}\n{more}\n", data.to_str().unwrap())
}

async fn start(data: &Path) -> Gateway {
    Gateway::start(&format!("{CONFIG}\n{}", table(data, ""))).await
}

/// Stops a service whose ledger is to be read.
async fn ended(mut gateway: Gateway) -> Vec<Received> {
    gateway.stop();
    gateway.stopped().await;
    gateway.simulator.requests()
}

/// A row of an attempt, as far as these tests compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) call_id: String,
    pub(crate) number: i64,
    pub(crate) state: i64,
    pub(crate) outcome: Option<i64>,
    pub(crate) class: Option<i64>,
    pub(crate) input: Option<i64>,
    pub(crate) output: Option<i64>,
    pub(crate) nanos: i64,
    pub(crate) cost_source: Option<i64>,
    pub(crate) span_id: String,
    pub(crate) target: String,
}

/// The files of the days.
pub(crate) fn days(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data.join("ledger")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|it| it == "db"))
        .collect();
    files.sort();
    files
}

/// What a statement finds in the files of the days.
pub(crate) fn found<T>(
    data: &Path,
    sql: &str,
    read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    let in_file = |file| {
        let file = Connection::open(file).unwrap();
        let mut select = file.prepare(sql).unwrap();
        let found = select.query_map([], &read).unwrap();
        found.map(Result::unwrap).collect::<Vec<_>>()
    };
    days(data).into_iter().flat_map(in_file).collect()
}

/// All attempts in the files of the days.
pub(crate) fn rows(data: &Path) -> Vec<Row> {
    let select = "
        SELECT lower(hex(a.call_id)), a.number, a.state, a.outcome, a.billing_class, a.input, a.output, a.cost_nanos,
            a.cost_source, lower(hex(a.span_id)), t.model
        FROM attempts a JOIN targets t ON t.id = a.target ORDER BY a.call_id, a.number";
    found(data, select, |row| {
        Ok(Row {
            call_id: row.get(0)?,
            number: row.get(1)?,
            state: row.get(2)?,
            outcome: row.get(3)?,
            class: row.get(4)?,
            input: row.get(5)?,
            output: row.get(6)?,
            nanos: row.get(7)?,
            cost_source: row.get(8)?,
            span_id: row.get(9)?,
            target: row.get(10)?,
        })
    })
}

/// A number that a statement finds in each file of a day, all added up.
pub(crate) fn sum(data: &Path, sql: &str) -> i64 {
    let number = |file| {
        let file = Connection::open(file).unwrap();
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    days(data).into_iter().map(number).sum()
}

/// The id of the attempt's span that a request brought along.
fn span_id(request: &Received) -> String {
    let parent = request.header("traceparent").expect("a trace");
    parent.split('-').nth(2).unwrap().to_owned()
}

/// What an answer or a failure says of an attempt, in the words of a row.
fn told(call_id: &str, attempt: &Attempt) -> Row {
    let tokens =
        |count: fn(&modelway::grpc::v1::TokenUsage) -> i64| attempt.usage.as_ref().map(count);
    let cost = attempt.cost.as_ref().unwrap();
    Row {
        call_id: call_id.to_owned(),
        number: attempt.number.into(),
        state: 2,
        outcome: Some(i64::from(attempt.outcome)),
        class: Some(i64::from(attempt.billing_class)),
        input: tokens(|usage| usage.input_tokens),
        output: tokens(|usage| usage.output_tokens),
        nanos: cost.amount_nanos,
        cost_source: None,
        span_id: attempt.span_id.clone(),
        target: String::new(),
    }
}

#[tokio::test]
async fn every_attempt_has_the_row_that_its_answer_tells_whatever_the_ending() {
    const BEHAVIOURS: [&str; 16] = [
        "tokens=3",
        "no-usage",
        "status=400",
        "status=401",
        "status=429",
        "status=500",
        "status=529",
        "quota",
        "reset",
        "cut=5",
        "reset=5",
        "malformed=5",
        "error=5",
        "content-filter",
        "hang",
        "stall=5",
    ];
    let data = scratch::path("endings");
    let (mut expected, mut received) = (BTreeMap::new(), Vec::new());
    let mut sum_of_calls = 0;
    for behaviour in BEHAVIOURS {
        let gateway = start(&data).await;
        let behaviour: Behaviour = behaviour.parse().unwrap();
        gateway.simulator.set("first", behaviour);
        for method in METHODS {
            let (call_id, attempts) = match gateway.call(method, ask("s", "Hello")).await {
                Ok(response) => (response.call_id, response.attempts),
                Err(status) => {
                    let failure = details(&status).failure.unwrap();
                    (failure.call_id, failure.attempts)
                }
            };
            for attempt in attempts.iter().filter(|attempt| attempt.number > 0) {
                sum_of_calls += attempt.cost.as_ref().unwrap().amount_nanos;
                let row = told(&call_id, attempt);
                expected.insert((row.call_id.clone(), row.number), row);
            }
        }
        received.extend(ended(gateway).await);
    }

    let rows = rows(&data);
    let without_class = rows.iter().filter(|row| row.class.is_none()).count();
    let mut difference = 0;
    for row in &rows {
        let told = &expected[&(row.call_id.clone(), row.number)];
        difference += (row.nanos - told.nanos).abs();
        let row = Row {
            cost_source: None,
            target: String::new(),
            ..row.clone()
        };
        let (input, output) = match told.input {
            // The contract has no way to say that a count was not told.
            Some(_) => (row.input.or(Some(0)), row.output.or(Some(0))),
            None => (row.input, row.output),
        };
        assert_eq!(
            Row {
                input,
                output,
                ..row
            },
            *told
        );
    }
    println!(
        "{} rows, {without_class} without a class, {difference} nano-USD off",
        rows.len()
    );
    assert_eq!(rows.len(), expected.len());
    assert_eq!(without_class, 0);
    let sent: BTreeSet<_> = received.iter().map(span_id).collect();
    let written: BTreeSet<_> = rows.iter().map(|row| row.span_id.clone()).collect();
    assert_eq!(sent, written);
    assert_eq!(
        sum(&data, "SELECT sum(cost_nanos) FROM calls"),
        sum_of_calls
    );
    assert_eq!(
        sum(&data, "SELECT sum(cost_nanos) FROM usage_slots"),
        sum_of_calls
    );
    assert_eq!(
        sum(&data, "SELECT sum(cost_nanos) FROM label_slots"),
        sum_of_calls
    );
    assert_eq!(
        sum(&data, "SELECT sum(cost_nanos) FROM spend_slots"),
        sum_of_calls
    );
}

#[tokio::test]
async fn a_call_that_its_caller_leaves_is_settled_too() {
    let data = scratch::path("left");
    let gateway = start(&data).await;
    let behaviour: Behaviour = "tokens=1000+gap=10ms".parse().unwrap();
    gateway.simulator.set("first", behaviour);

    let mut stream = gateway
        .generation()
        .stream_generate(ask("s", "Hello"))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    gateway
        .simulator
        .wait_for(|log| log.iter().all(|request| request.ending.is_some()))
        .await;
    ended(gateway).await;

    let rows = rows(&data);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].state, rows[0].outcome), (2, Some(4)));
    assert_eq!(sum(&data, "SELECT code FROM calls"), 1);
}

#[tokio::test]
async fn what_was_refused_before_it_was_sent_and_what_is_repeated_has_no_row() {
    let data = scratch::path("unsent");
    let gateway = start(&data).await;
    let keyed = || GenerateRequest {
        idempotency_key: "order-7".to_owned(),
        ..ask("s", "Hello")
    };

    gateway
        .generate(ask("no-such-scenario", "Hello"))
        .await
        .unwrap_err();
    gateway
        .generate(GenerateRequest::default())
        .await
        .unwrap_err();
    for _ in 0..3 {
        gateway.generate(keyed()).await.unwrap();
    }
    let received = ended(gateway).await;

    assert_eq!(received.len(), 1);
    assert_eq!(rows(&data).len(), 1);
    assert_eq!(sum(&data, "SELECT count(*) FROM calls"), 1);
    assert_eq!(sum(&data, "SELECT sum(calls) FROM usage_slots"), 1);
}

#[tokio::test]
async fn a_call_has_its_account_its_scenario_and_what_was_passed_over() {
    let data = scratch::path("account");
    let gateway = start(&data).await;
    gateway
        .simulator
        .set("first", "status=401".parse::<Behaviour>().unwrap());

    // The second call finds the credential of the first target locked.
    for _ in 0..2 {
        gateway.generate(ask("s", "Hello")).await.unwrap();
    }
    ended(gateway).await;

    let file = Connection::open(&days(&data)[0]).unwrap();
    let told: String = file
        .query_row(
            "SELECT format('%s %s %s %s %s', caller.text, scenario.text, t.provider, c.attempts, reason.text)
             FROM calls c JOIN names caller ON caller.id = c.caller JOIN names scenario ON scenario.id = c.scenario
             JOIN targets t ON t.id = c.target JOIN skips s USING (call_id) JOIN names reason ON reason.id = s.reason",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(told, "local s anthropic 1 PROVIDER_AUTH_FAILED");
}
