//! Limits, callers and times for the tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::error::LimitUnit;
use crate::identity::{AccountPath, Identity, Labels};
use crate::limits::*;

/// A limit of this amount, on everybody together.
pub(super) fn limit(id: &str, unit: LimitUnit, amount: i64, window: Option<LimitWindow>) -> Limit {
    Limit {
        id: id.into(),
        description: String::new(),
        matching: LimitMatch::default(),
        per: Vec::new(),
        unit,
        amount,
        window,
        zone: Zone::UTC,
        thresholds: vec![80, 95],
        enforcement: Enforcement::Hard,
        unknown_ceiling: None,
    }
}

/// A limit on the money of a day.
pub(super) fn money(id: &str, amount: i64) -> Limit {
    limit(id, LimitUnit::Money, amount, Some(LimitWindow::Day))
}

/// A caller of the team `search` in the organisation `shop`.
pub(super) fn caller(id: &str) -> Identity {
    in_team(id, Some("search"))
}

pub(super) fn in_team(id: &str, team: Option<&str>) -> Identity {
    Identity {
        account: AccountPath {
            caller: id.into(),
            team: team.map(Arc::from),
            organisation: Some("shop".into()),
        },
        ..Identity::clone(&Identity::local())
    }
}

/// What a caller asks of one model.
pub(super) fn asked<'a>(identity: &'a Identity, labels: &'a Labels) -> Asked<'a> {
    Asked {
        identity,
        scenario: "general",
        provider: "one",
        model: "one/large",
        labels,
    }
}

/// An attempt that may cost so much.
pub(super) fn costing(nanos: i64) -> Estimate {
    Estimate {
        tokens: 100,
        money: Expected::Known(nanos),
    }
}

/// An attempt that has cost so much, and has answered.
pub(super) fn cost(nanos: i64) -> Actual {
    Actual {
        tokens: 100,
        money: Expected::Known(nanos),
        is_waste: false,
        is_estimated: false,
    }
}

/// Clocks that a test moves.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    begun: Instant,
    wall: SystemTime,
    passed: Duration,
}

impl Clocks {
    /// Clocks at this second since 1970.
    pub(super) fn at(second: u64) -> Self {
        Self {
            begun: Instant::now(),
            wall: UNIX_EPOCH + Duration::from_secs(second),
            passed: Duration::ZERO,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: self.wall,
            mono: self.begun + self.passed,
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) -> Now {
        self.wall += time;
        self.passed += time;
        self.now()
    }

    /// Sets the calendar to this second since 1970; the other clock goes on as before.
    pub(super) fn set(&mut self, second: u64) -> Now {
        self.wall = UNIX_EPOCH + Duration::from_secs(second);
        self.now()
    }
}

impl Default for Clocks {
    /// A Wednesday in November, at noon.
    fn default() -> Self {
        Self::at(1_795_003_200)
    }
}

/// The only counter of the only limit.
pub(super) fn only(limits: &Limits, now: Now) -> LimitState {
    let mut states = limits.states(now);
    assert_eq!(states.len(), 1, "{states:?}");
    states.remove(0)
}
