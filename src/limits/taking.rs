//! How is something set aside in several counters at once, or in none of them?
//!
//! Each is locked, always in the same order, and none is changed before all have room: no two calls wait for each other,
//! and none sees what another takes and gives back.

use smallvec::SmallVec;

use crate::sync::{Mutex, MutexGuard, PoisonError};

use super::counter::{Remainder, Tallies};

/// What is asked of one counter.
pub(super) struct Ask<'c> {
    /// The counter.
    pub(super) tallies: &'c Mutex<Tallies>,
    /// The amount of its limit.
    pub(super) amount: i64,
    /// What is to be set aside.
    pub(super) wanted: i64,
    /// Whether it is refused if it does not fit.
    pub(super) is_hard: bool,
}

/// Sets aside what is asked, and returns a mark for each. `bring` brings a counter, found by its position, to the
/// present.
///
/// # Errors
/// The position of the first counter without room, and what is left there. Nothing is set aside.
pub(super) fn set_aside(
    asks: &[Ask<'_>],
    mut bring: impl FnMut(usize, &mut Tallies),
) -> Result<SmallVec<[i64; 4]>, (usize, Remainder)> {
    let mut locked: SmallVec<[MutexGuard<'_, Tallies>; 4]> = SmallVec::new();
    for (position, ask) in asks.iter().enumerate() {
        let mut tallies = lock(ask.tallies);
        bring(position, &mut tallies);
        if ask.is_hard
            && let Err(remainder) = tallies.fits(ask.amount, ask.wanted)
        {
            return Err((position, remainder));
        }
        locked.push(tallies);
    }
    let marks = asks
        .iter()
        .zip(&mut locked)
        .map(|(ask, tallies)| tallies.reserve(ask.amount, ask.wanted));
    Ok(marks.collect())
}

/// Takes a lock of this room, for a short time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
