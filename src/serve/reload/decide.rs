//! Is a changed configuration put in place of the one that runs? Everything that can fail happens here, and changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::admin::{Administration, ChangePause};
use crate::config::difference::differences;
use crate::config::{Config, reading};
use crate::identity::directory::Directory;
use crate::identity::directory::complaints::list;
use crate::limits::book::UnusedLimits;
use crate::server::{self, Live, Prepared};

use super::super::files::Wanted;
use super::super::limits::{UnheldLimits, used};
use super::super::prices;
use super::super::sources::NamedFiles;
use super::judged_file::{
    CHANGE_FILE_OR_STORE, JudgedFile, START_AGAIN, UnusedFile, first_mistakes,
};
use super::watched::{bytes, is_key, is_same};
use super::{Occasion, Reloader};

/// While more generations than this have calls, each reload waits [`PAUSE`] first.
const MANY_GENERATIONS: usize = 50;

const PAUSE: Duration = Duration::from_secs(1);

/// How long a reload waits for an administrator's change before it looks again.
const CHANGE_LOOK: Duration = Duration::from_millis(5);

/// The remedy where the ledger cannot be read for what was used of limits.
const LOOK_AT_LEDGER: &str = "see that its files can be read, then send SIGHUP";

/// Waits until no change of the store is under way, and pauses those that follow.
async fn paused(administration: &Administration) -> ChangePause<'_> {
    loop {
        if let Some(pause) = administration.pause_changes() {
            return pause;
        }
        sleep(CHANGE_LOOK).await;
    }
}

impl Reloader {
    /// Reads the configuration again, and puts it in place of the one that runs if it can be used.
    pub(super) async fn reload(&mut self, cause: Occasion, live: &Live) {
        let Some(file) = self.file.clone() else {
            info!(
                "there is no configuration file to read again: the service was started without `--config`"
            );
            return;
        };
        let generations = self.dispatcher.generations();
        if generations > MANY_GENERATIONS {
            warn!(
                generations,
                "many configurations have open calls: the next one waits"
            );
            sleep(PAUSE).await;
        }
        let Some(attempt) = self.attempt(file, cause).await else {
            return;
        };
        let JudgedFile {
            hash,
            text,
            named,
            judged,
        } = attempt;
        let judged = match judged {
            Ok(judged) => judged,
            Err(rejection) => return self.reject(&hash, text, named, rejection),
        };
        if text == self.running.text && is_same(&named, &self.running.named) {
            info!(hash, "configuration unchanged");
            self.facts.unchanged(&hash);
            return;
        }
        let directory = match self.check_against_store(&judged.config) {
            Ok(directory) => Arc::new(directory),
            Err(unused) => return self.reject(&hash, text, named, unused),
        };
        let prepared = match self.prepare(&judged.config, live) {
            Ok(prepared) => prepared,
            Err(error) => {
                let unused = UnusedFile::of(error.to_string(), START_AGAIN);
                return self.reject(&hash, text, named, unused);
            }
        };
        // All of these can be used, so a provider that is new need not wait for its first token.
        self.tokens.start(&judged.tokens);
        self.tokens.first().await;
        let ground = judged.config.limit_ground(&self.book.ground().file);
        let used = match used(&self.book, &ground, directory).await {
            Ok(used) => used,
            Err(error) => {
                let remedy = match error {
                    UnheldLimits::Unused(UnusedLimits::Conflict(_)) => CHANGE_FILE_OR_STORE,
                    UnheldLimits::Unused(UnusedLimits::Use(_)) | UnheldLimits::Thread(_) => {
                        LOOK_AT_LEDGER
                    }
                };
                let unused = UnusedFile::of(error.to_string(), remedy);
                return self.reject(&hash, text, named, unused);
            }
        };
        let changes = match text == self.running.text {
            true => vec!["~ files that the configuration names".to_owned()],
            false => differences(&self.running.text, &text),
        };
        let certificates = judged.config.certificates.clone();
        let administration = self.administration.clone();
        // Administrators may have changed the store since it was compared with the file. From here on they wait.
        let pause = match &administration {
            Some(administration) => Some(paused(administration).await),
            None => None,
        };
        let fits = self
            .check_against_store(&judged.config)
            .and_then(|directory| {
                let limits = self.book.check_file(&ground, &directory);
                limits.map_err(|error| UnusedFile::of(error.to_string(), CHANGE_FILE_OR_STORE))
            });
        if let Err(unused) = fits {
            return self.reject(&hash, text, named, unused);
        }
        self.apply(*judged, prepared, (ground, used), text, named, live);
        drop(pause);
        self.facts.applied(&hash, certificates);
        if let Some(administration) = administration {
            administration.note_configuration(SystemTime::now(), &hash);
        }
        let changes = changes.join("; ");
        info!(hash, changes, "configuration applied");
    }

    /// The accounts and keys of this configuration and of the store together.
    ///
    /// # Errors
    /// They do not fit together, or the prices of both do not.
    fn check_against_store(&self, config: &Config) -> Result<Directory, UnusedFile> {
        let unused = |mistakes| UnusedFile::of(mistakes, CHANGE_FILE_OR_STORE);
        let directory = self.identities.check_settings(&config.identity);
        let directory = directory.map_err(|mistakes| unused(list(&mistakes)))?;
        let prices = self.prices.check_file(&prices::of_file(config));
        prices.map_err(|conflict| unused(conflict.to_string()))?;
        Ok(directory)
    }

    /// Sets up the doors and limits of the service, without changing anything.
    fn prepare(&self, config: &Config, live: &Live) -> Result<Prepared, server::SetupError> {
        let wanted = Wanted {
            connections: config.server.max_connections,
            calls: config.admission.max_inflight,
            runtimes: self.runtimes,
        };
        let mut settings = config.server.clone();
        settings.max_connections = wanted.connections();
        live.prepare(&settings, config.admission, config.idempotency)
    }

    /// Reads and judges the configuration without changing anything. `None` if that could not be finished.
    async fn attempt(&self, file: PathBuf, cause: Occasion) -> Option<JudgedFile> {
        let before = self.running.before.clone();
        let restart_only = self.running.restart_only.clone();
        let (simulator, overrides) = (self.simulator.clone(), self.overrides.clone());
        let running = (cause == Occasion::Named).then(|| self.running.text.clone());
        let attempting = spawn_blocking(move || {
            let text = match running {
                Some(text) => text,
                None => match reading::configuration_again(&file) {
                    Ok(text) => text,
                    Err(error) => return JudgedFile::unreadable(&reading::why(&error)),
                },
            };
            JudgedFile::of(
                text,
                &overrides,
                simulator.as_deref(),
                &before,
                &restart_only,
            )
        });
        match attempting.await {
            Ok(attempt) => Some(attempt),
            Err(error) => {
                warn!(%error, "the configuration could not be judged: it stays as it is");
                None
            }
        }
    }

    fn reject(&mut self, hash: &str, text: String, named: NamedFiles, rejection: UnusedFile) {
        let UnusedFile {
            mistakes,
            restart_needed,
        } = rejection;
        let first = first_mistakes(self.file.as_deref(), &mistakes);
        warn!(
            hash,
            mistakes = first,
            restart_needed = restart_needed.join(", "),
            "configuration refused: nothing was changed"
        );
        let named = named
            .into_iter()
            .filter(|(path, _)| !is_key(&self.key_files, path));
        let mut useless: Vec<_> = named
            .map(|(path, text)| (path, bytes(text.as_ref())))
            .collect();
        useless.extend(self.file.clone().map(|file| {
            let is_read = !hash.is_empty();
            (file, is_read.then(|| text.into_bytes()))
        }));
        self.watch.add_useless(useless);
        self.facts.rejected(hash, mistakes, restart_needed);
    }
}
