//! How are breakers listed, and how does the contract spell them?

use std::sync::Arc;

use crate::dispatch::dispatcher::Dispatcher;
use crate::dispatch::routes::GuardedTarget;
use crate::error::Error;
use crate::health::breaker::Snapshot;
use crate::health::lock::{self, LockCause};
use crate::health::provider::ProviderGuard;

use super::super::time_of_day::time_of_day;
use super::super::{answer, v1};

/// The most providers that an error message names.
const MOST_NAMES: usize = 50;

/// The breakers of a provider, or of all providers if it is empty: each endpoint, then its models.
pub fn list(dispatcher: &Dispatcher, provider: &str) -> Vec<v1::Breaker> {
    let routes = dispatcher.routes();
    let mut breakers = Vec::new();
    for guard in routes
        .providers()
        .filter(|guard| provider.is_empty() || guard.name() == provider)
    {
        breakers.push(of_endpoint(guard));
        let models = guard.models();
        let models = models.iter().filter_map(|id| routes.target(id));
        breakers.extend(models.map(of_model));
    }
    breakers
}

/// Checks the name of a provider in a request to list or watch; empty for all.
///
/// # Errors
/// [`Error::InvalidRequest`] with the names of the providers, if there is none of this name.
pub fn check_provider(dispatcher: &Dispatcher, provider: &str) -> Result<(), Error> {
    match provider.is_empty() || dispatcher.routes().provider(provider).is_some() {
        true => Ok(()),
        false => Err(Error::invalid(
            "provider",
            format!(
                "must be the name of a provider, or empty for all; {}",
                names(dispatcher)
            ),
        )),
    }
}

/// The names of the providers for an error message.
pub(super) fn names(dispatcher: &Dispatcher) -> String {
    let routes = dispatcher.routes();
    let mut names = routes.providers().map(|guard| guard.name());
    let told: Vec<_> = names.by_ref().take(MOST_NAMES).collect();
    let told = told.join(", ");
    match names.count() {
        0 => format!("there are {told}"),
        more => format!("there are {told} and {more} more"),
    }
}

pub(super) fn of_endpoint(guard: &ProviderGuard) -> v1::Breaker {
    v1::Breaker {
        provider: guard.name().to_owned(),
        credential_lock: guard.lock().map(credential_lock),
        ..of_snapshot(guard.snapshot())
    }
}

pub(super) fn of_model(guarded: &Arc<GuardedTarget>) -> v1::Breaker {
    let GuardedTarget { target, health } = &**guarded;
    let (in_flight, limit) = health.concurrency();
    v1::Breaker {
        provider: target.provider.name.clone(),
        model: target.id.clone(),
        in_flight: i64::from(in_flight),
        concurrency_limit: i64::from(limit),
        throttled_until_time: health.throttled_until().map(time_of_day),
        ..of_snapshot(health.snapshot())
    }
}

fn credential_lock(lock: lock::LockSnapshot) -> v1::CredentialLock {
    let lock::LockSnapshot {
        cause,
        since,
        until,
        refusals,
        proven,
    } = lock;
    let reason = match cause {
        LockCause::Refused => v1::ErrorReason::ProviderAuthFailed,
        LockCause::QuotaExhausted => v1::ErrorReason::ProviderQuotaExhausted,
    };
    v1::CredentialLock {
        reason: reason.into(),
        locked_since: Some(time_of_day(since)),
        next_probe_time: Some(time_of_day(until)),
        refusals: i64::from(refusals),
        all_models: proven,
    }
}

fn of_snapshot(snapshot: Snapshot) -> v1::Breaker {
    let Snapshot {
        state,
        since,
        refuses_until,
        samples,
        failures,
        slow,
        opened_total,
        forced_until,
    } = snapshot;
    v1::Breaker {
        state: answer::breaker_state(state).into(),
        state_since: Some(time_of_day(since)),
        next_probe_time: refuses_until.map(time_of_day),
        window_calls: i64::from(samples),
        window_failures: i64::from(failures),
        window_slow_calls: i64::from(slow),
        opened_total: i64::try_from(opened_total).unwrap_or(i64::MAX),
        override_expire_time: forced_until.map(time_of_day),
        ..v1::Breaker::default()
    }
}
