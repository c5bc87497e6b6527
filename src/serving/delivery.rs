//! Does the caller read the answer that is on its way? The door notes it, and the sweep ends calls that are stalled.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::Error;
use crate::identity::standing::Standing;

/// The caller has read everything so far. Any other value counts sweeps since it was given something.
const READING: u32 = u32::MAX;

/// What is being delivered.
pub(super) trait Undelivered: Send + Sync {
    /// Ends the call, whether its caller reads or not. The first reason stands.
    fn end(&self, error: Error);

    /// Whether the response can still carry the reason why the call was ended, for a caller that reads again.
    fn can_report_end(&self) -> bool;

    /// The caller was given a piece of a whole answer.
    fn gave_piece(&self);

    /// The caller has taken everything.
    fn taken(&self);
}

/// An answer on its way, shared by the response that carries it and the sweep that may end its call.
pub(super) struct Delivery<A: ?Sized> {
    /// The call's deadline, if that still matters.
    pub(super) deadline: Option<Instant>,
    /// The standing of the credential of its stream; a whole answer ends with no credential.
    standing: Option<Arc<Standing>>,
    unread: AtomicU32,
    /// The task that writes the response.
    task: OnceLock<AbortHandle>,
    pub(super) answer: A,
}

impl<A> Delivery<A> {
    /// The stream of a call that has this deadline, made with a credential of this standing.
    pub(super) fn stream(deadline: Instant, standing: Arc<Standing>, answer: A) -> Arc<Self> {
        Self::new(Some(deadline), Some(standing), answer)
    }

    /// A whole answer: there is no deadline for what is complete.
    pub(super) fn whole(answer: A) -> Arc<Self> {
        Self::new(None, None, answer)
    }

    fn new(deadline: Option<Instant>, standing: Option<Arc<Standing>>, answer: A) -> Arc<Self> {
        Arc::new(Self {
            deadline,
            standing,
            unread: AtomicU32::new(READING),
            task: OnceLock::new(),
            answer,
        })
    }
}

impl<A: ?Sized> Delivery<A> {
    /// Whether its call must end because its credential has.
    pub(super) fn has_lost_credential(&self) -> bool {
        let standing = self.standing.as_ref();
        standing.is_some_and(|standing| standing.has_ended())
    }

    fn is_whole(&self) -> bool {
        self.standing.is_none()
    }
}

impl Delivery<dyn Undelivered> {
    /// Counts a sweep. Returns the number of sweeps since the caller was given something that it has not taken yet; 0
    /// if it has taken everything.
    pub(super) fn count_sweep(&self) -> u32 {
        let more = |sweeps| (sweeps != READING).then(|| sweeps + 1);
        self.unread
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_or(0, |before| before + 1)
    }

    /// Resets the HTTP/2 stream of the response, which drops its unread messages.
    pub(super) fn cut_off(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Through this the door reports whether the caller reads its answer. It travels with the response to the place where
/// the door can see that.
#[derive(Clone)]
pub struct DeliveryHandle(pub(super) Arc<Delivery<dyn Undelivered>>);

impl DeliveryHandle {
    /// This task writes the response.
    pub fn is_written_by(&self, task: AbortHandle) {
        // A response is written by one task.
        let _ = self.0.task.set(task);
    }

    /// Notes whether the caller was `given` something to read, or has read everything and waits.
    pub fn note(&self, given: bool) {
        let unread = if given { 0 } else { READING };
        self.0.unread.store(unread, Ordering::Relaxed);
        if given && self.0.is_whole() {
            self.0.answer.gave_piece();
        }
    }

    /// The caller has taken everything.
    pub fn taken(&self) {
        self.0.answer.taken();
    }
}
