//! Where secrets come from: the environment or a file, never the configuration itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use crate::provider::credential::Credential;
use crate::provider::link::Link;

use super::reading;
use super::table::Value;

/// What a configuration refers to beyond its own text: variables, files, the simulator.
pub struct Surroundings<'a> {
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file that holds a secret.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    /// Where the built-in simulator listens, such as `http://127.0.0.1:41234`, if it runs.
    pub simulator: Option<&'a str>,
    /// What is in use already, and goes on where the configuration says the same of it.
    pub in_use: InUse<'a>,
}

/// What a running service has set up. Without one, nothing.
#[derive(Clone, Copy, Default)]
pub struct InUse<'a> {
    /// How connections are made. A link that stays the same keeps its connections.
    pub links: &'a [Arc<Link>],
    /// Access tokens. One whose source stays the same need not be fetched again.
    pub tokens: &'a [Arc<Credential>],
}

impl<'a> Surroundings<'a> {
    /// The environment and the files of this process.
    pub fn of_process(simulator: Option<&'a str>) -> Self {
        Self {
            variable: &|name| std::env::var(name).ok(),
            read_file: &reading::named,
            simulator,
            in_use: InUse::default(),
        }
    }

    /// Surroundings in which every secret exists, to check a file on a machine without the secrets.
    pub fn without_secrets(simulator: Option<&'a str>) -> Self {
        Self {
            variable: &|_| Some(UNCHECKED.to_owned()),
            read_file: &|_| Ok(UNCHECKED.to_owned()),
            simulator,
            in_use: InUse::default(),
        }
    }

    /// The secret that `reference` refers to, for a header in which it follows `prefix`. Mistakes do not show the
    /// text, because it may be an API key in the wrong place.
    pub(super) fn credential(
        &self,
        prefix: &'static str,
        reference: &Value<'_>,
    ) -> Option<Arc<Credential>> {
        let secret = self.secret_text(reference)?;
        let file = reference.string()?.strip_prefix("file:").map(PathBuf::from);
        match Credential::new(prefix, &secret, file) {
            Ok(credential) => Some(Arc::new(credential)),
            Err(_) => {
                reference.place.wrong(
                    "the secret holds bytes that no header can carry",
                    "store the key alone, in one line",
                );
                None
            }
        }
    }

    /// The secret that `reference` refers to; it may have several lines.
    pub(super) fn secret_text(&self, reference: &Value<'_>) -> Option<SecretString> {
        let written = reference.string()?;
        let secret = match (written.strip_prefix("env:"), written.strip_prefix("file:")) {
            (Some(name), _) if is_variable_name(name) => self.in_variable(name, reference)?,
            (_, Some(path)) if path.contains('/') => self.in_file(path, reference)?,
            (_, _) => {
                reference.place.wrong(
                    "not a reference to a secret",
                    "write \"env:NAME\" with a name in capitals, or \"file:PATH\" with a slash in the path",
                );
                return None;
            }
        };
        Some(secret)
    }

    fn in_variable(&self, name: &str, reference: &Value<'_>) -> Option<SecretString> {
        let found = (self.variable)(name).map(|secret| secret.trim().to_owned());
        let Some(secret) = found.filter(|secret| !secret.is_empty()) else {
            reference.place.wrong(
                format!("the environment variable `{name}` is unset or empty"),
                format!("set `{name}`"),
            );
            return None;
        };
        Some(secret.into())
    }

    fn in_file(&self, path: &str, reference: &Value<'_>) -> Option<SecretString> {
        let found = match (self.read_file)(Path::new(path)) {
            Ok(secret) => secret.trim().to_owned(),
            Err(error) => {
                reference.place.wrong(
                    format!(
                        "the file `{}` cannot be read: {}",
                        path.escape_debug(),
                        reading::why(&error)
                    ),
                    "store the key there, readable for this process",
                );
                return None;
            }
        };
        if found.is_empty() {
            reference.place.wrong(
                format!("the file `{}` is empty", path.escape_debug()),
                "store the key there",
            );
            return None;
        }
        Some(found.into())
    }
}

/// Stands for a secret or a file that is not read.
const UNCHECKED: &str = "unchecked";

/// Whether `text` stands for a file that is not read.
pub(super) fn is_unchecked(text: &str) -> bool {
    text == UNCHECKED
}

/// Whether `text` refers to a secret.
pub(super) fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

/// The variable of the environment that `text` refers to, if it does.
pub(super) fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("env:")?;
    is_variable_name(name).then_some(name)
}

/// Only capitals are allowed in a variable's name, so that an API key in its place is not taken for a name and shown.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}
