//! When does an operator's decision stand in for the breaker's own?

use tokio::time::Instant;

use crate::trail::BreakerState;

use super::{Breaker, Forced, Transition};

impl Breaker {
    /// Lets an operator's decision override the breaker, or lifts that override. Either way the breaker forgets its counts,
    /// and once no decision overrides it, it is closed. Lifting changes nothing if the breaker is closed and not forced.
    pub fn force(&mut self, forced: Option<Forced>, now: Instant) -> Option<Transition> {
        let from = self.state(now);
        if forced.is_none() && from == BreakerState::Closed {
            return None;
        }
        self.forced = forced;
        self.severity = 0;
        self.close(now);
        Some(Transition {
            from,
            // Even if the decision has already expired: its end is reported afterwards.
            to: forced.map_or(BreakerState::Closed, Forced::state),
            cause: "operator",
        })
    }

    /// When the operator's decision ends, if there is one that has an end.
    pub fn decision_ends(&self) -> Option<Instant> {
        self.forced.and_then(|forced| forced.until)
    }

    /// Ends the operator's decision if it has expired.
    pub fn end_decision(&mut self, now: Instant) -> Option<Transition> {
        let end = self.decision_ends().filter(|end| *end <= now)?;
        let from = self.forced.take()?.state();
        self.since = end;
        Some(Transition {
            from,
            to: self.state(now),
            cause: "decision_ended",
        })
    }

    pub(super) fn forced(&self, now: Instant) -> Option<Forced> {
        self.forced
            .filter(|forced| forced.until.is_none_or(|until| until > now))
    }
}
