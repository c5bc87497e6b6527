//! How does an attempt start? Every attempt goes through here before any of it is sent.

use std::sync::Arc;

use tracing::debug;

use crate::chat::Adaptation;
use crate::error::Error;
use crate::provider::{OutboundRequest, Trace};
use crate::telemetry::observe::{ObservedAttempt, ObservedCall};
use crate::telemetry::spans::AttemptDescription;
use crate::trail::AttemptRecord;
use crate::workshop::Workshop;

use super::attempt::{Attempt, Beginning};
use super::plan::{Admitted, Plan, record_of};
use super::tokens::TokenHold;

/// An attempt that has sent nothing yet.
pub(super) struct Started {
    pub(super) attempt: Box<Attempt>,
    pub(super) request: OutboundRequest,
}

/// Starts an attempt: gives it a number, a span and its limits, and spends its retry token. Sends nothing. If this
/// future is dropped, the attempt does not count.
///
/// # Errors
/// The attempt must not be sent.
pub(super) async fn start(
    plan: &mut Plan,
    tokens: &mut TokenHold,
    call: &ObservedCall,
    workshop: &Workshop,
    admitted: Admitted,
) -> Result<Started, Error> {
    let Admitted {
        permit,
        wire,
        kind,
        allowance,
    } = admitted;
    let target = Arc::clone(permit.target());
    let mut wire = match wire {
        Some(wire) => wire,
        None => {
            let cap = allowance.cap.map(|cap| cap.tokens);
            let spelling = plan.asked.spell_heavy(&target, workshop, cap);
            plan.in_time(spelling).await?
        }
    };
    let stream = plan.asked.wants_stream_of(&target);
    let mut record = AttemptRecord {
        number: plan.cursor.started() + 1,
        is_streamed: !plan.asked.whole,
        reserved_nanos: allowance.nanos,
        reserved_tokens: allowance.forecast.map(|forecast| forecast.most_tokens()),
        ..record_of(&target, kind, permit.breaker_state())
    };
    let description = AttemptDescription {
        record: &record,
        request: &plan.asked.request,
        stream,
        server: target.provider.server(),
    };
    let reserved = plan
        .spending
        .reserved(&allowance, &plan.trail.call_id, record.number);
    let observed = ObservedAttempt::begin(call, &description, reserved).await?;
    record.span_id = observed.context().span_id_hex();
    debug!(
        call_id = plan.trail.call_id,
        attempt = record.number,
        model = record.target,
        kind = record.kind.name(),
        breaker = record.breaker.name(),
        "attempt begins"
    );
    let trace = target.provider.propagate_trace.then(|| Trace {
        parent: observed.context().to_string(),
        state: call.span().and_then(|span| span.state().header()),
    });
    let mut adaptations = std::mem::take(&mut wire.adaptations);
    let shortened = match allowance.cap {
        Some(cap) => Some(cap.by.what()),
        None if plan.asked.needs.is_shortened => Some("lowered to what the scenario allows"),
        None => None,
    };
    adaptations.extend(shortened.map(|what| Adaptation {
        field: "sampling.max_output_tokens".into(),
        what,
    }));
    let request = target.provider.address(wire, trace);
    if plan.cursor.started() > 0 {
        tokens.spend();
    }
    plan.cursor.start(permit.position(), kind);
    plan.spending.begin(allowance.nanos);
    let (limits, hurried) = plan.limits_of_attempt(&target, stream, kind, tokens);
    let attempt = Attempt::begin(Beginning {
        permit,
        observed,
        record,
        adaptations,
        allowance,
        limits,
        hurried,
        deadline: plan.limits.time.deadline,
    });
    Ok(Started { attempt, request })
}
