//! Which limits hold? Those of the configuration file and those of the store, made into one set that is exchanged as a
//! whole while calls run, whichever of the two changes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::warn;

use crate::identity::directory::Directory;
use crate::ledger::Files;
use crate::ledger::schema::SchemaError;

use super::ground::{LimitGround, zone_of};
use super::judge::judge;
use super::limit::Limit;
use super::record::{LimitHistory, LimitRecord};
use super::turns::{CostMark, Turns};
use super::windows::LimitWindow;
use super::{LateCost, Limits, Now, PriorUse};

/// The limits of file and store. Time is passed in; what was used is asked of the ledger.
pub struct LimitBook {
    limits: Limits,
    used: UsedReader,
    /// Whoever holds this exchanges limits, one after another.
    sources: Mutex<LimitSources>,
    /// Of changes of limits and of costs that become known late.
    turns: Arc<Turns>,
}

/// Reads what was used. Blocks.
pub type UsedReader = Box<dyn Fn(UseAsked) -> Result<PriorUse, SchemaError> + Send + Sync>;

/// How far back a use still matters to a counter by the minute: the use has leaked out after a minute, or after two if
/// the counter was in debt by a whole amount.
const MINUTES: Duration = Duration::from_secs(2 * 60);

/// What must be known of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UseAsked {
    /// Sums of what was used since then.
    pub sums_since: SystemTime,
    /// Every attempt since then; `None` if sums suffice.
    pub attempts_since: Option<SystemTime>,
    /// The present.
    pub now: SystemTime,
}

impl UseAsked {
    /// What these files say. Blocks.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(self, files: &Files) -> Result<PriorUse, SchemaError> {
        let Self {
            sums_since,
            attempts_since,
            now,
        } = self;
        let (rows, moment) = files.moment(sums_since, attempts_since, now)?;
        Ok(PriorUse::of(rows, moment))
    }
}

/// What the store says of limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreLimits {
    /// Its limits.
    pub limits: Vec<LimitRecord>,
    /// What was granted and announced.
    pub kept: LimitHistory,
}

#[derive(Default)]
struct LimitSources {
    ground: Arc<LimitGround>,
    store: StoreLimits,
    /// The limits and the history that calls are held to now; `None` before the first.
    holding: Option<(Vec<Limit>, LimitHistory)>,
}

/// The ledger cannot be read, so it is not known what was used of new limits.
#[derive(Debug, thiserror::Error)]
#[error("it is not known what was used of limits, because the ledger cannot be read: {0}")]
pub struct UnknownUse(#[from] SchemaError);

/// A limit of the store conflicts with the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct LimitConflict(pub Vec<String>);

/// Why the limits of the store are not used.
#[derive(Debug, thiserror::Error)]
pub enum UnusedLimits {
    /// They conflict with the configuration file.
    #[error(transparent)]
    Conflict(#[from] LimitConflict),
    /// It is not known what was used of them.
    #[error(transparent)]
    Use(#[from] UnknownUse),
}

impl LimitBook {
    /// Exchanges these limits, which are empty so far.
    pub fn new(limits: Limits, used: UsedReader) -> Self {
        Self {
            limits,
            used,
            sources: Mutex::default(),
            turns: Arc::default(),
        }
    }

    /// The limits that calls are held to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the configuration says.
    pub fn ground(&self) -> Arc<LimitGround> {
        Arc::clone(&self.sources().ground)
    }

    /// What would be used if the configuration said this: read beforehand, so that [`LimitBook::follow_file`] cannot
    /// fail. Blocks.
    ///
    /// # Errors
    /// [`UnusedLimits`].
    pub fn prepare_file(
        &self,
        ground: &LimitGround,
        directory: &Directory,
        now: Now,
    ) -> Result<PriorUse, UnusedLimits> {
        let store = self.sources().store.clone();
        let limits = holding(ground, &store.limits, directory)?;
        Ok(self.read_used(&limits, now)?)
    }

    /// Whether the limits of the store can be held together with a configuration that says this.
    ///
    /// # Errors
    /// [`LimitConflict`].
    pub fn check_file(
        &self,
        ground: &LimitGround,
        directory: &Directory,
    ) -> Result<(), LimitConflict> {
        holding(ground, &self.sources().store.limits, directory).map(drop)
    }

    /// From now on the configuration says this. `used` is what [`LimitBook::prepare_file`] has read for it. If the store
    /// has got a limit with the id of one of the file since then, that of the file holds.
    pub fn follow_file(
        &self,
        ground: LimitGround,
        directory: &Directory,
        used: PriorUse,
        now: Now,
    ) {
        let mut sources = self.sources();
        sources.ground = Arc::new(ground);
        let LimitSources { ground, store, .. } = &*sources;
        let limits = match holding(ground, &store.limits, directory) {
            Ok(limits) => limits,
            Err(conflict) => {
                warn!(%conflict, "limits of the store are not used");
                let of_file: BTreeSet<_> = ground.limits.iter().map(|limit| &limit.id).collect();
                let others = store.limits.iter();
                let others = others.filter(|record| !of_file.contains(&record.limit.id));
                compiled(ground, others, directory)
            }
        };
        warn_of(ground, &store.limits, directory);
        let kept = store.kept.clone();
        self.hold(&mut sources, limits, kept, used, now);
    }

    /// From now on the store says this. Where the same holds as before, nothing is exchanged. Blocks.
    ///
    /// # Errors
    /// [`UnusedLimits`]: what held before stays in use.
    pub fn follow_store(
        &self,
        store: StoreLimits,
        directory: &Directory,
        now: Now,
    ) -> Result<(), UnusedLimits> {
        let mut sources = self.sources();
        let limits = holding(&sources.ground, &store.limits, directory)?;
        let holds = sources.holding.as_ref();
        if holds.is_some_and(|(held, kept)| *held == limits && kept.grants == store.kept.grants) {
            sources.store = store;
            return Ok(());
        }
        let used = self.read_used(&limits, now).map_err(UnusedLimits::Use)?;
        let kept = store.kept.clone();
        sources.store = store;
        self.hold(&mut sources, limits, kept, used, now);
        Ok(())
    }

    /// Lets `write` write down costs that have become known late, and has the counters count those that it returns. No
    /// limit begins in between, which would count them twice or not at all. `clock` returns the time. Blocks.
    ///
    /// # Errors
    /// That of `write`; then nothing is counted.
    pub fn correct<E>(
        &self,
        write: impl FnOnce() -> Result<Vec<LateCost>, E>,
        clock: &dyn Fn() -> Now,
    ) -> Result<(), E> {
        let turn = self.turns.costs();
        let late = write()?;
        self.limits.correct(&late, clock());
        drop(turn);
        Ok(())
    }

    /// Tells, by [`LimitBook::had_late_costs_since`], whether costs have become known since this moment.
    pub fn mark_of_late_costs(&self) -> CostMark {
        self.turns.mark()
    }

    /// Whether costs have become known late since then, so that what counters said then and what the ledger says now may
    /// differ.
    pub fn had_late_costs_since(&self, mark: CostMark) -> bool {
        self.turns.had_costs_since(mark)
    }

    fn hold(
        &self,
        sources: &mut LimitSources,
        limits: Vec<Limit>,
        kept: LimitHistory,
        used: PriorUse,
        now: Now,
    ) {
        self.limits.follow(limits.clone(), used, &kept, now);
        sources.holding = Some((limits, kept));
    }

    fn read_used(&self, limits: &[Limit], now: Now) -> Result<PriorUse, UnknownUse> {
        let Some(sums_since) = self.limits.wants_used_since(limits, now) else {
            return Ok(PriorUse::default());
        };
        // Before the ledger is read: a late cost is then in what is read, or comes when the new counters are in use.
        let turn = self.turns.change();
        // So that what ends in between is known.
        let preparation = self.limits.prepare();
        let is_minute = |limit: &Limit| limit.window == Some(LimitWindow::Minute);
        let has_minutes = limits.iter().any(is_minute);
        let prior = (self.used)(UseAsked {
            sums_since,
            attempts_since: now.wall.checked_sub(MINUTES).filter(|_| has_minutes),
            now: now.wall,
        })?;
        Ok(prior.prepared(preparation, turn))
    }

    fn sources(&self) -> MutexGuard<'_, LimitSources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits that hold together.
///
/// # Errors
/// One of the store has the id of one of the file, or lacks a ledger.
pub fn holding(
    ground: &LimitGround,
    store: &[LimitRecord],
    directory: &Directory,
) -> Result<Vec<Limit>, LimitConflict> {
    let mut conflicts = Vec::new();
    for record in store {
        let limit = &record.limit;
        let id = &limit.id;
        if ground.limits.iter().any(|other| other.id == *id) {
            let file = &ground.file;
            conflicts.push(format!(
                "there is a limit `{id}` in the configuration file `{file}` and another one in the store; rename one of \
                 them, or remove that of the store with `modelway limits delete {id} --data DIRECTORY`"
            ));
        }
        if let Some(lack) = ground.lack.filter(|_| limit.is_hard_on_money()) {
            let (needs, remedy) = (lack.needs, lack.remedy);
            conflicts.push(format!(
                "the limit `{id}` of the store is a hard one on money and needs {needs}; {remedy}, or remove the limit with \
                 `modelway limits delete {id} --data DIRECTORY`"
            ));
        }
    }
    match conflicts.is_empty() {
        true => Ok(compiled(ground, store.iter(), directory)),
        false => Err(LimitConflict(conflicts)),
    }
}

fn compiled<'r>(
    ground: &LimitGround,
    store: impl Iterator<Item = &'r LimitRecord>,
    directory: &Directory,
) -> Vec<Limit> {
    let of_store = store.map(|record| record.in_zone(|accounts| zone_of(directory, accounts)));
    let mut limits: Vec<_> = ground.limits.iter().cloned().chain(of_store).collect();
    limits.sort_by(|one, other| one.id.cmp(&other.id));
    limits
}

/// Logs the limits of the store that name accounts, scenarios, providers or models which no longer exist. Such a limit
/// matches no call.
fn warn_of(ground: &LimitGround, store: &[LimitRecord], directory: &Directory) {
    for record in store {
        for fault in judge(record, &[], ground, directory) {
            warn!(
                limit = &*record.limit.id,
                field = fault.field,
                what = fault.what,
                "a limit of the store does not go with the configuration"
            );
        }
    }
}

impl fmt::Debug for LimitBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitBook")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
