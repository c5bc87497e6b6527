//! What do the configuration and all files that it names say? Each file is read once, so that all checks see the same content.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use crate::config::reading;

/// The text of a configuration, and the files that were read for it.
pub(super) struct SourceFiles {
    text: String,
    named: RefCell<BTreeMap<PathBuf, NamedText>>,
}

/// The text of a file, or why it cannot be read.
type NamedText = Result<SecretString, (io::ErrorKind, String)>;

/// The files that a configuration names, each with its content, which may be a key; `None` if it could not be read.
pub(super) type NamedFiles = BTreeMap<PathBuf, Option<SecretString>>;

impl SourceFiles {
    /// This text, for which no file has been read yet.
    pub(super) fn of(text: String) -> Self {
        Self {
            text,
            named: RefCell::default(),
        }
    }

    /// The text of the configuration.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text of the configuration, by itself.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// Reads a file that the configuration names, unless it was read before.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn read(&self, path: &Path) -> io::Result<String> {
        let mut named = self.named.borrow_mut();
        let found = named.entry(path.to_owned()).or_insert_with(|| {
            let text = reading::named(path).map(SecretString::from);
            text.map_err(|error| (error.kind(), reading::why(&error)))
        });
        match found {
            Ok(text) => Ok(text.expose_secret().to_owned()),
            Err((kind, why)) => Err(io::Error::new(*kind, why.clone())),
        }
    }

    /// The files that were read.
    pub(super) fn named(&self) -> NamedFiles {
        let named = self.named.borrow();
        let named = named.iter();
        named
            .map(|(path, text)| (path.clone(), text.as_ref().ok().cloned()))
            .collect()
    }
}
