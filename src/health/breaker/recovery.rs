//! How does an open breaker close again? By its probes, in the order in which they were sent.

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::{Breaker, Circumstances, Counted, Kind, Pass, Signal, State, Transition};

/// The probes and last resorts since the breaker opened, each known by its number, from 1 on in the order of
/// sending. The outcome of one is out of date once one that was sent later has had the opposite outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Probes {
    sent: u64,
    /// Probes that have neither been judged nor ended, in their order, and when the lease of each ends.
    under_way: Vec<(u64, Instant)>,
    /// How many have succeeded since one has failed.
    successes: u32,
    /// The newest that has succeeded.
    succeeded: u64,
    /// The newest that has failed.
    failed: u64,
}

impl Probes {
    /// Until when no other probe may be sent, where so many must succeed in a row; `None` if one may be sent.
    pub(super) fn awaited(&self, needed: u32, now: Instant) -> Option<Instant> {
        let at_once = match self.successes {
            // A target that fails is not to be asked by two calls at a time.
            0 => 1,
            successes => needed.saturating_sub(successes).max(1),
        };
        let mut leases = self.under_way.iter().map(|(_, lease)| *lease);
        leases
            .nth_back(at_once as usize - 1)
            .filter(|lease| *lease > now)
    }

    /// The number of the next probe or last resort.
    pub(super) fn next_number(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Whether one has succeeded since one has failed.
    #[cfg(test)]
    pub(super) fn has_succeeded(&self) -> bool {
        self.successes > 0
    }

    /// Sends a probe whose lease ends then.
    fn send(&mut self, lease: Instant, now: Instant) -> u64 {
        let number = self.next_number();
        self.under_way.retain(|(_, lease)| *lease > now);
        self.under_way.push((number, lease));
        number
    }

    /// This one has been judged, or has ended: it keeps no other waiting any more.
    fn free(&mut self, number: u64) {
        self.under_way.retain(|(other, _)| *other != number);
    }
}

impl Breaker {
    /// Sends a probe; tells what it is, and what that changes.
    pub(super) fn begin_probe(&mut self, now: Instant) -> (Kind, Option<Transition>) {
        let number = self.probes.send(now + self.settings.probe_lease, now);
        let from = self.state(now);
        let to = BreakerState::HalfOpen;
        if from == to {
            return (Kind::Probe(number), None);
        }
        self.enter(State::HalfOpen, now);
        let cause = "probe_due";
        (Kind::Probe(number), Some(Transition { from, to, cause }))
    }

    /// Takes in what a probe or a last resort has to tell. It is judged at its first content; after answers
    /// that broke off, at its end.
    pub(super) fn judge(
        &mut self,
        ticket: &mut Pass,
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
                self.probes.free(ticket.kind.number());
                None
            }
        }
    }

    /// Counts a success. The breaker may be open: for a last resort, or since this probe was silent or an older
    /// one failed.
    fn succeed(&mut self, ticket: &mut Pass, now: Instant) -> Option<Transition> {
        ticket.counted = Counted::Success { ended: 0, nth: 0 };
        self.probes.free(ticket.kind.number());
        if ticket.kind.number() < self.probes.failed {
            return None;
        }
        self.probes.succeeded = self.probes.succeeded.max(ticket.kind.number());
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
            cause: match ticket.kind {
                Kind::LastResort(_) => "last_resort_succeeded",
                Kind::Ordinary | Kind::Probe(_) => "late_probe_succeeded",
            },
        })
    }

    /// Opens it for now: a probe from which nothing has come may be answered yet.
    fn suspect(&mut self, ticket: &Pass, circumstances: Circumstances) -> Option<Transition> {
        self.probes.free(ticket.kind.number());
        match self.probes.succeeded > ticket.kind.number() {
            true => None,
            false => self.reopen(ticket, "probe_stalled", None, circumstances),
        }
    }

    /// Counts a failure. That an answer breaks off is news where answers had only to begin.
    fn fail(
        &mut self,
        ticket: &mut Pass,
        cause: &'static str,
        retry_after: Option<Duration>,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        if ticket.counted == Counted::Failure {
            return None;
        }
        ticket.counted = Counted::Failure;
        self.probes.free(ticket.kind.number());
        let is_news = ticket.committed.is_some() && !self.broke_off;
        if self.probes.succeeded > ticket.kind.number() && !is_news {
            return None;
        }
        self.probes.failed = self.probes.failed.max(ticket.kind.number());
        self.probes.successes = 0;
        self.reopen(ticket, cause, retry_after, circumstances)
    }

    fn reopen(
        &mut self,
        ticket: &Pass,
        cause: &'static str,
        retry_after: Option<Duration>,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let took = circumstances.now.duration_since(ticket.admitted);
        let is_half_open = self.state == State::HalfOpen;
        is_half_open.then(|| self.open(cause, retry_after, took, circumstances))
    }
}
