//! The acts of the demonstration, in order. Data only.

use std::time::Duration;

use crate::simulator::{Behaviour, Fault, RefusalReason};

/// Tokens of every answer; what arrives is compared with them.
pub(super) const TOKENS: usize = 12;

/// A stretch of time in which the primary behaves in one way.
#[derive(Debug, PartialEq)]
pub(super) struct Act {
    pub(super) title: &'static str,
    /// What the primary does.
    pub(super) plot: &'static str,
    /// What to watch for.
    pub(super) hint: &'static str,
    /// How long it lasts at least.
    pub(super) length: Duration,
    /// What must have been seen before it ends.
    pub(super) awaits: Awaited,
    pub(super) fault: Option<Fault>,
    /// The share of the requests that suffer the fault.
    pub(super) fault_ratio: f64,
}

/// What the primary's breaker must have done before an act ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    Nothing,
    /// It has opened since the act began.
    Opened,
    /// It is closed.
    Closed,
}

pub(super) const ACTS: [Act; 6] = [
    Act {
        title: "Healthy",
        plot: "Both providers work; the primary answers every call.",
        hint: "Half of the calls want whole answers, half want streams.",
        length: Duration::from_secs(5),
        awaits: Awaited::Nothing,
        fault: None,
        fault_ratio: 0.0,
    },
    Act {
        title: "Rate limit",
        plot: "The primary refuses one request in three with a 429.",
        hint: "Each goes on to the backup. A 429 opens no breaker: the primary works, it is only busy.",
        length: Duration::from_secs(6),
        awaits: Awaited::Nothing,
        fault: Some(Fault::Refuse(RefusalReason::RateLimited)),
        fault_ratio: 1.0 / 3.0,
    },
    Act {
        title: "Hanging",
        plot: "The primary takes every request and says nothing.",
        hint: "Calls wait for it in vain, then go on to the backup, until the breaker opens. Then no call waits.",
        length: Duration::from_secs(7),
        awaits: Awaited::Opened,
        fault: Some(Fault::Hang),
        fault_ratio: 1.0,
    },
    Act {
        title: "Back",
        plot: "The primary works again; the gateway has to find that out.",
        hint: "Once its time is over, the breaker lets single probes through. Three good ones close it.",
        length: Duration::from_secs(5),
        awaits: Awaited::Closed,
        fault: None,
        fault_ratio: 0.0,
    },
    Act {
        title: "Cut streams",
        plot: "The primary drops every connection in mid-answer.",
        hint: "Whole answers are fetched again. A stream that its caller has begun to read cannot be: it ends as `interrupted`.",
        length: Duration::from_secs(6),
        awaits: Awaited::Opened,
        fault: Some(Fault::Disconnect { after: TOKENS / 2 }),
        fault_ratio: 1.0,
    },
    Act {
        title: "Recovered",
        plot: "The primary works again, for good.",
        hint: "The breaker probes, closes, and the calls come back.",
        length: Duration::from_secs(6),
        awaits: Awaited::Closed,
        fault: None,
        fault_ratio: 0.0,
    },
];

/// How long an act may wait for what it awaits, beyond its length.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

impl Act {
    /// How the primary behaves.
    pub(super) fn primary(&self) -> Behaviour {
        Behaviour {
            fault: self.fault,
            fail_ratio: self.fault_ratio,
            ..healthy(60)
        }
    }
}

/// How the backup behaves, in every act: well, but slower than the primary.
pub(super) fn backup() -> Behaviour {
    healthy(90)
}

fn healthy(first_token_ms: u64) -> Behaviour {
    Behaviour {
        tokens: TOKENS,
        first_token: Duration::from_millis(first_token_ms),
        gap: Duration::from_millis(15),
        ..Behaviour::default()
    }
}
