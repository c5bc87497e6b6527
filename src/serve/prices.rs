//! How does the service follow its prices? Those of the configuration and of the store are given to the targets, and kept
//! beside the ledger for later exports.

use std::sync::Arc;

use tracing::warn;

use crate::admin::{CompiledPrices, FilePrices, PriceBoard};
use crate::config::Config;
use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::target::Catalog;
use crate::ledger::Ledger;
use crate::ledger::export::price_book;

/// What a configuration says of prices.
pub(super) fn of_file(config: &Config) -> FilePrices {
    FilePrices {
        models: Some(config.catalog.targets.keys().cloned().collect()),
        prices: config.prices.clone(),
    }
}

/// Gives these prices to the targets of a catalogue.
pub(super) fn fill(catalog: &Catalog, prices: &CompiledPrices) {
    for (id, target) in &catalog.targets {
        target.prices.exchange(prices.model(id).cloned());
    }
}

/// Has the calls of this dispatcher cost what the board says, from now on and after every change.
pub(super) fn follow(board: &PriceBoard, dispatcher: &Arc<Dispatcher>, ledger: &Ledger) {
    let (dispatcher, ledger) = (Arc::clone(dispatcher), ledger.clone());
    board.tell(Box::new(move |prices| {
        // First, so that no row names prices that are kept nowhere.
        keep(&ledger, prices);
        fill(dispatcher.routes().catalog(), prices);
    }));
}

/// Keeps the prices beside the ledger, so that exports can show unit prices when others hold.
fn keep(ledger: &Ledger, prices: &CompiledPrices) {
    let Some(files) = ledger.files() else {
        return;
    };
    let models: Vec<_> = prices.models().collect();
    if let Err(error) = price_book::keep(files, &models) {
        warn!(%error, "the prices cannot be kept beside the ledger: exports of this time will show costs without unit prices");
    }
}
