//! What becomes of questions that take too long, or whose answer cannot tell what they need?

use std::path::Path;
use std::time::Duration;

use modelway::grpc::v1::ledger_service_client::LedgerServiceClient;
use modelway::grpc::v1::{CallFilter, ListCallsRequest, QueryUsageRequest, UsageDimension};
use modelway::identity::key::KeyKind;
use rusqlite::Connection;
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::{CONFIG, days, sum, table};
use crate::identity::{TestKey, caller};
use crate::support::{Gateway, ask, details, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// A service whose ledger an auditor and a caller may read.
async fn audited(data: &Path, more: &str) -> (Gateway, TestKey, TestKey) {
    let auditor = TestKey::new(KeyKind::Administration);
    let reader = TestKey::new(KeyKind::Data);
    let config = [
        format!("{CONFIG}\n{}", table(data, more)),
        caller("auditor", "scopes = ['LEDGER_READ']"),
        caller("reader", "scopes = ['GENERATE', 'USAGE_READ']"),
        auditor.table("k1", "auditor", ""),
        reader.table("k2", "reader", ""),
    ];
    (Gateway::start(&config.concat()).await, auditor, reader)
}

/// As many calls as make a question to the rows slow.
fn fill(data: &Path, calls: i64) {
    let file = Connection::open(&days(data)[0]).unwrap();
    file.busy_timeout(PROMPTLY).unwrap();
    file.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
         INSERT INTO settled_calls (call_id, state, version, caller, team, organisation, key_id, scenario, label_set, trace_id,
             started_us, code)
         SELECT unhex(format('%s%016x', substr(hex(call_id), 1, 16), i)), 2, 1, caller, 0, 0, 0, scenario, label_set,
             trace_id, started_us, 0
         FROM n, (SELECT * FROM calls LIMIT 1)",
        [calls],
    )
    .unwrap();
}

#[tokio::test]
async fn a_question_that_takes_longer_than_it_may_is_refused_and_the_next_one_is_answered() {
    let data = scratch::path("slow-question");
    let (gateway, auditor, reader) = audited(&data, "query_timeout = '50ms'").await;
    let call = reader.sends(ask("s", "Hello"));
    gateway.generation().generate(call).await.unwrap();
    // Each row that is added is like this one.
    let written = async { while sum(&data, "SELECT count(*) FROM settled_calls") == 0 {} };
    timeout(PROMPTLY, written).await.unwrap();
    fill(&data, 150_000);
    let mut client = LedgerServiceClient::new(gateway.channel());

    let asked = Instant::now();
    let slow = QueryUsageRequest {
        group_by: vec![UsageDimension::Model.into(), UsageDimension::Labels.into()],
        group_by_labels: vec!["product".to_owned()],
        ..QueryUsageRequest::default()
    };
    let refused = client.query_usage(auditor.sends(slow)).await.unwrap_err();
    let took = asked.elapsed();
    let next = async {
        let quick = ListCallsRequest {
            page_size: 1,
            ..ListCallsRequest::default()
        };
        while client
            .list_calls(auditor.sends(quick.clone()))
            .await
            .is_err()
        {}
    };
    timeout(PROMPTLY, next).await.unwrap();

    println!(
        "given up after {took:?} of 50 ms beside {} calls",
        sum(&data, "SELECT count(*) FROM calls")
    );
    let told = details(&refused);
    assert_eq!(
        (told.code, told.reason.as_str()),
        (Code::ResourceExhausted, "QUERY_TOO_LARGE")
    );
    let remedy = "took longer than 50ms; ask for a shorter time";
    assert!(refused.message().contains(remedy), "{refused}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn latencies_are_told_where_they_are_known_and_refused_by_name_where_they_are_not() {
    let data = scratch::path("latencies");
    let (gateway, auditor, reader) = audited(&data, "").await;
    let call = reader.sends(ask("s", "Hello"));
    gateway.generation().generate(call).await.unwrap();
    let mut client = LedgerServiceClient::new(gateway.channel());
    let settled = async { while sum(&data, "SELECT count(*) FROM latency_slots") == 0 {} };
    timeout(PROMPTLY, settled).await.unwrap();
    let by = |dimensions: &[UsageDimension], require_latency| QueryUsageRequest {
        group_by: dimensions.iter().map(|it| i32::from(*it)).collect(),
        require_latency,
        ..QueryUsageRequest::default()
    };
    let filtered = |filter| QueryUsageRequest {
        filter: Some(filter),
        ..by(&[UsageDimension::Model], true)
    };
    let known = [
        vec![],
        vec![UsageDimension::Scenario],
        vec![UsageDimension::Provider, UsageDimension::Model],
    ];

    for dimensions in &known {
        let usage = client
            .query_usage(auditor.sends(by(dimensions, true)))
            .await
            .unwrap();
        let rows = usage.into_inner().rows;
        assert!(
            rows.iter()
                .all(|row| row.latency_p50.is_some() && row.latency_p99.is_some()),
            "{rows:?}"
        );
    }
    let unknown = by(&[UsageDimension::Caller], false);
    let usage = client.query_usage(auditor.sends(unknown)).await.unwrap();
    let row = &usage.into_inner().rows[0];
    assert_eq!((row.latency_p50, row.latency_p99), (None, None));
    for (key, request, field) in [
        (&auditor, by(&[UsageDimension::Caller], true), "group_by"),
        (&auditor, by(&[UsageDimension::Team], true), "group_by"),
        (&auditor, by(&[UsageDimension::Code], true), "group_by"),
        (
            &auditor,
            filtered(CallFilter {
                account: "reader".to_owned(),
                ..CallFilter::default()
            }),
            "filter.account",
        ),
        (
            &auditor,
            filtered(CallFilter {
                labels: [("product".to_owned(), "ads".to_owned())].into(),
                ..CallFilter::default()
            }),
            "filter.labels",
        ),
        (
            &auditor,
            filtered(CallFilter {
                cost_unknown: true,
                ..CallFilter::default()
            }),
            "filter.cost_unknown",
        ),
        (
            &reader,
            by(&[UsageDimension::Model], true),
            "require_latency",
        ),
    ] {
        let refused = client.query_usage(key.sends(request)).await.unwrap_err();
        let told = details(&refused);
        let (named, what) = &told.violations[0];
        assert_eq!(
            (told.code, named.as_str()),
            (Code::InvalidArgument, field),
            "{refused:?}"
        );
        assert!(what.contains("leave out `require_latency`"), "{what}");
    }
}
