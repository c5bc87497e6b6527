//! Reads one price: rates for tokens, fees for tools and attempts, as decimal numbers of which no digit is lost.

use crate::chat::ServiceTier;
use crate::money::{Ceiling, HIGHEST_FEE, HIGHEST_RATE, Price, Rates, ToolFees, Validity, decimal};

use super::table::{Table, Value};

/// The word for "as much as input that no cache served".
const AS_INPUT: &str = "input";

/// The keys of the rates that a price may set to [`AS_INPUT`].
const CACHE_KEYS: [&str; 3] = [
    "cache_read_input",
    "cache_write_input",
    "cache_write_long_input",
];

/// The currency in which amounts are written, by the USD that one unit of it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Currency {
    /// In nano-USD.
    worth: u64,
}

impl Currency {
    /// The one in which the service counts.
    pub(super) const USD: Self = Self {
        worth: 1_000_000_000,
    };

    /// Reads what one unit is worth in USD.
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let text = value.decimal()?;
        let worth = decimal::exact(text, 9).filter(|worth| (1..=HIGHEST_FEE).contains(worth));
        if worth.is_none() {
            value.place.wrong(
                "not an exchange rate",
                "write what one unit is worth in USD, with at most 9 decimals, such as \"0.1389\"",
            );
        }
        Some(Self { worth: worth? })
    }

    /// An amount of it in USD, both in the same small unit; rounded to the nearest.
    fn in_usd(self, amount: u64) -> u64 {
        let product = u128::from(amount) * u128::from(self.worth);
        let rounded = (product + 500_000_000) / 1_000_000_000;
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }
}

/// Reads the `price` of a model: the prices of all its tiers, which always hold.
pub(super) fn of_model(mut table: Table<'_>) -> Option<Vec<Price>> {
    let mut prices = Vec::new();
    let mut tiers = table.section("tiers");
    for tier in [ServiceTier::Priority, ServiceTier::Flex, ServiceTier::Batch] {
        let rates = tiers.optional(tier.name(), |value| {
            let mut table = value.table()?;
            let rates = whole_rates(&mut table);
            table.finish();
            rates
        });
        prices.extend(rates.map(|rates| Price {
            holds: Validity::always(tier),
            rates,
        }));
    }
    tiers.finish();
    let rates = whole_rates(&mut table);
    table.finish();
    prices.push(Price {
        holds: Validity::always(ServiceTier::Standard),
        rates: rates?,
    });
    Some(prices)
}

/// Rates that say at least what input and output cost.
fn whole_rates(table: &mut Table<'_>) -> Option<Rates> {
    for (key, remedy) in [
        ("input", "give USD for a million input tokens"),
        ("output", "give USD for a million output tokens"),
    ] {
        if !table.has(key) {
            table.place.absent(format!("`{key}` is missing"), remedy);
        }
    }
    let rates = rates(table, Currency::USD);
    (rates.input.is_some() && rates.output.is_some()).then_some(rates)
}

/// Reads rates, of which each may be absent: then it is not known.
pub(super) fn rates(table: &mut Table<'_>, currency: Currency) -> Rates {
    let rate = |value: &Value<'_>| per_million(value, currency);
    let input = table.optional("input", rate);
    let [read, write, write_long] = CACHE_KEYS.map(|key| {
        table.optional(key, |value| match value.text() {
            Some(AS_INPUT) => input,
            Some(_) | None => rate(value),
        })
    });
    let output = table.optional("output", rate);
    let reasoning_output = table.optional("reasoning_output", rate);
    let fee = |value: &Value<'_>| fee(value, currency);
    let mut tools = table.section("tools");
    let fees = ToolFees {
        web_search: tools.optional("web_search", fee),
        web_fetch: tools.optional("web_fetch", fee),
        code_execution: tools.optional("code_execution", fee),
        file_search: tools.optional("file_search", fee),
    };
    tools.finish();
    Rates {
        input,
        output,
        cache_read_input: read,
        cache_write_input: write,
        cache_write_long_input: write_long,
        reasoning_output,
        tools: fees,
        request_nanos: table.or("request", 0, fee),
    }
}

/// What is set aside and charged for a million tokens of either kind where no price is known.
pub(super) fn ceiling(value: &Value<'_>) -> Option<Ceiling> {
    // Micro-USD for a million tokens.
    let rate = per_million(value, Currency::USD)?;
    Some(Ceiling(rate.saturating_mul(1_000)))
}

/// A price for a million tokens, as pico-USD for one.
fn per_million(value: &Value<'_>, currency: Currency) -> Option<u64> {
    let rate = decimal::exact(value.decimal()?, 6).map(|rate| currency.in_usd(rate));
    let rate = rate.filter(|rate| *rate <= HIGHEST_RATE);
    if rate.is_none() {
        value.place.wrong(
            "not a price for a million tokens",
            "write a number from 0 to 1000000 with at most 6 decimals, such as 2.5",
        );
    }
    rate
}

/// An amount of USD, in nano-USD.
pub(super) fn amount(value: &Value<'_>) -> Option<i64> {
    let amount = decimal::exact(value.decimal()?, 9).filter(|amount| *amount <= HIGHEST_FEE);
    if amount.is_none() {
        value.place.wrong(
            "not an amount of USD",
            "write a number from 0 to 1000000 with at most 9 decimals, such as 0.5",
        );
    }
    i64::try_from(amount?).ok()
}

/// A price for one use, in nano-USD.
fn fee(value: &Value<'_>, currency: Currency) -> Option<u64> {
    let fee = decimal::exact(value.decimal()?, 9).map(|fee| currency.in_usd(fee));
    let fee = fee.filter(|fee| *fee <= HIGHEST_FEE);
    if fee.is_none() {
        value.place.wrong(
            "not a price for one use",
            "write a number from 0 to 1000000 with at most 9 decimals, such as 0.01",
        );
    }
    fee
}
