//! Settings of health for the tests of this crate.

use super::breaker;
use super::scopes::Settings;

/// Breakers that never open by themselves.
pub(crate) fn patient() -> Settings {
    Settings {
        breaker: breaker::Settings {
            consecutive_failures: 1000,
            consecutive_failures_busy: 1000,
            min_samples: 1000,
            min_commits: 1000,
            ..breaker::Settings::default()
        },
        ..Settings::default()
    }
}
