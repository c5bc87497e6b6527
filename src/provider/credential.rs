//! A secret in a request header. It can be replaced at any time.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

/// A secret as a complete header value, ready for every request.
pub struct Credential {
    /// The text before the secret, such as `Bearer `.
    prefix: &'static str,
    /// The file that it was read from, if any.
    file: Option<PathBuf>,
    /// Marked as sensitive. Read for each request; written when the file has changed.
    header: RwLock<HeaderValue>,
}

/// The secret holds bytes that are not allowed in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it holds bytes that no header can carry")]
pub struct Unfit;

impl Credential {
    /// A secret that follows `prefix` in its header, and the file that it was read from.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn new(
        prefix: &'static str,
        secret: &SecretString,
        file: Option<PathBuf>,
    ) -> Result<Self, Unfit> {
        Ok(Self {
            prefix,
            file,
            header: RwLock::new(spelled(prefix, secret)?),
        })
    }

    /// The header's value.
    pub fn header(&self) -> HeaderValue {
        self.header
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The file that the secret was read from, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether this is the secret in use.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn is(&self, secret: &SecretString) -> Result<bool, Unfit> {
        Ok(spelled(self.prefix, secret)? == self.header())
    }

    /// Replaces the secret, from the next request on.
    ///
    /// # Errors
    /// [`Unfit`]; the one in use stays.
    pub fn replace(&self, secret: &SecretString) -> Result<(), Unfit> {
        let header = spelled(self.prefix, secret)?;
        *self.header.write().unwrap_or_else(PoisonError::into_inner) = header;
        Ok(())
    }
}

fn spelled(prefix: &str, secret: &SecretString) -> Result<HeaderValue, Unfit> {
    let text = format!("{prefix}{}", secret.expose_secret());
    let mut header = HeaderValue::from_str(&text).map_err(|_| Unfit)?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_secret_is_spelled_as_the_one_before_and_as_sensitive() {
        let credential = Credential::new("Bearer ", &"old".into(), None).expect("fit");
        assert_eq!(credential.header(), "Bearer old");

        credential.replace(&"new".into()).expect("fit");

        assert_eq!(credential.header(), "Bearer new");
        assert!(credential.header().is_sensitive());
        assert_eq!(credential.is(&"new".into()), Ok(true));
        assert_eq!(credential.is(&"old".into()), Ok(false));
    }

    #[test]
    fn what_no_header_can_carry_is_refused_and_replaces_nothing() {
        assert!(Credential::new("", &"two\nlines".into(), None).is_err());
        let credential = Credential::new("", &"old".into(), None).expect("fit");

        assert_eq!(credential.replace(&"two\nlines".into()), Err(Unfit));

        assert_eq!(credential.header(), "old");
    }
}
