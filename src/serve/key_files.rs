//! Keys in files: watches the files and replaces a key in use when its file holds another one.
//!
//! The files are polled. File system events differ for each way of replacing a file, and some ways cause none.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderName;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::broadcast;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::config::reading;
use crate::dispatch::dispatcher::Dispatcher;
use crate::health::lock::LockCause;
use crate::health::provider::BreakerChange;
use crate::provider::Provider;
use crate::provider::credential::{Credential, Unfit};

/// How often the files are read.
const PERIOD: Duration = Duration::from_secs(2);

/// How soon a changed file is read again. It may not be completely written yet.
const SETTLED: Duration = Duration::from_millis(100);

/// How many times unsettled files are read again before the next regular period.
const MOST_LOOKS: usize = 20;

/// How long reading a file may take. It may lie on another machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The key files of all providers, and those of the headers for collectors.
pub(super) struct KeyFiles {
    dispatcher: Arc<Dispatcher>,
    files: Vec<KeyFile>,
    /// The providers with replaced secrets, until their health has forgotten the old ones.
    replaced: BTreeSet<String>,
}

/// A file with a key or another secret of a provider, or of a header for a collector.
struct KeyFile {
    /// `None` for a collector.
    provider: Option<String>,
    credential: Arc<Credential>,
    path: PathBuf,
    /// A new key that was found at the last look. It is used if the next look finds it, too.
    found: Option<SecretString>,
    /// Why the last look found no usable key.
    trouble: Option<KeyTrouble>,
}

/// Why a look finds no usable key. The key in use stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum KeyTrouble {
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
    /// The key files of the dispatcher's providers, and those of the secrets that exports carry.
    pub(super) fn new(
        dispatcher: &Arc<Dispatcher>,
        exported: &[(HeaderName, Arc<Credential>)],
    ) -> Self {
        let routes = dispatcher.routes();
        let targets = routes.catalog().targets.values();
        let providers: BTreeMap<&str, &Provider> = targets
            .map(|target| (target.provider.name.as_str(), &*target.provider))
            .collect();
        let of_providers = providers.into_iter().flat_map(|(name, provider)| {
            let credentials = provider.credentials();
            credentials.map(move |credential| (Some(name), credential))
        });
        let of_collectors = exported.iter().map(|(_, credential)| (None, credential));
        let files = of_providers.chain(of_collectors);
        let files = files.filter_map(|(provider, credential)| {
            // A pipe cannot be read a second time.
            let path = credential.file().filter(|path| path.is_file())?;
            Some(KeyFile {
                provider: provider.map(str::to_owned),
                credential: Arc::clone(credential),
                path: path.to_owned(),
                found: None,
                trouble: None,
            })
        });
        let files = files.collect();
        Self {
            dispatcher: Arc::clone(dispatcher),
            files,
            replaced: BTreeSet::new(),
        }
    }

    /// The files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| &*file.path)
    }

    /// The providers whose keys were replaced of which their targets were not told yet.
    pub(super) fn take_replaced(&mut self) -> BTreeSet<String> {
        mem::take(&mut self.replaced)
    }

    /// Reads the files periodically, and at once when a provider refuses a key. Runs until it is dropped; it can go on
    /// later.
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
            for _ in 0..MOST_LOOKS {
                if !self.look().await {
                    break;
                }
                sleep(SETTLED).await;
            }
            // Only after all secrets of a provider are replaced, so that no attempt is judged with a mixture.
            while let Some(provider) = self.replaced.pop_first() {
                if let Some(provider) = self.dispatcher.routes().provider(&provider) {
                    provider.renew_credential();
                }
            }
        }
    }

    /// Reads each file and notes the providers whose secrets were replaced. True if a file has changed and must be read
    /// again before its key is used.
    async fn look(&mut self) -> bool {
        let mut is_unsettled = false;
        for file in &mut self.files {
            match file.look().await {
                Ok(Look::Same) => file.is_in_order(),
                Ok(Look::Unsettled) => is_unsettled = true,
                Ok(Look::Replaced) => {
                    file.is_in_order();
                    info!(
                        provider = file.provider,
                        "another key is in its file: it is used from the next {} on",
                        if file.provider.is_some() {
                            "attempt"
                        } else {
                            "export"
                        },
                    );
                    self.replaced.extend(file.provider.clone());
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
    /// A new key, which the last look did not find.
    Unsettled,
    /// A new key that two looks have found. It is in use now.
    Replaced,
}

impl KeyFile {
    async fn look(&mut self) -> Result<Look, KeyTrouble> {
        let before = self.found.take();
        let key = read(&self.path).await?;
        if self.credential.is(&key)? {
            return Ok(Look::Same);
        }
        if before.is_some_and(|before| is_same(&before, &key)) {
            self.credential.replace(&key, SystemTime::now())?;
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

    /// Logs a trouble once.
    fn is_in_trouble(&mut self, trouble: KeyTrouble) {
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

/// Waits until a provider refuses a credential.
async fn refused(changes: &mut broadcast::Receiver<BreakerChange>) {
    let causes = [LockCause::Refused, LockCause::QuotaExhausted].map(LockCause::name);
    loop {
        match changes.recv().await {
            Ok(change) if !causes.contains(&change.transition.cause) => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => return pending().await,
        }
    }
}

/// The key in a file, without the white space around it.
async fn read(path: &Path) -> Result<SecretString, KeyTrouble> {
    let path = path.to_owned();
    let reading = spawn_blocking(move || reading::again(&path));
    let Ok(Ok(read)) = timeout(PATIENCE, reading).await else {
        return Err(KeyTrouble::Slow);
    };
    let key = read.map_err(|error| KeyTrouble::Unreadable(reading::why(&error)))?;
    match key.trim() {
        "" => Err(KeyTrouble::Empty),
        key => Ok(key.into()),
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}
