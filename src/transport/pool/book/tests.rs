use proptest::collection::vec;
use proptest::prelude::*;

use super::opening::{MAX_CONNECTING, SLOW};
use super::*;
use crate::transport::pool::liveness::Liveness;

const STREAMS: usize = 64;

const RULES: ConnectionLimits = ConnectionLimits {
    streams: STREAMS,
    idle: Duration::from_secs(90),
};

const AGE: Duration = Duration::from_secs(300);

type Numbers = Book<(), u32>;

fn book(speaks: Option<Version>) -> Numbers {
    Book::new(RULES, speaks)
}

fn made(version: Version, now: Instant) -> NewConnection<()> {
    NewConnection {
        version,
        link: (),
        liveness: Liveness::new(now),
        retires: now + AGE,
    }
}

/// So many calls that ask at once and get nothing yet.
fn cold(book: &mut Numbers, calls: u32, now: Instant) -> Vec<Id> {
    let mut begun = Vec::new();
    for call in 0..calls {
        assert_eq!(book.take(now), None);
        book.wait(call, now);
        begun.extend(book.begin(now));
    }
    begun
}

#[test]
fn three_hundred_cold_calls_make_as_many_connections_as_they_need() {
    let now = Instant::now();
    let mut book = book(None);

    let first = cold(&mut book, 300, now);
    assert_eq!(first.len(), 1, "the first tells what the host speaks");
    book.made(first[0], made(Version::Http2, now), now);
    assert_eq!(
        book.grants(now).len(),
        1,
        "before the host has said how many"
    );
    let further = book.begin(now);
    assert_eq!(further.len(), 4, "five times 64");
    for id in [first[0], further[0], further[1], further[2], further[3]] {
        if id != first[0] {
            book.made(id, made(Version::Http2, now), now);
        }
        book.set_stream_limit(id, 100);
        assert!(!book.grants(now).is_empty());
    }

    assert!(book.waiting.is_empty());
    assert!(book.begin(now).is_empty());
}

#[test]
fn cold_calls_over_http1_make_a_connection_each_and_not_all_at_once() {
    let now = Instant::now();
    let mut book = book(None);
    let first = cold(&mut book, 300, now);

    book.made(first[0], made(Version::Http1, now), now);
    assert_eq!(book.grants(now).len(), 1);
    let mut under_way = book.begin(now);

    let mut connections = 1;
    while let Some(id) = under_way.pop() {
        assert!(under_way.len() < MAX_CONNECTING);
        book.made(id, made(Version::Http1, now), now);
        connections += 1;
        assert_eq!(book.grants(now).len(), 1);
        under_way.extend(book.begin(now));
    }
    assert_eq!(connections, 300);
}

/// A host that speaks HTTP/2 and has told its limit on one connection.
fn settled(limit: usize, now: Instant) -> (Numbers, Id) {
    let mut book = book(Some(Version::Http2));
    let begun = cold(&mut book, 1, now);
    book.made(begun[0], made(Version::Http2, now), now);
    book.set_stream_limit(begun[0], limit);
    assert_eq!(book.grants(now), [(0, begun[0])]);
    (book, begun[0])
}

#[test]
fn another_connection_is_opened_before_the_limit_is_reached() {
    let now = Instant::now();
    // The host's limit, and the streams in use when another connection is opened.
    for (limit, expected) in [(100, 49), (64, 49), (40, 31), (4, 4), (2, 2), (1, 1)] {
        let (mut book, _) = settled(limit, now);
        let mut streams = 1;
        let mut begun = book.begin(now);
        while begun.is_empty() {
            if book.take(now).is_none() {
                book.wait(0, now);
            } else {
                streams += 1;
            }
            begun = book.begin(now);
        }

        assert_eq!((begun.len(), streams), (1, expected), "{limit}");
    }
}

#[test]
fn a_limit_that_is_lowered_holds_for_the_next_stream() {
    let now = Instant::now();
    let (mut book, id) = settled(100, now);
    for _ in 0..9 {
        assert_eq!(book.take(now), Some(id));
    }

    book.set_stream_limit(id, 5);

    for streams in (5..10).rev() {
        assert_eq!(book.take(now), None, "{streams} are in use");
        book.release(id, now);
    }
    assert_eq!(book.take(now), None);
    book.release(id, now);
    assert_eq!(book.take(now), Some(id));
}

#[test]
fn a_host_that_takes_no_streams_on_a_new_connection_fails_those_who_wait() {
    let now = Instant::now();
    let mut book = book(None);
    let begun = cold(&mut book, 3, now);
    book.made(begun[0], made(Version::Http2, now), now);
    assert_eq!(book.grants(now), [(0, begun[0])]);

    assert_eq!(book.set_stream_limit(begun[0], 0), [1, 2]);

    assert_eq!(book.take(now), None);
}

#[test]
fn the_least_busy_connection_is_taken_and_of_equals_the_last_used() {
    let now = Instant::now();
    let (mut book, one) = settled(100, now);
    book.wait(1, now);
    book.retire(one); // so that another is made
    let two = book.begin(now)[0];
    book.made(two, made(Version::Http2, now), now);
    book.set_stream_limit(two, 100);
    assert_eq!(book.grants(now), [(1, two)]);
    let mut third = book.begin(now);
    assert!(third.is_empty());
    book.last_begun = None;
    book.wait(2, now);
    third = book.begin(now);
    book.made(third[0], made(Version::Http2, now), now);
    book.set_stream_limit(third[0], 100);
    let three = third[0];

    assert_eq!(book.grants(now), [(2, three)]);
    assert_eq!(book.take(now), Some(three));
    assert_eq!(book.take(now), Some(two));
    for id in [two, two, three, three] {
        book.release(id, now);
    }
    assert_eq!(book.take(now), Some(two));
    book.release(two, now);
    assert_eq!(book.take(now), Some(two));
}

#[test]
fn a_connection_that_is_too_old_or_unused_for_too_long_takes_no_streams() {
    let start = Instant::now();
    let seconds = |seconds| start + Duration::from_secs(seconds);
    let (mut book, id) = settled(100, start);
    book.release(id, start);
    assert_eq!(book.check(id, start), Some(seconds(90)));
    assert_eq!(book.take(seconds(89)), Some(id));
    assert_eq!(book.check(id, seconds(90)), Some(seconds(180)));
    assert_eq!(book.take(seconds(299)), Some(id));

    assert_eq!(book.take(seconds(300)), None);

    book.release(id, seconds(301));
    assert!(book.link(id).is_some(), "a stream is in use");
    book.release(id, seconds(302));
    assert!(book.link(id).is_none());

    let (mut book, id) = settled(100, start);
    book.release(id, start);
    assert_eq!(book.take(seconds(90)), None);
    assert_eq!(book.check(id, seconds(90)), None);
}

#[test]
fn a_host_that_keeps_connections_for_less_is_believed() {
    let start = Instant::now();
    let seconds = |seconds| start + Duration::from_secs(seconds);
    let (mut book, id) = settled(100, start);
    book.set_keep_alive(id, Duration::from_secs(4));
    book.release(id, start);

    assert_eq!(book.take(seconds(3)), Some(id));
    book.release(id, seconds(3));
    assert_eq!(book.take(seconds(7)), None);
}

#[test]
fn a_doubted_connection_is_passed_over_until_its_peer_speaks() {
    let start = Instant::now();
    let seconds = |seconds| start + Duration::from_secs(seconds);
    let (mut book, id) = settled(100, start);
    let liveness = book.connections[&id].liveness.clone();
    let mut pinger = super::super::liveness::pinger::Pinger::default();
    for second in [2, 5] {
        pinger.next_step(&liveness, seconds(second));
    }

    assert_eq!(book.take(seconds(5)), None);
    book.wait(1, seconds(5));
    assert_eq!(book.begin(seconds(5)).len(), 1);

    liveness.note_bytes(seconds(6));
    assert_eq!(book.grants(seconds(6)), [(1, id)]);
}

#[test]
fn a_failed_connection_takes_those_with_it_who_waited_for_it() {
    let start = Instant::now();
    let later = start + Duration::from_secs(1);
    let mut book = book(None);
    let first = cold(&mut book, 3, start);
    book.wait(3, later);

    assert_eq!(book.failed(first[0], later), [0, 1, 2]);

    assert_eq!(book.begin(later).len(), 1, "for the one who came later");
}

#[test]
fn a_failed_connection_takes_one_with_it_while_others_succeed() {
    let start = Instant::now();
    let mut book = book(Some(Version::Http1));
    let begun = cold(&mut book, 3, start);
    book.made(begun[0], made(Version::Http1, start), start);
    assert_eq!(book.grants(start), [(0, begun[0])]);

    assert_eq!(book.failed(begun[1], start), [1]);

    assert!(book.begin(start).is_empty(), "the third is still under way");
}

#[test]
fn a_connection_ahead_of_need_that_fails_is_not_tried_again_at_once() {
    let start = Instant::now();
    let (mut book, _) = settled(4, start);
    for _ in 0..3 {
        book.take(start);
    }
    let begun = book.begin(start);
    assert_eq!(begun.len(), 1);

    assert!(book.failed(begun[0], start).is_empty());

    assert!(book.begin(start).is_empty());
    assert_eq!(book.begin(start + AGAIN).len(), 1);
}

#[test]
fn a_host_that_nobody_asks_any_more_is_left_without_a_connection() {
    let start = Instant::now();
    let (mut book, id) = settled(100, start);
    book.release(id, start);
    assert!(book.begin(start).is_empty());

    let later = start + RULES.idle;
    assert_eq!(book.check(id, later), None, "unused for too long");

    assert!(book.begin(later).is_empty());
}

#[test]
fn a_connection_that_is_too_old_is_replaced_while_it_is_in_use() {
    let start = Instant::now();
    let (mut book, id) = settled(100, start);
    book.take(start);
    book.release(id, start + AGE);

    assert_eq!(book.begin(start + AGE).len(), 1);
}

#[test]
fn a_host_that_ends_new_connections_at_once_is_not_asked_for_another_at_once() {
    let start = Instant::now();
    let (mut book, _) = settled(4, start);
    for _ in 0..3 {
        book.take(start);
    }
    let begun = book.begin(start);
    book.made(begun[0], made(Version::Http2, start), start);

    book.ended(begun[0], start);

    assert!(book.begin(start).is_empty());
    assert_eq!(book.begin(start + AGAIN).len(), 1);
}

#[test]
fn a_book_that_is_closed_makes_no_connection() {
    let now = Instant::now();
    let (mut book, first) = settled(4, now);
    for _ in 0..3 {
        book.take(now);
    }
    let begun = book.begin(now);
    assert_eq!(begun.len(), 1);

    book.close();

    book.made(begun[0], made(Version::Http2, now), now);
    assert!(book.link(begun[0]).is_none(), "nobody is to use it");
    book.release(first, now);
    assert!(book.begin(now).is_empty());
}

#[test]
fn a_connection_that_takes_long_gets_company() {
    let start = Instant::now();
    let mut book = book(None);
    assert_eq!(cold(&mut book, 10, start).len(), 1);

    for half in 1..4 {
        let now = start + half * SLOW;
        assert!(book.begin(now - Duration::from_millis(1)).is_empty());
        assert_eq!(book.begin(now).len(), 1);
    }
}

#[test]
fn those_who_came_first_are_served_first() {
    let now = Instant::now();
    let (mut book, id) = settled(1, now);
    for call in 1..4 {
        assert_eq!(book.take(now), None);
        book.wait(call, now);
    }

    book.release(id, now);

    assert_eq!(book.take(now), None, "others wait");
    assert_eq!(book.grants(now), [(1, id)]);
}

/// What can happen to a host's connections; the numbers choose among those that there are.
#[derive(Clone, Debug)]
enum Step {
    Ask,
    Withdraw(usize),
    NewConnection(usize, bool),
    Failed(usize),
    Allows(usize, usize),
    Release(usize),
    Retire(usize),
    Forget(usize),
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Ask),
        1 => any::<usize>().prop_map(Step::Withdraw),
        4 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(of, two)| Step::NewConnection(of, two)),
        1 => any::<usize>().prop_map(Step::Failed),
        3 => (any::<usize>(), 0..5_usize).prop_map(|(of, limit)| Step::Allows(of, limit)),
        4 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Retire),
        1 => any::<usize>().prop_map(Step::Forget),
        1 => (1..200_u64).prop_map(Step::Later),
    ]
}

fn one_of<T: Clone>(items: &[T], number: usize) -> Option<T> {
    items.get(number.checked_rem(items.len())?).cloned()
}

proptest! {
    #[test]
    fn no_limit_is_exceeded_and_nobody_waits_for_nothing(steps in vec(step(), 1..200)) {
        let mut now = Instant::now();
        let mut book = book(None);
        let mut leases: Vec<Id> = Vec::new();
        for step in steps {
            let ids: Vec<Id> = book.connections.keys().copied().collect();
            let connecting: Vec<Id> = book.connecting.keys().copied().collect();
            let waiting: Vec<u64> = book.waiting.keys().copied().collect();
            match step {
                Step::Ask => match book.take(now) {
                    Some(id) => leases.push(id),
                    None => { book.wait(0, now); }
                },
                Step::Withdraw(of) => {
                    if let Some(number) = one_of(&waiting, of) { book.withdraw(number); }
                }
                Step::NewConnection(of, two) => {
                    if let Some(id) = one_of(&connecting, of) {
                        let version = if two { Version::Http2 } else { Version::Http1 };
                        book.made(id, made(version, now), now);
                    }
                }
                Step::Failed(of) => {
                    if let Some(id) = one_of(&connecting, of) { book.failed(id, now); }
                }
                Step::Allows(of, limit) => {
                    if let Some(id) = one_of(&ids, of) { book.set_stream_limit(id, limit); }
                }
                Step::Release(of) => {
                    if let Some(id) = one_of(&leases, of) {
                        let place = leases.iter().position(|lease| *lease == id);
                        leases.swap_remove(place.unwrap());
                        book.release(id, now);
                    }
                }
                Step::Retire(of) => {
                    if let Some(id) = one_of(&ids, of) { book.retire(id); }
                }
                Step::Forget(of) => {
                    if let Some(id) = one_of(&ids, of) {
                        book.forget(id);
                        leases.retain(|lease| *lease != id);
                    }
                }
                Step::Later(seconds) => now += Duration::from_secs(seconds),
            }
            let before: HashMap<Id, usize> =
                book.connections.iter().map(|(id, connection)| (*id, connection.streams)).collect();
            let given: Vec<Id> = book.grants(now).into_iter().map(|(_, id)| id).collect();
            leases.extend(&given);
            book.begin(now);

            for (id, connection) in &book.connections {
                let used = leases.iter().filter(|lease| *lease == id).count();
                prop_assert_eq!(used, connection.streams);
                let got = used - before.get(id).copied().unwrap_or(0);
                prop_assert!(got == 0 || used <= connection.limit);
                prop_assert!(!(connection.retired && connection.streams == 0));
            }
            let unsettled = book.connections.values().filter(|connection| !connection.settled).count();
            prop_assert_eq!(book.unsettled, unsettled);
            if !book.waiting.is_empty() {
                prop_assert!(!book.connecting.is_empty() || book.unsettled > 0);
            }
        }
    }
}
