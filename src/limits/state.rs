//! Where do the counters of limits stand, and what may be added to one?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::LimitUnit;
use crate::identity::Identity;
use crate::ledger::UsedRow;

use super::attributed::{Attributed, KnownSpellings, attribute};
use super::counter::{CounterStanding, CounterTime};
use super::counters::{Counters, KeyedCounter, terms};
use super::limit::{Asked, Limit, LimitDimension};
use super::record::{AnnouncedThreshold, Grant, LimitHistory};
use super::set::{LimitEntry, LimitSet};
use super::settling::announce;
use super::window_tally::WindowBounds;
use super::windows::{LimitWindow, second_of};
use super::{Limits, Now, Shared};

/// Where one counter of a limit stands.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitState {
    /// The limit.
    pub limit: Arc<Limit>,
    /// The values that the counter is for, by dimension.
    pub key: Vec<(LimitDimension, Arc<str>)>,
    /// The limit's amount, with what was granted to the window; nano-USD or a count.
    pub amount: i64,
    /// Settled within the window. May pass the amount: an attempt that turned out dearer than its estimate is owed.
    pub used: i64,
    /// Set aside for what is under way.
    pub reserved: i64,
    /// The part of `used` that was settled by estimate.
    pub estimated: i64,
    /// From when until when the window lasts; `None` if it has no bounds.
    pub window: Option<(SystemTime, SystemTime)>,
    /// The highest threshold that was announced in the window; 0 for none.
    pub announced_threshold: u8,
    /// Whether it shows the use of one caller alone.
    pub is_own: bool,
}

/// Why a grant changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// There is no such limit.
    #[error("there is no limit `{0}`")]
    UnknownLimit(Arc<str>),
    /// The limit has no window to which something could be added.
    #[error("the limit `{0}` counts {1}: nothing can be added to that; raise its amount instead")]
    NoWindow(Arc<str>, &'static str),
    /// The key does not name a value for each dimension, or names another dimension.
    #[error("the key must have a value for each of: {0}")]
    Key(String),
}

impl LimitState {
    /// What is left; not negative.
    pub fn remaining(&self) -> i64 {
        let taken = self.used.saturating_add(self.reserved);
        self.amount.saturating_sub(taken).max(0)
    }
}

impl Limits {
    /// Every counter, in the order of the ids of limits and of keys.
    pub fn states(&self, now: Now) -> Vec<LimitState> {
        let set = self.0.set.load();
        let states = set.entries().iter().flat_map(|entry| {
            let counters = entry.counters.all();
            let mut states: Vec<_> = counters
                .iter()
                .map(|counter| self.state(entry, counter, now))
                .collect();
            states.sort_by(|one, other| values(one).cmp(values(other)));
            states
        });
        states.collect()
    }

    /// The counters of the limits on this caller and the accounts above it, as far as they are known from its account:
    /// those by scenario, provider, model or label only if something was counted in them.
    pub fn states_of(&self, identity: &Identity, now: Now) -> Vec<LimitState> {
        let set = self.0.set.load();
        let asked = Asked {
            identity,
            scenario: "",
            provider: "",
            model: "",
            labels: &identity.labels,
        };
        let time = self.0.time(now);
        let mut states = Vec::new();
        for entry in set.on_account(&asked) {
            let limit = &entry.limit;
            let own = |(dimension, value): (&LimitDimension, &Arc<str>)| match dimension {
                LimitDimension::Organisation
                | LimitDimension::Team
                | LimitDimension::Caller
                | LimitDimension::Key => **value == *dimension.value(&asked),
                LimitDimension::Scenario
                | LimitDimension::Provider
                | LimitDimension::Model
                | LimitDimension::Label(_) => true,
            };
            let is_by_account = limit.per.iter().all(|dimension| {
                matches!(
                    dimension,
                    LimitDimension::Organisation
                        | LimitDimension::Team
                        | LimitDimension::Caller
                        | LimitDimension::Key
                )
            });
            if is_by_account {
                entry.counters.of(limit, &asked, time);
            }
            let counters = entry.counters.all();
            let counters = counters
                .iter()
                .filter(|counter| limit.per.iter().zip(counter.key()).all(own));
            states.extend(counters.map(|counter| LimitState {
                is_own: limit.is_own(identity),
                ..self.state(entry, counter, now)
            }));
        }
        states
    }

    /// Adds to the amount of a counter in its window. The same grant again changes nothing, nor does one for a window
    /// that has ended.
    ///
    /// # Errors
    /// [`GrantError`].
    pub fn grant(&self, grant: &Grant, now: Now) -> Result<LimitState, GrantError> {
        let set = self.0.set.load();
        let Some(entry) = set.entry(&grant.limit) else {
            return Err(GrantError::UnknownLimit(Arc::clone(&grant.limit)));
        };
        let limit = &entry.limit;
        let (counter, is_new) = entry.add(grant, self.0.time(now))?;
        let crossed = is_new
            .then(|| counter.lock().follow(terms(limit)))
            .flatten();
        announce(&self.0, &entry.counters, limit, &counter, crossed);
        Ok(self.state(entry, &counter, now))
    }

    /// The window of a limit at this time, or the latest one of its counters if the clock was set back since. `None` if
    /// the limit counts in no window to which something could be granted.
    pub fn window_of(&self, limit: &Limit, now: Now) -> Option<WindowBounds> {
        let kind = limit.granted_window().ok()?;
        let second = second_of(now.wall);
        let set = self.0.set.load();
        let known = set.entry(&limit.id);
        let known = known.filter(|entry| entry.limit.shares_counters_with(limit));
        Some(known.map_or_else(
            || limit.zone.window(kind, second),
            |entry| entry.counters.window(limit, second),
        ))
    }

    /// Where the counter of a limit with this key stands, by the names of dimensions; `None` if there is no such limit or
    /// the key is none of it. The counter is made if there is none.
    pub fn state_with_key(
        &self,
        limit: &str,
        key: &BTreeMap<String, String>,
        now: Now,
    ) -> Option<LimitState> {
        let set = self.0.set.load();
        let entry = set.entry(limit)?;
        let key = values_of(&entry.limit, key).ok()?;
        let time = self.0.time(now);
        let counter = entry.counters.with_key(&entry.limit, &key, time);
        Some(self.state(entry, &counter, now))
    }

    fn state(&self, entry: &LimitEntry, counter: &KeyedCounter, now: Now) -> LimitState {
        let LimitEntry {
            limit,
            counters,
            stage: _,
        } = entry;
        let CounterStanding {
            amount,
            used,
            reserved,
            estimated,
            announced,
            bounds,
        } = Counters::standing(counters, limit, counter, self.0.time(now));
        LimitState {
            limit: Arc::clone(limit),
            key: counter.shown(limit),
            amount,
            used,
            reserved,
            estimated,
            window: bounds.and_then(shown_window),
            announced_threshold: announced,
            is_own: false,
        }
    }
}

/// Whether this key names a value for each dimension of a limit, and nothing else. The values, in their order.
fn values_of<'k>(
    limit: &Limit,
    key: &'k BTreeMap<String, String>,
) -> Result<Vec<&'k str>, GrantError> {
    let names: Vec<_> = limit.per.iter().map(LimitDimension::name).collect();
    let values: Option<Vec<&str>> = names
        .iter()
        .map(|name| key.get(name).map(String::as_str))
        .collect();
    values
        .filter(|values| values.len() == key.len())
        .ok_or_else(|| {
            GrantError::Key(match names.is_empty() {
                true => "(nothing: the limit has one counter)".to_owned(),
                false => names.join(", "),
            })
        })
}

impl Limit {
    /// The window to which something can be granted.
    ///
    /// # Errors
    /// It has none.
    pub fn granted_window(&self) -> Result<LimitWindow, GrantError> {
        let counts = match (self.unit, self.window) {
            (LimitUnit::ConcurrentCalls, _) | (_, None) => "calls that are open at one time",
            (_, Some(LimitWindow::Minute)) => "by the minute",
            (_, Some(window)) => return Ok(window),
        };
        Err(GrantError::NoWindow(Arc::clone(&self.id), counts))
    }

    /// Whether something can be granted to a counter with this key.
    ///
    /// # Errors
    /// [`GrantError`].
    pub fn check_grant(&self, key: &BTreeMap<String, String>) -> Result<(), GrantError> {
        self.granted_window()?;
        values_of(self, key).map(drop)
    }
}

impl LimitEntry {
    /// Adds a grant to its counter, unless the counter has it or the window of the grant is another one. Returns the
    /// counter, and whether it has changed.
    fn add(
        &self,
        grant: &Grant,
        time: CounterTime,
    ) -> Result<(Arc<KeyedCounter>, bool), GrantError> {
        let Self {
            limit, counters, ..
        } = self;
        limit.granted_window()?;
        let key = values_of(limit, &grant.key)?;
        let counter = counters.with_key(limit, &key, time);
        let is_new = {
            let mut tallies = counter.lock();
            counters.bring(limit, &mut tallies, time);
            grant.unit == limit.unit
                && tallies.is_in_latest(second_of(grant.at))
                && tallies.grant(terms(limit), &grant.id, grant.amount)
        };
        Ok((counter, is_new))
    }

    /// Takes these thresholds for announced, and no others.
    fn remember(&self, announced: &[AnnouncedThreshold], time: CounterTime) {
        let Self {
            limit, counters, ..
        } = self;
        for counter in counters.all() {
            let is_of_counter = |it: &&AnnouncedThreshold| {
                let dimensions = limit.per.iter().zip(counter.key());
                it.limit == limit.id
                    && it.unit == limit.unit
                    && it.key.len() == limit.per.len()
                    && dimensions.clone().all(|(dimension, value)| {
                        it.key
                            .get(&dimension.name())
                            .is_some_and(|known| **known == **value)
                    })
            };
            let announced: Vec<_> = announced
                .iter()
                .filter(is_of_counter)
                .map(|it| (it.start, it.threshold, it.amount))
                .collect();
            let mut tallies = counter.lock();
            counters.bring(limit, &mut tallies, time);
            tallies.remember(terms(limit), &announced);
        }
    }
}

impl Shared {
    /// Lets limits whose counters are new begin with what was used in the windows that run and with what is kept of them.
    /// What was granted is added to all.
    pub(super) fn begin(
        &self,
        set: &LimitSet,
        rows: impl IntoIterator<Item = UsedRow>,
        kept: &LimitHistory,
        now: Now,
    ) {
        let time = self.time(now);
        let mut spellings = KnownSpellings::default();
        for row in rows {
            let age = now.wall.duration_since(row.at).unwrap_or_default();
            let tick = match row.is_attempt {
                true => time.tick.saturating_sub(nanos_of(age)),
                false => time.tick,
            };
            attribute(set, &row, &mut spellings, |part| {
                let Attributed {
                    entry:
                        LimitEntry {
                            limit, counters, ..
                        },
                    key,
                    counts,
                    used,
                } = part;
                let is_by_minute = limit.window == Some(LimitWindow::Minute);
                if !counters.is_new() || row.is_attempt != is_by_minute || used.amount == 0 {
                    return;
                }
                // A row of a later time was written before the clock was set back: its window is the latest.
                let latest = CounterTime {
                    second: time.second.max(counts.second()),
                    tick,
                };
                let key: Vec<&str> = key.iter().map(|value| &**value).collect();
                let counter = counters.with_key(limit, &key, time);
                let mut tallies = counter.lock();
                tallies.begin_at(latest);
                counters.bring(limit, &mut tallies, latest);
                let is_counted = tallies.latest().is_some_and(|bounds| counts.is(bounds));
                if is_by_minute || is_counted {
                    tallies.restore(terms(limit), used);
                }
            });
        }
        let LimitHistory { grants, announced } = kept;
        for grant in grants {
            // A limit that is gone, or that counts something else by now, is not added to.
            if let Some(entry) = set.entry(&grant.limit) {
                let _ = entry.add(grant, time);
            }
        }
        for entry in set.entries() {
            if let Some(announced) = announced.as_deref().filter(|_| entry.counters.is_new()) {
                entry.remember(announced, time);
            }
            entry.counters.has_begun();
        }
    }
}

fn values(state: &LimitState) -> impl Iterator<Item = &Arc<str>> {
    state.key.iter().map(|(_, value)| value)
}

/// Whole nanoseconds; the most that can be written for what is longer.
fn nanos_of(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// A window as times; `None` if it has no end.
pub(super) fn shown_window(bounds: WindowBounds) -> Option<(SystemTime, SystemTime)> {
    (bounds.end < i64::MAX).then(|| (shown_second(bounds.start), shown_second(bounds.end)))
}

/// A second since 1970 as a time. One that no time can hold becomes 1970.
pub(super) fn shown_second(second: i64) -> SystemTime {
    let distance = Duration::from_secs(second.unsigned_abs());
    let time = match second {
        0.. => UNIX_EPOCH.checked_add(distance),
        _ => UNIX_EPOCH.checked_sub(distance),
    };
    time.unwrap_or(UNIX_EPOCH)
}
