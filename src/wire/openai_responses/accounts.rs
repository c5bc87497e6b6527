//! What did an answer use and cost: tokens, tools of the provider, the tier?

use serde_json::value::RawValue;

use crate::chat::{ChatEvent, ProviderToolUsage, Usage};
use crate::wire::json::{Count, Text, object};
use crate::wire::openai::cost::Usd;
use crate::wire::openai::usage::{Tier, TokenCounts};
use crate::wire::reported::Reported;

use super::reply::Response;

object! {
    /// What hosts say of money beside the counts.
    struct Cost<'a> {
        // OpenRouter, in USD.
        cost: Text<'a> = "cost",
        // xAI, in ten thousand millionths of a USD.
        ticks: Count = "cost_in_usd_ticks",
    }
}

/// Appends what the answer used and cost, as far as it says so.
pub(super) fn usage(
    response: &Response<'_>,
    tools: ProviderToolUsage,
    reported: &mut Reported,
    events: &mut Vec<ChatEvent>,
) {
    let Some(written) = response.usage else {
        return;
    };
    let counts: TokenCounts = serde_json::from_str(written.get()).unwrap_or_default();
    if let Some(counts) = counts.tally() {
        reported.usage(counts, events);
    }
    let last = events.iter_mut().rev().find_map(|event| match event {
        ChatEvent::Usage(usage) => Some(usage),
        _ => None,
    });
    if let Some(usage) = last {
        **usage = Usage {
            provider_tools: tools,
            service_tier: Tier::of(&response.service_tier.0).0,
            ..**usage
        };
    }
    events.extend(cost(written).map(ChatEvent::Cost));
}

/// In nano-USD.
fn cost(usage: &RawValue) -> Option<i64> {
    let Cost { cost, ticks } = serde_json::from_str(usage.get()).ok()?;
    if let Some(ticks) = ticks.0 {
        return i64::try_from(ticks / 10).ok();
    }
    Usd::of(&cost.0).nanos()
}
