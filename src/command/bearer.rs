//! How does a command show a credential to a service? It stands in a file or in the environment, and never in the command
//! line, which others can see.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use crate::config::reading;

/// The entry that proves who asks.
const AUTHORIZATION: &str = "authorization";

/// A credential.
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    /// The credential in a file, or else in a variable of the environment; `None` if there is neither.
    ///
    /// # Errors
    /// What is wrong with it, and the remedy.
    pub(super) fn read(file: Option<&Path>, variable: &str) -> Result<Option<Self>, String> {
        let (text, place) = match file {
            Some(path) => {
                let place = format!("`{}`", path.display());
                let text = reading::named(path)
                    .map_err(|error| format!("{place} cannot be read: {}", reading::why(&error)))?;
                (text, place)
            }
            None => match std::env::var(variable) {
                Ok(text) => (text, variable.to_owned()),
                Err(std::env::VarError::NotPresent) => return Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(format!("{variable} holds no key or token"));
                }
            },
        };
        let text = SecretString::from(text.trim());
        let value = format!("Bearer {}", text.expose_secret()).parse::<MetadataValue<Ascii>>();
        let mut value = match value {
            Ok(value) if !text.expose_secret().is_empty() => value,
            Ok(_) | Err(_) => return Err(format!("{place} holds no key or token")),
        };
        value.set_sensitive(true);
        Ok(Some(Self(value)))
    }

    /// Sends it with a request.
    pub(super) fn show<T>(&self, request: &mut Request<T>) {
        request.metadata_mut().insert(AUTHORIZATION, self.0.clone());
    }
}
