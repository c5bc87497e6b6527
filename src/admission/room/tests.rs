//! Is there always as much room taken as requests take up?

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::error::Reason;

const LIMITS: RoomLimits = RoomLimits {
    requests: 100,
    requests_per_caller: 60,
    unfinished: 40,
};

fn caller(number: u8) -> Caller {
    Caller::Peer(IpAddr::from([10, 0, 0, number]))
}

fn held(room: &Arc<Room>, number: u8) -> Held {
    Held::new(room, &room.share(caller(number)))
}

fn reason(result: Result<(), Error>) -> Option<Reason> {
    result.err().map(|error| error.reason())
}

#[test]
fn all_requests_share_one_room_and_each_caller_has_a_part_of_it() {
    let room = Arc::new(Room::new(LIMITS));
    let (first, second) = (held(&room, 1), held(&room, 1));
    first.grow(40).unwrap();

    assert_eq!(reason(second.grow(21)), Some(Reason::CallerRateLimited));
    second.grow(20).unwrap();
    let other = held(&room, 2);
    assert_eq!(reason(other.grow(41)), Some(Reason::Overloaded));
    other.grow(40).unwrap();
    assert_eq!(room.taken(), 100);

    drop(first);
    second.grow(40).unwrap();
}

#[test]
fn incomplete_requests_have_only_a_part_of_the_room() {
    let room = Arc::new(Room::new(LIMITS));
    let (first, other) = (held(&room, 1), held(&room, 2));
    first.grow_unfinished(30).unwrap();

    let more = first.grow_unfinished(1);
    assert_eq!(reason(more), Some(Reason::CallerRateLimited));
    other.grow_unfinished(10).unwrap();
    let more = other.grow_unfinished(1);
    assert_eq!(reason(more), Some(Reason::Overloaded));
    first.finish();

    first.grow_unfinished(20).unwrap();
    assert_eq!(room.taken(), 60);
}

#[test]
fn a_request_that_is_larger_than_the_room_is_invalid() {
    let room = Arc::new(Room::new(LIMITS));
    let request = held(&room, 1);
    request.grow(50).unwrap();

    assert_eq!(reason(request.resize(61)), Some(Reason::InvalidRequest));
    request.resize(60).unwrap();
    assert_eq!(request.bytes(), 60);
}

#[test]
fn the_limit_that_a_request_is_too_large_for_is_named() {
    let table = [
        (60, "60 (`admission.max_request_bytes_per_caller`)"),
        (100, "100 (`admission.max_request_bytes`)"),
        (200, "100 (`admission.max_request_bytes`)"),
    ];
    for (requests_per_caller, expected) in table {
        let room = Arc::new(Room::new(RoomLimits {
            requests_per_caller,
            ..LIMITS
        }));

        let error = held(&room, 1).grow(101).unwrap_err();

        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn bytes_that_a_request_does_not_need_go_back_to_its_caller() {
    let room = Arc::new(Room::new(LIMITS));
    let (first, second) = (held(&room, 1), held(&room, 1));
    first.grow(60).unwrap();

    first.resize(20).unwrap();

    assert_eq!(room.taken(), 20);
    assert_eq!(reason(second.grow(41)), Some(Reason::CallerRateLimited));
    second.grow(40).unwrap();
}

#[test]
fn callers_without_requests_are_forgotten() {
    let room = Arc::new(Room::new(LIMITS));
    let kept = room.share(caller(0));
    for number in 0..10_000_u32 {
        drop(room.share(Caller::Peer(IpAddr::from(number.to_be_bytes()))));
    }

    assert!(room.shares.lock().unwrap().by_caller.len() <= 2 * SWEEP_AT);
    assert!(Arc::ptr_eq(&kept, &room.share(caller(0))));
}

#[test]
fn callers_are_swept_once_there_are_many_and_again_at_twice_as_many() {
    let room = Room::new(LIMITS);
    let shares = |numbers: std::ops::Range<usize>| -> Vec<_> {
        let callers = numbers.map(|number| IpAddr::from((number as u32).to_be_bytes()));
        callers.map(|ip| room.share(Caller::Peer(ip))).collect()
    };
    let known = || room.shares.lock().unwrap().by_caller.len();
    let kept = shares(0..700);

    drop(shares(700..SWEEP_AT));
    assert_eq!(known(), SWEEP_AT, "not many yet");
    drop(shares(SWEEP_AT..SWEEP_AT + 1));
    assert_eq!(known(), kept.len() + 1);
    drop(shares(2000..2000 + 699));
    assert_eq!(known(), 2 * kept.len(), "not twice as many yet");
    drop(shares(4000..4001));
    assert_eq!(known(), kept.len() + 1);
}

#[derive(Clone, Debug)]
enum Step {
    Grow(u8, usize),
    GrowUnfinished(u8, usize),
    Finish(u8),
    Resize(u8, usize),
    End(u8),
}

proptest! {
    #[test]
    fn everything_that_is_taken_is_given_back(steps in prop::collection::vec(prop_oneof![
        (0..6u8, 0..70usize).prop_map(|(it, bytes)| Step::Grow(it, bytes)),
        (0..6u8, 0..70usize).prop_map(|(it, bytes)| Step::GrowUnfinished(it, bytes)),
        (0..6u8).prop_map(Step::Finish),
        (0..6u8, 0..70usize).prop_map(|(it, bytes)| Step::Resize(it, bytes)),
        (0..6u8).prop_map(Step::End),
    ], 0..100)) {
        let room = Arc::new(Room::new(LIMITS));
        let mut requests: Vec<_> = (0..6).map(|it| held(&room, it % 3)).collect();
        for step in steps {
            // What finds no room takes none, which the sums below show.
            let _ = match step {
                Step::Grow(it, bytes) => requests[usize::from(it)].grow(bytes),
                Step::GrowUnfinished(it, bytes) => requests[usize::from(it)].grow_unfinished(bytes),
                Step::Resize(it, bytes) => {
                    requests[usize::from(it)].finish();
                    requests[usize::from(it)].resize(bytes)
                }
                Step::Finish(it) => {
                    requests[usize::from(it)].finish();
                    Ok(())
                }
                Step::End(it) => {
                    requests[usize::from(it)] = held(&room, it % 3);
                    Ok(())
                }
            };
            let sum = |of: fn(&Inner) -> &AtomicUsize| -> usize {
                requests.iter().map(|request| of(&request.0).load(Ordering::Relaxed)).sum()
            };
            prop_assert_eq!(room.taken(), sum(|request| &request.bytes));
            prop_assert!(room.taken() <= LIMITS.requests);
            let unfinished = room.taken.unfinished.load(Ordering::Relaxed);
            prop_assert_eq!(unfinished, sum(|request| &request.unfinished));
            prop_assert!(unfinished <= LIMITS.unfinished);
        }
        requests.clear();
        prop_assert_eq!(room.taken(), 0);
    }
}
