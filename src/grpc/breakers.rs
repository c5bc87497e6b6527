//! How does the contract spell breakers, and what operators decide about them?

use tokio::time::Instant;

use crate::caller::Peer;
use crate::check::Faults;
use crate::serving::control::{
    BreakerOverride, BreakerScope, BreakerUpdate, BreakerView, LockCause, LockSnapshot,
    OperatorDecision, Snapshot, TokenState,
};

use super::length_of_time::duration_of;
use super::time_of_day::time_of_day;
use super::v1::watch_breakers_response::Update;
use super::{answer, v1};

/// Reads what this operator decides. Notes what cannot be read as a fault.
pub(super) fn override_of(
    request: v1::SetBreakerRequest,
    peer: Peer,
    faults: &mut Faults,
) -> BreakerOverride {
    let v1::SetBreakerRequest {
        provider,
        model,
        state,
        ttl,
        comment,
    } = request;
    let decision = match v1::BreakerState::try_from(state) {
        Ok(v1::BreakerState::ForcedOpen) => Some(OperatorDecision::ForceOpen),
        Ok(v1::BreakerState::ForcedClosed) => Some(OperatorDecision::ForceClosed),
        Ok(v1::BreakerState::Unspecified) => Some(OperatorDecision::Lift),
        Ok(v1::BreakerState::Closed | v1::BreakerState::Open | v1::BreakerState::HalfOpen)
        | Err(_) => {
            faults.add(
                "state",
                "use BREAKER_STATE_FORCED_OPEN or BREAKER_STATE_FORCED_CLOSED, or leave it out to lift the decision",
            );
            None
        }
    };
    BreakerOverride {
        provider,
        model,
        decision,
        // A negative time is out of range, as zero is.
        ttl: ttl.map(|ttl| duration_of(ttl).unwrap_or_default()),
        comment,
        peer,
    }
}

/// A breaker.
pub(super) fn breaker(view: BreakerView) -> v1::Breaker {
    let BreakerView {
        provider,
        snapshot,
        scope,
    } = view;
    let breaker = of_snapshot(provider, snapshot);
    match scope {
        BreakerScope::Endpoint { lock, token } => v1::Breaker {
            credential_lock: lock.map(credential_lock),
            access_token: token.map(|state| access_token(*state)),
            ..breaker
        },
        BreakerScope::Model {
            id,
            in_flight,
            limit,
            throttled_until,
        } => v1::Breaker {
            model: id,
            in_flight: i64::from(in_flight),
            concurrency_limit: i64::from(limit),
            throttled_until_time: throttled_until.map(time_of_day),
            ..breaker
        },
    }
}

/// A message to those who watch.
pub(super) fn update(update: BreakerUpdate) -> v1::WatchBreakersResponse {
    let update = match update {
        BreakerUpdate::Snapshot(breakers) => Update::Snapshot(v1::BreakerSnapshot {
            breakers: breakers.into_iter().map(breaker).collect(),
        }),
        BreakerUpdate::Transition {
            breaker: changed,
            from,
            cause,
        } => Update::Transition(v1::BreakerTransition {
            breaker: changed.map(breaker),
            previous_state: answer::breaker_state(from).into(),
            cause: cause.to_owned(),
        }),
    };
    v1::WatchBreakersResponse {
        update: Some(update),
    }
}

fn credential_lock(lock: LockSnapshot) -> v1::CredentialLock {
    let LockSnapshot {
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

fn access_token(state: TokenState) -> v1::AccessToken {
    let TokenState {
        ends,
        next_fetch,
        trouble,
    } = state;
    let time = |instant| time_of_day(Instant::from_std(instant));
    let failing = trouble.as_ref();
    v1::AccessToken {
        expire_time: ends.map(time),
        next_fetch_time: next_fetch.map(time),
        failures: failing.map_or(0, |trouble| trouble.times.into()),
        failing_since: failing.map(|trouble| time(trouble.since)),
        detail: trouble.map(|trouble| trouble.cause).unwrap_or_default(),
    }
}

fn of_snapshot(provider: String, snapshot: Snapshot) -> v1::Breaker {
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
        provider,
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
