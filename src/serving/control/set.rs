//! How does an operator override a breaker?

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use crate::caller::Peer;
use crate::check::Faults;
use crate::error::Error;
use crate::health::breaker::Forced;

use super::Control;
use super::breakers::{BreakerView, names, of_endpoint, of_model};

/// The longest comment on an operator's decision, in characters.
const MAX_COMMENT: usize = 256;

/// The longest time for which an operator can decide.
const MAX_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// What an operator decides about a breaker.
pub struct BreakerOverride {
    /// The provider.
    pub provider: String,
    /// The id of the model; empty for the provider's endpoint.
    pub model: String,
    /// The decision; `None` if the door could not read it. The door then adds a fault about it.
    pub decision: Option<OperatorDecision>,
    /// How long the decision holds; `None` if only the operator ends it.
    pub ttl: Option<Duration>,
    /// Why, for the log.
    pub comment: String,
    /// The operator, for the log.
    pub peer: Peer,
}

/// What an operator does to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorDecision {
    /// It lets nothing through.
    ForceOpen,
    /// It lets everything through.
    ForceClosed,
    /// It decides for itself again.
    Lift,
}

impl OperatorDecision {
    /// Its name in the log.
    fn name(self) -> &'static str {
        match self {
            Self::ForceOpen => "forced_open",
            Self::ForceClosed => "forced_closed",
            Self::Lift => "lifted",
        }
    }

    fn forced(self, until: Option<Instant>) -> Option<Forced> {
        let closed = match self {
            Self::ForceOpen => false,
            Self::ForceClosed => true,
            Self::Lift => return None,
        };
        Some(Forced { closed, until })
    }
}

impl Control {
    /// Overrides a breaker, or lifts the override. `faults` are those that the door has found while it read the message.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every fault.
    pub fn set_breaker(
        &self,
        decided: BreakerOverride,
        mut faults: Faults,
    ) -> Result<BreakerView, Error> {
        let BreakerOverride {
            provider,
            model,
            decision,
            ttl,
            comment,
            peer,
        } = decided;
        let routes = self.dispatcher.routes();
        let of_provider = routes.provider(&provider);
        if of_provider.is_none() {
            let names = names(&self.dispatcher);
            faults.add(
                "provider",
                format_args!("must be the name of a provider; {names}"),
            );
        }
        let of_target = routes
            .target(&model)
            .filter(|guarded| guarded.target.provider.name == provider);
        if !model.is_empty() && of_target.is_none() {
            faults.add(
                "model",
                "must be the id of a model of this provider, or empty for the provider's endpoint",
            );
        }
        if ttl.is_some_and(|ttl| ttl.is_zero() || ttl > MAX_TTL) {
            faults.add(
                "ttl",
                "must be more than 0 seconds and at most 365 days; leave it out for a decision without an end",
            );
        }
        if ttl.is_some() && decision == Some(OperatorDecision::Lift) {
            faults.add(
                "ttl",
                "leave it out to lift the decision now, or set `state` to a state that holds for this time",
            );
        }
        if comment.chars().count() > MAX_COMMENT || comment.chars().any(char::is_control) {
            faults.add(
                "comment",
                format_args!("use at most {MAX_COMMENT} characters and no control characters"),
            );
        }
        let found = faults.or(of_provider.zip(decision))?;
        let (of_provider, decision) = found.ok_or(Error::Internal(
            "a breaker is overridden without a decision",
        ))?;

        let until = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        let forced = decision.forced(until);
        let (changed, breaker) = match of_target {
            Some(guarded) => (guarded.health.force(forced), of_model(guarded)),
            None => (of_provider.force(forced), of_endpoint(&routes, of_provider)),
        };
        if changed {
            info!(
                provider,
                model,
                decision = decision.name(),
                ttl = ttl.map(tracing::field::debug),
                %peer,
                comment,
                "an operator sets a breaker"
            );
        }
        Ok(breaker)
    }
}
