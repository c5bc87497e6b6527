//! How many streams may watch breakers, in all and for one caller?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::caller::Caller;
use crate::error::{CallerLimit, Error};

/// The most streams that may watch at once: each change is sent to every one of them.
const MAX_WATCHERS: usize = 64;

/// The most streams of one caller, so that it cannot take the places of all others.
const MAX_WATCHERS_PER_CALLER: usize = MAX_WATCHERS / 4;

/// When a refused watcher should try again: some streams will have ended by then.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The streams that watch, by caller.
#[derive(Default)]
pub(super) struct Watchers(Mutex<HashMap<Caller, usize>>);

/// A stream that watches. Dropping this counts it out.
pub(super) struct Watching {
    watchers: Arc<Watchers>,
    caller: Caller,
}

impl Watchers {
    /// Counts a new stream.
    ///
    /// # Errors
    /// [`Error::CallerRateLimited`] if there are too many for this caller, or for all callers together.
    pub(super) fn begin(self: &Arc<Self>, caller: Caller) -> Result<Watching, Error> {
        let mut by_caller = self.lock();
        let of_caller = by_caller.get(&caller).copied().unwrap_or_default();
        let too_many = |limit| {
            Err(Error::CallerRateLimited {
                limit,
                retry_after: RETRY_AFTER,
            })
        };
        if of_caller >= MAX_WATCHERS_PER_CALLER {
            return too_many(CallerLimit::OwnWatchers(MAX_WATCHERS_PER_CALLER));
        }
        if by_caller.values().sum::<usize>() >= MAX_WATCHERS {
            return too_many(CallerLimit::Watchers(MAX_WATCHERS));
        }
        by_caller.insert(caller, of_caller + 1);
        Ok(Watching {
            watchers: Arc::clone(self),
            caller,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Caller, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut by_caller = self.watchers.lock();
        match by_caller.get_mut(&self.caller) {
            Some(streams) if *streams > 1 => *streams -= 1,
            _ => _ = by_caller.remove(&self.caller),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn caller(number: u8) -> Caller {
        Caller::Peer(IpAddr::from([10, 0, 0, number]))
    }

    fn begin(watchers: &Arc<Watchers>, number: u8) -> Result<Watching, CallerLimit> {
        watchers.begin(caller(number)).map_err(|error| match error {
            Error::CallerRateLimited { limit, .. } => limit,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn one_caller_leaves_places_to_others_and_all_together_have_so_many() {
        let watchers = Arc::new(Watchers::default());
        let mut watching = Vec::new();
        for number in 0..4 {
            for _ in 0..MAX_WATCHERS_PER_CALLER {
                watching.push(begin(&watchers, number).unwrap());
            }
            let own = begin(&watchers, number).err();
            assert_eq!(own, Some(CallerLimit::OwnWatchers(MAX_WATCHERS_PER_CALLER)));
        }
        let all = begin(&watchers, 4).err();
        assert_eq!(all, Some(CallerLimit::Watchers(MAX_WATCHERS)));

        drop(watching.pop());

        assert!(begin(&watchers, 4).is_ok());
        drop(watching);
        assert!(watchers.lock().is_empty());
    }
}
