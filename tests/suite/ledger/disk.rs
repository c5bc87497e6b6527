//! What do callers see of a service whose disk fills up, fails or stalls while it runs, and is anything lost?
//!
//! Where the system does not allow such a fault, the test says that it was skipped.

mod fault;

use std::collections::BTreeMap;
use std::time::Duration;

use modelway::grpc::v1::WhoAmIRequest;
use modelway::grpc::v1::caller_service_client::CallerServiceClient;
use modelway::simulator::Behaviour;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use self::fault::{Fault, Service, reaches};
use super::{rows, span_id, sum};
use crate::support::{Process, details};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(60);

/// Says plainly that a fault cannot be made here.
fn is_skipped(fault: Fault) -> bool {
    let obstacle = fault.obstacle();
    if let Some(obstacle) = obstacle {
        println!("skipped: {fault:?}: {obstacle}");
    }
    obstacle.is_some()
}

/// Nothing is sent while the ledger cannot be written; what is under way ends and is settled later; nothing is lost or
/// counted twice.
async fn goes_on_by_itself(name: &str, fault: Fault, more: &str) {
    const UNDER_WAY: usize = 3;
    /// So many refusals in a row take longer than the pause between two tries of the writer.
    const LASTING: usize = 400;
    if is_skipped(fault) {
        return;
    }
    let service = Service::start(name, fault, more).await;
    let slow: Behaviour = "tokens=100+gap=40ms".parse().unwrap();
    service.simulator.set("slow", slow);
    for _ in 0..3 {
        service.call("s").await.unwrap();
    }
    let mut under_way = service.under_way(UNDER_WAY, 3).await;

    let mut health = service.watch().await;
    let ongoing = service.suffer(fault);
    // On a full disk, a log that is there already takes some rows more, also after a first failure.
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    let mut refused = Vec::new();
    while refused.len() < LASTING {
        let asked = Instant::now();
        let call = service.call("s").await;
        slowest = slowest.max(asked.elapsed());
        match call {
            Ok(()) => {
                answered += 1;
                refused.clear();
            }
            Err(status) => refused.push(status),
        }
        assert!(answered < 2_000, "it never fails");
    }
    reaches(&mut health, ServingStatus::NotServing).await;
    // It may also take some rows once in a while, when the log begins anew.
    let lasts = fault != Fault::Full;
    let asked = Instant::now();
    let call = service.call("s").await;
    let again = asked.elapsed();
    answered += usize::from(call.is_ok());
    let available = service.metric("modelway_ledger_available").await;
    let sent = service.simulator.requests().len();
    while let Some(ended) = under_way.join_next().await {
        assert!(ended.unwrap().is_none());
    }
    if lasts {
        let settled = async { while service.metric("modelway_ledger_queue").await < 1.0 {} };
        timeout(PROMPTLY, settled).await.unwrap();
    }
    let waiting = service.metric("modelway_ledger_queue").await;
    service.recover(ongoing);
    let asked = Instant::now();
    reaches(&mut service.watch().await, ServingStatus::Serving).await;
    let recovered = asked.elapsed();
    service.call("s").await.unwrap();
    let mut callers = CallerServiceClient::new(service.channel.clone());
    let told = callers.who_am_i(WhoAmIRequest {}).await.unwrap();
    let limit = told.into_inner().limits.remove(0);
    let (data, received) = service.ended().await;

    let rows = rows(&data);
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *written.entry(&row.span_id).or_default() += 1;
    }
    let lost = received
        .iter()
        .filter(|request| !written.contains_key(span_id(request).as_str()))
        .count();
    let twice = written.values().filter(|count| **count > 1).count();
    let unsettled = rows.iter().filter(|row| row.state != 2).count();
    let nanos: i64 = rows.iter().map(|row| row.nanos).sum();
    println!(
        "{fault:?} {more}: {answered} more calls answered, then refused, at most after {slowest:?}, later after {again:?}; \
         {waiting} rows waited; serving {recovered:?} after its end; {} requests, {} rows, lost {lost}, twice {twice}, \
         unsettled {unsettled}, counter off by {} nano-USD",
        received.len(),
        rows.len(),
        limit.used - nanos,
    );
    for refused in &refused {
        let told = details(refused);
        assert_eq!(
            (told.code, told.reason.as_str()),
            (Code::Unavailable, "LEDGER_UNAVAILABLE")
        );
        assert_eq!(told.retry_after, Some(Duration::from_secs(1)));
    }
    assert!(!lasts || (call.is_err() && available == 0.0));
    assert_eq!(sent, 3 + UNDER_WAY + answered);
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(again < Duration::from_secs(1), "{again:?}");
    assert!(recovered < Duration::from_secs(10), "{recovered:?}");
    assert_eq!((lost, twice, unsettled), (0, 0, 0));
    assert_eq!(rows.len(), received.len());
    assert_eq!((limit.used, limit.reserved), (nanos, 0));
    assert_eq!(sum(&data, "SELECT sum(cost_nanos) FROM usage_slots"), nanos);
    assert_eq!(sum(&data, "SELECT sum(cost_nanos) FROM spend_slots"), nanos);
}

#[tokio::test]
async fn a_full_disk_refuses_calls_until_there_is_room() {
    goes_on_by_itself("disk-full", Fault::Full, "").await;
}

#[tokio::test]
async fn files_that_may_not_be_written_refuse_calls_until_they_may() {
    goes_on_by_itself("disk-limited", Fault::Limited, "").await;
}

#[tokio::test]
async fn a_disk_with_errors_refuses_calls_until_it_has_none() {
    goes_on_by_itself("disk-errors", Fault::Fails("EIO"), "").await;
    goes_on_by_itself(
        "disk-no-space",
        Fault::Fails("ENOSPC"),
        "durability = 'power'",
    )
    .await;
}

#[tokio::test]
async fn a_disk_that_stalls_refuses_calls_within_the_bound_until_it_goes_on() {
    goes_on_by_itself("disk-stalls", Fault::Stalls, "").await;
}

/// With `on_failure = "unrecorded"` calls go through without a row, are counted, and are in no sum afterwards.
#[tokio::test]
async fn calls_go_through_beside_a_broken_disk_where_the_operator_says_so() {
    const UNRECORDED: usize = 5;
    for (name, fault) in [
        ("disk-unrecorded", Fault::Limited),
        ("disk-unrecorded-stall", Fault::Stalls),
    ] {
        if is_skipped(fault) {
            continue;
        }
        let service = Service::start(name, fault, "on_failure = 'unrecorded'").await;
        service.call("s").await.unwrap();

        let ongoing = service.suffer(fault);
        let mut slowest = Duration::ZERO;
        for _ in 0..UNRECORDED {
            let asked = Instant::now();
            service.call("s").await.unwrap();
            slowest = slowest.max(asked.elapsed());
        }
        let counted = service
            .metric("modelway_ledger_unwritten_total{fate=\"unrecorded\"}")
            .await;
        reaches(&mut service.watch().await, ServingStatus::Serving).await;
        service.recover(ongoing);
        let available = async { while service.metric("modelway_ledger_available").await < 1.0 {} };
        timeout(PROMPTLY, available).await.unwrap();
        service.call("s").await.unwrap();
        let (data, received) = service.ended().await;

        let rows = rows(&data);
        println!(
            "{fault:?}: {counted} calls without a row, at most after {slowest:?}; {} requests, {} rows",
            received.len(),
            rows.len()
        );
        assert_eq!((received.len(), rows.len()), (UNRECORDED + 2, 2));
        assert!(rows.iter().all(|row| row.state == 2));
        assert_eq!(counted, UNRECORDED as f64);
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        assert_eq!(sum(&data, "SELECT sum(attempts) FROM usage_slots"), 2);
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_moved_into_its_file_makes_no_call_wait() {
    /// Several times as long as the log is left alone.
    const FOR: Duration = Duration::from_secs(4);
    if is_skipped(Fault::StallsBeside) {
        return;
    }
    let service = Service::start("disk-beside", Fault::StallsBeside, "").await;
    service.call("s").await.unwrap();

    let ongoing = service.suffer(Fault::StallsBeside);
    let (begun, mut calls, mut slowest) = (Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < FOR {
        let asked = Instant::now();
        service.call("s").await.unwrap();
        slowest = slowest.max(asked.elapsed());
        calls += 1;
    }
    let available = service.metric("modelway_ledger_available").await;
    service.recover(ongoing);
    let (data, received) = service.ended().await;

    let rows = rows(&data);
    println!(
        "{calls} calls while the log cannot be moved, the slowest in {slowest:?}; {} rows",
        rows.len()
    );
    assert_eq!(available, 1.0);
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!((rows.len(), received.len()), (calls + 1, calls + 1));
    assert!(rows.iter().all(|row| row.state == 2));
}

#[tokio::test]
async fn a_service_that_ends_while_its_disk_fails_leaves_open_what_the_next_one_settles() {
    const UNDER_WAY: usize = 3;
    if is_skipped(Fault::Limited) {
        return;
    }
    let service = Service::start("disk-end", Fault::Limited, "").await;
    let slow: Behaviour = "tokens=50+gap=20ms".parse().unwrap();
    service.simulator.set("slow", slow);
    service.call("s").await.unwrap();
    let mut under_way = service.under_way(UNDER_WAY, 1).await;
    // The row of the first call is settled.
    let settled = async { while service.metric("modelway_ledger_queue").await > 0.0 {} };
    timeout(PROMPTLY, settled).await.unwrap();

    service.suffer(Fault::Limited);
    while let Some(ended) = under_way.join_next().await {
        assert!(ended.unwrap().is_none());
    }
    let asked = Instant::now();
    let (log, simulator, data, config) = service.ends_in_trouble().await;
    let took = asked.elapsed();
    let next = Process::serve(Some(&config), &[]);
    let mut callers = CallerServiceClient::new(next.connect().await);
    let told = callers.who_am_i(WhoAmIRequest {}).await.unwrap();
    let limit = told.into_inner().limits.remove(0);
    next.terminate();
    assert!(next.ended().await.0.success());

    let rows = rows(&data);
    let nanos: i64 = rows.iter().map(|row| row.nanos).sum();
    let recovered = rows.iter().filter(|row| row.state == 3).count();
    println!(
        "ended after {took:?}; {} requests, {} rows, {recovered} of them recovered; counter off by {} nano-USD",
        simulator.requests().len(),
        rows.len(),
        limit.used - nanos
    );
    assert!(
        log.contains("the ledger ends without its last rows"),
        "{log}"
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!((rows.len(), recovered), (1 + UNDER_WAY, UNDER_WAY));
    assert_eq!((limit.used, limit.reserved), (nanos, 0));
}
