//! How does the service follow its control store? A thread looks at it twice a second: it takes over what other processes
//! have changed, and writes down what waits to be written.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tracing::warn;

use crate::admin::{Administration, UnusableStore};
use crate::audit;
use crate::identity::identities::Identities;
use crate::store::{Store, StoreError};

use super::StartError;

/// How often it is looked whether another process has changed the store.
const LOOK: Duration = Duration::from_millis(500);

/// After so many looks it is written down when keys were last used, and which logins failed.
const LOOKS_PER_MINUTE: u32 = 120;

/// After so many looks events are dropped that are too old.
const LOOKS_PER_DAY: u32 = LOOKS_PER_MINUTE * 60 * 24;

/// Opens the control store in this data directory, if there is one. Its accounts and keys hold from then on, beside those of
/// the file of this name.
///
/// # Errors
/// [`StartError::Store`].
pub(super) async fn open(
    data: Option<&Path>,
    identities: &Arc<Identities>,
    file: &str,
) -> Result<Option<Arc<Administration>>, StartError> {
    let Some(directory) = data.map(Path::to_owned) else {
        return Ok(None);
    };
    let (identities, file) = (Arc::clone(identities), file.to_owned());
    let opening = spawn_blocking(move || {
        let store = Store::create(&directory)?;
        Administration::new(store, identities, file)
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
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FollowedStore {
    /// Follows the store from now on.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(super) fn follow(administration: Arc<Administration>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let run = move || {
            let mut upkeep = Upkeep::default();
            let mut looks = 0;
            while stopped.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                looks = (looks + 1) % LOOKS_PER_DAY;
                upkeep.tell(&administration, upkeep_of(looks));
            }
            upkeep.tell(&administration, Due::End);
        };
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

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Look,
    Minute,
    Day,
    End,
}

fn upkeep_of(looks: u32) -> Due {
    match looks {
        0 => Due::Day,
        looks if looks % LOOKS_PER_MINUTE == 0 => Due::Minute,
        _ => Due::Look,
    }
}

/// What the thread remembers between two looks.
#[derive(Default)]
struct Upkeep {
    /// When keys were last used, as it was written down.
    used: HashMap<Arc<str>, SystemTime>,
    /// Whether the last look failed, so that only the first failure of several is logged.
    has_failed: bool,
}

impl Upkeep {
    fn tell(&mut self, administration: &Administration, due: Due) {
        match self.done(administration, due) {
            Ok(()) => self.has_failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    warn!(
                        %error,
                        "the control store cannot be followed; what is known of it goes on to hold"
                    );
                }
            }
        }
    }

    fn done(&mut self, administration: &Administration, due: Due) -> Result<(), StoreError> {
        administration.look()?;
        administration.write_noted()?;
        if due == Due::Look {
            return Ok(());
        }
        let now = SystemTime::now();
        administration.write_logins(now, due == Due::End)?;
        self.write_used(administration)?;
        if due == Due::Day {
            administration.store().drop_old_events(now, audit::KEPT)?;
        }
        Ok(())
    }

    fn write_used(&mut self, administration: &Administration) -> Result<(), StoreError> {
        let directory = administration.identities().directory();
        let mut news = Vec::new();
        for key in directory.keys() {
            let (id, used) = (&key.identity.key_id, key.identity.standing.last_used());
            let (Some(id), Some(used)) = (id, used) else {
                continue;
            };
            if self.used.get(id) != Some(&used) {
                news.push((Arc::clone(id), used));
            }
        }
        if news.is_empty() {
            return Ok(());
        }
        let written = news.iter().map(|(id, used)| (&**id, *used));
        administration.store().keys_were_used(written)?;
        self.used.extend(news);
        Ok(())
    }
}
