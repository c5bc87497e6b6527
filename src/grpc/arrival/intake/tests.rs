use std::convert::Infallible;

use futures_util::stream::iter;
use http_body_util::{BodyExt as _, StreamBody};
use proptest::prelude::*;

use bytes::Bytes;
use http_body::Frame;
use tonic::{Code, Status};

use tokio::time::Instant;

use super::super::super::elements::Contract;
use super::*;
use crate::admission::room::RoomLimits;

const LIMIT: usize = 100;
const ROOM: usize = 300;
const TIMEOUT: Duration = Duration::from_secs(30);

fn intake() -> Intake {
    let room = Room::new(RoomLimits {
        requests: 100_000,
        requests_per_caller: 100_000,
        unfinished: ROOM,
    });
    let rules = MessageRules {
        max_message_bytes: LIMIT,
        contract: Arc::new(Contract::of_anything_at("/")),
        elements: Arc::default(),
    };
    let draining = CancellationToken::new();
    Intake::new(TIMEOUT, rules, Arc::new(room), draining)
}

fn share(intake: &Intake) -> Arc<Share> {
    intake.share(Caller::Unknown)
}

fn message(length: usize) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    // An unknown field takes two bytes, or three.
    if length % 2 == 1 {
        bytes.extend([0x78, 0x81, 1]);
    }
    bytes.extend([0x78, 1].repeat((length - length % 2 * 3) / 2));
    bytes
}

/// What is seen of a body that comes in these pieces, up to its end or a failure.
async fn seen(intake: &Intake, pieces: Vec<Bytes>) -> (Vec<Bytes>, Option<Code>) {
    let frames = pieces
        .into_iter()
        .map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let mut body = intake
        .admit(
            Request::new(StreamBody::new(iter(frames))),
            &share(intake),
            Instant::now(),
        )
        .unwrap()
        .into_body();
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => seen.push(frame.into_data().unwrap()),
            Err(error) => return (seen, Some(error.downcast::<Status>().unwrap().code())),
        }
    }
    (seen, None)
}

fn taken(intake: &Intake) -> usize {
    intake.room.taken()
}

proptest! {
    #[test]
    fn messages_are_seen_whole_however_they_come(
        lengths in prop::collection::vec(prop_oneof![Just(0), 2..=LIMIT], 1..3),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole: Vec<u8> = lengths.iter().flat_map(|&length| message(length)).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| Bytes::copy_from_slice(&whole[cut[0]..cut[1]]));
        let intake = intake();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();

        let (seen, failure) = runtime.block_on(seen(&intake, pieces.collect()));

        prop_assert_eq!(failure, None);
        prop_assert_eq!(seen.concat(), whole);
        prop_assert_eq!(taken(&intake), 0);
    }
}

#[tokio::test]
async fn what_does_not_come_to_an_end_is_not_seen() {
    let intake = intake();
    let mut bytes = message(LIMIT);
    bytes.pop();

    let (seen, failure) = seen(&intake, vec![bytes.into()]).await;

    assert_eq!((seen.len(), failure), (0, Some(Code::InvalidArgument)));
    assert_eq!(taken(&intake), 0);
}

#[tokio::test]
async fn an_announcement_beyond_the_limit_is_refused_at_once() {
    let announcement = Bytes::from(message(LIMIT + 1)).slice(..5);

    let (seen, failure) = seen(&intake(), vec![announcement]).await;

    assert_eq!((seen.len(), failure), (0, Some(Code::InvalidArgument)));
}

#[tokio::test]
async fn there_is_no_more_room_than_that() {
    let intake = intake();
    let others: Vec<_> = (0..2)
        .map(|number| {
            let address = std::net::IpAddr::from([10, 0, 0, number]);
            let held = Held::new(&intake.room, &intake.share(Caller::Peer(address)));
            held.grow_unfinished((ROOM - 10) / 2).unwrap();
            held
        })
        .collect();
    let bytes = Bytes::from(message(LIMIT));

    let (_, whole) = seen(&intake, vec![bytes.clone()]).await;
    let (_, halves) = seen(&intake, vec![bytes.slice(..50), bytes.slice(50..)]).await;

    assert_eq!((whole, halves), (None, Some(Code::Unavailable)));
    assert_eq!(taken(&intake), ROOM - 10);
    drop(others);
    assert_eq!(taken(&intake), 0);
}
