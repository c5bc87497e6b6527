//! When was each key last used? What the process has seen since it began, and what was written down before.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::identity::key::KeyHash;
use crate::store::StoreError;

use super::{Administration, locked};

impl Administration {
    /// Writes down when keys were last used, in one transaction; nothing if no key was used since the last time. A call
    /// only sets the minute of its key in memory, so that it never waits for this. To be called every minute by one
    /// thread.
    ///
    /// # Errors
    /// [`StoreError`]. What was not written is written the next time.
    pub fn write_uses(&self) -> Result<(), StoreError> {
        let mut news = self.uses();
        {
            let written = locked(&self.uses_written);
            news.retain(|hash, used| written.get(hash) != Some(used));
        }
        if news.is_empty() {
            return Ok(());
        }
        self.store
            .keys_were_used(news.iter().map(|(hash, used)| (hash, *used)))?;
        locked(&self.uses_written).extend(news);
        Ok(())
    }

    /// When each key was last used, as far as this process has seen.
    pub(super) fn uses(&self) -> HashMap<KeyHash, SystemTime> {
        let directory = self.identities.directory();
        let used = directory.keys().filter_map(|key| {
            let used = key.identity.standing.last_used()?;
            Some((*key.hash(), used))
        });
        used.collect()
    }
}
