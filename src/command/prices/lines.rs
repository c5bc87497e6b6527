//! How are prices shown to people?

use crate::command::console::shown;
use crate::command::records::{Cell, table, time_text, usd};
use crate::grpc::v1;

use super::import::places;

/// Prices, a line for each under a line of titles.
pub(super) fn table_of(prices: &[v1::Price]) -> String {
    let heads = [
        "MODEL",
        "TIER",
        "ABOVE",
        "FROM",
        "UNTIL",
        "INPUT",
        "OUTPUT",
        "CACHE READ",
        "CACHE WRITE",
        "SOURCE",
    ];
    let heads = heads.map(str::to_owned);
    let rows: Vec<_> = prices.iter().map(row).collect();
    table(&heads, &rows).trim_end().to_owned()
}

fn row(price: &v1::Price) -> Vec<Cell> {
    let tier = price.service_tier().as_str_name();
    let tier = tier
        .trim_start_matches("SERVICE_TIER_")
        .to_ascii_lowercase();
    let time = |time: Option<prost_types::Timestamp>| {
        time.map_or_else(String::new, |time| {
            time_text(time.seconds.saturating_mul(1_000_000))
        })
    };
    // Micro-USD for a million tokens.
    let rate = |rate: Option<i64>| {
        let text = rate.map(|rate| places(rate.unsigned_abs(), 6));
        Cell::Number(text.unwrap_or_else(|| "unknown".to_owned()))
    };
    vec![
        Cell::Name(price.model.clone()),
        Cell::Name(tier),
        Cell::Number(price.input_tokens_above.to_string()),
        Cell::Name(time(price.start_time)),
        Cell::Name(time(price.end_time)),
        rate(price.input_pico),
        rate(price.output_pico),
        rate(price.cache_read_pico),
        rate(price.cache_write_pico),
        Cell::Name(price.source.clone()),
    ]
}

/// What was put, and what ends because of it.
pub(super) fn ended(done: &v1::PutPricesResponse, dry_run: bool) -> String {
    let v1::PutPricesResponse {
        prices_version,
        ended,
        prices,
    } = done;
    let verb = if dry_run { "would be put" } else { "put" };
    let mut text = format!("{} prices {verb}, version {prices_version}\n", prices.len());
    text += &table_of(prices);
    if !ended.is_empty() {
        let verb = if dry_run { "would end" } else { "end" };
        text += &format!("\n{} prices {verb}\n{}", ended.len(), table_of(ended));
    }
    shown(&text).into_owned()
}

/// What became known.
pub(super) fn unknown(done: &v1::PriceUnknownResponse, dry_run: bool) -> String {
    let v1::PriceUnknownResponse {
        attempts,
        still_unknown,
        added,
        calls,
    } = done;
    let added = usd(added.as_ref().map_or(0, |cost| cost.amount_nanos));
    let verb = if dry_run {
        "would be known"
    } else {
        "known now"
    };
    format!(
        "cost {verb}: {attempts} attempts of {calls} calls, {added} USD\nstill unknown: {still_unknown} attempts"
    )
}
