//! How does the service follow its control store? A thread looks at it twice a second: it takes over what other processes
//! have changed, and writes down what waits to be written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::warn;

use crate::admin::{Administration, PriceBoard, Unfollowed, UnusableStore};
use crate::audit;
use crate::identity::identities::Identities;
use crate::limits::book::LimitBook;
use crate::store::{Store, StoreError};

use super::StartError;

/// How often the thread checks whether another process has changed the store: often enough that a busy machine keeps the bound of a
/// second, too.
const LOOK: Duration = Duration::from_millis(250);

/// After so many checks the last uses of keys and the failed logins are written down.
const LOOKS_PER_MINUTE: u32 = 240;

/// After so many checks events that are too old are dropped.
const LOOKS_PER_DAY: u32 = LOOKS_PER_MINUTE * 60 * 24;

/// How long the thresholds that were announced in a window are kept after the end of the window.
const KEPT_ANNOUNCED: Duration = Duration::from_secs(400 * 24 * 3_600);

/// Opens the control store in this data directory, if there is one. Its accounts, keys and limits hold from then on, beside
/// those of the file of this name.
///
/// # Errors
/// [`StartError::Store`].
pub(super) async fn open(
    data: Option<&Path>,
    identities: &Arc<Identities>,
    (prices, book): (&Arc<PriceBoard>, &Arc<LimitBook>),
    file: &str,
) -> Result<Option<Arc<Administration>>, StartError> {
    let Some(directory) = data.map(Path::to_owned) else {
        return Ok(None);
    };
    let (identities, book) = (Arc::clone(identities), Arc::clone(book));
    let (prices, file) = (Arc::clone(prices), file.to_owned());
    let opening = spawn_blocking(move || {
        let store = Store::create(&directory)?;
        let administration = Administration::new(store, identities, file)?;
        administration.with_prices(prices)?.limiting(book)
    });
    let opened = opening
        .await
        .map_err(|error| StartError::Thread(error.into()))?;
    Ok(Some(Arc::new(opened.map_err(unusable)?)))
}

fn unusable(error: UnusableStore) -> StartError {
    error.into()
}

/// A control store that a thread follows until this is dropped.
pub(super) struct FollowedStore {
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FollowedStore {
    /// Follows the store from now on.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(super) fn follow(administration: Arc<Administration>) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        // A thread of its own, so that only this thread waits for the disk.
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let run = move || runtime.block_on(follow(&administration, stopped));
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(run)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for FollowedStore {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Follows the store until `stopped` is answered or its sender dropped; then what still waits is written.
async fn follow(administration: &Administration, mut stopped: oneshot::Receiver<()>) {
    let mut upkeep = Upkeep::default();
    let mut looks = 0;
    let mut next_look = interval_at(Instant::now() + LOOK, LOOK);
    next_look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => return upkeep.run(administration, Due::End),
            _ = next_look.tick() => {
                looks = (looks + 1) % LOOKS_PER_DAY;
                upkeep.run(administration, due_after(looks));
            }
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Look,
    Minute,
    Day,
    End,
}

fn due_after(looks: u32) -> Due {
    match looks {
        0 => Due::Day,
        looks if looks % LOOKS_PER_MINUTE == 0 => Due::Minute,
        _ => Due::Look,
    }
}

/// What the thread remembers between two looks.
#[derive(Default)]
struct Upkeep {
    /// Whether the last look failed, so that only the first failure of several is logged.
    has_failed: bool,
}

impl Upkeep {
    fn run(&mut self, administration: &Administration, due: Due) {
        match tasks(administration, due, SystemTime::now()) {
            Ok(()) => self.has_failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    warn!(
                        %error,
                        "the control store cannot be read; its last known content stays in use"
                    );
                }
            }
        }
    }
}

/// Does what is due. A task that fails keeps none of the others from being done, since the end is the last chance for all
/// of them.
///
/// # Errors
/// The first failure.
fn tasks(administration: &Administration, due: Due, now: SystemTime) -> Result<(), Unfollowed> {
    let mut result = administration.look().map(drop);
    let mut done = |task: Result<(), StoreError>| {
        if let (Ok(()), Err(error)) = (&result, task) {
            result = Err(error.into());
        }
    };
    done(administration.write_noted());
    if due == Due::Look {
        return result;
    }
    done(administration.write_logins(now, due == Due::End));
    done(administration.write_uses());
    done(administration.write_learned());
    if due == Due::Day {
        let store = administration.store();
        done(store.drop_old_events(now, audit::KEPT).map(drop));
        done(store.forget_announced(now, KEPT_ANNOUNCED));
    }
    result
}

#[cfg(test)]
mod tests;
