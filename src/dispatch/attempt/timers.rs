//! How does one timer watch all limits of an attempt?
//!
//! The timer is set to the earliest limit. It is set again only when it fires or when an earlier limit begins, so
//! hardly any event of a stream costs a timer operation.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::dispatch::target::Timeouts;
use crate::transport::Upload;

use super::progress::{Expiry, Gain, Hurried, Progress};

/// The limits of one attempt, and the timer that watches them.
#[derive(Debug)]
pub(super) struct Timers {
    progress: Progress,
    upload: Upload,
    alarm: Pin<Box<Sleep>>,
    cut_short: Option<Instant>,
}

impl Timers {
    /// Watches an attempt whose request is sent `now`. The deadline applies from the start; the limits on the answer
    /// begin when the request is written.
    pub(super) fn start(
        limits: Timeouts,
        hurried: Hurried,
        deadline: Instant,
        now: Instant,
    ) -> Self {
        let progress = Progress::new(limits, hurried, deadline, now);
        let (at, _) = progress.next();
        Self {
            progress,
            upload: Upload::new(now),
            alarm: Box::pin(sleep_until(at)),
            cut_short: None,
        }
    }

    /// How much of the request is written.
    pub(super) fn upload(&self) -> &Upload {
        &self.upload
    }

    /// When the silence began that ended the attempt, if it was ended by a limit tighter than the target's own.
    pub(super) fn cut_short(&self) -> Option<Instant> {
        self.cut_short
    }

    /// The model's limit after which a first content counts as slow.
    pub(super) fn slow_after(&self) -> Duration {
        self.progress.slow_after()
    }

    /// Goes on with another deadline.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.progress.set_deadline(deadline);
        let (at, _) = self.progress.next();
        self.alarm.as_mut().reset(at);
    }

    /// Bytes of the answer have arrived. `complete` says whether the whole answer has: then only usage and the mark
    /// of the end can follow.
    pub(super) fn gained(&mut self, gain: Gain, complete: bool, now: Instant) {
        self.progress.set_complete(complete);
        self.progress.gained(gain, now);
        // A limit that begins now may end before the time that the alarm is set to.
        let (at, _) = self.progress.next();
        if at < self.alarm.deadline() {
            self.alarm.as_mut().reset(at);
        }
    }

    /// Waits until a limit is reached. Safe to cancel.
    pub(super) async fn expired(&mut self) -> Expiry {
        loop {
            self.alarm.as_mut().await;
            let now = Instant::now();
            self.progress.uploaded(self.upload.stage(), now);
            let (at, expiry) = self.progress.next();
            if at > now {
                self.alarm.as_mut().reset(at);
                continue;
            }
            if expiry == Expiry::Stalled {
                self.progress.stall_was_reported();
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
        timers.upload().note_end(now);
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
            upload.note_end(Instant::now());
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
            // A long wait for a connection, which is not the provider's fault.
            for second in [60, 79, 98] {
                sleep_until(start + seconds(second)).await;
                upload.note_progress(Instant::now());
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
    async fn a_limit_that_is_not_the_targets_own_is_reported_with_the_silence_before_it() {
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
            paused.gained(Gain::Content, false, start + seconds(1));

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

        timers.gained(Gain::Bytes, false, start + seconds(3));

        assert_eq!(timers.expired().await, Expiry::FirstContent);
        assert_eq!(start.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn usage_without_content_reaches_the_limit_of_the_first_content() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(100), start);

        timers.gained(Gain::Progress, false, start + seconds(3));

        assert_eq!(timers.expired().await, Expiry::FirstContent);
        assert_eq!(start.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn pings_keep_the_bytes_alive_but_not_the_progress() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(500), start);
        timers.gained(Gain::Content, false, start + seconds(1));

        for second in [15, 30, 45] {
            timers.gained(Gain::Bytes, false, start + seconds(second));
        }

        assert_eq!(timers.expired().await, Expiry::ProgressIdle);
        assert_eq!(start.elapsed().as_secs(), 46);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_goes_silent_is_given_up_after_byte_idle() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(500), start);

        timers.gained(Gain::Content, false, start + seconds(1));

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

        timers.gained(Gain::Content, false, start);

        assert_eq!(timers.expired().await, Expiry::ProgressIdle);
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_a_complete_answer_is_waited_for_no_longer_than_a_second() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(500), start);
        timers.gained(Gain::Content, false, start + seconds(1));

        timers.gained(Gain::Progress, true, start + seconds(2));
        timers.gained(Gain::Bytes, true, start + seconds(2));

        assert_eq!(timers.expired().await, Expiry::ProgressIdle);
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_goes_on_after_all_is_waited_for_as_before() {
        let start = Instant::now();
        let mut timers = begin(start + seconds(500), start);
        timers.gained(Gain::Progress, true, start + seconds(1));

        timers.gained(Gain::Content, false, start + seconds(1));

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
