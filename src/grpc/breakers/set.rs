//! How does an operator override a breaker?

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use crate::dispatch::dispatcher::Dispatcher;
use crate::error::{Error, Violation};
use crate::health::breaker::Forced;

use super::super::v1;
use super::listing::{names, of_endpoint, of_model};

/// The longest comment on an operator's decision.
const MAX_COMMENT: usize = 256;

/// The longest time for which an operator can decide.
const MAX_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// Overrides a breaker as an operator at this address decides, or lifts the override.
///
/// # Errors
/// [`Error::InvalidRequest`] with every violation.
pub fn set(
    dispatcher: &Dispatcher,
    request: v1::SetBreakerRequest,
    peer: Option<SocketAddr>,
) -> Result<v1::Breaker, Error> {
    let v1::SetBreakerRequest {
        provider,
        model,
        state,
        ttl,
        comment,
    } = request;
    let mut faults = Vec::new();
    let mut fault = |field: &str, what: &str| {
        faults.push(Violation {
            field: field.to_owned(),
            what: what.to_owned(),
        });
    };
    let routes = dispatcher.routes();
    let of_provider = routes.provider(&provider);
    if of_provider.is_none() {
        fault(
            "provider",
            &format!("must be the name of a provider; {}", names(dispatcher)),
        );
    }
    let of_target = routes
        .target(&model)
        .filter(|guarded| guarded.target.provider.name == provider);
    if !model.is_empty() && of_target.is_none() {
        fault(
            "model",
            "must be the id of a model of this provider, or empty for the provider's endpoint",
        );
    }
    let ttl = ttl.map(Duration::try_from);
    if ttl
        .as_ref()
        .is_some_and(|ttl| !matches!(ttl, Ok(ttl) if !ttl.is_zero() && *ttl <= MAX_TTL))
    {
        fault(
            "ttl",
            "must be more than 0 seconds and at most 365 days; leave it out for a decision without an end",
        );
    }
    if ttl.is_some() && state == v1::BreakerState::Unspecified as i32 {
        fault(
            "ttl",
            "leave it out to lift the decision now, or set `state` to a state that holds for this time",
        );
    }
    let ttl = ttl.and_then(Result::ok);
    let until = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
    let forced = match v1::BreakerState::try_from(state) {
        Ok(v1::BreakerState::ForcedOpen) => Some(Forced {
            closed: false,
            until,
        }),
        Ok(v1::BreakerState::ForcedClosed) => Some(Forced {
            closed: true,
            until,
        }),
        Ok(v1::BreakerState::Unspecified) => None,
        Ok(v1::BreakerState::Closed | v1::BreakerState::Open | v1::BreakerState::HalfOpen)
        | Err(_) => {
            fault(
                "state",
                "use BREAKER_STATE_FORCED_OPEN or BREAKER_STATE_FORCED_CLOSED, or leave it out to lift the decision",
            );
            None
        }
    };
    if comment.chars().count() > MAX_COMMENT || comment.chars().any(char::is_control) {
        fault(
            "comment",
            "use at most 256 characters and no control characters",
        );
    }
    let Some(of_provider) = of_provider.filter(|_| faults.is_empty()) else {
        return Err(Error::InvalidRequest(faults));
    };
    let decision = match forced {
        Some(Forced { closed: true, .. }) => "forced_closed",
        Some(Forced { closed: false, .. }) => "forced_open",
        None => "lifted",
    };
    let (changed, breaker) = match of_target {
        Some(guarded) => (guarded.health.force(forced), of_model(guarded)),
        None => (of_provider.force(forced), of_endpoint(of_provider)),
    };
    if changed {
        info!(
            provider,
            model,
            decision,
            ttl = ttl.map(tracing::field::debug),
            peer = peer.map(tracing::field::display),
            comment,
            "an operator sets a breaker"
        );
    }
    Ok(breaker)
}
