//! How long an attempt may wait for what: every limit of a stream in one timer.
//!
//! A timer is set to the earliest limit and looked at again when it rings or when an earlier limit
//! begins, so that hardly any event costs a timer operation.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::transport::{Stage, Upload};

use crate::dispatch::target::Timeouts;

/// The longest wait for what follows an answer that is complete: usage, and the mark of its end.
const MAX_WAIT_FOR_END: Duration = Duration::from_secs(1);

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dispatch) enum Expiry {
    /// The call's deadline.
    Deadline,
    /// Silence that counts as a failure though the attempt goes on; reported once.
    Stalled,
    /// No piece of the request was taken.
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

/// What bytes of an answer brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dispatch) enum Heard {
    /// A sign of life.
    Bytes,
    /// Usage or a finish reason, but nothing of the answer itself.
    Progress,
    /// A piece of the answer.
    Content,
}

/// Which limits are tighter than the target's own: reaching one says little about the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dispatch) struct Hurried {
    pub(in crate::dispatch) first_content: bool,
    pub(in crate::dispatch) progress_idle: bool,
}

/// What an attempt has seen so far, and the limits that follow from it. Pure: time is passed in.
#[derive(Clone, Copy, Debug)]
struct Progress {
    limits: Timeouts,
    hurried: Hurried,
    deadline: Instant,
    /// When all of the request was written; before that, the earliest that it can be.
    written: Instant,
    /// When the last piece of it was, or when that can be the case at the earliest; `None` once all of it is.
    moved: Option<Instant>,
    stall_reported: bool,
    last_byte: Option<Instant>,
    last_progress: Option<Instant>,
    has_content: bool,
    complete: bool,
}

impl Progress {
    /// The earliest limit.
    fn next(&self) -> (Instant, Expiry) {
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
}

impl Progress {
    /// Since when nothing had come when this limit was reached, if it is tighter than the target's own.
    fn hurried_since(&self, expiry: Expiry) -> Option<Instant> {
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

/// `None` for a limit that lies beyond the end of time.
fn after(start: Instant, limit: Duration) -> Option<Instant> {
    start.checked_add(limit)
}

/// The limits of one attempt, and the timer that watches them.
#[derive(Debug)]
pub(in crate::dispatch) struct Timers {
    progress: Progress,
    upload: Upload,
    alarm: Pin<Box<Sleep>>,
    cut_short: Option<Instant>,
}

impl Timers {
    /// Begins to watch an attempt whose request starts on its way `now`. But for the deadline no limit
    /// begins before the request is written: a provider cannot answer what it has not got.
    pub(in crate::dispatch) fn start(
        limits: Timeouts,
        hurried: Hurried,
        deadline: Instant,
        now: Instant,
    ) -> Self {
        let progress = Progress {
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
        };
        let (at, _) = progress.next();
        Self {
            progress,
            upload: Upload::new(now),
            alarm: Box::pin(sleep_until(at)),
            cut_short: None,
        }
    }

    /// How far the request has come.
    pub(in crate::dispatch) fn upload(&self) -> &Upload {
        &self.upload
    }

    /// Since when nothing had come when a limit was reached that is tighter than the target's own.
    pub(in crate::dispatch) fn cut_short(&self) -> Option<Instant> {
        self.cut_short
    }

    /// Whether nothing of the answer is missing: what may follow is not waited for as if something were.
    pub(in crate::dispatch) fn complete(&mut self, complete: bool) {
        self.progress.complete = complete;
    }

    /// Bytes have come.
    pub(in crate::dispatch) fn heard(&mut self, what: Heard, now: Instant) {
        self.progress.last_byte = Some(now);
        match what {
            Heard::Bytes => {}
            Heard::Progress => self.progress.last_progress = Some(now),
            Heard::Content => {
                self.progress.last_progress = Some(now);
                self.progress.has_content = true;
            }
        }
        // A limit that begins here may lie before the one that the alarm was set to; later ones never do.
        let (at, _) = self.progress.next();
        if at < self.alarm.deadline() {
            self.alarm.as_mut().reset(at);
        }
    }

    /// Waits until a limit is reached. Safe to cancel.
    pub(in crate::dispatch) async fn expired(&mut self) -> Expiry {
        loop {
            self.alarm.as_mut().await;
            let now = Instant::now();
            (self.progress.written, self.progress.moved) = match self.upload.stage() {
                Stage::Waiting => (now, Some(now)),
                Stage::Writing { moved } => (now, Some(moved)),
                Stage::Written { at } => (at, None),
            };
            let (at, expiry) = self.progress.next();
            if at > now {
                self.alarm.as_mut().reset(at);
                continue;
            }
            if expiry == Expiry::Stalled {
                self.progress.stall_reported = true;
                self.alarm.as_mut().reset(self.progress.next().0);
            }
            self.cut_short = self.progress.hurried_since(expiry);
            return expiry;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn begin(deadline: Instant, now: Instant) -> Timers {
        begin_with(Timeouts::default(), deadline, now)
    }

    fn begin_with(limits: Timeouts, deadline: Instant, now: Instant) -> Timers {
        let timers = Timers::start(limits, Hurried::default(), deadline, now);
        written(timers, now)
    }

    fn written(timers: Timers, now: Instant) -> Timers {
        timers.upload().ends(now);
        timers
    }

    #[tokio::test(start_paused = true)]
    async fn the_limits_begin_when_the_request_is_written() {
        let start = Instant::now();
        let deadline = start + seconds(100);
        let mut timers = Timers::start(Timeouts::default(), Hurried::default(), deadline, start);
        let upload = timers.upload().clone();
        let written = async {
            sleep_until(start + seconds(30)).await;
            upload.ends(Instant::now());
            pending::<()>().await
        };

        let expiry = tokio::select! {
            expiry = timers.expired() => expiry,
            () = written => unreachable!(),
        };

        assert_eq!(expiry, Expiry::Stalled);
        assert_eq!(start.elapsed().as_secs(), 34);
        assert_eq!(timers.expired().await, Expiry::FirstEvent);
        assert_eq!(start.elapsed().as_secs(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_of_which_no_piece_is_taken_any_more_is_given_up() {
        let start = Instant::now();
        let deadline = start + seconds(500);
        let mut timers = Timers::start(Timeouts::default(), Hurried::default(), deadline, start);
        let upload = timers.upload().clone();
        let writing = async {
            // It waits for a connection for long, which is nobody's fault.
            for second in [60, 79, 98] {
                sleep_until(start + seconds(second)).await;
                upload.moves(Instant::now());
            }
            pending::<()>().await
        };

        let expiry = tokio::select! {
            expiry = timers.expired() => expiry,
            () = writing => unreachable!(),
        };

        assert_eq!(expiry, Expiry::WriteIdle);
        assert_eq!(start.elapsed().as_secs(), 118);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_waits_for_no_request() {
        let start = Instant::now();
        let deadline = start + seconds(15);
        let mut timers = Timers::start(Timeouts::default(), Hurried::default(), deadline, start);

        assert_eq!(timers.expired().await, Expiry::Deadline);
        assert_eq!(start.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_not_the_targets_own_is_told_with_the_silence_before_it() {
        let start = Instant::now();
        let hurried = Hurried {
            first_content: true,
            progress_idle: true,
        };
        for (own, hurried) in [(true, Hurried::default()), (false, hurried)] {
            let hurry = || {
                let limits = Timeouts {
                    first_content: seconds(2),
                    progress_idle: seconds(3),
                    ..Timeouts::default()
                };
                let timers = Timers::start(limits, hurried, start + seconds(500), start);
                written(timers, start)
            };
            let mut silent = hurry();
            let mut paused = hurry();
            paused.heard(Heard::Content, start + seconds(1));

            assert_eq!(silent.expired().await, Expiry::FirstContent);
            assert_eq!(paused.expired().await, Expiry::ProgressIdle);

            let told = (silent.cut_short(), paused.cut_short());
            let expected = (Some(start), Some(start + seconds(1)));
            assert_eq!(told, if own { (None, None) } else { expected });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_stalls_first_and_then_times_out() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(100), start);

        assert_eq!(timers.expired().await, Expiry::Stalled);
        assert_eq!(start.elapsed().as_secs(), 4);
        assert_eq!(timers.expired().await, Expiry::FirstEvent);
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_without_content_reach_the_limit_of_the_first_content() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(100), start);

        timers.heard(Heard::Bytes, start + seconds(3));

        assert_eq!(timers.expired().await, Expiry::FirstContent);
        assert_eq!(start.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn usage_without_content_reaches_the_limit_of_the_first_content() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(100), start);

        timers.heard(Heard::Progress, start + seconds(3));

        assert_eq!(timers.expired().await, Expiry::FirstContent);
        assert_eq!(start.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn pings_keep_the_bytes_alive_but_not_the_progress() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(500), start);
        timers.heard(Heard::Content, start + seconds(1));

        for second in [15, 30, 45] {
            timers.heard(Heard::Bytes, start + seconds(second));
        }

        assert_eq!(timers.expired().await, Expiry::ProgressIdle);
        assert_eq!(start.elapsed().as_secs(), 46);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_goes_silent_is_given_up_after_byte_idle() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(500), start);

        timers.heard(Heard::Content, start + seconds(1));

        assert_eq!(timers.expired().await, Expiry::ByteIdle);
        assert_eq!(start.elapsed().as_secs(), 21);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_begins_with_the_answer_may_lie_before_those_of_the_beginning() {
        let start = Instant::now();
        let limits = Timeouts {
            progress_idle: seconds(1),
            ..Timeouts::default()
        };
        let mut timers = begin_with(limits, start + seconds(500), start);

        timers.heard(Heard::Content, start);

        assert_eq!(timers.expired().await, Expiry::ProgressIdle);
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_a_complete_answer_is_waited_for_no_longer_than_a_second() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(500), start);
        timers.heard(Heard::Content, start + seconds(1));

        timers.complete(true);
        timers.heard(Heard::Progress, start + seconds(2));
        timers.heard(Heard::Bytes, start + seconds(2));

        assert_eq!(timers.expired().await, Expiry::ProgressIdle);
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_goes_on_after_all_is_waited_for_as_before() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(500), start);
        timers.complete(true);
        timers.heard(Heard::Progress, start + seconds(1));

        timers.complete(false);
        timers.heard(Heard::Content, start + seconds(1));

        assert_eq!(timers.expired().await, Expiry::ByteIdle);
        assert_eq!(start.elapsed().as_secs(), 21);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_comes_before_every_later_limit() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(2), start);

        assert_eq!(timers.expired().await, Expiry::Deadline);
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn of_limits_that_fall_together_the_deadline_counts() {
        let start = Instant::now();
        let first_event = Timeouts::default().first_event;
        let mut timers = begin(start + first_event, start);

        assert_eq!(timers.expired().await, Expiry::Stalled);
        assert_eq!(timers.expired().await, Expiry::Deadline);
    }
}
