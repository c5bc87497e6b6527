//! How do rows get into the file of a day? Some of them in each transaction; all of them, or none.

use rusqlite::{Connection, Result};

use super::call_id::Day;
use super::files::{Files, LedgerFile};
use super::names::InternedNames;
use super::queue::{Entry, QueuedEntry};
use super::row_writer::RowWriter;
use super::schema::{self, SchemaError};

/// The file of a day, open to be written.
#[derive(Debug)]
pub(super) struct DayFile {
    pub(super) connection: Connection,
    names: InternedNames,
}

impl DayFile {
    /// Opens the file of a day, or makes it.
    pub(super) fn open(files: &Files, day: Day) -> Result<Self, SchemaError> {
        let connection = files.open_to_write(LedgerFile::Day(day))?;
        files.keep(day);
        Ok(Self {
            connection,
            names: InternedNames::default(),
        })
    }

    /// Writes these rows in one transaction.
    pub(super) fn write(&mut self, entries: &[QueuedEntry]) -> Result<()> {
        let result = self.try_to_write(entries);
        if result.is_err() {
            // Integers that were given in this transaction are not in the file.
            self.names.forget();
        }
        result
    }

    fn try_to_write(&mut self, entries: &[QueuedEntry]) -> Result<()> {
        let Self { connection, names } = self;
        // As a transaction of the library, but its statements are prepared once.
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let written = write_all(connection, names, entries)
            .and_then(|()| connection.prepare_cached("COMMIT")?.execute([]));
        if written.is_err() && !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        written.map(drop)
    }

    /// Writes something of no meaning, to learn whether the file can be written.
    pub(super) fn probe(&self) -> Result<()> {
        let version = schema::VERSION;
        self.connection.pragma_update(None, "user_version", version)
    }

    /// Moves the write-ahead log into the file and closes it.
    pub(super) fn close(self) {
        // Without that the next connection does it.
        let _ = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

/// Writes rows into the transaction that is open.
fn write_all(file: &Connection, names: &mut InternedNames, entries: &[QueuedEntry]) -> Result<()> {
    let mut writer = RowWriter::new(file, names);
    for queued in entries {
        match &queued.entry {
            Entry::Intent(intent, _) => writer.open(intent)?,
            Entry::Unsent(call_id, number) => writer.take_back(*call_id, *number)?,
            Entry::AttemptEnd(end) => writer.settle_attempt(end)?,
            Entry::CallEnd(end) => writer.settle_call(end)?,
            Entry::Correction(piece) => {
                // It changes sums that have to be there.
                writer.write_sums()?;
                piece.write(file, writer.names)?;
            }
        }
    }
    writer.write_sums()
}
