//! Which counter of a limit is a call's? One for each combination of the values of its dimensions, found without an
//! allocation. A counter that is like a new one is dropped when others are made.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;
use hashbrown::HashTable;

use crate::error::LimitUnit;
use crate::meter;
use crate::sync::{Mutex, MutexGuard, PoisonError};

use super::counter::{CountedBy, CounterStanding, CounterTime, Tallies};
use super::limit::{Asked, Limit, LimitDimension};
use super::taking::lock;
use super::window_tally::{Terms, WindowBounds};
use super::windows::LimitWindow;

/// When a limit has this many counters, those that are like new ones are dropped.
const SWEEP_AT: usize = 1024;

/// All counters of a limit. They outlive a change of its amount.
#[derive(Debug)]
pub(super) struct Counters {
    /// Tells them apart from all others that this process has had.
    number: u64,
    /// The limit as it is now.
    limit: ArcSwap<Limit>,
    /// The latest window that one of them has begun, by its start: what is asked while the clock is set back belongs
    /// to it, also where a counter is new.
    latest: AtomicI64,
    table: RwLock<CounterTable>,
    /// Windows that begin at this second or later hold everything that belongs to them: earlier ones had begun when the limit
    /// was made or changed.
    whole_from: AtomicI64,
    /// Nothing has been restored in them yet.
    is_new: AtomicBool,
    hasher: RandomState,
    /// What was refused because of the limit.
    pub(super) denials: meter::Counter,
    /// How many thresholds were announced.
    pub(super) announced: meter::Counter,
}

#[derive(Debug)]
struct CounterTable {
    by_key: HashTable<Arc<KeyedCounter>>,
    sweep_at: usize,
}

/// One counter of a limit.
#[derive(Debug)]
pub(super) struct KeyedCounter {
    /// A value for each dimension of the limit.
    key: Box<[Arc<str>]>,
    tallies: Mutex<Tallies>,
}

impl Counters {
    /// Counters of which nothing is used. A limit that counts nothing apart has its only one from the start.
    pub(super) fn new(limit: Arc<Limit>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let counters = Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            limit: ArcSwap::new(limit),
            latest: AtomicI64::new(i64::MIN),
            whole_from: AtomicI64::new(i64::MIN),
            table: RwLock::new(CounterTable {
                by_key: HashTable::new(),
                sweep_at: SWEEP_AT,
            }),
            is_new: AtomicBool::new(true),
            hasher: RandomState::new(),
            denials: meter::Counter::default(),
            announced: meter::Counter::default(),
        };
        let limit = counters.limit();
        if limit.per.is_empty() {
            counters.with_key(&limit, &[], CounterTime::BEGIN);
        }
        counters
    }

    /// A number that no others have.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The limit as it is now.
    pub(super) fn limit(&self) -> Arc<Limit> {
        self.limit.load_full()
    }

    /// Goes on with another amount, or with other thresholds.
    pub(super) fn follow(&self, limit: Arc<Limit>) {
        self.limit.store(limit);
    }

    /// From this second on another choice of calls is counted.
    pub(super) fn begins_anew(&self, second: i64) {
        self.whole_from.store(second, Ordering::Relaxed);
    }

    /// Takes what is used of each window that ended at this second or before, has nothing open, and holds everything that
    /// belongs to it.
    pub(super) fn take_ended(&self, second: i64) -> Vec<(Arc<KeyedCounter>, WindowBounds, i64)> {
        let whole_from = self.whole_from.load(Ordering::Relaxed);
        let mut taken = Vec::new();
        for counter in self.all() {
            let ended = counter.lock().take_ended(second);
            let whole = ended
                .into_iter()
                .filter(|(bounds, _)| bounds.start >= whole_from);
            taken.extend(whole.map(|(bounds, used)| (Arc::clone(&counter), bounds, used)));
        }
        taken
    }

    /// Whether what was used before is still to be counted in them.
    pub(super) fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Relaxed)
    }

    /// What was used before has been counted in them.
    pub(super) fn has_begun(&self) {
        self.is_new.store(false, Ordering::Relaxed);
    }

    /// The counter of what is asked. It is made if there is none.
    pub(super) fn of(
        &self,
        limit: &Limit,
        asked: &Asked<'_>,
        time: CounterTime,
    ) -> Arc<KeyedCounter> {
        let dimensions = &limit.per[..];
        let value = |position: usize| dimensions[position].value(asked);
        self.at(limit, dimensions.len(), value, time)
    }

    /// The counter with these values, in the order of the dimensions.
    pub(super) fn with_key(
        &self,
        limit: &Limit,
        key: &[&str],
        time: CounterTime,
    ) -> Arc<KeyedCounter> {
        self.at(limit, key.len(), |position| key[position], time)
    }

    fn at<'k>(
        &self,
        limit: &Limit,
        values: usize,
        value: impl Fn(usize) -> &'k str,
        time: CounterTime,
    ) -> Arc<KeyedCounter> {
        let mut hasher = self.hasher.build_hasher();
        (0..values).for_each(|position| value(position).hash(&mut hasher));
        let hash = hasher.finish();
        let is_it = |counter: &Arc<KeyedCounter>| {
            let key = &counter.key;
            key.len() == values && (0..values).all(|position| *key[position] == *value(position))
        };
        {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(counter) = table.by_key.find(hash, is_it) {
                return Arc::clone(counter);
            }
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = table.by_key.find(hash, is_it) {
            return Arc::clone(counter);
        }
        if table.by_key.len() >= table.sweep_at {
            table.sweep(limit, time);
        }
        let counter = Arc::new(KeyedCounter {
            key: (0..values)
                .map(|position| Arc::from(value(position)))
                .collect(),
            tallies: Mutex::new(Tallies::new(counted_by(limit))),
        });
        let again = |counter: &Arc<KeyedCounter>| {
            let mut hasher = self.hasher.build_hasher();
            counter.key.iter().for_each(|value| value.hash(&mut hasher));
            hasher.finish()
        };
        table
            .by_key
            .insert_unique(hash, Arc::clone(&counter), again);
        counter
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_key.len()
    }

    /// Every counter.
    pub(super) fn all(&self) -> Vec<Arc<KeyedCounter>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_key.iter().map(Arc::clone).collect()
    }

    /// Brings a counter to this time.
    pub(super) fn bring(&self, limit: &Limit, tallies: &mut Tallies, time: CounterTime) {
        if tallies.needs_window(time) {
            let bounds = self.window(limit, time.second);
            tallies.begin_window(bounds);
        }
        tallies.advance(limit.amount, time);
    }

    /// The window of this second, or the latest one if the clock was set back since.
    pub(super) fn window(&self, limit: &Limit, second: i64) -> WindowBounds {
        let Some(kind) = limit.window else {
            return WindowBounds::ALWAYS;
        };
        let second = second.max(self.latest.load(Ordering::Relaxed));
        let bounds = limit.zone.window(kind, second);
        self.latest.fetch_max(bounds.start, Ordering::Relaxed);
        bounds
    }

    /// Where a counter stands at this time.
    pub(super) fn standing(
        &self,
        limit: &Limit,
        counter: &KeyedCounter,
        time: CounterTime,
    ) -> CounterStanding {
        let mut tallies = counter.lock();
        self.bring(limit, &mut tallies, time);
        tallies.standing(limit.amount)
    }
}

impl CounterTable {
    /// Drops the counters that are like new ones.
    fn sweep(&mut self, limit: &Limit, time: CounterTime) {
        self.by_key.retain(|counter| {
            // A counter that is shared may be about to be used. While the table is locked, no other thread can get a share of it.
            if Arc::strong_count(counter) > 1 {
                return true;
            }
            let mut tallies = counter.lock();
            tallies.advance(limit.amount, time);
            !tallies.is_idle(time)
        });
        self.sweep_at = SWEEP_AT.max(2 * self.by_key.len());
    }
}

impl KeyedCounter {
    /// The values of the limit's dimensions, in their order.
    pub(super) fn key(&self) -> &[Arc<str>] {
        &self.key
    }

    /// Its sums.
    pub(super) fn tallies(&self) -> &Mutex<Tallies> {
        &self.tallies
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tallies> {
        lock(&self.tallies)
    }

    /// Its values with their dimensions.
    pub(super) fn shown(&self, limit: &Limit) -> Vec<(LimitDimension, Arc<str>)> {
        let dimensions = limit.per.iter().cloned();
        dimensions.zip(self.key.iter().cloned()).collect()
    }
}

/// The terms of a limit for its counters.
pub(super) fn terms(limit: &Limit) -> Terms<'_> {
    Terms {
        amount: limit.amount,
        thresholds: match (limit.unit, limit.window) {
            (LimitUnit::ConcurrentCalls, _) | (_, None | Some(LimitWindow::Minute)) => &[],
            _ => &limit.thresholds,
        },
    }
}

fn counted_by(limit: &Limit) -> CountedBy {
    match limit.window {
        Some(LimitWindow::Minute) => CountedBy::Refill,
        _ => CountedBy::Windows,
    }
}
