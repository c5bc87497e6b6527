//! Files that prove who we are.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::FetchError;

/// The largest file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// How long reading may take. The file may lie on another machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The text of a file.
///
/// # Errors
/// [`FetchError::File`].
pub(super) async fn read(path: &Path) -> Result<SecretString, FetchError> {
    let named = path.to_owned();
    let reading = spawn_blocking(move || -> io::Result<String> {
        // A pipe may never be written to.
        if !std::fs::metadata(&named)?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut text = String::new();
        File::open(named)?
            .take(MAX_BYTES)
            .read_to_string(&mut text)?;
        Ok(text)
    });
    match timeout(PATIENCE, reading).await {
        Ok(Ok(Ok(text))) => Ok(text.into()),
        Ok(Ok(Err(error))) => Err(unusable(path, error.kind().to_string())),
        Ok(Err(_)) | Err(_) => Err(unusable(path, "reading it takes too long")),
    }
}

/// The error of a file whose content cannot be used.
pub(super) fn unusable(path: &Path, why: impl Into<String>) -> FetchError {
    FetchError::File {
        path: path.display().to_string(),
        why: why.into(),
    }
}
