//! How does the contract spell prices?

use std::time::SystemTime;

use tokio::time::Instant;

use crate::admin::{
    AdminError, ListedPrice, PricedUnknown, PricesWish, PutPrices, UnknownWish, WantedPrice,
};
use crate::chat::ServiceTier;
use crate::check::Faults;
use crate::grpc::{answer, v1};
use crate::limits::Now;
use crate::money::ToolFees;
use crate::money::{HIGHEST_FEE, HIGHEST_RATE, MOST_PROMPT, Price, PriceVersion, Rates, Validity};

use super::Work;
use super::convert::{self, FILE, STORE};
use super::pages::{AskedPage, page_after};

pub(super) fn list(
    work: &Work<'_>,
    request: v1::ListPricesRequest,
) -> Result<v1::ListPricesResponse, AdminError> {
    let v1::ListPricesRequest {
        page_size,
        page_token,
        model,
        at_time,
    } = request;
    let asked = AskedPage::read(page_size, page_token)?;
    let mut faults = Faults::default();
    let at = convert::time("at_time", at_time, &mut faults);
    convert::checked(faults)?;
    let (mut prices, version) = work.administration.prices()?;
    prices.retain(|listed| {
        (model.is_empty() || listed.model == model) && at.is_none_or(|at| listed.holds_at(at))
    });
    let prices: Vec<_> = prices
        .into_iter()
        .map(|listed| (listed.id(), listed))
        .collect();
    let (prices, next_page_token) = page_after(prices, &asked, |(id, _)| id)?;
    let prices = prices.into_iter();
    Ok(v1::ListPricesResponse {
        prices: prices.map(|(_, listed)| price(listed, version)).collect(),
        next_page_token,
    })
}

pub(super) fn put(
    work: &Work<'_>,
    request: v1::PutPricesRequest,
) -> Result<v1::PutPricesResponse, AdminError> {
    let v1::PutPricesRequest {
        prices,
        dry_run,
        comment,
    } = request;
    let mut faults = Faults::default();
    let wanted = prices.into_iter().enumerate();
    let wanted =
        wanted.map(|(at, price)| wanted_price(&format!("prices[{at}]"), price, &mut faults));
    let wish = PricesWish {
        prices: wanted.collect(),
        dry_run,
        comment,
    };
    convert::checked(faults)?;
    let done = work.administration.put_prices(work.by, &wish, work.now)?;
    Ok(put_prices(done))
}

/// How the contract spells what was put.
pub(crate) fn put_prices(done: PutPrices) -> v1::PutPricesResponse {
    let PutPrices {
        put,
        ended,
        version,
    } = done;
    let spelled =
        |prices: Vec<ListedPrice>| prices.into_iter().map(|listed| price(listed, version));
    v1::PutPricesResponse {
        prices_version: version
            .map(|version| version.to_string())
            .unwrap_or_default(),
        ended: spelled(ended).collect(),
        prices: spelled(put).collect(),
    }
}

/// How the contract spells a price that is wanted.
pub(crate) fn wanted_spelled(wanted: &WantedPrice) -> v1::Price {
    let WantedPrice {
        model,
        holds,
        rates,
    } = wanted;
    let listed = ListedPrice {
        model: model.clone(),
        price: Price {
            holds: *holds,
            rates: *rates,
        },
        is_of_file: false,
    };
    v1::Price {
        source: String::new(),
        ..price(listed, None)
    }
}

pub(super) fn price_unknown(
    work: &Work<'_>,
    request: v1::PriceUnknownRequest,
) -> Result<v1::PriceUnknownResponse, AdminError> {
    let v1::PriceUnknownRequest {
        start_time,
        end_time,
        model,
        dry_run,
        comment,
    } = request;
    let mut faults = Faults::default();
    if start_time.is_none() {
        faults.add(
            "start_time",
            "it is required: attempts from this moment on are priced",
        );
    }
    let from = convert::time("start_time", start_time, &mut faults);
    let wish = UnknownWish {
        from: from.unwrap_or(work.now),
        until: convert::time("end_time", end_time, &mut faults),
        model: Some(model).filter(|model| !model.is_empty()),
        dry_run,
        comment,
    };
    convert::checked(faults)?;
    let done = work.administration.price_unknown(work.by, &wish, &now)?;
    Ok(priced(&done))
}

/// This moment, by both clocks.
fn now() -> Now {
    Now {
        wall: SystemTime::now(),
        mono: Instant::now(),
    }
}

/// How the contract spells what became known.
pub(crate) fn priced(done: &PricedUnknown) -> v1::PriceUnknownResponse {
    let PricedUnknown {
        attempts,
        calls,
        still_unknown,
        added_nanos,
        version,
    } = done;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let version = version.filter(|_| *attempts > 0);
    v1::PriceUnknownResponse {
        attempts: count(*attempts),
        still_unknown: count(*still_unknown),
        added: Some(v1::Cost {
            currency_code: "USD".to_owned(),
            amount_nanos: *added_nanos,
            source: v1::CostSource::PriceTable.into(),
            prices_version: version
                .map(|version| version.to_string())
                .unwrap_or_default(),
        }),
        calls: count(*calls),
    }
}

/// The price that a request describes.
fn wanted_price(path: &str, price: v1::Price, faults: &mut Faults) -> WantedPrice {
    let v1::Price {
        model,
        service_tier,
        input_tokens_above,
        start_time,
        end_time,
        input_pico,
        output_pico,
        cache_read_pico,
        cache_write_pico,
        cache_write_long_pico,
        reasoning_pico,
        tool_fees,
        request_nanos,
        source: _,
        prices_version: _,
    } = price;
    if model.is_empty() {
        faults.add(
            format_args!("{path}.model"),
            "it is required: the id of a model in the configuration",
        );
    }
    let tier = match v1::ServiceTier::try_from(service_tier) {
        Ok(v1::ServiceTier::Unspecified | v1::ServiceTier::Standard) => ServiceTier::Standard,
        Ok(v1::ServiceTier::Priority) => ServiceTier::Priority,
        Ok(v1::ServiceTier::Flex) => ServiceTier::Flex,
        Ok(v1::ServiceTier::Batch) => ServiceTier::Batch,
        Err(_) => {
            let what = "there is no such tier; use one of ServiceTier, or leave it out";
            faults.add(format_args!("{path}.service_tier"), what);
            ServiceTier::Standard
        }
    };
    let mut number = |field: &str, number: i64, most: u64| {
        let read = u64::try_from(number).ok().filter(|read| *read <= most);
        read.unwrap_or_else(|| {
            faults.add(
                format_args!("{path}.{field}"),
                format!("{number} is no such number; write 0 to {most}"),
            );
            0
        })
    };
    let input_tokens_above = number("input_tokens_above", input_tokens_above, MOST_PROMPT);
    let mut rate =
        |field: &str, rate: Option<i64>| rate.map(|rate| number(field, rate, HIGHEST_RATE));
    let mut rates = Rates {
        input: rate("input_pico", input_pico),
        output: rate("output_pico", output_pico),
        cache_read_input: rate("cache_read_pico", cache_read_pico),
        cache_write_input: rate("cache_write_pico", cache_write_pico),
        cache_write_long_input: rate("cache_write_long_pico", cache_write_long_pico),
        reasoning_output: rate("reasoning_pico", reasoning_pico),
        ..Rates::default()
    };
    let v1::ToolFees {
        web_search_nanos,
        web_fetch_nanos,
        code_execution_nanos,
        file_search_nanos,
    } = tool_fees.unwrap_or_default();
    let mut fee = |field: &str, fee: Option<i64>| {
        fee.map(|fee| number(&format!("tool_fees.{field}"), fee, HIGHEST_FEE))
    };
    rates.tools = ToolFees {
        web_search: fee("web_search_nanos", web_search_nanos),
        web_fetch: fee("web_fetch_nanos", web_fetch_nanos),
        code_execution: fee("code_execution_nanos", code_execution_nanos),
        file_search: fee("file_search_nanos", file_search_nanos),
    };
    rates.request_nanos = number("request_nanos", request_nanos, HIGHEST_FEE);
    WantedPrice {
        model,
        holds: Validity {
            tier,
            input_tokens_above,
            from: convert::time(&format!("{path}.start_time"), start_time, faults),
            until: convert::time(&format!("{path}.end_time"), end_time, faults),
        },
        rates,
    }
}

/// How the contract spells a price.
pub(crate) fn price(listed: ListedPrice, version: Option<PriceVersion>) -> v1::Price {
    let ListedPrice {
        model,
        price: Price { holds, rates },
        is_of_file,
    } = listed;
    let Validity {
        tier,
        input_tokens_above,
        from,
        until,
    } = holds;
    let Rates {
        input,
        output,
        cache_read_input,
        cache_write_input,
        cache_write_long_input,
        reasoning_output,
        tools,
        request_nanos,
    } = rates;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let rate = |rate: Option<u64>| rate.map(number);
    let ToolFees {
        web_search,
        web_fetch,
        code_execution,
        file_search,
    } = tools;
    v1::Price {
        model,
        service_tier: answer::tier(tier).into(),
        input_tokens_above: number(input_tokens_above),
        start_time: from.map(answer::timestamp),
        end_time: until.map(answer::timestamp),
        input_pico: rate(input),
        output_pico: rate(output),
        cache_read_pico: rate(cache_read_input),
        cache_write_pico: rate(cache_write_input),
        cache_write_long_pico: rate(cache_write_long_input),
        reasoning_pico: rate(reasoning_output),
        tool_fees: (tools != ToolFees::default()).then(|| v1::ToolFees {
            web_search_nanos: rate(web_search),
            web_fetch_nanos: rate(web_fetch),
            code_execution_nanos: rate(code_execution),
            file_search_nanos: rate(file_search),
        }),
        request_nanos: number(request_nanos),
        source: if is_of_file { FILE } else { STORE }.to_owned(),
        prices_version: version
            .map(|version| version.to_string())
            .unwrap_or_default(),
    }
}
