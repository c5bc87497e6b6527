//! Which parts make up the cost of an attempt, each a quantity times a unit price? Pure.

use std::time::{Duration, UNIX_EPOCH};

use crate::chat::{ProviderToolUsage, ServedTier, ServiceTier};
use crate::ledger::read::record::RecordedAttempt;
use crate::ledger::rows::{ESTIMATED_COST, Tokens, cost_source_number};
use crate::money::{CostSource, PriceKey, Prices, Rates, ToolFees};

use super::decimal::PICO_OF_NANO;

/// What a part is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meter {
    Input,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    Output,
    Reasoning,
    WebSearch,
    WebFetch,
    CodeExecution,
    FileSearch,
    Request,
    /// All of it: the amount is not made up of known parts, because the provider reported it or because it is not the whole.
    Total,
}

impl Meter {
    /// Its name, which ends the id of the SKU.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::WebSearch => "web_search",
            Self::WebFetch => "web_fetch",
            Self::CodeExecution => "code_execution",
            Self::FileSearch => "file_search",
            Self::Request => "request",
            Self::Total => "total",
        }
    }

    /// What its quantity counts.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Input
            | Self::CacheRead
            | Self::CacheWrite
            | Self::CacheWrite1h
            | Self::Output
            | Self::Reasoning
            | Self::Total => "Tokens",
            Self::WebSearch | Self::WebFetch | Self::CodeExecution | Self::FileSearch => "Uses",
            Self::Request => "Requests",
        }
    }
}

/// A part of what an attempt costs, in units of 10^-12 USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CostPart {
    pub(super) meter: Meter,
    pub(super) quantity: i128,
    /// `None` if it is not known, or if the amount is none of this service's prices.
    pub(super) unit_price: Option<i128>,
    pub(super) cost: i128,
}

/// The parts of what an attempt costs. Where quantities times unit prices do not make exactly its cost, it is one part.
pub(super) fn parts(attempt: &RecordedAttempt, prices: Option<&Prices>) -> Vec<CostPart> {
    let Some(cost) = attempt.cost else {
        return Vec::new();
    };
    let by_prices = [cost_source_number(CostSource::Prices), ESTIMATED_COST];
    if by_prices.contains(&cost.source)
        && let Some(rates) = prices.and_then(|prices| rates(attempt, prices))
    {
        let parts = priced(attempt, rates);
        let sum: i128 = parts.iter().map(|part| part.cost).sum();
        // As `money` rounds: half a nano up. All fees are whole nanos.
        if (sum + PICO_OF_NANO / 2).div_euclid(PICO_OF_NANO) == i128::from(cost.nanos) {
            return parts;
        }
    }
    let is_nothing = cost.nanos == 0 && by_prices.contains(&cost.source);
    let tokens = i128::from(attempt.tokens.total());
    match is_nothing && tokens == 0 {
        true => Vec::new(),
        false => vec![CostPart {
            meter: Meter::Total,
            quantity: tokens,
            unit_price: None,
            cost: i128::from(cost.nanos) * PICO_OF_NANO,
        }],
    }
}

/// The rates that held for the attempt.
fn rates<'p>(attempt: &RecordedAttempt, prices: &'p Prices) -> Option<&'p Rates> {
    let tier = match attempt.tier {
        None => ServiceTier::Standard,
        Some(ServedTier::Known(tier)) => tier,
        Some(ServedTier::Other) => return None,
    };
    let micros = u64::try_from(attempt.started_us).ok()?;
    prices.rates(&PriceKey {
        tier,
        input_tokens: attempt.tokens.input.and_then(|input| input.try_into().ok()),
        at: UNIX_EPOCH + Duration::from_micros(micros),
    })
}

/// The parts at these rates, those without a quantity left out.
fn priced(attempt: &RecordedAttempt, rates: &Rates) -> Vec<CostPart> {
    let Rates {
        input,
        output,
        cache_read_input,
        cache_write_input,
        cache_write_long_input,
        reasoning_output,
        tools,
        request_nanos,
    } = *rates;
    let ToolFees {
        web_search,
        web_fetch,
        code_execution,
        file_search,
    } = tools;
    let Tokens {
        input: prompt,
        output: answer,
        cache_read,
        cache_write,
        cache_write_1h,
        reasoning,
    } = attempt.tokens;
    let number = |count: Option<i64>| i128::from(count.unwrap_or(0).max(0));
    let (read, written, long) = (
        number(cache_read),
        number(cache_write),
        number(cache_write_1h),
    );
    let thought = number(reasoning);
    let ProviderToolUsage {
        web_searches,
        web_fetches,
        code_executions,
        file_searches,
    } = attempt.tool_uses();
    let nano = |fee: Option<u64>| fee.map(|fee| i128::from(fee) * PICO_OF_NANO);
    let pico = |rate: Option<u64>| rate.map(i128::from);
    let counted = [
        (
            Meter::Input,
            (number(prompt) - read - written).max(0),
            pico(input),
        ),
        (Meter::CacheRead, read, pico(cache_read_input)),
        (
            Meter::CacheWrite,
            (written - long).max(0),
            pico(cache_write_input),
        ),
        (Meter::CacheWrite1h, long, pico(cache_write_long_input)),
        (
            Meter::Output,
            (number(answer) - thought).max(0),
            pico(output),
        ),
        (Meter::Reasoning, thought, pico(reasoning_output.or(output))),
        (Meter::WebSearch, web_searches.into(), nano(web_search)),
        (Meter::WebFetch, web_fetches.into(), nano(web_fetch)),
        (
            Meter::CodeExecution,
            code_executions.into(),
            nano(code_execution),
        ),
        (Meter::FileSearch, file_searches.into(), nano(file_search)),
        (
            Meter::Request,
            i128::from(request_nanos > 0),
            nano(Some(request_nanos)),
        ),
    ];
    let counted = counted.into_iter().filter(|(_, quantity, _)| *quantity > 0);
    counted
        .map(|(meter, quantity, unit_price)| CostPart {
            meter,
            quantity,
            unit_price,
            cost: quantity * unit_price.unwrap_or(0),
        })
        .collect()
}
