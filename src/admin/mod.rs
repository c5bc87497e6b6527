//! What do administrators see and change? Accounts, keys, limits, prices, and the record of who changed what. Without tonic.
//!
//! [`Administration`] holds the control store and what the configuration file says beside it. Every change is judged as
//! the directory that it would lead to, is written together with its audit event, and takes effect before it is answered.

mod accounts;
mod audited;
mod error;
mod fields;
mod keys;
mod limits;
mod notes;
mod objects;
mod prices;
mod rights;
mod standing;
mod uses;
mod views;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};
use std::time::{Duration, SystemTime};

use tracing::warn;

use crate::audit::{AuditDraft, AuditFailures, FailedLogins};
use crate::identity::directory::complaints::list;
use crate::identity::identities::Identities;
use crate::identity::key::KeyHash;
use crate::ledger::{Files, Ledger, UsedRow};
use crate::limits::book::{LimitBook, StoreLimits, UnusedLimits};
use crate::limits::{Limits, Now, PriorUse};
use crate::locked::locked;
use crate::money::LearnedTokens;
use crate::store::{Store, StoreError};

pub use self::accounts::{AccountChange, ListedAccount};
pub use self::audited::EventPage;
pub use self::error::{AdminError, NoSuch, Unfollowed, UnusableStore};
pub use self::keys::{KeyWish, ListedKey, MadeKey, Revocation, Rotation};
pub use self::limits::{GrantWish, LimitChange, ListedLimit, StateFilter};
pub use self::objects::StoreObjects;
pub use self::prices::{
    CompiledPrices, FilePrices, ListedPrice, MOST_PRICES, PriceBoard, PriceConflict, PricedUnknown,
    PricesWish, PutPrices, UnknownWish, WantedPrice,
};
pub use self::rights::{Administrator, Rights};
pub use self::standing::name_of;

use self::objects::FileObjects;

/// The most objects on a page.
pub const MOST_ON_PAGE: usize = 1_000;

/// How long it takes until a change of another process is noticed, at most.
pub const FOREIGN_CHANGE_BOUND: Duration = Duration::from_secs(1);

/// Tells what was learned of the tokens of targets.
pub type LearnedSource = Box<dyn Fn() -> Vec<LearnedTokens> + Send + Sync>;

/// Is told of each attempt whose cost became known after its end, and by how many nano-USD what is known of it grew.
pub type LateCostListener = Box<dyn Fn(&UsedRow, i64) + Send + Sync>;

/// Called after every change of the store, whoever made it.
pub type Follower = Box<dyn Fn(&StoreObjects) + Send + Sync>;

/// Keeps the store from being changed as long as it lives.
#[derive(Debug)]
#[must_use = "changes are possible again when it is dropped"]
pub struct ChangePause<'a>(#[expect(dead_code, reason = "it is held")] MutexGuard<'a, Option<i64>>);

/// Administration of one service, or of a store while no service runs.
pub struct Administration {
    store: Store,
    /// Who may call: those of the file, which the configuration changes, and those of the store.
    identities: Arc<Identities>,
    /// What they may use: limits of the file, which the configuration changes, and those of the store.
    book: Arc<LimitBook>,
    /// The configuration file's name, for messages.
    file: String,
    /// What models cost: by the file, which the configuration changes, and by the store.
    prices: Arc<PriceBoard>,
    /// What this process writes down of calls; unset where another process may do so.
    ledger: OnceLock<Ledger>,
    /// Tells what was learned of the tokens of targets, which is kept here.
    learned: OnceLock<LearnedSource>,
    late_costs: OnceLock<LateCostListener>,
    /// Where another process may write down what calls have used.
    ledger_files: Option<Files>,
    follower: OnceLock<Follower>,
    /// The version of the store that was announced to the follower last; `None` if that failed. Whoever holds this
    /// alone makes changes and announces them, so that both happen in one order.
    announced: Mutex<Option<i64>>,
    logins: Mutex<FailedLogins>,
    /// When keys were last used, as it was written down.
    uses_written: Mutex<HashMap<KeyHash, SystemTime>>,
    /// Events that wait to be written.
    noted: Mutex<Vec<AuditDraft>>,
    /// Held while they are written, so that whoever then reads the record reads all of them.
    noted_writer: Mutex<()>,
    failures: AuditFailures,
}

impl fmt::Debug for Administration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Administration")
            .field("store", &self.store.path())
            .finish_non_exhaustive()
    }
}

impl Administration {
    /// Administers this store. Its accounts and keys are those of `identities` from now on, beside those of the file of
    /// this name.
    ///
    /// # Errors
    /// [`UnusableStore`].
    pub fn new(
        store: Store,
        identities: Arc<Identities>,
        file: impl Into<String>,
    ) -> Result<Self, UnusableStore> {
        let version = store.others_version()?;
        let StoreObjects { accounts, keys } = store.read(StoreObjects::read)?;
        identities
            .follow_store(accounts, keys)
            .map_err(UnusableStore::Mistakes)?;
        let prices = Arc::<PriceBoard>::default();
        prices.follow_store(store.read(|reading| reading.prices())?)?;
        Ok(Self {
            prices,
            ledger: OnceLock::new(),
            learned: OnceLock::new(),
            late_costs: OnceLock::new(),
            ledger_files: None,
            store,
            identities,
            book: Arc::new(LimitBook::new(
                Limits::none(),
                Box::new(|_| Ok(PriorUse::default())),
            )),
            file: file.into(),
            follower: OnceLock::new(),
            announced: Mutex::new(Some(version)),
            logins: Mutex::default(),
            uses_written: Mutex::default(),
            noted: Mutex::default(),
            noted_writer: Mutex::default(),
            failures: AuditFailures::default(),
        })
    }

    /// Prices attempts by this board from now on, which has the prices of the configuration. Those of the store are added.
    ///
    /// # Errors
    /// [`UnusableStore::Prices`].
    pub fn with_prices(self, board: Arc<PriceBoard>) -> Result<Self, UnusableStore> {
        board.follow_store(self.store.read(|reading| reading.prices())?)?;
        Ok(Self {
            prices: board,
            ..self
        })
    }

    /// Reads what calls have used from these files, which another process may be writing.
    #[must_use]
    pub fn with_ledger_files(self, files: Option<Files>) -> Self {
        Self {
            ledger_files: files,
            ..self
        }
    }

    /// Says that this process writes down here what calls use. Call this once, before the first call is served.
    pub fn keep_books(&self, ledger: Ledger) {
        let _ = self.ledger.set(ledger);
    }

    /// Sets the function that is told of costs that become known late.
    pub fn tell_late_costs(&self, listener: LateCostListener) {
        let _ = self.late_costs.set(listener);
    }

    /// Sets the function that returns what was learned of the tokens of targets. [`Administration::write_learned`] keeps that
    /// for the next process.
    pub fn keep_learned(&self, learned: LearnedSource) {
        let _ = self.learned.set(learned);
    }

    /// Writes down what was learned of the tokens of targets. To be called every minute, and at the end.
    ///
    /// # Errors
    /// [`StoreError`]; then what was written before is kept.
    pub fn write_learned(&self) -> Result<(), StoreError> {
        match self.learned.get() {
            Some(learned) => self.store.keep_learned(&learned()),
            None => Ok(()),
        }
    }

    fn ledger_files(&self) -> Option<Files> {
        let own = self.ledger.get().and_then(|ledger| ledger.files().cloned());
        own.or_else(|| self.ledger_files.clone())
    }

    /// Adds the limits of the store to this book, which has those of the file, and follows changes of the store from now on.
    ///
    /// # Errors
    /// [`UnusableStore`].
    pub fn limiting(mut self, book: Arc<LimitBook>) -> Result<Self, UnusableStore> {
        let limits = self.limits_in_store()?;
        let directory = self.identities.directory();
        book.follow_store(limits, &directory, Now::of_clocks())?;
        self.book = book;
        Ok(self)
    }

    /// Who may call.
    pub fn identities(&self) -> &Arc<Identities> {
        &self.identities
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How often the audit record could not be written.
    pub fn audit_failures(&self) -> &AuditFailures {
        &self.failures
    }

    /// What the store holds now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn objects(&self) -> Result<StoreObjects, StoreError> {
        self.store.read(StoreObjects::read)
    }

    fn limits_in_store(&self) -> Result<StoreLimits, StoreError> {
        let now = Now::of_clocks();
        self.store.read(|reading| limits::read(reading, now.wall))
    }

    /// Calls this follower after every change from now on. Only the first follower is kept.
    pub fn follow_changes(&self, follower: Follower) {
        let _ = self.follower.set(follower);
    }

    fn file(&self) -> FileObjects {
        FileObjects {
            name: self.file.clone(),
            settings: self.identities.settings(),
        }
    }

    /// Looks whether another process has changed the store, and tells the follower. To be called every quarter of a second.
    ///
    /// # Errors
    /// [`Unfollowed`]. Then the follower goes on with what it knows.
    pub fn look(&self) -> Result<bool, Unfollowed> {
        let mut announced = locked(&self.announced);
        let version = self.store.others_version()?;
        if Some(version) == *announced {
            return Ok(false);
        }
        self.notify_follower()?;
        *announced = Some(version);
        Ok(true)
    }

    /// As long as the guard lives, nobody changes the store, and changes of other processes are not announced: what a new
    /// configuration was checked against stays. `None` while a change is under way, which may have to read the ledger.
    pub fn pause_changes(&self) -> Option<ChangePause<'_>> {
        match self.announced.try_lock() {
            Ok(held) => Some(ChangePause(held)),
            Err(TryLockError::Poisoned(held)) => Some(ChangePause(held.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Makes a change and tells the follower before this returns. Meanwhile the configuration stays as it is, so that
    /// `change` has to take what that says.
    fn changed<T>(&self, change: impl FnOnce() -> Result<T, AdminError>) -> Result<T, AdminError> {
        let mut announced = locked(&self.announced);
        let value = change().inspect_err(|error| {
            if matches!(error, AdminError::Store(_)) {
                self.failures.refused.increment();
            }
        })?;
        if let Err(error) = self.notify_follower() {
            *announced = None;
            return Err(error.into());
        }
        Ok(value)
    }

    fn notify_follower(&self) -> Result<(), Unfollowed> {
        let objects = self.objects()?;
        let StoreObjects { accounts, keys } = objects.clone();
        if let Err(mistakes) = self.identities.follow_store(accounts, keys) {
            // Changes of this process are judged before they are made, so another process has made this one.
            let mistakes = list(&mistakes);
            warn!(
                mistakes,
                "the accounts and keys of the control store do not fit those of the file, so they are not used"
            );
        }
        let prices = self.store.read(|reading| reading.prices())?;
        if let Err(conflict) = self.prices.follow_store(prices) {
            // As with accounts, this can only be a change of another process.
            warn!(%conflict, "the prices of the control store do not fit those of the file, so they are not used");
        }
        let directory = self.identities.directory();
        let limits = self.limits_in_store()?;
        match self.book.follow_store(limits, &directory, Now::of_clocks()) {
            Ok(()) => {}
            Err(UnusedLimits::Use(error)) => return Err(error.into()),
            Err(UnusedLimits::Conflict(conflict)) => warn!(
                %conflict,
                "the limits of the control store do not fit those of the file, so its changes are not used"
            ),
        }
        if let Some(follower) = self.follower.get() {
            follower(&objects);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
