//! Texts that are kept in a file, so that a change of them shows in review.

use std::path::Path;

/// Compares a text with `tests/suite/snapshots/NAME`, or writes it there if `UPDATE_SNAPSHOTS` is set.
pub(crate) fn assert_snapshot(name: &str, actual: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/snapshots");
    let path = folder.join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        actual == expected,
        "{name} differs; if that is meant, run the test with UPDATE_SNAPSHOTS=1\n\n{actual}"
    );
}
