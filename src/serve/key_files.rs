//! Keys in files: what is read again, and when does another key take the place of the one in use?
//!
//! Files are looked at, not listened to: the events of a file system tell of every way of replacing a
//! file in another form, and of some in none.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::broadcast;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::config::reading;
use crate::dispatch::dispatcher::Dispatcher;
use crate::health::guard::BreakerChange;
use crate::health::lock::Cause;
use crate::provider::Provider;
use crate::provider::credential::{Credential, Unfit};

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// How soon a file is looked at again that has changed: it may be in the middle of being written.
const SETTLED: Duration = Duration::from_millis(100);

/// Looks at files that do not settle before the others are heard.
const MOST_LOOKS: usize = 20;

/// How long a look may take: a file may lie on another machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The files that hold keys of providers.
pub(super) struct KeyFiles {
    dispatcher: Arc<Dispatcher>,
    files: Vec<KeyFile>,
}

/// One of them.
struct KeyFile {
    provider: String,
    credential: Arc<Credential>,
    path: PathBuf,
    /// Another key that was there at the last look, and must be there at the next one.
    found: Option<SecretString>,
    /// Why the last look found no key.
    trouble: Option<Trouble>,
}

/// Why a look finds no key. The one in use stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Trouble {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("reading takes too long")]
    Slow,
    #[error("it is empty")]
    Empty,
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

impl KeyFiles {
    /// Those of the dispatcher's providers.
    pub(super) fn new(dispatcher: &Arc<Dispatcher>) -> Self {
        let targets = dispatcher.catalog().targets.values();
        let providers: BTreeMap<&str, &Provider> = targets
            .map(|target| (target.provider.name.as_str(), &*target.provider))
            .collect();
        let mut files = Vec::new();
        for (name, provider) in providers {
            for credential in provider.credentials() {
                // A pipe has told all that it had to tell.
                let path = credential.file().filter(|path| path.is_file());
                files.extend(path.map(|path| KeyFile {
                    provider: name.to_owned(),
                    credential: Arc::clone(credential),
                    path: path.to_owned(),
                    found: None,
                    trouble: None,
                }));
            }
        }
        Self {
            dispatcher: Arc::clone(dispatcher),
            files,
        }
    }

    /// Looks at the files again and again, and at once when a key is refused, for as long as it is
    /// awaited. Safe to cancel.
    pub(super) async fn follow(&mut self) {
        if self.files.is_empty() {
            return pending().await;
        }
        let mut changes = self.dispatcher.watch_breakers();
        loop {
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = refused(&mut changes) => {}
            }
            let mut replaced = BTreeSet::new();
            for _ in 0..MOST_LOOKS {
                if !self.look(&mut replaced).await {
                    break;
                }
                sleep(SETTLED).await;
            }
            // Once all of a provider's secrets are in place, so that nothing is learnt of a mixture.
            for provider in replaced {
                if let Some(provider) = self.dispatcher.provider(&provider) {
                    provider.renew_credential();
                }
            }
        }
    }

    /// Looks at each file, and notes the providers of those that are used from here on; whether one
    /// has changed and may be about to change again.
    async fn look(&mut self, replaced: &mut BTreeSet<String>) -> bool {
        let mut is_unsettled = false;
        for file in &mut self.files {
            match file.look().await {
                Ok(Look::Same) => file.is_in_order(),
                Ok(Look::Unsettled) => is_unsettled = true,
                Ok(Look::Replaced) => {
                    file.is_in_order();
                    info!(
                        provider = file.provider,
                        "another key is in its file: it is used from the next attempt on"
                    );
                    replaced.insert(file.provider.clone());
                }
                Err(trouble) => file.is_in_trouble(trouble),
            }
        }
        is_unsettled
    }
}

/// What a look at a file finds.
enum Look {
    /// The key in use.
    Same,
    /// Another key, which was not there at the last look.
    Unsettled,
    /// Another key, which is used from here on.
    Replaced,
}

impl KeyFile {
    async fn look(&mut self) -> Result<Look, Trouble> {
        let before = self.found.take();
        let key = read(&self.path).await?;
        if self.credential.is(&key)? {
            return Ok(Look::Same);
        }
        if before.is_some_and(|before| is_same(&before, &key)) {
            self.credential.replace(&key)?;
            return Ok(Look::Replaced);
        }
        self.found = Some(key);
        Ok(Look::Unsettled)
    }

    fn is_in_order(&mut self) {
        if self.trouble.take().is_some() {
            info!(
                provider = self.provider,
                "the file of the key can be read again"
            );
        }
    }

    /// Tells it once.
    fn is_in_trouble(&mut self, trouble: Trouble) {
        let trouble = Some(trouble);
        if self.trouble != trouble {
            warn!(
                provider = self.provider,
                path = %self.path.display(),
                why = trouble.as_ref().map(tracing::field::display),
                "the file of the key cannot be used: the key in use stays"
            );
            self.trouble = trouble;
        }
    }
}

/// Waits until a credential is refused.
async fn refused(changes: &mut broadcast::Receiver<BreakerChange>) {
    let causes = [Cause::Refused, Cause::QuotaExhausted].map(Cause::name);
    loop {
        match changes.recv().await {
            Ok(change) if !causes.contains(&change.transition.cause) => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => return pending().await,
        }
    }
}

/// The key in a file, without the white space around it.
async fn read(path: &Path) -> Result<SecretString, Trouble> {
    let path = path.to_owned();
    let reading = spawn_blocking(move || reading::again(&path));
    let Ok(Ok(read)) = timeout(PATIENCE, reading).await else {
        return Err(Trouble::Slow);
    };
    let key = read.map_err(|error| Trouble::Unreadable(reading::why(&error)))?;
    match key.trim() {
        "" => Err(Trouble::Empty),
        key => Ok(key.into()),
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}
