//! How long may a question be worked on?

use std::sync::Weak;
use std::time::Instant;

use crate::ledger::counts::now;

/// For how long an answer is waited for.
#[derive(Clone, Debug)]
pub(super) struct QuestionLimit {
    /// Until then.
    pub(super) until: Instant,
    /// Dead once the asker no longer waits.
    pub(super) asker: Option<Weak<()>>,
}

impl QuestionLimit {
    /// Whether the question is to be given up.
    pub(super) fn is_over(&self) -> bool {
        let is_gone = self
            .asker
            .as_ref()
            .is_some_and(|asker| asker.strong_count() == 0);
        is_gone || now() >= self.until
    }
}
