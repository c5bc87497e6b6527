//! What do calls see of a ledger that cannot be written while the service runs?

use std::time::Duration;

use modelway::server::ListenAddress;
use rusqlite::{Connection, TransactionBehavior};
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{CONFIG, days, ended, rows, start, sum, table};
use crate::support::{Gateway, ask, details, scratch};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(30);

/// Waits until the health of the service is this, over gRPC and by HTTP, on the listeners for callers and for probes.
async fn health_is(gateway: &Gateway, wanted: ServingStatus) {
    if let Some(ListenAddress::Tcp(probes)) = gateway.probes {
        let wanted = match wanted {
            ServingStatus::Serving => 200,
            _ => 503,
        };
        let url = format!("http://{probes}/readyz");
        let reached = async { while reqwest::get(&url).await.unwrap().status() != wanted {} };
        timeout(PROMPTLY, reached).await.expect("the readiness");
        let alive = reqwest::get(format!("http://{probes}/livez"));
        assert_eq!(alive.await.unwrap().status(), 200);
    }
    let mut client = HealthClient::new(gateway.channel());
    let watch = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    let reached = async { while watch.message().await.unwrap().unwrap().status() != wanted {} };
    timeout(PROMPTLY, reached).await.expect("the health");
}

#[tokio::test]
async fn nothing_is_sent_while_the_ledger_is_locked_and_it_goes_on_by_itself() {
    let data = scratch::path("locked");
    let ledger = table(&data, "");
    let gateway = Gateway::start(&format!(
        "{CONFIG}\n{ledger}\n[probes]\nlisten = '127.0.0.1:0'"
    ))
    .await;
    gateway.generate(ask("s", "Hello")).await.unwrap();
    let mut other = Connection::open(&days(&data)[0]).unwrap();
    other.busy_timeout(PROMPTLY).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();

    let asked = Instant::now();
    let refused = gateway.generate(ask("s", "Hello")).await.unwrap_err();
    let waited = asked.elapsed();
    health_is(&gateway, ServingStatus::NotServing).await;
    let asked = Instant::now();
    gateway.generate(ask("s", "Hello")).await.unwrap_err();
    let again = asked.elapsed();
    let sent = gateway.simulator.requests().len();
    drop(lock);
    health_is(&gateway, ServingStatus::Serving).await;
    gateway.generate(ask("s", "Hello")).await.unwrap();
    ended(gateway).await;

    println!("refused after {waited:?}, then after {again:?}");
    let told = details(&refused);
    assert_eq!(
        (told.code, told.reason.as_str()),
        (Code::Unavailable, "LEDGER_UNAVAILABLE")
    );
    assert_eq!(told.retry_after, Some(Duration::from_secs(1)));
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    assert!(again < Duration::from_secs(1), "{again:?}");
    assert_eq!(sent, 1);
    assert!(rows(&data).iter().all(|row| row.state == 2));
    assert_eq!(sum(&data, "SELECT count(*) FROM calls"), 2);
}

#[tokio::test]
async fn calls_may_go_unrecorded_if_the_operator_says_so() {
    let data = scratch::path("unrecorded");
    let ledger = table(&data, "on_failure = 'unrecorded'");
    let gateway = Gateway::start(&format!("{CONFIG}\n{ledger}")).await;
    let mut other = Connection::open(&days(&data)[0]).unwrap();
    other.busy_timeout(PROMPTLY).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();

    gateway.generate(ask("s", "Hello")).await.unwrap();
    let metrics = gateway.metrics.text();
    drop(lock);
    let received = ended(gateway).await;

    assert_eq!(received.len(), 1);
    assert_eq!(rows(&data).len(), 0);
    let counted = "modelway_ledger_unwritten_total{fate=\"unrecorded\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_reader_that_holds_a_day_makes_no_call_wait() {
    const CALLS: usize = 200;
    let data = scratch::path("reader");
    let gateway = start(&data).await;
    gateway.generate(ask("s", "Hello")).await.unwrap();
    let reader = Connection::open(&days(&data)[0]).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM calls;").unwrap();

    let mut slowest = Duration::ZERO;
    for _ in 0..CALLS {
        let asked = Instant::now();
        gateway.generate(ask("s", "Hello")).await.unwrap();
        slowest = slowest.max(asked.elapsed());
    }
    let metrics = gateway.metrics.text();
    drop(reader);
    ended(gateway).await;

    println!("the slowest of {CALLS} calls beside a held reader took {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(metrics.contains("modelway_ledger_available 1"), "{metrics}");
    let intents = format!("modelway_ledger_rows_total{{row=\"intent\"}} {}", CALLS + 1);
    assert!(metrics.contains(&intents), "{metrics}");
    assert_eq!(rows(&data).len(), CALLS + 1);
}
