//! Finds the providers' published schemas, if this machine has them.

use std::path::{Path, PathBuf};

/// The file or folder of this name among the published schemas, which `MODELWAY_SPECS` names, else
/// those beside the crate. `None`, said on standard error, where they are absent: there is nothing
/// to check then.
pub(crate) fn published(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("MODELWAY_SPECS").map(PathBuf::from);
    let explicit = named.is_some();
    let path = named
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/wire/specs"))
        .join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(!explicit, "no published schema at {}", path.display());
    eprintln!("skipped: no published schema at {}", path.display());
    None
}
