//! What does a target cost now? Its prices are exchanged while calls run; an attempt keeps those with which it began.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::money::Prices;

/// The prices of a target. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CurrentPrices(Arc<ArcSwapOption<Prices>>);

impl CurrentPrices {
    /// These, until they are exchanged.
    pub fn new(prices: Prices) -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee(prices)))
    }

    /// Those that hold at this moment; `None` if no price is known.
    pub fn now(&self) -> Option<Arc<Prices>> {
        self.0.load_full()
    }

    /// Whether any price is known.
    pub fn are_known(&self) -> bool {
        self.0.load().is_some()
    }

    /// Puts others in their place. Attempts under way are not concerned.
    pub fn exchange(&self, prices: Option<Prices>) {
        self.0.store(prices.map(Arc::new));
    }
}
