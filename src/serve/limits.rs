//! With which limits does the service begin, and with which does it go on when its file changes?

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::identity::directory::Directory;
use crate::ledger::Ledger;
use crate::limits::book::{LimitBook, UnusedLimits, UseAsked};
use crate::limits::{LimitGround, Limits, Now, PriorUse};

/// Why calls cannot be held to the limits.
#[derive(Debug, thiserror::Error)]
pub enum UnheldLimits {
    /// They conflict with each other, or it is not known what was used of them.
    #[error(transparent)]
    Unused(#[from] UnusedLimits),
    /// Nothing can be read at this time.
    #[error("no thread can read the ledger: {0}")]
    Thread(io::Error),
}

/// The limits of a service. Their counters begin with what this ledger has recorded.
pub(super) fn book(limits: Limits, ledger: Ledger) -> Arc<LimitBook> {
    let used = move |asked: UseAsked| match ledger.files() {
        Some(files) => {
            // What has ended before is in the files then. While they cannot be written, it is missing.
            ledger.catch_up();
            asked.read(files)
        }
        None => Ok(PriorUse::default()),
    };
    Arc::new(LimitBook::new(limits, Box::new(used)))
}

/// What was used in the windows that run, as far as the counters of limits that hold on this ground do not know it yet.
///
/// # Errors
/// [`UnheldLimits`].
pub(super) async fn used(
    book: &Arc<LimitBook>,
    ground: &LimitGround,
    directory: Arc<Directory>,
) -> Result<PriorUse, UnheldLimits> {
    let (book, ground) = (Arc::clone(book), ground.clone());
    let reading = spawn_blocking(move || book.prepare_file(&ground, &directory, Now::of_clocks()));
    let used = reading
        .await
        .map_err(|error| UnheldLimits::Thread(error.into()))?;
    Ok(used?)
}
