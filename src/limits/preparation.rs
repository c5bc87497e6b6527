//! Until when is kept what ends while a change of limits is being prepared?

use std::fmt;
use std::sync::Arc;

use super::Shared;

/// A change of limits that is being prepared. Dropping it ends the preparation.
#[must_use = "dropping it ends the preparation"]
pub struct Preparation(Arc<Shared>);

impl Preparation {
    pub(super) fn of(limits: Arc<Shared>) -> Self {
        limits.under_way.keep();
        Self(limits)
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        self.0.under_way.let_go();
    }
}

impl fmt::Debug for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preparation").finish_non_exhaustive()
    }
}
