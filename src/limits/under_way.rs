//! Which calls and attempts are under way? A limit that begins while they run asks, and counts them as if it had been there
//! when they were let through.
//!
//! While limits change, what ends is kept. For each of these attempts, the ledger says whether it was settled when the sums
//! were read, so that none is lost and none counts twice.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::sync::{AtomicUsize, Mutex, Ordering};

use super::open_hold::OpenHold;
use super::taking::lock;

/// In so many parts, so that calls on several cores seldom meet at one.
const PARTS: usize = 16;

/// When a part has this many entries, those of what has ended are dropped. Few, since each of them keeps the memory of what
/// has ended: what begins next gets memory that is still in the core's cache.
const SWEEP_AT: usize = 8;

/// Everything that is under way.
#[derive(Default)]
pub(super) struct OpenHolds {
    parts: [Mutex<Part>; PARTS],
    /// How many changes of limits are being prepared.
    preparing: AtomicUsize,
    /// What was under way since the first of them began.
    kept: Mutex<Vec<Arc<OpenHold>>>,
}

struct Part {
    holds: Vec<Weak<OpenHold>>,
    sweep_at: usize,
}

impl Default for Part {
    fn default() -> Self {
        Self {
            holds: Vec::new(),
            sweep_at: SWEEP_AT,
        }
    }
}

impl OpenHolds {
    /// Adds what has just been let through.
    pub(super) fn add(&self, hold: &Arc<OpenHold>) {
        {
            let part = Arc::as_ptr(hold).addr() / size_of::<OpenHold>() % PARTS;
            let mut part = lock(&self.parts[part]);
            if part.holds.len() >= part.sweep_at {
                part.holds.retain(|hold| hold.strong_count() > 0);
                part.sweep_at = SWEEP_AT.max(2 * part.holds.len());
            }
            part.holds.push(Arc::downgrade(hold));
        }
        // A change that is prepared after this finds it in its part.
        if self.preparing.load(Ordering::SeqCst) > 0 {
            lock(&self.kept).push(Arc::clone(hold));
        }
    }

    /// Keeps everything that is under way from now on until [`OpenHolds::let_go`], also after its end.
    pub(super) fn keep(&self) {
        self.preparing.fetch_add(1, Ordering::SeqCst);
        let present = self.present();
        lock(&self.kept).extend(present);
    }

    /// Ends what [`OpenHolds::keep`] began.
    pub(super) fn let_go(&self) {
        let kept = {
            // Another preparation that begins meanwhile adds what it keeps behind this, so that only older holds go.
            let mut kept = lock(&self.kept);
            match self.preparing.fetch_sub(1, Ordering::SeqCst) {
                1 => std::mem::take(&mut *kept),
                _ => Vec::new(),
            }
        };
        // Outside of the lock, for which an attempt that begins may be waiting.
        drop(kept);
    }

    /// What is under way, and what has ended since a change is being prepared. The same may be returned twice.
    pub(super) fn all(&self) -> Vec<Arc<OpenHold>> {
        let mut all = self.present();
        all.extend(lock(&self.kept).iter().map(Arc::clone));
        all
    }

    fn present(&self) -> Vec<Arc<OpenHold>> {
        let parts = self.parts.iter();
        let holds = parts.flat_map(|part| {
            let part = lock(part);
            part.holds
                .iter()
                .filter_map(Weak::upgrade)
                .collect::<Vec<_>>()
        });
        holds.collect()
    }
}

impl fmt::Debug for OpenHolds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenHolds").finish_non_exhaustive()
    }
}
