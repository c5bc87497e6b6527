//! How does the service make HTTP requests that are not part of a call? It fetches access tokens, sends spans and
//! metrics to a collector, and tells a webhook when little is left of a limit.
//!
//! The client is reqwest, which only this module names. No call waits for anything here: the one owner of a
//! token calls [`renew`] before the token ends, and [`renewal`] says when.

mod answers;
mod client;
mod entra;
mod files;
mod google;
mod jwt;
mod key_sets;
pub mod notify;
mod post;
pub mod renewal;

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use tokio::time::{Instant, timeout};

use crate::provider::credential::Credential;
use crate::provider::token::TokenSource;

pub use self::client::{Client, SetupError};
pub use self::entra::check_certificate;
pub use self::google::{BadFile, check_file, is_protected};
pub use self::key_sets::fetch_key_set;
pub use self::post::{PostError, PostVersion, Posted, Poster};

/// An access token.
#[derive(Debug)]
struct Token {
    /// Its text.
    text: SecretString,
    /// How long it lives from the moment when it was asked for.
    lifetime: Duration,
}

/// Why there is no token. No message holds a secret, or text of another host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The issuer cannot be reached.
    #[error("the issuer cannot be reached: {0}")]
    Unreachable(String),
    /// The issuer takes too long.
    #[error("the issuer takes too long")]
    Slow,
    /// The issuer answers with another status than success.
    #[error("the issuer answers with HTTP {status}{}", .code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Refused {
        /// The status.
        status: u16,
        /// The error's code, if it is one.
        code: Option<String>,
    },
    /// The issuer's answer is no token.
    #[error("the issuer's answer cannot be used: {0}")]
    Unreadable(&'static str),
    /// The issuer's answer holds no keys.
    #[error("the issuer's keys cannot be used: {0}")]
    NoKeys(String),
    /// A file cannot be used.
    #[error("the file `{path}` cannot be used: {why}")]
    File {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
}

/// A token that has been fetched, and is used from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// When it was asked for.
    pub asked: Instant,
    /// How long it lives from then on.
    pub lifetime: Duration,
    /// Whether it is another one than before.
    pub is_other: bool,
}

/// Fetches a token for a credential within a limit, and uses it until shortly before its end. `skew` is how far the
/// issuer's clock is ahead of ours; it is set from what the issuer says.
///
/// # Errors
/// Why there is none, without secrets; the one in use stays.
pub async fn renew(
    credential: &Credential,
    client: &Client,
    source: &TokenSource,
    skew: &mut Skew,
    limit: Duration,
) -> Result<Renewed, String> {
    let asked = Instant::now();
    let fetched = match timeout(limit, fetch(client, source, skew)).await {
        Ok(fetched) => fetched,
        Err(_) => Err(FetchError::Slow),
    };
    let Token { text, lifetime } = fetched.map_err(|error| error.to_string())?;
    let ends = renewal::ends(asked.into_std(), lifetime);
    let renewed = credential.renew(&text, ends);
    Ok(Renewed {
        asked,
        lifetime,
        is_other: renewed.map_err(|unfit| unfit.to_string())?,
    })
}

/// Fetches a token. `skew` is how far the issuer's clock is ahead of ours; it is set from what the issuer says.
///
/// # Errors
/// [`FetchError`].
async fn fetch(
    client: &Client,
    source: &TokenSource,
    skew: &mut Skew,
) -> Result<Token, FetchError> {
    match source {
        TokenSource::GoogleFile { path, scope } => google::by_file(client, path, scope, skew).await,
        TokenSource::GoogleMetadata {
            url,
            account,
            scope,
        } => google::by_metadata(client, url, account, scope).await,
        TokenSource::Entra {
            authority,
            tenant,
            client: id,
            scope,
            proof,
        } => {
            let application = entra::Application {
                authority,
                tenant,
                id,
                scope,
            };
            entra::by_application(client, application, proof, skew).await
        }
        TokenSource::EntraManaged {
            url,
            resource,
            client: id,
        } => entra::by_machine(client, url, resource, id.as_deref()).await,
    }
}

/// The difference between an issuer's clock and ours. A token that is signed with a wrong time is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skew {
    /// Seconds that the issuer's clock is ahead of ours.
    ahead: i64,
}

impl Skew {
    /// Smaller differences are ignored: an answer takes its time, and issuers allow for them.
    const LEAST: i64 = 30;

    /// Takes in the time at which an issuer says that it answered.
    fn learn(&mut self, theirs: SystemTime, ours: SystemTime) {
        let ahead = seconds(theirs).saturating_sub(seconds(ours));
        self.ahead = if ahead.abs() < Self::LEAST { 0 } else { ahead };
    }

    /// The issuer's time in seconds since 1970, when ours is this.
    fn theirs(self, ours: SystemTime) -> i64 {
        seconds(ours).saturating_add(self.ahead)
    }
}

fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_wrong_is_set_right_and_a_small_difference_ignored() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let table = [
            (1000, 1000, 1000),
            (1029, 1000, 1000),
            (971, 1000, 1000),
            (4600, 1000, 4600),
            (1000, 4600, 1000),
            (0, 4600, 0),
        ];
        for (theirs, ours, expected) in table {
            let mut skew = Skew::default();
            skew.learn(at(theirs), at(ours));
            assert_eq!(skew.theirs(at(ours)), expected, "{theirs} {ours}");
        }
    }

    #[test]
    fn an_error_says_what_happened() {
        let refused = |code: Option<&str>| FetchError::Refused {
            status: 400,
            code: code.map(str::to_owned),
        };
        assert_eq!(
            refused(None).to_string(),
            "the issuer answers with HTTP 400"
        );
        assert_eq!(
            refused(Some("invalid_grant")).to_string(),
            "the issuer answers with HTTP 400 (invalid_grant)"
        );
    }
}
