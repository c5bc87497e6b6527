//! How does an open breaker close again? By its probes, in the order in which they were sent.

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::{Breaker, Circumstances, Counted, Signal, State, Ticket, Transition};

/// The probes that were sent between an opening and the closing after it, each known by its number,
/// from 1 on. What one shows is out of date once one that was sent later has shown the opposite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Probes {
    sent: u64,
    /// Until when the newest keeps others from being sent; `None` once it has been judged.
    awaited: Option<Instant>,
    /// How many have succeeded since one has failed.
    successes: u32,
    /// The newest that has succeeded.
    succeeded: u64,
    /// The newest that has failed.
    failed: u64,
}

impl Probes {
    /// Until when no other may be sent.
    pub(super) fn awaited(&self, now: Instant) -> Option<Instant> {
        self.awaited.filter(|until| *until > now)
    }

    /// This one has been judged, or has ended: it keeps no other from being sent any more.
    fn free(&mut self, number: u64) {
        if number == self.sent {
            self.awaited = None;
        }
    }
}

impl Breaker {
    /// Sends a probe; tells its number, and what that changes.
    pub(super) fn begin_probe(&mut self, now: Instant) -> (u64, Option<Transition>) {
        self.probes.sent += 1;
        self.probes.awaited = Some(now + self.settings.probe_lease);
        let from = self.state(now);
        let to = BreakerState::HalfOpen;
        if from == to {
            return (self.probes.sent, None);
        }
        self.enter(State::HalfOpen, now);
        let cause = "probe_due";
        (self.probes.sent, Some(Transition { from, to, cause }))
    }

    /// Takes in what a probe has to tell. It decides at its first content and not at its end, unless it
    /// is the end that answers did not come to.
    pub(super) fn judge(
        &mut self,
        ticket: &mut Ticket,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let now = circumstances.now;
        let lasting = self.settings.lasting_answer;
        if let Signal::Committed { .. } = signal {
            ticket.committed.get_or_insert(now);
        }
        match signal {
            Signal::Committed { .. }
            | Signal::Progressed
            | Signal::Answered
            | Signal::Completed
                if ticket.counted != Counted::Nothing =>
            {
                None
            }
            // Neither its beginning nor a refusal tells anything of answers that break off.
            Signal::Committed { .. } | Signal::Answered if self.broke_off => None,
            Signal::Progressed if !(self.broke_off && ticket.has_lasted(lasting, now)) => None,
            Signal::Committed { .. }
            | Signal::Progressed
            | Signal::Answered
            | Signal::Completed => self.succeed(ticket, now),
            Signal::Stalled => self.suspect(ticket, circumstances),
            Signal::CutShort { since } if !self.is_in_doubt(since, now) => None,
            Signal::CutShort { .. } => self.fail(ticket, "probe_cut_short", None, circumstances),
            Signal::Failed { retry_after } => {
                let failed = self.fail(ticket, "probe_failed", retry_after, circumstances);
                self.broke_off |= ticket.committed.is_some();
                failed
            }
            Signal::Throttled { retry_after } => {
                self.fail(ticket, "probe_throttled", retry_after, circumstances)
            }
            Signal::Released => {
                self.probes.free(ticket.probe);
                None
            }
        }
    }

    /// Counts a success, though it may have opened again meanwhile: by the silence of this probe or
    /// by the failure of one that was sent before.
    fn succeed(&mut self, ticket: &mut Ticket, now: Instant) -> Option<Transition> {
        ticket.counted = Counted::Success { ended: 0, nth: 0 };
        self.probes.free(ticket.probe);
        if ticket.probe < self.probes.failed {
            return None;
        }
        self.probes.succeeded = self.probes.succeeded.max(ticket.probe);
        self.probes.successes += 1;
        self.cut_short_since = None;
        let from = self.state(now);
        if from == BreakerState::Open {
            // No recovery has failed after all.
            self.severity = self.severity.saturating_sub(1);
        }
        if self.probes.successes >= self.settings.probe_successes {
            self.close(now);
            return Some(Transition {
                from,
                to: BreakerState::Closed,
                cause: "probes_succeeded",
            });
        }
        if from == BreakerState::HalfOpen {
            return None;
        }
        self.enter(State::HalfOpen, now);
        Some(Transition {
            from,
            to: BreakerState::HalfOpen,
            cause: "late_probe_succeeded",
        })
    }

    /// Opens it for now: a probe from which nothing has come may be answered yet.
    fn suspect(&mut self, ticket: &Ticket, circumstances: Circumstances) -> Option<Transition> {
        self.probes.free(ticket.probe);
        match self.probes.succeeded > ticket.probe {
            true => None,
            false => self.reopen(ticket, "probe_stalled", None, circumstances),
        }
    }

    /// Counts a failure. That an answer breaks off is news where answers had only to begin.
    fn fail(
        &mut self,
        ticket: &mut Ticket,
        cause: &'static str,
        retry_after: Option<Duration>,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        if ticket.counted == Counted::Failure {
            return None;
        }
        ticket.counted = Counted::Failure;
        self.probes.free(ticket.probe);
        let is_news = ticket.committed.is_some() && !self.broke_off;
        if self.probes.succeeded > ticket.probe && !is_news {
            return None;
        }
        self.probes.failed = self.probes.failed.max(ticket.probe);
        self.probes.successes = 0;
        self.reopen(ticket, cause, retry_after, circumstances)
    }

    fn reopen(
        &mut self,
        ticket: &Ticket,
        cause: &'static str,
        retry_after: Option<Duration>,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let took = circumstances.now.duration_since(ticket.admitted);
        let is_half_open = self.state == State::HalfOpen;
        is_half_open.then(|| self.open(cause, retry_after, took, circumstances))
    }
}
