//! What do watchers of breakers cost that do not read their stream?

use std::net::Ipv4Addr;
use std::time::Duration;

use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{BreakerState, SetBreakerRequest};
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::Channel;

use crate::support::frames::{
    DATA, EMPTY_MESSAGE, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, Wire, frame, head,
};
use crate::support::{Process, quickest, scratch};

const WATCH: &str = "/modelway.v1.OperationsService/WatchBreakers";

const CONFIG: &str = r#"
[server]
predrain = "0s"
[providers.p]
simulated = true
wire_format = "openai_chat"
[models."p/one"]
[models."p/other"]
[scenarios.s]
targets = ["p/one", "p/other"]
"#;

/// Decisions in each of three seconds.
const DECISIONS_PER_SECOND: u32 = 208;

/// The processor time of three seconds in which an operator changes their mind all the time.
async fn cost(process: &Process, client: &mut OperationsServiceClient<Channel>) -> Duration {
    let before = process.processor_time();
    let mut pace = interval(Duration::from_secs(1) / DECISIONS_PER_SECOND);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..3 * DECISIONS_PER_SECOND {
        pace.tick().await;
        let state = match number % 2 {
            0 => BreakerState::ForcedOpen,
            _ => BreakerState::ForcedClosed,
        };
        let decision = SetBreakerRequest {
            provider: "p".to_owned(),
            model: "p/one".to_owned(),
            state: state.into(),
            ..SetBreakerRequest::default()
        };
        client.set_breaker(decision).await.unwrap();
    }
    process.processor_time() - before
}

#[tokio::test]
async fn watchers_that_do_not_read_cost_next_to_nothing_beside_many_decisions() {
    const CONNECTIONS: u8 = 4;
    const WATCHERS: usize = 16;
    let path = scratch::file("modelway.toml", CONFIG);
    let process = Process::serve(Some(&path), &[("RUST_LOG", "error")]);
    let mut client = OperationsServiceClient::new(process.connect().await);
    let alone = cost(&process, &mut client).await;

    let mut unread = Vec::new();
    for caller in 1..=CONNECTIONS {
        // One caller may not have all of them.
        let source = Ipv4Addr::new(127, 0, 0, caller).into();
        let mut wire = Wire::connect_from(source, process.address).await;
        wire.send(PREFACE).await;
        // SETTINGS_INITIAL_WINDOW_SIZE of nothing: not a byte of an answer may be sent.
        wire.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
        for stream in (1..).step_by(2).take(WATCHERS) {
            let begin = frame(HEADERS, END_HEADERS, stream, &head(WATCH));
            wire.send(&begin).await;
            wire.send(&frame(DATA, END_STREAM, stream, &EMPTY_MESSAGE))
                .await;
        }
        for _ in 0..WATCHERS {
            wire.next(HEADERS).await;
        }
        unread.push(wire);
    }
    let limit = alone + Duration::from_millis(300);
    let watched = quickest(limit, async || cost(&process, &mut client).await).await;

    println!("three seconds of decisions cost {alone:?}, beside 64 unread watchers {watched:?}");
    assert!(
        watched < limit,
        "{watched:?}, and {alone:?} without watchers"
    );
}
