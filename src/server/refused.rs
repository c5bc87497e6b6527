//! Which connections of callers were refused or cut off, and why? Counted for metrics.

use std::sync::LazyLock;

use crate::meter::{Axes, Axis, Counter, Grid};

static AXES: Axes = LazyLock::new(|| {
    let whys = WhyCutOff::ALL.map(WhyCutOff::name);
    vec![Axis::new("why", whys)]
});

/// Why a connection was refused or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhyCutOff {
    /// As many are open as may be.
    Total,
    /// Its address has as many open as it may.
    PerIp,
    /// It did not begin with HTTP/2 in time, or with something else.
    Handshake,
    /// Its TLS handshake failed.
    Tls,
    /// It sent no request in time.
    FirstRequest,
    /// Its caller cancelled too many calls.
    Resets,
}

impl WhyCutOff {
    /// Every reason, in the order of declaration.
    const ALL: [Self; 6] = [
        Self::Total,
        Self::PerIp,
        Self::Handshake,
        Self::Tls,
        Self::FirstRequest,
        Self::Resets,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::PerIp => "per_ip",
            Self::Handshake => "handshake",
            Self::Tls => "tls",
            Self::FirstRequest => "first_request",
            Self::Resets => "resets",
        }
    }
}

/// Counts connections that were refused or cut off.
#[derive(Debug)]
pub(super) struct RefusedConnections(pub(super) Grid<Counter>);

impl Default for RefusedConnections {
    fn default() -> Self {
        Self(Grid::counters(&AXES))
    }
}

impl RefusedConnections {
    /// Counts one more.
    pub(super) fn count(&self, why: WhyCutOff) {
        self.0.increment([why as usize]);
    }
}
