//! How is what was charged written as comma-separated values with the columns of FOCUS 1.2?
//!
//! The columns, their order and the rules for empty cells: <https://focus.finops.org/focus-specification/v1-2/>. Columns that
//! begin with `x_` are this service's own.

use std::sync::Arc;

use jiff::{Span, Timestamp, tz::TimeZone};

use super::csv::CsvLine;
use super::decimal;
use super::split::Meter;

/// The names of the columns, in the order of [`write`].
const COLUMNS: [&str; 46] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingAccountType",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "Tags",
    "x_Attempts",
    "x_Waste",
    "x_Estimated",
    "x_CostUnknown",
    "x_PriceVersion",
    "x_Caller",
    "x_Model",
    "x_ServiceTier",
    "x_CallId",
    "x_AttemptNumber",
];

/// Whose charge it is. Ids that are not set are empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Payer {
    pub(super) organisation: Arc<str>,
    pub(super) team: Arc<str>,
    pub(super) caller: Arc<str>,
}

impl Payer {
    /// The account at the top, and what it is: every charge has one.
    fn top(&self) -> (&str, &'static str) {
        match (&*self.organisation, &*self.team) {
            ("", "") => (&self.caller, "Caller"),
            ("", team) => (team, "Team"),
            (organisation, _) => (organisation, "Organisation"),
        }
    }
}

/// The key of a line; lines are written in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineKey {
    /// Whether it changes a charge that may be in an earlier export.
    pub(super) is_correction: bool,
    pub(super) payer: Payer,
    pub(super) scenario: Arc<str>,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) tier: &'static str,
    pub(super) price_version: Arc<str>,
    /// Labels as a JSON object, sorted by key.
    pub(super) labels: Arc<str>,
    pub(super) is_waste: bool,
    pub(super) is_estimated: bool,
    pub(super) is_unknown: bool,
    pub(super) meter: Meter,
    /// In units of 10^-12 USD.
    pub(super) unit_price: Option<i128>,
}

/// What a line sums up. Money in units of 10^-12 USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineSums {
    pub(super) quantity: i128,
    pub(super) cost: i128,
    pub(super) attempts: i64,
}

/// The call and the number of an attempt that has a line of its own.
pub(super) type OneAttempt = (String, i64);

/// The hour in which something was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChargeHour {
    begin: String,
    end: String,
    month_begin: String,
    month_end: String,
}

impl ChargeHour {
    /// The hour of UTC that begins at this moment, in seconds since 1970; `None` beyond the calendar.
    pub(super) fn beginning(second: i64) -> Option<Self> {
        let begin = Timestamp::from_second(second).ok()?;
        let end = Timestamp::from_second(second + 3_600).ok()?;
        let first = begin
            .to_zoned_datetime(TimeZone::UTC)
            .date()
            .first_of_month();
        let next = first.checked_add(Span::new().months(1)).ok()?;
        let midnight = |date: jiff::civil::Date| {
            let midnight = date.to_zoned_datetime(TimeZone::UTC).ok()?;
            Some(midnight.timestamp().to_string())
        };
        Some(Self {
            begin: begin.to_string(),
            end: end.to_string(),
            month_begin: midnight(first)?,
            month_end: midnight(next)?,
        })
    }
}

/// The line with the names of the columns.
pub(super) fn header(out: &mut Vec<u8>) {
    let mut line = CsvLine::begin(out);
    for column in COLUMNS {
        line.own(column);
    }
    line.end();
}

/// The line of a charge.
pub(super) fn charge(
    out: &mut Vec<u8>,
    hour: &ChargeHour,
    key: &LineKey,
    sums: &LineSums,
    attempt: Option<&OneAttempt>,
) {
    let LineKey {
        is_correction,
        payer,
        scenario,
        provider,
        model,
        tier,
        price_version,
        labels,
        is_waste,
        is_estimated,
        is_unknown,
        meter,
        unit_price,
    } = key;
    let LineSums {
        quantity,
        cost,
        attempts,
    } = sums;
    let sku = format!("{model}/{}", meter.name());
    let unit_price_text = unit_price.map(decimal::usd).unwrap_or_default();
    let price_id = match unit_price {
        Some(_) => format!("{sku}/{tier}/{price_version}/{unit_price_text}"),
        None => String::new(),
    };
    write(
        out,
        hour,
        payer,
        &decimal::usd(*cost),
        &Cells {
            category: "Usage",
            class: class(*is_correction),
            description: &format!("{} of {model} at {provider}", described(*meter)),
            frequency: "Usage-Based",
            quantity: &quantity.to_string(),
            unit: meter.unit(),
            unit_price: &unit_price_text,
            pricing_category: match unit_price {
                Some(_) => "Standard",
                None => "Other",
            },
            scenario,
            provider,
            sku: &sku,
            meter: meter.name(),
            price_id: &price_id,
            labels,
            attempts: &attempts.to_string(),
            is_waste: flag(*is_waste),
            is_estimated: flag(*is_estimated),
            is_unknown: flag(*is_unknown),
            price_version,
            model,
            tier,
            attempt,
        },
    );
}

/// The line that carries the rounding of an hour of a caller: what its attempts cost in whole nano-USD, less the quantities
/// times the unit prices.
pub(super) fn rounding(
    out: &mut Vec<u8>,
    hour: &ChargeHour,
    payer: &Payer,
    is_correction: bool,
    cost: i128,
) {
    write(
        out,
        hour,
        payer,
        &decimal::usd(cost),
        &Cells {
            category: "Adjustment",
            class: class(is_correction),
            description: "rounding of each attempt to whole nano-USD",
            frequency: "Usage-Based",
            scenario: "Modelway",
            provider: "Modelway",
            labels: "{}",
            is_waste: "false",
            is_estimated: "false",
            is_unknown: "false",
            ..Cells::default()
        },
    );
}

/// The cells that differ between the kinds of lines.
#[derive(Default)]
struct Cells<'c> {
    category: &'static str,
    /// Empty: a charge of its own, which corrects none.
    class: &'static str,
    description: &'c str,
    frequency: &'static str,
    quantity: &'c str,
    unit: &'static str,
    unit_price: &'c str,
    pricing_category: &'static str,
    scenario: &'c str,
    provider: &'c str,
    sku: &'c str,
    meter: &'static str,
    price_id: &'c str,
    labels: &'c str,
    attempts: &'c str,
    is_waste: &'static str,
    is_estimated: &'static str,
    is_unknown: &'static str,
    price_version: &'c str,
    model: &'c str,
    tier: &'static str,
    attempt: Option<&'c OneAttempt>,
}

fn write(out: &mut Vec<u8>, hour: &ChargeHour, payer: &Payer, cost: &str, cells: &Cells<'_>) {
    let (account, account_type) = payer.top();
    let (sub_account, sub_account_type) = match &*payer.team {
        "" => ("", ""),
        team => (team, "Team"),
    };
    // A service without a name is a model that was called by its own.
    let service = match cells.scenario {
        "" => cells.model,
        scenario => scenario,
    };
    let number = cells.attempt.map(|(_, number)| number.to_string());
    let mut line = CsvLine::begin(out);
    line.own(cost)
        .text(account)
        .text(account)
        .own(account_type)
        .own("USD")
        .own(&hour.month_end)
        .own(&hour.month_begin)
        .own(cells.category)
        .own(cells.class)
        .text(cells.description)
        .own(cells.frequency)
        .own(&hour.end)
        .own(&hour.begin)
        .own(cells.quantity)
        .own(cells.unit)
        .own(cost)
        .own(cells.unit_price)
        .own(cost)
        .text(cells.provider)
        .own(cost)
        .own(cells.unit_price)
        .own(cells.pricing_category)
        .own(cells.quantity)
        .own(cells.unit)
        .text(cells.provider)
        .text(cells.provider)
        .own("AI and Machine Learning")
        .text(service)
        .own("Generative AI")
        .text(cells.sku)
        .own(cells.meter)
        .text(cells.price_id)
        .text(sub_account)
        .text(sub_account)
        .own(sub_account_type)
        .text(cells.labels)
        .own(cells.attempts)
        .own(cells.is_waste)
        .own(cells.is_estimated)
        .own(cells.is_unknown)
        .own(cells.price_version)
        .text(&payer.caller)
        .text(cells.model)
        .own(cells.tier)
        .own(cells.attempt.map_or("", |(call, _)| call))
        .own(number.as_deref().unwrap_or_default());
    line.end();
}

/// A later version of a row is a correction, whichever month it is about: an export of it may have been handed on.
fn class(is_correction: bool) -> &'static str {
    if is_correction { "Correction" } else { "" }
}

fn flag(is_set: bool) -> &'static str {
    if is_set { "true" } else { "false" }
}

fn described(meter: Meter) -> &'static str {
    match meter {
        Meter::Input => "input tokens",
        Meter::CacheRead => "input tokens read from a cache",
        Meter::CacheWrite => "input tokens written to a cache",
        Meter::CacheWrite1h => "input tokens written to a cache for an hour or more",
        Meter::Output => "output tokens",
        Meter::Reasoning => "output tokens spent on reasoning",
        Meter::WebSearch => "searches of the web",
        Meter::WebFetch => "pages fetched",
        Meter::CodeExecution => "runs of code",
        Meter::FileSearch => "searches of files",
        Meter::Request => "requests",
        Meter::Total => "all tokens",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payer(organisation: &str, team: &str) -> Payer {
        Payer {
            organisation: organisation.into(),
            team: team.into(),
            caller: "indexer".into(),
        }
    }

    #[test]
    fn every_line_has_a_cell_for_each_column() {
        let hour = ChargeHour::beginning(1_795_867_200).unwrap();
        let mut out = Vec::new();
        header(&mut out);
        rounding(&mut out, &hour, &payer("shop", "search"), false, -500);
        let text = String::from_utf8(out).unwrap();

        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();

        assert_eq!(lines[0].len(), COLUMNS.len());
        assert_eq!(lines[1].len(), COLUMNS.len());
        let cell = |name| lines[1][lines[0].iter().position(|column| *column == name).unwrap()];
        assert_eq!(cell("BilledCost"), "-0.000000000500");
        assert_eq!(cell("ChargeCategory"), "Adjustment");
        assert_eq!(cell("BillingAccountId"), "shop");
        assert_eq!(cell("SubAccountId"), "search");
        assert_eq!(cell("x_Caller"), "indexer");
        assert_eq!(cell("BillingPeriodStart"), "2026-11-01T00:00:00Z");
        assert_eq!(cell("BillingPeriodEnd"), "2026-12-01T00:00:00Z");
        assert_eq!(cell("ChargePeriodStart"), "2026-11-28T12:00:00Z");
        assert_eq!(cell("ChargePeriodEnd"), "2026-11-28T13:00:00Z");
    }

    #[test]
    fn the_billing_account_is_the_highest_one() {
        assert_eq!(payer("shop", "search").top(), ("shop", "Organisation"));
        assert_eq!(payer("", "search").top(), ("search", "Team"));
        assert_eq!(payer("", "").top(), ("indexer", "Caller"));
    }
}
