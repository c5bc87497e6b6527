//! Which locks, atomics and channels protect the state that calls share?
//!
//! The usual ones. `interleavings/` compiles the files that import them from here with replacements of its own, which
//! let a scheduler try the orders in which threads can run.

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use tokio::sync::{Notify, broadcast, oneshot};
