//! Where are the recorded exchanges with providers?

use std::path::{Path, PathBuf};

/// Their folder; `None`, said on standard error, where it is absent.
pub(crate) fn exchanges() -> Option<PathBuf> {
    let named = std::env::var_os("MODELWAY_EXCHANGES").map(PathBuf::from);
    let path = named
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/exchanges"));
    if path.join("index.json").is_file() {
        return Some(path);
    }
    eprintln!("skipped: no recordings in {}", path.display());
    None
}
