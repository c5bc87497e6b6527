//! How many bytes may requests take up, from their first byte to the end of their calls?
//!
//! There are two rooms, one in the other: requests that are still incomplete have a smaller one, so that they
//! leave space for complete ones. A caller has a share of each, so that it cannot fill one alone. The bytes of a
//! request are counted as they arrive, and estimated again when it has been parsed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::caller::{Caller, Priority};
use crate::error::{CallerLimit, Error};
use crate::sync::{AtomicUsize, Mutex, Ordering, PoisonError};

use super::counts::{AdmissionCounts, WhyRefused};

/// When a refused caller should try again: some of the calls that take up the room will have ended by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// When this many callers are known, those without requests are removed.
const SWEEP_AT: usize = 1024;

/// The share of a room that one caller may have by default, in quarters.
const SHARE_QUARTERS: usize = 3;

/// The most that one caller may have by default: three quarters of the room.
pub fn usual_share(room: usize) -> usize {
    room / 4 * SHARE_QUARTERS
}

/// How large the rooms are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// All requests together, incomplete ones included.
    pub requests: usize,
    /// What one caller may have of that.
    pub requests_per_caller: usize,
    /// All incomplete requests together; one caller may have [`usual_share`] of it.
    pub unfinished: usize,
}

/// The bytes that requests take up.
pub struct Room {
    limits: SharedLimits,
    taken: TakenBytes,
    shares: Mutex<Shares>,
    counts: Arc<AdmissionCounts>,
}

/// The [`RoomLimits`] of all cores. They change when the configuration does.
struct SharedLimits {
    requests: AtomicUsize,
    requests_per_caller: AtomicUsize,
    unfinished: AtomicUsize,
}

struct Shares {
    by_caller: HashMap<Caller, Weak<Share>>,
    sweep_at: usize,
}

/// The bytes that the requests of one caller take up.
#[derive(Default)]
pub struct Share(TakenBytes);

#[derive(Default)]
struct TakenBytes {
    requests: AtomicUsize,
    unfinished: AtomicUsize,
}

impl Room {
    /// An empty room.
    pub fn new(limits: RoomLimits) -> Self {
        Self::counted(limits, Arc::default())
    }

    /// An empty room. Requests for which there is no room are counted here. How important they are is not known yet.
    pub fn counted(limits: RoomLimits, counts: Arc<AdmissionCounts>) -> Self {
        Self {
            limits: SharedLimits {
                requests: AtomicUsize::new(limits.requests),
                requests_per_caller: AtomicUsize::new(limits.requests_per_caller),
                unfinished: AtomicUsize::new(limits.unfinished),
            },
            counts,
            taken: TakenBytes::default(),
            shares: Mutex::new(Shares {
                by_caller: HashMap::new(),
                sweep_at: SWEEP_AT,
            }),
        }
    }

    /// Goes on with other limits. What is taken stays taken.
    pub fn change(&self, limits: RoomLimits) {
        let RoomLimits {
            requests,
            requests_per_caller,
            unfinished,
        } = limits;
        self.limits.requests.store(requests, Ordering::Relaxed);
        let of_caller = &self.limits.requests_per_caller;
        of_caller.store(requests_per_caller, Ordering::Relaxed);
        self.limits.unfinished.store(unfinished, Ordering::Relaxed);
    }

    fn limits(&self) -> RoomLimits {
        RoomLimits {
            requests: self.limits.requests.load(Ordering::Relaxed),
            requests_per_caller: self.limits.requests_per_caller.load(Ordering::Relaxed),
            unfinished: self.limits.unfinished.load(Ordering::Relaxed),
        }
    }

    /// The share of a caller. All its requests have the same one.
    pub fn share(&self, caller: Caller) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.by_caller.get(&caller).and_then(Weak::upgrade) {
            return share;
        }
        if shares.by_caller.len() >= shares.sweep_at {
            shares.by_caller.retain(|_, share| share.strong_count() > 0);
            shares.sweep_at = SWEEP_AT.max(2 * shares.by_caller.len());
        }
        let share = Arc::new(Share::default());
        shares.by_caller.insert(caller, Arc::downgrade(&share));
        share
    }

    /// Bytes that all requests take up.
    pub fn taken(&self) -> usize {
        self.taken.requests.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

/// The bytes that one request takes up. Its clones stand for the same request; the last one gives the bytes back
/// when it is dropped.
#[derive(Clone)]
pub struct Held(Arc<Inner>);

struct Inner {
    room: Arc<Room>,
    share: Arc<Share>,
    /// Those of its bytes that belong to an incomplete message.
    unfinished: AtomicUsize,
    bytes: AtomicUsize,
}

impl Held {
    /// A request that takes up nothing yet.
    pub fn new(room: &Arc<Room>, share: &Arc<Share>) -> Self {
        Self(Arc::new(Inner {
            room: Arc::clone(room),
            share: Arc::clone(share),
            unfinished: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }))
    }

    /// The bytes that the request takes up.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Takes room for bytes of a complete message.
    ///
    /// # Errors
    /// There is no room for them; nothing is taken then. See [`Held::resize`].
    pub fn grow(&self, bytes: usize) -> Result<(), Error> {
        self.take_more(bytes).inspect_err(|error| self.count(error))
    }

    fn take_more(&self, bytes: usize) -> Result<(), Error> {
        let Inner { room, share, .. } = &*self.0;
        let RoomLimits {
            requests,
            requests_per_caller,
            unfinished: _,
        } = room.limits();
        let before = self.0.bytes.load(Ordering::Relaxed);
        let most = requests_per_caller.min(requests);
        if before.saturating_add(bytes) > most {
            let setting = match requests_per_caller < requests {
                true => "max_request_bytes_per_caller",
                false => "max_request_bytes",
            };
            let what = format!(
                "its request takes {} bytes in memory, and all together may take {most} (`admission.{setting}`)",
                before.saturating_add(bytes),
            );
            return Err(Error::invalid("message", what));
        }
        if !take(&room.taken.requests, bytes, requests) {
            return Err(Error::NoRoom {
                setting: "admission.max_request_bytes",
                retry_after: RETRY_AFTER,
            });
        }
        if !take(&share.0.requests, bytes, requests_per_caller) {
            give_back(&room.taken.requests, bytes);
            return Err(Error::CallerRateLimited {
                limit: CallerLimit::RequestBytes,
                retry_after: RETRY_AFTER,
            });
        }
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Takes room for bytes of an incomplete message.
    ///
    /// # Errors
    /// There is no room for them; nothing is taken then. See [`Held::resize`].
    pub fn grow_unfinished(&self, bytes: usize) -> Result<(), Error> {
        self.take_more_unfinished(bytes)
            .inspect_err(|error| self.count(error))
    }

    fn take_more_unfinished(&self, bytes: usize) -> Result<(), Error> {
        let Inner { room, share, .. } = &*self.0;
        let limit = room.limits().unfinished;
        if !take(&room.taken.unfinished, bytes, limit) {
            return Err(Error::NoRoom {
                setting: "server.max_unfinished_bytes",
                retry_after: RETRY_AFTER,
            });
        }
        let of_caller = match take(&share.0.unfinished, bytes, usual_share(limit)) {
            true => self.take_more(bytes).inspect_err(|_| {
                give_back(&share.0.unfinished, bytes);
            }),
            false => Err(Error::CallerRateLimited {
                limit: CallerLimit::UnfinishedBytes,
                retry_after: RETRY_AFTER,
            }),
        };
        match of_caller {
            Ok(()) => {
                self.0.unfinished.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                give_back(&room.taken.unfinished, bytes);
                Err(error)
            }
        }
    }

    /// Counts a request for which there is no room. One that could never find any is not counted.
    fn count(&self, error: &Error) {
        if !matches!(error, Error::InvalidRequest(_)) {
            let counts = &self.0.room.counts;
            counts.refused(Priority::Default, WhyRefused::Memory);
        }
    }

    /// The message is complete.
    pub fn finish(&self) {
        let Inner { room, share, .. } = &*self.0;
        let unfinished = self.0.unfinished.swap(0, Ordering::Relaxed);
        give_back(&room.taken.unfinished, unfinished);
        give_back(&share.0.unfinished, unfinished);
    }

    /// Sets the bytes that the request takes up until its call ends.
    ///
    /// # Errors
    /// [`Error::NoRoom`] if all requests together would take more than they may,
    /// [`Error::CallerRateLimited`] if those of the caller would, [`Error::InvalidRequest`] if this one
    /// alone would. On an error nothing changes.
    pub fn resize(&self, bytes: usize) -> Result<(), Error> {
        let before = self.0.bytes.load(Ordering::Relaxed);
        if bytes > before {
            return self.grow(bytes - before);
        }
        let Inner { room, share, .. } = &*self.0;
        self.0.bytes.store(bytes, Ordering::Relaxed);
        give_back(&room.taken.requests, before - bytes);
        give_back(&share.0.requests, before - bytes);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let unfinished = self.unfinished.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        for taken in [&self.room.taken, &self.share.0] {
            give_back(&taken.unfinished, unfinished);
            give_back(&taken.requests, bytes);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.0.bytes).finish()
    }
}

fn take(taken: &AtomicUsize, bytes: usize, limit: usize) -> bool {
    let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= limit);
    taken
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}

fn give_back(taken: &AtomicUsize, bytes: usize) {
    taken.fetch_sub(bytes, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
