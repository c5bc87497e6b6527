//! May it be spent? Limits on requests, open calls, tokens and money: counters that are asked before anything is sent.
//!
//! A call asks once for its place and its request ([`Limits::admit`]); each of its attempts asks for what it may use at
//! most ([`Limits::reserve`]), in all counters or in none. When the attempt has ended, what it has used takes the place of
//! what was set aside ([`Reservation::settle`]). Nothing here waits, and time is passed in.

mod attributed;
pub mod book;
mod check;
mod closed;
mod correction;
mod counter;
mod counters;
mod denial;
mod ground;
mod hold;
mod judge;
mod limit;
mod notice;
mod open_hold;
mod preparation;
mod prior;
mod record;
mod refill;
mod set;
mod set_aside;
mod settling;
mod spelled;
mod state;
mod taking;
mod texts;
mod under_way;
mod windows;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::error::LimitUnit;
use crate::ledger::UsedRow;

pub use self::check::{TooManyLimits, at_most_applying};
pub use self::closed::{ClosedWindows, ComparedWindow};
pub use self::correction::LateCost;
pub use self::counter::WindowBounds;
pub use self::denial::{Denial, DenialCause};
pub use self::ground::{ConfiguredTarget, LedgerLack, LimitGround, zone_of};
pub use self::hold::{CallHold, Reservation, SettledHold};
pub use self::judge::{HIGHEST_COUNT, LimitFault, MOST_DESCRIPTION, judge};
pub use self::limit::{
    Asked, Enforcement, Limit, LimitDimension, LimitMatch, MOST_APPLYING, MOST_THRESHOLDS,
};
pub use self::notice::{Announce, LimitNotice, shown_key};
pub use self::preparation::Preparation;
pub use self::prior::PriorUse;
pub use self::record::{AnnouncedThreshold, Grant, LimitHistory, LimitRecord};
pub use self::state::{GrantError, LimitState};
pub use self::windows::{LimitWindow, Zone};

use self::counter::{CounterTime, FitsAt, Remainder};
use self::counters::{Counters, KeyedCounter};
use self::limit::LimitStage;
use self::notice::Herald;
use self::open_hold::OpenHold;
use self::set::{LimitEntry, LimitSet};
use self::set_aside::{AllSetAside, SetAside};
use self::settling::announce;
use self::state::shown_second;
use self::taking::{Ask, set_aside};
use self::under_way::OpenHolds;
use self::windows::second_of;

#[cfg(test)]
mod tests;

/// A minute, in seconds.
const MINUTE: i64 = 60;

/// The limits of the service, and their counters. A clone is the same.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Shared>);

/// What all clones share, and what a reservation goes back to.
#[derive(Debug)]
struct Shared {
    set: ArcSwap<LimitSet>,
    /// From when ticks are counted.
    begun: OnceLock<Instant>,
    herald: Herald,
    under_way: OpenHolds,
}

/// A time, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// What the calendar says. It may be set back.
    pub wall: SystemTime,
    /// What is never set back.
    pub mono: Instant,
}

impl Now {
    /// This moment.
    pub fn of_clocks() -> Self {
        Self {
            wall: SystemTime::now(),
            mono: Instant::now(),
        }
    }
}

/// What an attempt may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens of input and output.
    pub tokens: u64,
    /// Money.
    pub money: Expected,
}

/// An amount of money, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// In nano-USD; 0 is free of charge.
    Known(i64),
    /// A price is missing.
    Unknown,
}

/// What an attempt has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actual {
    /// Tokens of input and output.
    pub tokens: u64,
    /// What it is charged. An unknown charge counts as what was set aside, or as the limit's ceiling says.
    pub money: Expected,
    /// Whether it gave the caller no answer.
    pub is_waste: bool,
    /// Whether the numbers are estimates.
    pub is_estimated: bool,
}

/// What a limit has counted since the process began, beside what its counters hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitCounts {
    /// Id of the limit.
    pub limit: Arc<str>,
    /// What is counted.
    pub unit: LimitUnit,
    /// How many counters it has.
    pub counters: usize,
    /// Calls and attempts that it refused.
    pub denials: u64,
    /// Thresholds that were announced.
    pub announced: u64,
}

/// A counter in which something is about to be set aside.
struct WantedCounter<'s> {
    entry: &'s LimitEntry,
    counter: Arc<KeyedCounter>,
    amount: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::none()
    }
}

impl Limits {
    /// No limits: everything goes through.
    pub fn none() -> Self {
        Self::new(Vec::new(), None)
    }

    /// These limits, with nothing used. `announce` is given each threshold that is reached.
    pub fn new(limits: Vec<Limit>, announce: Option<Announce>) -> Self {
        Self(Arc::new(Shared {
            set: ArcSwap::from_pointee(LimitSet::new(limits, &LimitSet::default())),
            begun: OnceLock::new(),
            herald: Herald::new(announce),
            under_way: OpenHolds::default(),
        }))
    }

    /// From now on `elect` alone is given each threshold that is reached. It decides which ones are announced, and announces
    /// them by [`Limits::tell`]. Only the first call of this method has an effect.
    pub fn elected_by(&self, elect: Announce) {
        self.0.herald.elected_by(elect);
    }

    /// Logs and counts a threshold that is to be announced.
    pub fn tell(&self, notice: &LimitNotice) {
        let set = self.0.set.load();
        if let Some(entry) = set.entry(&notice.limit) {
            entry.counters.announced.increment();
        }
        notice.log();
    }

    /// Whether there is a limit of this id.
    pub fn has(&self, id: &str) -> bool {
        self.0.set.load().entry(id).is_some()
    }

    /// As [`Limits::follow`], where nothing is kept of grants and announced thresholds.
    pub fn change(&self, limits: Vec<Limit>, used: impl IntoIterator<Item = UsedRow>, now: Now) {
        let prior = PriorUse::of(used.into_iter().collect(), None);
        self.follow(limits, prior, &LimitHistory::default(), now);
    }

    /// A change of limits is being prepared: what ends until it is made is kept, so that none of it is lost between what the
    /// ledger tells and the counters that begin with that.
    pub fn prepare(&self) -> Preparation {
        Preparation::of(Arc::clone(&self.0))
    }

    /// Goes on with these limits. Counters stay, where a limit counts the same in the same way as before; new ones
    /// begin with what `prior` tells, with what is set aside for calls under way, and with what is kept of them. A changed
    /// amount holds at once, for calls under way too; thresholds that are not reached any more can be announced again.
    pub fn follow(&self, limits: Vec<Limit>, mut prior: PriorUse, kept: &LimitHistory, now: Now) {
        let before = self.0.set.load_full();
        let set = Arc::new(LimitSet::new(limits, &before));
        for entry in set.entries() {
            let known = before.entry(&entry.limit.id);
            let goes_on = known.is_some_and(|known| {
                Arc::ptr_eq(&known.counters, &entry.counters)
                    && known.limit.matching == entry.limit.matching
            });
            // Before the first call nothing is under way.
            if !goes_on && self.0.begun.get().is_some() {
                entry.counters.begins_anew(second_of(now.wall));
            }
        }
        let rows = prior.take_rows(&set);
        self.0.begin(&set, rows, kept, now);
        for entry in set.entries() {
            entry.counters.follow(Arc::clone(&entry.limit));
        }
        self.0.set.store(Arc::clone(&set));
        // After the exchange: what is let through from now on is in these limits by itself.
        for hold in self.0.under_way.all() {
            hold.join(&set, &prior, &self.0, now);
        }
        drop(prior);
        let time = self.0.time(now);
        for entry in set.entries() {
            let LimitEntry {
                limit, counters, ..
            } = entry;
            for counter in counters.all() {
                let crossed = {
                    let mut tallies = counter.lock();
                    counters.bring(limit, &mut tallies, time);
                    tallies.follow(counters::terms(limit))
                };
                announce(&self.0, counters, limit, &counter, crossed);
            }
        }
    }

    /// Since when it must be known what was used, so that these limits begin with the right counters; `None` if nothing
    /// must be known. What goes on with counters that it has needs nothing.
    pub fn wants_used_since(&self, limits: &[Limit], now: Now) -> Option<SystemTime> {
        let set = self.0.set.load();
        let second = second_of(now.wall);
        let starts = limits.iter().filter_map(|limit| {
            let known = set.entry(&limit.id);
            let goes_on = known.is_some_and(|known| {
                known.limit.shares_counters_with(limit) && !known.counters.is_new()
            });
            match (goes_on, limit.window) {
                (true, _) | (false, None) => None,
                (false, Some(LimitWindow::Minute)) => Some(second.saturating_sub(MINUTE)),
                (false, Some(LimitWindow::Total)) => Some(0),
                (false, Some(kind)) => Some(limit.zone.window(kind, second).start),
            }
        });
        starts.min().map(shown_second)
    }

    /// Whether there are no limits.
    pub fn is_empty(&self) -> bool {
        self.0.set.load().entries().is_empty()
    }

    /// Takes a call into the counters of requests and of open calls: all that apply, or none.
    ///
    /// # Errors
    /// The first limit that lets it not through.
    pub fn admit(&self, asked: &Asked<'_>, now: Now) -> Result<CallHold, Denial> {
        self.hold(asked, LimitStage::Call, now)
    }

    /// Takes a call that shares the result of one under way into the counters of requests: all that apply, or none.
    ///
    /// # Errors
    /// The first limit that lets it not through.
    pub fn join(&self, asked: &Asked<'_>, now: Now) -> Result<CallHold, Denial> {
        let mut hold = self.hold(asked, LimitStage::Join, now)?;
        hold.sent();
        Ok(hold)
    }

    fn hold(&self, asked: &Asked<'_>, stage: LimitStage, now: Now) -> Result<CallHold, Denial> {
        let nothing = Estimate {
            tokens: 0,
            money: Expected::Known(0),
        };
        let open = self.0.take(asked, stage, &nothing, now)?;
        Ok(CallHold::new(open, Arc::clone(&self.0)))
    }

    /// Sets aside what an attempt may use: in all counters that apply, or in none.
    ///
    /// # Errors
    /// The first limit that lets it not through.
    pub fn reserve(
        &self,
        asked: &Asked<'_>,
        estimate: &Estimate,
        now: Now,
    ) -> Result<Reservation, Denial> {
        let open = self.0.take(asked, LimitStage::Attempt, estimate, now)?;
        Ok(Reservation::new(open, Arc::clone(&self.0)))
    }

    /// Whether [`Limits::reserve`] would let this attempt through. Sets nothing aside.
    ///
    /// # Errors
    /// The first limit that would not let it through.
    pub fn check(&self, asked: &Asked<'_>, estimate: &Estimate, now: Now) -> Result<(), Denial> {
        let set = self.0.set.load();
        let wanted = self
            .0
            .wanted(&set, asked, LimitStage::Attempt, estimate, now)?;
        let time = self.0.time(now);
        for wanted in &wanted {
            let mut tallies = wanted.counter.lock();
            wanted.bring(&mut tallies, time);
            let ask = wanted.ask();
            if ask.is_hard {
                let fits = tallies.fits(ask.amount, ask.wanted);
                fits.map_err(|remainder| wanted.denial(remainder, asked, now))?;
            }
        }
        Ok(())
    }

    /// What each limit has counted beside what its counters hold, in the order of ids.
    pub fn counts(&self) -> Vec<LimitCounts> {
        let set = self.0.set.load();
        let counts = set.entries().iter().map(|entry| LimitCounts {
            limit: Arc::clone(&entry.limit.id),
            unit: entry.limit.unit,
            counters: entry.counters.len(),
            denials: entry.counters.denials.count(),
            announced: entry.counters.announced.count(),
        });
        counts.collect()
    }
}

impl Shared {
    fn time(&self, now: Now) -> CounterTime {
        let begun = self.begun.get_or_init(|| now.mono);
        let tick = now.mono.saturating_duration_since(*begun).as_nanos();
        CounterTime {
            second: second_of(now.wall),
            tick: i64::try_from(tick).unwrap_or(i64::MAX),
        }
    }

    /// Sets something aside in all counters that apply, or in none.
    fn take(
        &self,
        asked: &Asked<'_>,
        stage: LimitStage,
        estimate: &Estimate,
        now: Now,
    ) -> Result<Arc<OpenHold>, Denial> {
        let set = self.set.load();
        let wanted = self.wanted(&set, asked, stage, estimate, now)?;
        let time = self.time(now);
        let asks: SmallVec<[Ask<'_>; 4]> = wanted.iter().map(WantedCounter::ask).collect();
        let marks = set_aside(&asks, |position, tallies| {
            wanted[position].bring(tallies, time);
        });
        let marks = match marks {
            Ok(marks) => marks,
            Err((position, remainder)) => {
                return Err(wanted[position].denial(remainder, asked, now));
            }
        };
        drop(asks);
        let held = wanted
            .into_iter()
            .zip(marks)
            .map(|(wanted, mark)| SetAside {
                counters: Arc::clone(&wanted.entry.counters),
                counter: wanted.counter,
                amount: wanted.amount,
                mark,
            });
        let held: AllSetAside = held.collect();
        let open = Arc::new(OpenHold::new(asked, stage, estimate, time, held));
        self.under_way.add(&open);
        // Whoever exchanged the limits meanwhile may not have seen it.
        let present = self.set.load();
        if !Arc::ptr_eq(&set, &present) {
            open.join(&present, &PriorUse::default(), self, now);
        }
        Ok(open)
    }

    /// The counters that apply, in the order of their limits' ids, and what is wanted of each.
    fn wanted<'s>(
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
    fn bring(&self, tallies: &mut counter::Tallies, time: CounterTime) {
        let LimitEntry {
            limit, counters, ..
        } = self.entry;
        Counters::bring(counters, limit, tallies, time);
    }

    fn ask(&self) -> Ask<'_> {
        let limit = &self.entry.limit;
        Ask {
            tallies: self.counter.tallies(),
            amount: limit.amount,
            wanted: self.amount,
            is_hard: limit.enforcement == Enforcement::Hard,
        }
    }

    fn denial(&self, remainder: Remainder, asked: &Asked<'_>, now: Now) -> Denial {
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

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            DenialCause::Reached => write!(f, "limit `{}` is reached", self.limit),
            DenialCause::PriceUnknown => write!(
                f,
                "limit `{}` is one on money, and the price is not known",
                self.limit
            ),
        }
    }
}
