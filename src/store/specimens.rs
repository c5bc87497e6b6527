//! Databases as others may have left them, for tests.

use std::path::Path;

use rusqlite::Connection;

/// Runs statements on a file, beside whoever has it open.
pub(crate) fn change(path: &Path, statements: &str) {
    let file = Connection::open(path).expect("a database");
    file.execute_batch(statements).expect("statements");
}
