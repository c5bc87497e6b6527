//! How are the keys of an issuer of tokens fetched?

use std::path::Path;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::timeout;

use crate::identity::issuers::KeySource;
use crate::identity::token::KeySet;

use super::client::{Client, Content};
use super::{FetchError, Skew};

/// The limit for one fetch.
const LIMIT: Duration = Duration::from_secs(5);

/// The largest file of keys that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Fetches the public keys of an issuer: once, without following redirects.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch_key_set(client: &Client, source: &KeySource) -> Result<KeySet, FetchError> {
    let document = match source {
        KeySource::File(path) => file(path).await?,
        KeySource::Url(url) => {
            let mut skew = Skew::default();
            let asked = client.ask(url, HeaderMap::new(), Content::Nothing, &mut skew);
            match timeout(LIMIT, asked).await {
                Ok(reply) => reply?.body,
                Err(_) => return Err(FetchError::Slow),
            }
        }
    };
    KeySet::read(&document).map_err(|error| FetchError::NoKeys(error.to_string()))
}

async fn file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let unusable = |why: String| FetchError::File {
        path: path.display().to_string(),
        why,
    };
    let owned = path.to_owned();
    let read = move || {
        let size = std::fs::metadata(&owned)?.len();
        match size <= MAX_FILE_BYTES {
            true => std::fs::read(&owned).map(Some),
            false => Ok(None),
        }
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(document))) => Ok(document),
        Ok(Ok(None)) => Err(unusable("it is larger than 256 KiB".to_owned())),
        Ok(Err(error)) => Err(unusable(error.to_string())),
        Err(_) => Err(unusable("it was not read".to_owned())),
    }
}
