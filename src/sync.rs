//! At which locks, atomics and channels do calls meet?
//!
//! At the usual ones. `interleavings/` compiles the files that name them here with those of a
//! scheduler, which tries the orders in which threads can come.

pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use tokio::sync::{Notify, broadcast, oneshot};
