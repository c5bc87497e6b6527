//! Which prices hold? Those of the configuration and those of the store together. Whoever prices attempts follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;

use crate::money::{PlacedPrice, Price, PriceVersion, Prices, Validity};
use crate::store::StoredPrice;

/// What the configuration says of prices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePrices {
    /// The ids of all models; `None` where no configuration is at hand.
    pub models: Option<BTreeSet<String>>,
    /// The prices. They cannot be changed here.
    pub prices: Vec<PlacedPrice>,
}

/// All prices of all models, as they hold together.
#[derive(Clone, Debug, Default)]
pub struct CompiledPrices(BTreeMap<String, Prices>);

/// Called with the prices whenever they change.
type PriceFollower = Box<dyn Fn(&CompiledPrices) + Send + Sync>;

/// The prices of a service.
#[derive(Default)]
pub struct PriceBoard {
    state: Mutex<BoardState>,
    follower: OnceLock<PriceFollower>,
}

#[derive(Default)]
struct BoardState {
    file: FilePrices,
    store: Vec<StoredPrice>,
    compiled: Arc<CompiledPrices>,
}

impl fmt::Debug for PriceBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PriceBoard").finish_non_exhaustive()
    }
}

/// A price of the store and one of the configuration would hold for the same attempts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{of_store} of the store and the price at {place} would hold for the same attempts: end one before the other begins"
)]
pub struct PriceConflict {
    of_store: String,
    place: String,
}

impl CompiledPrices {
    /// Those of the configuration and those of the store.
    ///
    /// # Errors
    /// The first two that would hold for the same attempts.
    pub(super) fn of(file: &[PlacedPrice], store: &[StoredPrice]) -> Result<Self, PriceConflict> {
        let mut models: BTreeMap<&str, Vec<Price>> = BTreeMap::new();
        for placed in file {
            models.entry(&placed.model).or_default().push(placed.price);
        }
        for StoredPrice { model, price } in store {
            let overlaps = |placed: &&PlacedPrice| {
                placed.model == *model && placed.price.holds.overlaps(&price.holds)
            };
            if let Some(placed) = file.iter().find(overlaps) {
                return Err(PriceConflict {
                    of_store: described(model, &price.holds),
                    place: placed.place.clone(),
                });
            }
            models.entry(model).or_default().push(*price);
        }
        let together = Prices::together(models).into_iter();
        Ok(Self(
            together
                .map(|(model, prices)| (model.to_owned(), prices))
                .collect(),
        ))
    }

    /// The prices of a model; `None` if it has none.
    pub fn model(&self, id: &str) -> Option<&Prices> {
        self.0.get(id)
    }

    /// All models that have prices, with them.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Prices)> {
        self.0.iter().map(|(model, prices)| (&**model, prices))
    }

    /// Names all of them; `None` if there are none.
    pub fn version(&self) -> Option<PriceVersion> {
        self.0.values().next().map(Prices::version)
    }
}

impl PriceBoard {
    /// The prices of this configuration, and none of a store.
    pub fn new(file: FilePrices) -> Self {
        let board = Self::default();
        board.follow_file(file);
        board
    }

    /// Calls this follower with the prices as they are, and after every change from now on. Only the first follower is kept.
    pub fn tell(&self, follower: PriceFollower) {
        let state = self.lock();
        if self.follower.set(follower).is_ok() {
            self.told(&state);
        }
    }

    /// The prices as they hold now.
    pub fn compiled(&self) -> Arc<CompiledPrices> {
        Arc::clone(&self.lock().compiled)
    }

    /// What the configuration says.
    pub fn file(&self) -> FilePrices {
        self.lock().file.clone()
    }

    /// Whether these prices of a configuration go together with those of the store.
    ///
    /// # Errors
    /// Two prices that do not.
    pub fn check_file(&self, file: &FilePrices) -> Result<(), PriceConflict> {
        CompiledPrices::of(&file.prices, &self.lock().store).map(drop)
    }

    /// Goes on with the prices of another configuration. Those of the store that do not go together with them do not hold;
    /// [`PriceBoard::check_file`] says so before.
    pub fn follow_file(&self, file: FilePrices) {
        let mut state = self.lock();
        let together = CompiledPrices::of(&file.prices, &state.store);
        let compiled = together.or_else(|_| CompiledPrices::of(&file.prices, &[]));
        state.file = file;
        state.compiled = Arc::new(compiled.unwrap_or_default());
        self.told(&state);
    }

    /// Goes on with what the store has now.
    ///
    /// # Errors
    /// They do not go together with those of the configuration. Then nothing changes.
    pub fn follow_store(&self, store: Vec<StoredPrice>) -> Result<(), PriceConflict> {
        let mut state = self.lock();
        if state.store == store {
            return Ok(());
        }
        let compiled = CompiledPrices::of(&state.file.prices, &store)?;
        state.store = store;
        state.compiled = Arc::new(compiled);
        self.told(&state);
        Ok(())
    }

    fn told(&self, state: &BoardState) {
        if let Some(follower) = self.follower.get() {
            follower(&state.compiled);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BoardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A price in words: its model and when it holds.
pub(super) fn described(model: &str, holds: &Validity) -> String {
    let Validity {
        tier,
        input_tokens_above,
        from,
        until,
    } = holds;
    let mut text = format!("the price of `{model}` in tier `{}`", tier.name());
    if *input_tokens_above > 0 {
        text += &format!(" for prompts above {input_tokens_above} tokens");
    }
    for (word, moment) in [("from", from), ("until", until)] {
        let moment = moment.and_then(|moment| Timestamp::try_from(moment).ok());
        if let Some(moment) = moment {
            text += &format!(" {word} {moment}");
        }
    }
    text
}
