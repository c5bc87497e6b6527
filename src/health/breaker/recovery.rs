//! How does an open breaker close again? By its probes, in the order in which they were sent.

use std::time::Duration;

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::pass::{Counted, Kind, Pass};
use super::{Breaker, Circumstances, Signal, State, Transition};

/// The probes and last resorts since the breaker opened, each known by its number, from 1 on in the order of
/// sending. The outcome of one is out of date once one that was sent later has had the opposite outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Probes {
    sent: u64,
    /// Probes that have neither been judged nor ended, in their order, and when the lease of each ends.
    under_way: Vec<(u64, Instant)>,
    /// The number of successes since the last failure.
    successes: u32,
    /// The number of the newest probe that has succeeded.
    succeeded: u64,
    /// The number of the newest probe that has failed.
    failed: u64,
}

impl Probes {
    /// Until when no other probe may be sent, if `needed` must succeed in a row; `None` if one may be sent now.
    pub(super) fn awaited(&self, needed: u32, now: Instant) -> Option<Instant> {
        let at_once = match self.successes {
            // A target that has not recovered gets one probe at a time.
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

    /// Whether a probe has succeeded since the last failure.
    #[cfg(test)]
    pub(super) fn has_succeeded(&self) -> bool {
        self.successes > 0
    }

    /// Counts a probe that is sent; its lease ends at `lease`. Returns its number.
    fn send(&mut self, lease: Instant, now: Instant) -> u64 {
        let number = self.next_number();
        self.under_way.retain(|(_, lease)| *lease > now);
        self.under_way.push((number, lease));
        number
    }

    /// Notes that a probe has been judged or has ended: the next one need not wait for it.
    fn free(&mut self, number: u64) {
        self.under_way.retain(|(other, _)| *other != number);
    }
}

impl Breaker {
    /// Admits a probe. Returns its kind and the change of state, if there is one.
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

    /// Judges a probe or a last resort by its first content, or by its end if answers broke off before.
    pub(super) fn judge(
        &mut self,
        pass: &mut Pass,
        signal: Signal,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let now = circumstances.now;
        let lasting = self.settings.lasting_answer;
        if let Signal::FirstContent { .. } = signal {
            pass.first_content.get_or_insert(now);
        }
        match signal {
            Signal::FirstContent { .. }
            | Signal::Progressed
            | Signal::Answered
            | Signal::Completed
                if pass.counted != Counted::Nothing =>
            {
                None
            }
            // Where answers broke off, neither the beginning of an answer nor a refusal proves recovery.
            Signal::FirstContent { .. } | Signal::Answered if self.broke_off => None,
            Signal::Progressed if !(self.broke_off && pass.has_lasted(lasting, now)) => None,
            Signal::FirstContent { .. }
            | Signal::Progressed
            | Signal::Answered
            | Signal::Completed => self.succeed(pass, now),
            Signal::Stalled => self.suspect(pass, circumstances),
            Signal::CutShort { since } if !self.is_in_doubt(since, now) => None,
            Signal::CutShort { .. } => self.fail(pass, "probe_cut_short", None, circumstances),
            Signal::Failed { retry_after } => {
                let failed = self.fail(pass, "probe_failed", retry_after, circumstances);
                self.broke_off |= pass.first_content.is_some();
                failed
            }
            Signal::Throttled { retry_after } => {
                self.fail(pass, "probe_throttled", retry_after, circumstances)
            }
            Signal::Released => {
                self.probes.free(pass.kind.number());
                None
            }
        }
    }

    /// Counts a success. The breaker may be open: this is a last resort, or this probe was silent for a while, or an
    /// older one failed meanwhile.
    fn succeed(&mut self, pass: &mut Pass, now: Instant) -> Option<Transition> {
        pass.counted = Counted::Success { ended: 0, nth: 0 };
        self.probes.free(pass.kind.number());
        if pass.kind.number() < self.probes.failed {
            return None;
        }
        self.probes.succeeded = self.probes.succeeded.max(pass.kind.number());
        self.probes.successes += 1;
        self.cut_short_since = None;
        let from = self.state(now);
        if from == BreakerState::Open {
            // The breaker counted a failed recovery when it opened again; this success takes that back.
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
            cause: match pass.kind {
                Kind::LastResort(_) => "last_resort_succeeded",
                Kind::Ordinary | Kind::Probe(_) => "late_probe_succeeded",
            },
        })
    }

    /// Opens the breaker again for the time being: the silent probe may still be answered.
    fn suspect(&mut self, pass: &Pass, circumstances: Circumstances) -> Option<Transition> {
        self.probes.free(pass.kind.number());
        match self.probes.succeeded > pass.kind.number() {
            true => None,
            false => self.reopen(pass, "probe_stalled", None, circumstances),
        }
    }

    /// Counts a failure. It is out of date if a later probe has succeeded, unless it shows for the first time that
    /// answers break off.
    fn fail(
        &mut self,
        pass: &mut Pass,
        cause: &'static str,
        retry_after: Option<Duration>,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        if pass.counted == Counted::Failure {
            return None;
        }
        pass.counted = Counted::Failure;
        self.probes.free(pass.kind.number());
        let is_news = pass.first_content.is_some() && !self.broke_off;
        if self.probes.succeeded > pass.kind.number() && !is_news {
            return None;
        }
        self.probes.failed = self.probes.failed.max(pass.kind.number());
        self.probes.successes = 0;
        self.reopen(pass, cause, retry_after, circumstances)
    }

    fn reopen(
        &mut self,
        pass: &Pass,
        cause: &'static str,
        retry_after: Option<Duration>,
        circumstances: Circumstances,
    ) -> Option<Transition> {
        let took = circumstances.now.duration_since(pass.admitted);
        let is_half_open = self.state == State::HalfOpen;
        is_half_open.then(|| self.open(cause, retry_after, took, circumstances))
    }
}
