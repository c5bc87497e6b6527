//! Do all open streams of a key end when it is revoked, within the bound that is told?

use std::time::Duration;

use futures_util::future::join_all;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::stream_generate_response::Event;
use modelway::grpc::v1::{RevokeKeyRequest, StreamGenerateResponse};
use modelway::simulator::Behaviour;
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Status, Streaming};

use crate::support::{ask, details};

use super::support::{Administered, authorized, keys};

const STREAMS: usize = 25;

/// Streams of this key, each over a connection of its own, whose answers have begun and stall.
async fn open(
    administered: &Administered,
    secret: &str,
    count: usize,
) -> Vec<Streaming<StreamGenerateResponse>> {
    let opening = (0..count).map(async |_| {
        let mut client = GenerationServiceClient::new(administered.gateway.channel());
        let request = authorized(Request::new(ask("one", "Hello")), secret);
        let mut stream = client.stream_generate(request).await.unwrap().into_inner();
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if let Some(Event::TextDelta(_)) = message.event {
                return stream;
            }
        }
    });
    join_all(opening).await
}

async fn end(mut stream: Streaming<StreamGenerateResponse>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ends with a status"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn every_open_stream_of_a_revoked_key_ends_within_the_bound_with_its_status() {
    let administered =
        Administered::start("streams", "[admission]\nmax_inflight_per_caller = 200\n").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let stalling = "stall=2".parse::<Behaviour>().unwrap();
    administered.gateway.simulator.set("first", stalling);
    let (_, spared) = administered.key(&mut admin, "caller").await;
    let mut others = open(&administered, &spared, 2).await;

    for by_command in [false, true] {
        let (id, secret) = administered.key(&mut admin, "caller").await;
        let streams = open(&administered, &secret, STREAMS).await;
        let bound = if by_command {
            let data = administered.data.clone();
            let revoking = move || drop(keys(&data, &["revoke", &id]));
            tokio::task::spawn_blocking(revoking).await.unwrap();
            Duration::from_secs(1)
        } else {
            let request = RevokeKeyRequest {
                id,
                ..RevokeKeyRequest::default()
            };
            let revoked = admin.revoke_key(request).await.unwrap().into_inner();
            Duration::try_from(revoked.revocation_bound.unwrap()).unwrap()
        };
        let begun = Instant::now();
        let ends = streams.into_iter().map(async |stream| {
            let status = timeout(Duration::from_secs(20), end(stream)).await;
            (status.expect("the stream ends"), begun.elapsed())
        });
        let ends = join_all(ends).await;

        let slowest = ends.iter().map(|(_, took)| *took).max().unwrap();
        for (status, _) in &ends {
            let told = details(status);
            assert_eq!(told.code, Code::Unauthenticated, "{told:?}");
            assert_eq!(told.reason, "CREDENTIALS_INVALID");
            assert_eq!(told.info["cause"], "revoked");
            assert_eq!(told.pushback, Some(-1));
        }
        println!(
            "open streams of a revoked key: {STREAMS}, ended: {}, the last after {} ms, bound {} ms",
            ends.len(),
            slowest.as_millis(),
            bound.as_millis()
        );
        // What a machine that is busy with other tests may add.
        assert!(slowest <= bound + Duration::from_secs(1), "{slowest:?}");
    }
    for stream in &mut others {
        // Two words have come at most, and nothing ends it.
        while let Ok(message) = timeout(Duration::from_millis(200), stream.message()).await {
            assert!(matches!(message, Ok(Some(_))), "{message:?}");
        }
    }
}
