//! Files of stores as others may have left them, for tests.

use rusqlite::Connection;

use super::Store;

/// Runs a statement on the file of a store, beside it.
pub(crate) fn change(store: &Store, statement: &str) {
    let file = Connection::open(store.path()).expect("the file of a store");
    file.execute_batch(statement).expect("a statement");
}
