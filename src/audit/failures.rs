//! How often could the audit record not be written?

use crate::meter::Counter;

/// Counts events that could not be written.
#[derive(Debug, Default)]
pub struct AuditFailures {
    /// Changes that were refused, since they could not be recorded.
    pub refused: Counter,
    /// Tries to write the events that wait, which go on to wait.
    pub retried: Counter,
    /// Events that were given up.
    pub lost: Counter,
}
