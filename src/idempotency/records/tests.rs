use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::caller::Caller;

const SETTINGS: Settings = Settings {
    retention: Duration::from_secs(600),
    max_entries: 3,
    max_bytes: 100,
};

fn key(name: &str) -> Arc<Key> {
    Arc::new(Key {
        caller: Caller::Unknown,
        key: name.to_owned(),
    })
}

/// A key of one of several callers.
fn key_of(caller: u8, name: &str) -> Arc<Key> {
    Arc::new(Key {
        caller: Caller::Peer(std::net::IpAddr::from([10, 0, 0, caller])),
        key: name.to_owned(),
    })
}

fn body(number: u64) -> Fingerprint {
    Fingerprint([number, number])
}

/// Records whose calls under way are characters and whose outcomes are texts.
fn records() -> Records<char, &'static str> {
    Records::new(SETTINGS)
}

/// A call that begins and ends at once.
fn done(records: &mut Records<char, &'static str>, name: &str, bytes: usize, now: Instant) {
    done_by(records, &key(name), bytes, now);
}

fn done_by(records: &mut Records<char, &'static str>, key: &Arc<Key>, bytes: usize, now: Instant) {
    let number = records.next_number();
    records.begin(Arc::clone(key), number, body(1), 'r');
    records.end(key, number, "done", bytes, now);
}

#[test]
fn a_repeat_finds_the_call_under_way_and_then_its_outcome() {
    let now = Instant::now();
    let mut records = records();
    assert_eq!(records.find(&key("a"), body(1), now), Known::Nothing);

    let number = records.next_number();
    records.begin(key("a"), number, body(1), 'r');
    assert_eq!(records.find(&key("a"), body(1), now), Known::Running(&'r'));
    assert_eq!(records.find(&key("a"), body(2), now), Known::Conflict);
    assert_eq!(records.find(&key("b"), body(2), now), Known::Nothing);

    records.end(&key("a"), number, "done", 10, now);
    records.forget(&key("a"), number);
    assert_eq!(records.find(&key("a"), body(1), now), Known::Ended(&"done"));
    assert_eq!(records.find(&key("a"), body(2), now), Known::Conflict);
}

#[test]
fn callers_do_not_share_keys() {
    let now = Instant::now();
    let mut records = records();
    done(&mut records, "a", 10, now);
    let address = std::net::IpAddr::from([10, 0, 0, 1]);

    let others = Key {
        caller: Caller::Peer(address),
        key: "a".to_owned(),
    };

    assert_eq!(records.find(&others, body(1), now), Known::Nothing);
}

#[test]
fn an_outcome_is_kept_for_its_time() {
    let start = Instant::now();
    let mut records = records();
    done(&mut records, "a", 10, start);

    let last = start + SETTINGS.retention - Duration::from_nanos(1);
    assert_eq!(
        records.find(&key("a"), body(1), last),
        Known::Ended(&"done")
    );
    let over = start + SETTINGS.retention;
    assert_eq!(records.find(&key("a"), body(2), over), Known::Nothing);
    assert_eq!(records.holdings.bytes(), 0);
}

#[test]
fn the_oldest_outcomes_are_forgotten_when_they_are_too_many_or_too_large() {
    let now = Instant::now();
    let mut records = records();
    for name in ["a", "b", "c", "d"] {
        done(&mut records, name, 30, now);
    }
    assert_eq!(records.find(&key("a"), body(1), now), Known::Nothing);
    assert_eq!(records.find(&key("b"), body(1), now), Known::Ended(&"done"));

    done(&mut records, "e", 70, now);
    assert_eq!(records.find(&key("c"), body(1), now), Known::Nothing);
    assert_eq!(records.find(&key("d"), body(1), now), Known::Ended(&"done"));

    done(&mut records, "f", 101, now);
    assert_eq!(records.find(&key("f"), body(1), now), Known::Nothing);
    assert_eq!(records.find(&key("e"), body(1), now), Known::Ended(&"done"));
}

#[test]
fn a_caller_with_many_outcomes_loses_its_own_and_not_those_of_others() {
    let now = Instant::now();
    for (few, many) in [(40, 5), (5, 30)] {
        let mut records = records();
        let modest = key_of(1, "modest");
        done_by(&mut records, &modest, few, now);

        let greedy: Vec<_> = (0..20).map(|it| key_of(2, &it.to_string())).collect();
        for key in &greedy {
            done_by(&mut records, key, many, now);
        }

        for (key, is_kept) in [
            (&modest, true),
            (&greedy[19], true),
            (&greedy[18], true),
            (&greedy[17], false),
        ] {
            let known = records.find(key, body(1), now);
            assert_eq!(known == Known::Ended(&"done"), is_kept, "{key:?}");
        }
    }
}

#[test]
fn a_caller_that_is_alone_may_fill_the_memory() {
    let now = Instant::now();
    let mut records = records();

    for name in ["a", "b", "c"] {
        done_by(&mut records, &key_of(1, name), 33, now);
    }

    assert_eq!(records.holdings.bytes(), 99);
}

#[test]
fn the_end_of_a_call_leaves_the_next_call_with_its_key_alone() {
    let now = Instant::now();
    let mut records = records();
    let first = records.next_number();
    records.begin(key("a"), first, body(1), '1');
    let second = records.next_number();
    records.begin(key("a"), second, body(1), '2');

    records.forget(&key("a"), first);
    records.end(&key("a"), first, "late", 10, now);

    assert_eq!(records.find(&key("a"), body(1), now), Known::Running(&'2'));
}

#[derive(Clone, Debug)]
enum Step {
    Begin(usize),
    End(usize, usize),
    Forget(usize),
    Pass(u64),
}

proptest! {
    #[test]
    fn memory_stays_within_its_bounds(steps in prop::collection::vec(prop_oneof![
        (0..8usize).prop_map(Step::Begin),
        (0..8usize, 0..120usize).prop_map(|(name, bytes)| Step::End(name, bytes)),
        (0..8usize).prop_map(Step::Forget),
        (0..400u64).prop_map(Step::Pass),
    ], 0..200)) {
        let mut now = Instant::now();
        let mut records = records();
        let mut numbers = [0; 8];
        let name = |index: usize| key_of(index as u8 % 3, &index.to_string());
        for step in steps {
            match step {
                Step::Begin(index) => {
                    if records.find(&name(index), body(1), now) == Known::Nothing {
                        numbers[index] = records.next_number();
                        records.begin(name(index), numbers[index], body(1), 'r');
                    }
                }
                Step::End(index, bytes) => {
                    let known = records.find(&name(index), body(1), now);
                    if matches!(known, Known::Running(_)) {
                        records.end(&name(index), numbers[index], "done", bytes, now);
                    }
                }
                Step::Forget(index) => records.forget(&name(index), numbers[index]),
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            let sizes = records.entries.values().filter_map(|entry| match entry.state {
                State::Running(_) => None,
                State::Ended { bytes, .. } => Some(bytes),
            });
            let sizes: Vec<usize> = sizes.collect();
            prop_assert_eq!(sizes.len(), records.ended.len());
            prop_assert_eq!(sizes.len(), records.holdings.count());
            prop_assert_eq!(sizes.iter().sum::<usize>(), records.holdings.bytes());
            prop_assert!(sizes.len() <= SETTINGS.max_entries);
            prop_assert!(records.holdings.bytes() <= SETTINGS.max_bytes);
        }
    }
}
