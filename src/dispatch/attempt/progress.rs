//! How long may an attempt wait for the next piece of its answer, given what has arrived so far? Pure: time is
//! passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::target::Timeouts;
use crate::transport::Stage;

/// The longest wait for what follows a complete answer: usage, and the mark of its end.
const MAX_WAIT_FOR_END: Duration = Duration::from_secs(1);

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// The call's deadline.
    Deadline,
    /// Silence that counts as a failure although the attempt goes on; reported once.
    Stalled,
    /// No piece of the request was accepted.
    WriteIdle,
    /// No byte of the answer's body.
    FirstEvent,
    /// No content.
    FirstContent,
    /// No further byte.
    ByteIdle,
    /// Bytes, but no content and no usage.
    ProgressIdle,
}

/// What an answer has gained by the bytes that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gain {
    /// Nothing: the bytes only show that the provider is at work.
    Bytes,
    /// Usage or a finish reason, but nothing of the answer itself.
    Progress,
    /// A piece of the answer.
    Content,
}

/// Which limits are tighter than the target's own: reaching such a limit says little about the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dispatch) struct Hurried {
    /// The limit to the first content.
    pub(in crate::dispatch) first_content: bool,
    /// The limit between two pieces of the answer.
    pub(in crate::dispatch) progress_idle: bool,
}

/// What has happened in an attempt so far, and the limits that follow from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    limits: Timeouts,
    hurried: Hurried,
    deadline: Instant,
    /// When the whole request was written; before that, the earliest time at which it can be.
    written: Instant,
    /// When the last piece of it was written, or the earliest time at which it can be; `None` once all of it is.
    moved: Option<Instant>,
    stall_reported: bool,
    last_byte: Option<Instant>,
    last_progress: Option<Instant>,
    has_content: bool,
    complete: bool,
}

impl Progress {
    /// An attempt begins `now`.
    pub(super) fn new(limits: Timeouts, hurried: Hurried, deadline: Instant, now: Instant) -> Self {
        Self {
            limits,
            hurried,
            deadline,
            written: now,
            moved: Some(now),
            stall_reported: false,
            last_byte: None,
            last_progress: None,
            has_content: false,
            complete: false,
        }
    }

    /// Goes on with another deadline.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Notes how much of the request is written.
    pub(super) fn uploaded(&mut self, stage: Stage, now: Instant) {
        (self.written, self.moved) = match stage {
            Stage::Waiting => (now, Some(now)),
            Stage::Writing { moved } => (now, Some(moved)),
            Stage::Written { at } => (at, None),
        };
    }

    /// Notes that bytes of the answer have arrived.
    pub(super) fn gained(&mut self, gain: Gain, now: Instant) {
        self.last_byte = Some(now);
        match gain {
            Gain::Bytes => {}
            Gain::Progress => self.last_progress = Some(now),
            Gain::Content => {
                self.last_progress = Some(now);
                self.has_content = true;
            }
        }
    }

    /// Notes whether the whole answer has arrived, so that only usage and the mark of the end can follow.
    pub(super) fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    /// Notes that the silence was reported: it is no limit any more.
    pub(super) fn stall_was_reported(&mut self) {
        self.stall_reported = true;
    }

    /// The model's limit after which a first content counts as slow.
    pub(super) fn slow_after(&self) -> Duration {
        self.limits.slow_first_content
    }

    /// The earliest limit.
    pub(super) fn next(&self) -> (Instant, Expiry) {
        let limits = &self.limits;
        let stall = match self.last_byte {
            None if !self.stall_reported => after(self.written, limits.stall_after),
            None | Some(_) => None,
        };
        let write_idle = match self.last_byte {
            None => self.moved.and_then(|moved| after(moved, limits.write_idle)),
            Some(_) => None,
        };
        let first_event = if self.last_byte.is_none() {
            after(self.written, limits.first_event)
        } else {
            None
        };
        let first_content = if self.has_content {
            None
        } else {
            after(self.written, limits.first_content)
        };
        let byte_idle = self
            .last_byte
            .and_then(|last| after(last, limits.byte_idle));
        let longest = if self.complete {
            limits.progress_idle.min(MAX_WAIT_FOR_END)
        } else {
            limits.progress_idle
        };
        let progress_idle = self.last_progress.and_then(|last| after(last, longest));
        [
            (stall, Expiry::Stalled),
            (write_idle, Expiry::WriteIdle),
            (first_event, Expiry::FirstEvent),
            (first_content, Expiry::FirstContent),
            (byte_idle, Expiry::ByteIdle),
            (progress_idle, Expiry::ProgressIdle),
        ]
        .into_iter()
        .filter_map(|(at, expiry)| at.map(|at| (at, expiry)))
        .fold((self.deadline, Expiry::Deadline), |first, limit| {
            if limit.0 < first.0 { limit } else { first }
        })
    }

    /// When the silence began that `expiry` ended; `None` if that limit is not tighter than the target's own.
    pub(super) fn hurried_since(&self, expiry: Expiry) -> Option<Instant> {
        match expiry {
            Expiry::FirstContent => self.hurried.first_content.then_some(self.written),
            Expiry::ProgressIdle if self.hurried.progress_idle => self.last_progress,
            Expiry::ProgressIdle
            | Expiry::Deadline
            | Expiry::Stalled
            | Expiry::WriteIdle
            | Expiry::FirstEvent
            | Expiry::ByteIdle => None,
        }
    }
}

/// When the limit is reached; `None` if that is beyond the clock's range.
fn after(start: Instant, limit: Duration) -> Option<Instant> {
    start.checked_add(limit)
}
