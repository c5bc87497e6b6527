//! Which counters does a call or an attempt need, how much of each, and what is it told if one has no room?

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smallvec::SmallVec;

use super::counter::{CounterTime, FitsAt, Remainder, Tallies};
use super::counters::{Counters, KeyedCounter};
use super::denial::{Denial, DenialCause};
use super::limit::{Asked, Enforcement, LimitStage};
use super::set::{LimitEntry, LimitSet};
use super::state::shown_second;
use super::taking::Ask;
use super::{Estimate, Now, Shared};

/// A counter in which something is about to be set aside.
pub(super) struct WantedCounter<'s> {
    pub(super) entry: &'s LimitEntry,
    pub(super) counter: Arc<KeyedCounter>,
    pub(super) amount: i64,
}

impl Shared {
    /// The counters that apply, in the order of their limits' ids, and what is wanted of each.
    pub(super) fn wanted<'s>(
        &self,
        set: &'s LimitSet,
        asked: &Asked<'_>,
        stage: LimitStage,
        estimate: &Estimate,
        now: Now,
    ) -> Result<SmallVec<[WantedCounter<'s>; 4]>, Denial> {
        let time = self.time(now);
        let mut wanted = SmallVec::new();
        for entry in set.on_account(asked) {
            if !entry.applies(asked, stage) {
                continue;
            }
            let limit = &entry.limit;
            let amount = match (estimate.of(limit), limit.enforcement) {
                (Some(amount), _) => amount,
                // It is counted when it is known.
                (None, Enforcement::Watch) => 0,
                (None, Enforcement::Hard) => {
                    entry.counters.denials.increment();
                    return Err(entry.denial(asked, DenialCause::PriceUnknown, 0, 0, None));
                }
            };
            wanted.push(WantedCounter {
                entry,
                counter: entry.counters.of(limit, asked, time),
                amount,
            });
        }
        Ok(wanted)
    }
}

impl WantedCounter<'_> {
    /// Brings the counter to the present.
    pub(super) fn bring(&self, tallies: &mut Tallies, time: CounterTime) {
        let LimitEntry {
            limit, counters, ..
        } = self.entry;
        Counters::bring(counters, limit, tallies, time);
    }

    /// What is asked of the counter.
    pub(super) fn ask(&self) -> Ask<'_> {
        let limit = &self.entry.limit;
        Ask {
            tallies: self.counter.tallies(),
            amount: limit.amount,
            wanted: self.amount,
            is_hard: limit.enforcement == Enforcement::Hard,
        }
    }

    /// The refusal, since no more than this remains.
    pub(super) fn denial(&self, remainder: Remainder, asked: &Asked<'_>, now: Now) -> Denial {
        let Remainder { left, fits } = remainder;
        let reset = fits.and_then(|fits| match fits {
            FitsAt::Second(second) => Some(shown_second(second)),
            FitsAt::After(nanos) => {
                let wait = Duration::from_nanos(nanos.unsigned_abs());
                now.wall.checked_add(wait)
            }
        });
        self.entry.counters.denials.increment();
        let cause = DenialCause::Reached;
        self.entry.denial(asked, cause, self.amount, left, reset)
    }
}

impl LimitEntry {
    fn denial(
        &self,
        asked: &Asked<'_>,
        cause: DenialCause,
        requested: i64,
        remaining: i64,
        reset: Option<SystemTime>,
    ) -> Denial {
        Denial {
            limit: Arc::clone(&self.limit.id),
            unit: self.limit.unit,
            window: self.limit.window,
            cause,
            requested,
            remaining,
            reset,
            is_own: self.limit.is_own(asked.identity),
        }
    }
}
