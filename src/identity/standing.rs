//! Does the credential of an open call still hold? Shared by all calls of a credential, over every change of the table.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60;

/// Whether a credential holds, and when it was last used.
#[derive(Debug, Default)]
pub struct Standing {
    has_ended: AtomicBool,
    /// Minutes since 1970; 0 for never.
    last_used: AtomicU64,
}

impl PartialEq for Standing {
    /// Whether both are the same one.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Standing {}

impl Standing {
    /// Ends every open call of the credential. There is no way back: a credential that is accepted again gets a standing
    /// of its own.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Whether open calls of the credential are to be ended.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Notes that the credential is used.
    pub fn is_used(&self, now: SystemTime) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let minute = since.as_secs() / MINUTE;
        // Most calls find their minute here: they write to no memory that other cores read.
        if self.last_used.load(Ordering::Relaxed) < minute {
            self.last_used.fetch_max(minute, Ordering::Relaxed);
        }
    }

    /// When the credential was last used, to the minute; `None` for never.
    pub fn last_used(&self) -> Option<SystemTime> {
        let minute = self.last_used.load(Ordering::Relaxed);
        (minute > 0).then(|| UNIX_EPOCH + Duration::from_secs(minute * MINUTE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_is_known_to_the_minute_and_never_goes_back() {
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let standing = Standing::default();
        assert_eq!(standing.last_used(), None);

        standing.is_used(at(3_600 + 59));
        assert_eq!(standing.last_used(), Some(at(3_600)));
        standing.is_used(at(120));
        assert_eq!(standing.last_used(), Some(at(3_600)));
        standing.is_used(at(3_660));
        assert_eq!(standing.last_used(), Some(at(3_660)));
    }
}
