//! How is a lock taken although a thread may have panicked while it held it?
//!
//! Each lock of ours guards a value that is whole after every statement, so what a panic left behind can be used. Files
//! whose locks `interleavings/` replaces take them from [`crate::sync`] instead.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, also after a panic of its last holder.
pub(crate) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
