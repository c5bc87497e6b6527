//! Which configuration runs, what does its file say now, and what became of the last change?

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::certificate::CertificateFile;

use super::Control;

/// The most mistakes that are kept of a file that was refused.
const MOST_MISTAKES: usize = 100;

/// What is known of the configuration. Written where it is applied; read by operators and by metrics.
#[derive(Debug)]
pub struct ConfigurationFacts {
    state: Mutex<ConfigurationState>,
    exported: ExportedSecrets,
    applied: AtomicU64,
    unchanged: AtomicU64,
    rejected: AtomicU64,
}

/// The configuration that runs, and the one in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationState {
    /// The SHA-256 of the bytes of the file that runs, as hexadecimal digits.
    pub running_hash: String,
    /// Since when it runs.
    pub running_since: SystemTime,
    /// The certificates in the files that it names.
    pub certificates: Vec<CertificateFile>,
    /// The file; `None` for the built-in configuration.
    pub file: Option<ConfigurationFile>,
}

/// What the file of the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationFile {
    /// Its path, as the service was given it.
    pub path: String,
    /// The SHA-256 of its bytes when it was last judged; empty if it could not be read.
    pub hash: String,
    /// When it was last looked at.
    pub checked: SystemTime,
    /// Why it was refused; empty if it runs.
    pub mistakes: Vec<ConfigurationMistake>,
    /// The keys that it changes and that only a restart can change. If there are any, the file was refused for them.
    pub restart_needed: Vec<String>,
}

/// Something in the file that keeps it from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationMistake {
    /// The line, from 1; 0 if it is the file as a whole.
    pub line: usize,
    /// The path of the key, such as `scenarios.general.targets[1]`; empty if it is the file as a whole.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// How to correct it.
    pub remedy: String,
}

/// A secret that providers are asked with, or that exports carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFact {
    /// Whose it is and where it goes, such as `providers.openai authorization` or `telemetry.headers authorization`.
    pub name: String,
    /// Since when the secret in use has been in use.
    pub changed: SystemTime,
}

/// Returns the secrets that exports carry. The collector and the names of its headers stay until a restart.
struct ExportedSecrets(Box<dyn Fn() -> Vec<SecretFact> + Send + Sync>);

impl fmt::Debug for ExportedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportedSecrets").finish_non_exhaustive()
    }
}

/// What operators see of the configuration.
#[derive(Clone, Debug)]
pub struct ConfigurationView {
    /// What runs, and what the file says.
    pub state: ConfigurationState,
    /// The secrets of all providers, and those of exports.
    pub secrets: Vec<SecretFact>,
    /// How many configurations are in force or have calls that began under them: 1 at rest.
    pub generations: usize,
}

/// How many times a change was applied, was none, or was rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    /// The file had changed and runs now.
    pub applied: u64,
    /// Nothing had changed.
    pub unchanged: u64,
    /// The file could not be used.
    pub rejected: u64,
}

impl ConfigurationFacts {
    /// The configuration of a service that starts. `file` is the path of its file, if it has one; `certificates` are those in
    /// the files that it names.
    pub fn new(
        running_hash: String,
        file: Option<String>,
        certificates: Vec<CertificateFile>,
    ) -> Self {
        let now = SystemTime::now();
        Self {
            state: Mutex::new(ConfigurationState {
                file: file.map(|path| ConfigurationFile {
                    path,
                    hash: running_hash.clone(),
                    checked: now,
                    mistakes: Vec::new(),
                    restart_needed: Vec::new(),
                }),
                running_hash,
                running_since: now,
                certificates,
            }),
            exported: ExportedSecrets(Box::new(Vec::new)),
            applied: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// Sets the function that returns the secrets that exports carry.
    #[must_use]
    pub fn exporting(self, secrets: impl Fn() -> Vec<SecretFact> + Send + Sync + 'static) -> Self {
        Self {
            exported: ExportedSecrets(Box::new(secrets)),
            ..self
        }
    }

    /// What runs, and what the file says.
    pub fn state(&self) -> ConfigurationState {
        self.lock().clone()
    }

    /// The first digits of the hash that runs; for lines about calls.
    pub fn short_hash(&self) -> String {
        self.lock().running_hash.chars().take(8).collect()
    }

    /// Whether the file says something that does not run.
    pub fn is_rejected(&self) -> bool {
        let state = self.lock();
        state
            .file
            .as_ref()
            .is_some_and(ConfigurationFile::is_rejected)
    }

    /// How the changes since the start ended.
    pub fn counts(&self) -> ReloadCounts {
        ReloadCounts {
            applied: self.applied.load(Ordering::Relaxed),
            unchanged: self.unchanged.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    /// The file was looked at.
    pub fn looked_at(&self) {
        self.change_file(|file| file.checked = SystemTime::now());
    }

    /// The file runs. `hash` is that of its bytes; `certificates` are those in the files that it names.
    pub fn applied(&self, hash: &str, certificates: Vec<CertificateFile>) {
        {
            let mut state = self.lock();
            hash.clone_into(&mut state.running_hash);
            state.running_since = SystemTime::now();
            state.certificates = certificates;
        }
        self.agrees(hash);
        self.applied.fetch_add(1, Ordering::Relaxed);
    }

    /// The file says what runs already.
    pub fn unchanged(&self, hash: &str) {
        self.agrees(hash);
        self.unchanged.fetch_add(1, Ordering::Relaxed);
    }

    /// The file cannot be used. `hash` is empty if it cannot be read.
    pub fn rejected(
        &self,
        hash: &str,
        mut mistakes: Vec<ConfigurationMistake>,
        restart_needed: Vec<String>,
    ) {
        mistakes.truncate(MOST_MISTAKES);
        self.change_file(|file| {
            hash.clone_into(&mut file.hash);
            file.checked = SystemTime::now();
            file.mistakes = mistakes;
            file.restart_needed = restart_needed;
        });
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    fn agrees(&self, hash: &str) {
        self.change_file(|file| {
            hash.clone_into(&mut file.hash);
            file.checked = SystemTime::now();
            file.mistakes.clear();
            file.restart_needed.clear();
        });
    }

    fn change_file(&self, change: impl FnOnce(&mut ConfigurationFile)) {
        if let Some(file) = &mut self.lock().file {
            change(file);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConfigurationState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ConfigurationFacts {
    /// Of a service without a configuration of its own.
    fn default() -> Self {
        Self::new(String::new(), None, Vec::new())
    }
}

impl ConfigurationFile {
    /// Whether it was refused.
    pub fn is_rejected(&self) -> bool {
        !self.mistakes.is_empty() || !self.restart_needed.is_empty()
    }
}

impl Control {
    /// The configuration: what runs, and what the file says.
    pub fn configuration(&self) -> ConfigurationView {
        let routes = self.dispatcher.routes();
        let mut secrets = Vec::new();
        let mut named = std::collections::BTreeSet::new();
        for target in routes.catalog().targets.values() {
            let provider = &target.provider;
            if !named.insert(&provider.name) {
                continue;
            }
            // Access tokens are shown beside the breakers of their providers.
            let keys = provider.secrets().filter(|(_, key)| key.origin().is_none());
            secrets.extend(keys.filter_map(|(header, secret)| {
                Some(SecretFact {
                    name: format!("providers.{} {header}", provider.name),
                    changed: secret.changed()?,
                })
            }));
        }
        secrets.extend((self.configuration.exported.0)());
        ConfigurationView {
            state: self.configuration.state(),
            secrets,
            generations: self.dispatcher.generations(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_told_beside_what_runs_until_the_file_agrees_again() {
        let facts = ConfigurationFacts::new("aa".to_owned(), Some("f.toml".to_owned()), Vec::new());
        assert!(!facts.is_rejected());
        let mistake = ConfigurationMistake {
            line: 1,
            path: "x".to_owned(),
            what: "wrong".to_owned(),
            remedy: "right".to_owned(),
        };

        facts.rejected("bb", vec![mistake.clone()], Vec::new());

        let state = facts.state();
        let file = state.file.unwrap();
        assert_eq!((&*state.running_hash, &*file.hash), ("aa", "bb"));
        assert_eq!(file.mistakes, [mistake]);
        assert!(facts.is_rejected());

        facts.unchanged("aa");
        assert!(!facts.is_rejected());
        facts.rejected("cc", Vec::new(), vec!["server.listen".to_owned()]);
        assert!(facts.is_rejected());
        facts.applied("dd", Vec::new());

        assert!(!facts.is_rejected());
        assert_eq!(facts.state().running_hash, "dd");
        let expected = ReloadCounts {
            applied: 1,
            unchanged: 1,
            rejected: 2,
        };
        assert_eq!(facts.counts(), expected);
    }
}
