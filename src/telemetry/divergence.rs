//! When does the log say that a model's prices differ from what its provider charges? Once an hour for each model.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::trail::AttemptRecord;

/// How long nothing more is said of a model.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// The models of which the log has spoken.
#[derive(Debug, Default)]
pub(super) struct DivergenceLog {
    /// When it spoke last of each, by the id in the catalogue. It holds no more models than were ever configured.
    warned: Mutex<BTreeMap<String, Instant>>,
}

impl DivergenceLog {
    /// Says that the cost of an attempt differs from what its provider says, if it does and is not known yet.
    pub(super) fn note(&self, record: &AttemptRecord, now: Instant) {
        let (Some(by_prices), Some(by_provider)) = (record.diverging_nanos, record.provider_cost)
        else {
            return;
        };
        if self.is_new(&record.target, now) {
            warn!(
                model = record.target,
                nano_usd_by_prices = by_prices,
                nano_usd_by_provider = by_provider.nanos(),
                "the cost by the configured prices differs from what the provider says: correct the prices of the \
                 model, or set `cost_from` of its provider"
            );
        }
    }

    fn is_new(&self, model: &str, now: Instant) -> bool {
        // A panic cannot leave the times inconsistent.
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        match warned.get_mut(model) {
            Some(last) if now.saturating_duration_since(*last) < SILENCE => false,
            Some(last) => {
                *last = now;
                true
            }
            None => {
                warned.insert(model.to_owned(), now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_is_spoken_of_once_an_hour() {
        let (log, start) = (DivergenceLog::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);

        assert!(log.is_new("a", start));
        assert!(!log.is_new("a", after(3599)));
        assert!(log.is_new("b", after(3599)));
        assert!(log.is_new("a", after(3600)));
        assert!(!log.is_new("a", after(3601)));
    }
}
