//! Where does the secret of a new key go? To standard output alone, or to a new file that only its owner can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use secrecy::{ExposeSecret as _, SecretString};

use crate::command::console::{print_error, unmade};

/// Where the secret goes.
pub(super) enum SecretPlace {
    /// To standard output.
    Output,
    /// To this file.
    File(File, PathBuf),
}

impl SecretPlace {
    /// Makes the file, if there is to be one: a key whose secret cannot be written is not even made.
    pub(super) fn prepare(out: Option<&Path>) -> Result<Self, String> {
        let Some(path) = out else {
            return Ok(Self::Output);
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(file) => Ok(Self::File(file, path.to_owned())),
            Err(error) => Err(unmade(path, &error)),
        }
    }

    /// Writes the secret there, and a line about the key to standard error.
    pub(super) fn hand_over(self, secret: &SecretString, about: &str) -> Result<ExitCode, String> {
        let text = format!("{}\n", secret.expose_secret());
        let written = match self {
            Self::Output => {
                let mut out = io::stdout();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            Self::File(mut file, _) => file
                .write_all(text.as_bytes())
                .and_then(|()| file.sync_all()),
        };
        written.map_err(|error| {
            format!(
                "the secret cannot be written: {error}; revoke the key and make another: {about}"
            )
        })?;
        print_error(format!(
            "{about}\nthe secret is shown this once and kept nowhere"
        ));
        Ok(ExitCode::SUCCESS)
    }

    /// The same place if a key was made for it.
    pub(super) fn if_made<T, E>(self, made: Result<T, E>) -> Result<(Self, T), E> {
        match made {
            Ok(made) => Ok((self, made)),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Removes the file again if no key was made.
    pub(super) fn discard(self) {
        if let Self::File(file, path) = self {
            drop(file);
            // A file that stays behind is empty.
            let _ = std::fs::remove_file(path);
        }
    }
}
