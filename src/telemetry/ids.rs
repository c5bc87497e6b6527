//! How are the ids of calls made? Each call has one, so that takes no system call and not the standard formatter.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use crate::hash::in_digits;

thread_local! {
    /// Makes the random bits of ids. The system seeds it, not the clock: machines that start from one image must differ.
    static RANDOM: RefCell<Rng> = RefCell::new(Rng::with_seed(RandomState::new().hash_one(())));
}

/// A new id for a call that arrives at this time: a UUID of version 7 in hex, so that ids sort by their milliseconds.
///
/// Its random bits come from a generator of the thread: ids must differ, but they are no secrets.
pub(super) fn new_call_id(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let mut random = [0; 10];
    RANDOM.with_borrow_mut(|generator| generator.fill(&mut random));
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    in_digits(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use uuid::{Uuid, Variant};

    use super::*;

    #[test]
    fn an_id_of_a_call_is_a_uuid_that_tells_when_the_call_came() {
        let now = UNIX_EPOCH + Duration::from_millis(1_795_844_588_123);

        let id = new_call_id(now);

        assert_eq!(id.len(), 32);
        let id = Uuid::parse_str(&id).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), Variant::RFC4122);
        let time = id.get_timestamp().unwrap().to_unix();
        assert_eq!(time, (1_795_844_588, 123_000_000));
        assert!(new_call_id(now + Duration::from_millis(1)) > new_call_id(now));
    }

    #[test]
    fn no_two_calls_have_one_id_though_they_come_at_the_same_time_on_several_cores() {
        const EACH: usize = 20_000;
        let ids = || (0..EACH).map(|_| new_call_id(UNIX_EPOCH)).collect();
        let cores: Vec<_> = (0..4).map(|_| std::thread::spawn(ids)).collect();

        let mut all = HashSet::new();
        for core in cores {
            let ids: Vec<String> = core.join().unwrap();
            all.extend(ids);
        }

        assert_eq!(all.len(), 4 * EACH);
    }
}
