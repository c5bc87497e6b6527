//! Which files does a running service look at, and which of them have changed?

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::serving::control::configuration::ConfigurationFacts;

use super::super::key_files::KeyFiles;
use super::super::sources::NamedFiles;
use super::super::watch::Watch;
use super::{Occasion, RunningConfiguration};

/// Waits until the file or one that it names has got a new content.
pub(super) async fn noticed(
    watch: &mut Watch,
    file: Option<&Path>,
    facts: &ConfigurationFacts,
) -> Occasion {
    loop {
        let changed = watch.next_look().await;
        facts.looked_at();
        if changed.iter().any(|path| Some(&**path) == file) {
            return Occasion::File;
        }
        if !changed.is_empty() {
            return Occasion::Named;
        }
    }
}

/// A watch on the file of a configuration, and on those that it names. Files of keys are followed on their own.
pub(super) fn watch(
    file: Option<&Path>,
    running: &RunningConfiguration,
    key_files: &KeyFiles,
    check_every: Duration,
) -> Watch {
    // A pipe cannot be read again.
    let Some(file) = file.filter(|file| file.is_file()) else {
        return Watch::new(Duration::ZERO, []);
    };
    let named = running.named.iter();
    let named = named.filter(|(path, _)| !is_key(key_files, path));
    let mut files: BTreeMap<_, _> = named
        .map(|(path, text)| (path.clone(), bytes(text.as_ref())))
        .collect();
    files.insert(file.to_owned(), Some(running.text.clone().into_bytes()));
    Watch::new(check_every, files)
}

pub(super) fn is_key(key_files: &KeyFiles, path: &Path) -> bool {
    key_files.paths().any(|key| key == path)
}

pub(super) fn bytes(text: Option<&SecretString>) -> Option<Vec<u8>> {
    text.map(|text| text.expose_secret().as_bytes().to_vec())
}

pub(super) fn is_same(one: &NamedFiles, other: &NamedFiles) -> bool {
    let texts = |files: &NamedFiles| {
        let files = files.iter();
        let files = files.map(|(path, text)| (path.clone(), bytes(text.as_ref())));
        files.collect::<Vec<_>>()
    };
    texts(one) == texts(other)
}
