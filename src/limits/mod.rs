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
mod following;
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
mod turns;
mod under_way;
mod wanted;
mod window_tally;
mod windows;

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::error::LimitUnit;

pub use self::check::{TooManyLimits, at_most_applying};
pub use self::closed::{ClosedWindows, ComparedWindow};
pub use self::correction::LateCost;
pub use self::denial::{Denial, DenialCause};
pub use self::ground::{ConfiguredTarget, LedgerLack, LimitGround, zone_of};
pub use self::hold::{CallHold, KeptHold, Reservation};
pub use self::judge::{HIGHEST_COUNT, LimitFault, MOST_DESCRIPTION, judge};
pub use self::limit::{
    Asked, Enforcement, Limit, LimitDimension, LimitMatch, MOST_APPLYING, MOST_THRESHOLDS,
};
pub use self::notice::{Announce, LimitNotice, shown_key};
pub use self::preparation::Preparation;
pub use self::prior::PriorUse;
pub use self::record::{AnnouncedThreshold, Grant, LimitHistory, LimitRecord};
pub use self::state::{GrantError, LimitState};
pub use self::turns::CostMark;
pub use self::window_tally::WindowBounds;
pub use self::windows::{LimitWindow, Zone};

use self::counter::CounterTime;
use self::limit::LimitStage;
use self::notice::Herald;
use self::open_hold::OpenHold;
use self::set::LimitSet;
use self::set_aside::{AllSetAside, SetAside};
use self::taking::{Ask, set_aside};
use self::under_way::OpenHolds;
use self::wanted::WantedCounter;
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
}
