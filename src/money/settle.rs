//! What is charged for an attempt that has ended, and what does it cost?

use std::time::SystemTime;

use crate::chat::{ServedTier, ServiceTier, Usage};
use crate::error::Billing;

use super::cost::{Cost, CostSource};
use super::estimate::{Ceiling, Forecast};
use super::price::{PriceKey, Prices};

/// A difference between the cost by prices and the cost that the provider reports is noted above this amount, in nano-USD ...
const LEAST_DIVERGENCE: u64 = 1_000;

/// ... and above one of this many parts of the larger of the two: 2 %.
const PARTS_OF_DIVERGENCE: u64 = 50;

/// Which cost counts where both are known: that by the prices, or the one that the provider reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CostFrom {
    /// That by the prices.
    #[default]
    Catalogue,
    /// The one that the provider reports.
    Provider,
}

/// How an attempt ended, as far as that decides what is charged for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnding {
    /// With its whole answer.
    Complete,
    /// With a whole answer that has no content.
    Empty,
    /// It failed. This is charged for such a failure if no event of an answer came before it.
    Failed(Billing),
    /// The service ended it, because its provider was silent for too long. As for a failure, this is charged for it if no
    /// event of an answer came before.
    TimedOut(Billing),
    /// The service ended it, because its answer was not wanted any more.
    Stopped,
}

/// What becomes of an attempt that the service ends, and what its provider charges for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// Its connection is closed. The provider charges what it has done until then.
    #[default]
    Cancel,
    /// If its call has ended, the answer is read on for a while, so that the provider reports what it charges. What was
    /// not read to its end by then is charged like [`OnDisconnect::Cancel`].
    Drain,
    /// Its connection is closed. The provider charges nothing.
    CancelFree,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub struct AttemptEnd {
    /// How it ended.
    pub ending: AttemptEnding,
    /// Whether content had arrived.
    pub has_content: bool,
    /// Bytes of text that had arrived.
    pub content_bytes: u64,
    /// What was expected of it; without, nothing is estimated.
    pub forecast: Option<Forecast>,
    /// What is charged for it if the service ended it.
    pub on_disconnect: OnDisconnect,
    /// What is charged where no price is known.
    pub ceiling: Option<Ceiling>,
    /// What the provider counted last.
    pub usage: Option<Usage>,
    /// What the provider says it cost, in nano-USD.
    pub provider_nanos: Option<i64>,
    /// Whether the request asks for something that may be charged for and that `usage` does not tell.
    pub may_cost_more: bool,
    /// When it began.
    pub began: SystemTime,
}

/// What an attempt used and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What the provider counted, free of contradictions, and estimates of what it did not count. `None` if nothing is
    /// charged for, or nothing is known.
    pub usage: Option<Usage>,
    /// What the provider charges for.
    pub class: Billing,
    /// What it costs.
    pub cost: Cost,
    /// What the provider says it costs.
    pub provider_cost: Option<Cost>,
    /// The cost by the prices in nano-USD, if it is known and clearly differs from what the provider says.
    pub diverging_nanos: Option<i64>,
    /// Whether prices alone tell the whole cost: nothing was used that is charged for in another way.
    pub is_priceable: bool,
}

/// Settles an attempt that has ended, at the prices of its model.
pub fn settle(end: &AttemptEnd, prices: Option<&Prices>, cost_from: CostFrom) -> Settled {
    let class = class(end);
    let usage = usage(end, class);
    let computed = match class {
        Billing::Zero => Cost::NOTHING,
        Billing::Actual | Billing::Partial | Billing::Uncertain => {
            computed(end, &usage.unwrap_or_default(), prices)
        }
    };
    let by_provider = end.provider_nanos.map(Cost::of_provider);
    let is_known = computed.source() != CostSource::Unknown;
    let cost = match (by_provider, cost_from) {
        (Some(by_provider), CostFrom::Provider) => by_provider,
        (Some(by_provider), CostFrom::Catalogue) if !is_known => by_provider,
        (Some(_), CostFrom::Catalogue) | (None, _) => computed,
    };
    // What was estimated says nothing about the prices.
    let is_comparable = computed.source() == CostSource::Prices;
    Settled {
        usage,
        class,
        cost,
        provider_cost: by_provider,
        diverging_nanos: by_provider
            .filter(|by_provider| is_comparable && differs(computed.nanos(), by_provider.nanos()))
            .map(|_| computed.nanos()),
        is_priceable: !end.may_cost_more && usage.is_none_or(|usage| !has_other_parts(&usage)),
    }
}

/// What an attempt costs whose price was not known when it ended, by prices that are known now.
pub fn price_again(usage: &Usage, prices: &Prices, began: SystemTime) -> Cost {
    let cost = priced(usage, prices, began);
    match usage.is_estimated {
        true => cost.estimated(),
        false => cost,
    }
}

/// Whether there are tokens of sound, or of pictures that were made, for which no price has a rate.
fn has_other_parts(usage: &Usage) -> bool {
    let counts = [
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        usage.image_output_tokens,
    ];
    counts.into_iter().flatten().any(|count| count > 0)
}

/// What the provider counted, and estimates of the rest.
fn usage(end: &AttemptEnd, class: Billing) -> Option<Usage> {
    let reported = end.usage.map(Usage::consistent);
    let is_whole = match end.ending {
        AttemptEnding::Complete | AttemptEnding::Empty => true,
        AttemptEnding::Failed(_) | AttemptEnding::TimedOut(_) | AttemptEnding::Stopped => false,
    };
    match (class, end.forecast) {
        (Billing::Zero, _) => None,
        (_, None) => reported,
        (_, Some(forecast)) => Some(forecast.complete(reported, end.content_bytes, is_whole)),
    }
}

/// The cost by the prices, or by the ceiling where no price is known.
fn computed(end: &AttemptEnd, usage: &Usage, prices: Option<&Prices>) -> Cost {
    let cost = prices.map_or(Cost::UNKNOWN, |prices| priced(usage, prices, end.began));
    let cost = match usage.is_estimated {
        true => cost.estimated(),
        false => cost,
    };
    let cost = match end.may_cost_more {
        true => cost.in_part(),
        false => cost,
    };
    match (cost.source(), end.ceiling) {
        (CostSource::Unknown, Some(ceiling)) => {
            let count = |tokens: Option<u64>| tokens.unwrap_or(0);
            let tokens = count(usage.input_tokens).saturating_add(count(usage.output_tokens));
            Cost::by_ceiling(ceiling.nanos(tokens).max(cost.nanos()))
        }
        _ => cost,
    }
}

/// What the provider charges for.
fn class(end: &AttemptEnd) -> Billing {
    let has_usage = end.usage.is_some();
    let has_begun = end.has_content || has_usage;
    match end.ending {
        AttemptEnding::Stopped | AttemptEnding::TimedOut(_)
            if end.on_disconnect == OnDisconnect::CancelFree =>
        {
            Billing::Zero
        }
        AttemptEnding::Complete | AttemptEnding::Empty if has_usage => Billing::Actual,
        AttemptEnding::Complete | AttemptEnding::Empty => Billing::Uncertain,
        AttemptEnding::Failed(class) | AttemptEnding::TimedOut(class) if !has_begun => class,
        AttemptEnding::Failed(_) | AttemptEnding::TimedOut(_) => Billing::Partial,
        AttemptEnding::Stopped if has_begun => Billing::Partial,
        AttemptEnding::Stopped => Billing::Uncertain,
    }
}

/// The cost of these counts at the prices that held when the attempt began.
fn priced(usage: &Usage, prices: &Prices, began: SystemTime) -> Cost {
    let tier = match usage.service_tier {
        None => ServiceTier::Standard,
        Some(ServedTier::Known(tier)) => tier,
        Some(ServedTier::Other) => return Cost::UNKNOWN,
    };
    let key = PriceKey {
        tier,
        input_tokens: usage.input_tokens,
        at: began,
    };
    let Some(rates) = prices.rates(&key) else {
        return Cost::UNKNOWN;
    };
    let (nanos, is_whole) = rates.cost_nanos(usage);
    Cost::by_prices(nanos, is_whole, prices.version())
}

fn differs(one: i64, other: i64) -> bool {
    let apart = one.abs_diff(other);
    let larger = one.unsigned_abs().max(other.unsigned_abs());
    apart > LEAST_DIVERGENCE && apart > larger / PARTS_OF_DIVERGENCE
}
