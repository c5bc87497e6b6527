//! How much of which counters is set aside for a call or an attempt?

use std::sync::Arc;

use smallvec::SmallVec;

use super::counters::{Counters, KeyedCounter};

/// What is set aside in one counter.
pub(super) struct SetAside {
    pub(super) counters: Arc<Counters>,
    pub(super) counter: Arc<KeyedCounter>,
    pub(super) amount: i64,
    pub(super) mark: i64,
}

/// What is set aside in all of them. As many as a call usually has need no allocation.
pub(super) type AllSetAside = SmallVec<[SetAside; 4]>;
