//! With which limits does the service begin, and with which does it go on when its file changes?

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::identity::directory::Directory;
use crate::ledger::{Ledger, UsedRow};
use crate::limits::book::{LimitBook, UnusedLimits, UseAsked};
use crate::limits::{LimitGround, Limits, Now};

/// Why limits cannot be held to.
#[derive(Debug, thiserror::Error)]
pub enum UnheldLimits {
    /// They do not go together, or it cannot be told what was used of them.
    #[error(transparent)]
    Unused(#[from] UnusedLimits),
    /// Nothing can be read at this time.
    #[error("no thread can read the ledger: {0}")]
    Thread(io::Error),
}

/// Holds calls to limits whose counters begin with what this ledger tells.
pub(super) fn book(limits: Limits, ledger: Ledger) -> Arc<LimitBook> {
    let used = move |asked: UseAsked| match ledger.files() {
        Some(files) => asked.read(files),
        None => Ok(Vec::new()),
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
) -> Result<Vec<UsedRow>, UnheldLimits> {
    let (book, ground) = (Arc::clone(book), ground.clone());
    let reading = spawn_blocking(move || book.prepare_file(&ground, &directory, Now::of_clocks()));
    let used = reading
        .await
        .map_err(|error| UnheldLimits::Thread(error.into()))?;
    Ok(used?)
}
