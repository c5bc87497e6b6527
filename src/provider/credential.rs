//! A secret in a request header: a key, or an access token that lives for a while. It can be replaced at any time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use super::token::TokenOrigin;

/// A secret as a complete header value, ready for every request.
pub struct Credential {
    /// The text before the secret, such as `Bearer `.
    prefix: &'static str,
    /// The file that it was read from, if any.
    file: Option<PathBuf>,
    /// Where it comes from, if it is an access token.
    origin: Option<TokenOrigin>,
    /// The secret itself. After a change of the configuration, the credential of the one before has the same cell: calls
    /// that began under it use a replaced secret, too.
    cell: ArcSwap<SecretCell>,
}

struct SecretCell {
    /// Read for each request; written when there is another secret.
    held: RwLock<HeldSecret>,
    /// Whether the provider has refused the token in use.
    is_refused: AtomicBool,
}

impl SecretCell {
    fn with(header: Option<HeaderValue>) -> ArcSwap<Self> {
        ArcSwap::from_pointee(Self {
            held: RwLock::new(HeldSecret {
                header,
                state: TokenState::default(),
                changed: None,
            }),
            is_refused: AtomicBool::new(false),
        })
    }

    fn held(&self) -> RwLockReadGuard<'_, HeldSecret> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_mut(&self) -> RwLockWriteGuard<'_, HeldSecret> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

struct HeldSecret {
    /// Marked as sensitive; `None` before the first token.
    header: Option<HeaderValue>,
    state: TokenState,
    /// Since when this secret is in use; `None` before it is.
    changed: Option<SystemTime>,
}

/// What is known of an access token besides its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenState {
    /// When it ends; `None` before the first token, and for a key.
    pub ends: Option<Instant>,
    /// When the next one is fetched.
    pub next_fetch: Option<Instant>,
    /// Why no newer token could be fetched; `None` after a success.
    pub trouble: Option<TokenTrouble>,
}

/// Why no token can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTrouble {
    /// Since when.
    pub since: Instant,
    /// Failures in a row.
    pub times: u32,
    /// The last cause, in our words and without secrets.
    pub cause: String,
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
            origin: None,
            cell: SecretCell::with(Some(spelled(prefix, secret)?)),
        })
    }

    /// An access token that follows `Bearer `, before it has been fetched.
    pub fn token(origin: TokenOrigin) -> Self {
        Self {
            prefix: "Bearer ",
            file: None,
            origin: Some(origin),
            cell: SecretCell::with(None),
        }
    }

    /// Where it comes from, if it is an access token.
    pub fn origin(&self) -> Option<&TokenOrigin> {
        self.origin.as_ref()
    }

    /// The header's value; `None` for a token that has not been fetched.
    pub fn header(&self) -> Option<HeaderValue> {
        self.cell.load().held().header.clone()
    }

    /// Writes it into the head of a request.
    pub(super) fn write(&self, name: &HeaderName, headers: &mut HeaderMap) {
        if let Some(header) = self.header() {
            headers.insert(name, header);
        }
    }

    /// Whether a request can carry it. A key lives for ever.
    pub fn is_live(&self, now: Instant) -> bool {
        self.origin.is_none()
            || self
                .cell
                .load()
                .held()
                .state
                .ends
                .is_some_and(|ends| now < ends)
    }

    /// What is known of the token besides its text.
    pub fn state(&self) -> TokenState {
        self.cell.load().held().state.clone()
    }

    /// Notes when the next token is fetched, and why none could be, if so.
    pub fn note(&self, next_fetch: Instant, trouble: Option<TokenTrouble>) {
        let cell = self.cell.load();
        let mut held = cell.held_mut();
        held.state.next_fetch = Some(next_fetch);
        held.state.trouble = trouble;
    }

    /// Uses a token that lives until then, from the next request on. False if it is the one in use.
    ///
    /// # Errors
    /// [`Unfit`]; the one in use stays.
    pub fn renew(&self, token: &SecretString, ends: Instant) -> Result<bool, Unfit> {
        let header = Some(spelled(self.prefix, token)?);
        let cell = self.cell.load();
        let mut held = cell.held_mut();
        let is_other = held.exchange(header, None);
        held.state.ends = Some(ends);
        cell.is_refused.store(false, Ordering::Relaxed);
        Ok(is_other)
    }

    /// Notes that the provider has refused it.
    pub fn refuse(&self) {
        if self.origin.is_some() {
            let cell = self.cell.load();
            cell.is_refused.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the provider has refused the token in use since the last time that this was asked.
    pub fn take_refusal(&self) -> bool {
        let cell = self.cell.load();
        cell.is_refused.swap(false, Ordering::Relaxed)
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
        Ok(Some(spelled(self.prefix, secret)?) == self.header())
    }

    /// Replaces the secret, from the next request on.
    ///
    /// # Errors
    /// [`Unfit`]; the one in use stays.
    pub fn replace(&self, secret: &SecretString, now: SystemTime) -> Result<(), Unfit> {
        let header = spelled(self.prefix, secret)?;
        self.cell
            .load()
            .held_mut()
            .exchange(Some(header), Some(now));
        Ok(())
    }

    /// Takes the place of the credential that requests carried for the same purpose under the configuration before. That
    /// one carries this secret, too, from the next request on. False if the secret is the same. A token is left to whoever
    /// fetches it.
    pub fn take_over(&self, before: &Self, now: SystemTime) -> bool {
        let is_key = self.origin.is_none() && before.origin.is_none();
        if !is_key || self.prefix != before.prefix {
            return true;
        }
        let cell = before.cell.load_full();
        let is_other = cell.held_mut().exchange(self.header(), Some(now));
        self.cell.store(cell);
        is_other
    }

    /// The secret is in use from now on, unless it is already.
    pub fn begin_use(&self, now: SystemTime) {
        self.cell.load().held_mut().changed.get_or_insert(now);
    }

    /// Since when the secret in use has been in use. `None` for an access token, and before it is in use.
    pub fn changed(&self) -> Option<SystemTime> {
        self.cell.load().held().changed
    }
}

impl HeldSecret {
    /// Replaces the secret; false if it is the same.
    fn exchange(&mut self, header: Option<HeaderValue>, changed: Option<SystemTime>) -> bool {
        let is_other = self.header != header;
        if is_other {
            self.header = header;
            self.changed = changed;
        }
        is_other
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
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

    fn text(credential: &Credential) -> HeaderValue {
        credential.header().expect("a secret")
    }

    #[test]
    fn a_replaced_secret_is_spelled_as_the_one_before_and_as_sensitive() {
        let credential = Credential::new("Bearer ", &"old".into(), None).expect("fit");
        assert_eq!(text(&credential), "Bearer old");

        credential
            .replace(&"new".into(), SystemTime::UNIX_EPOCH)
            .expect("fit");

        assert_eq!(text(&credential), "Bearer new");
        assert!(
            credential
                .header()
                .is_some_and(|header| header.is_sensitive())
        );
        assert_eq!(credential.is(&"new".into()), Ok(true));
        assert_eq!(credential.is(&"old".into()), Ok(false));
    }

    #[test]
    fn a_credential_that_takes_over_passes_its_secret_back_and_both_follow_the_next_one() {
        let first = Credential::new("Bearer ", &"one".into(), None).expect("fit");
        let second = Credential::new("Bearer ", &"two".into(), None).expect("fit");

        assert!(second.take_over(&first, SystemTime::UNIX_EPOCH));
        assert_eq!(text(&first), "Bearer two");

        second
            .replace(&"three".into(), SystemTime::UNIX_EPOCH)
            .expect("fit");
        assert_eq!(text(&first), "Bearer three");

        let third = Credential::new("Bearer ", &"three".into(), None).expect("fit");
        assert!(!third.take_over(&second, SystemTime::UNIX_EPOCH));
        third
            .replace(&"four".into(), SystemTime::UNIX_EPOCH)
            .expect("fit");
        assert_eq!((text(&first), text(&second)), (text(&third), text(&third)));
    }

    #[test]
    fn a_secret_that_is_spelled_otherwise_has_a_cell_of_its_own() {
        let before = Credential::new("", &"key".into(), None).expect("fit");
        let after = Credential::new("Bearer ", &"key".into(), None).expect("fit");

        assert!(after.take_over(&before, SystemTime::UNIX_EPOCH));

        assert_eq!(text(&before), "key");
        assert_eq!(text(&after), "Bearer key");
    }

    #[test]
    fn what_no_header_can_carry_is_refused_and_replaces_nothing() {
        assert!(Credential::new("", &"two\nlines".into(), None).is_err());
        let credential = Credential::new("", &"old".into(), None).expect("fit");

        assert_eq!(
            credential.replace(&"two\nlines".into(), SystemTime::UNIX_EPOCH),
            Err(Unfit)
        );

        assert_eq!(text(&credential), "old");
    }
}
