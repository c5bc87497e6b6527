//! Reads `[prices]` and the file that it names, and gives each model all of its prices.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toml::de::DeTable;

use crate::calendar;
use crate::chat::ServiceTier;
use crate::dispatch::prices::CurrentPrices;
use crate::money::{MOST_PROMPT, PlacedPrice, Price, Prices, Validity};

use super::mistake::{Location, Mistakes, Notes};
use super::model;
use super::price::{self, Currency};
use super::reading;
use super::secret::{Surroundings, is_unchecked};
use super::table::{Table, Value};

/// The models of the file by id; `None` for one that is written but wrong.
pub(super) type WrittenModels<'a> = BTreeMap<&'a str, Option<model::WrittenModel<'a>>>;

/// A price, and where it is written.
struct WrittenPrice {
    price: Price,
    place: String,
}

/// Reads the prices that stand in a file of their own, and gives each model all of its prices. Returns all of them with
/// their places.
pub(super) fn assign<'a>(
    mut section: Table<'a>,
    models: &mut WrittenModels<'a>,
    surroundings: &Surroundings<'_>,
) -> Vec<PlacedPrice> {
    let mut prices: BTreeMap<String, Vec<WrittenPrice>> = BTreeMap::new();
    for (id, model) in &*models {
        let Some((written, place)) = model.as_ref().and_then(|model| model.price.as_ref()) else {
            continue;
        };
        let of_model = written.iter().map(|price| WrittenPrice {
            price: *price,
            place: place.shown(),
        });
        prices.insert((*id).to_owned(), of_model.collect());
    }
    section.optional("currency", |value| {
        let currency = value.string()?;
        if currency != "USD" {
            value.place.wrong(
                "costs are counted in USD alone",
                "leave it out; prices in another currency stand in the file of `[prices]`, with `currency` and \
                 `exchange`",
            );
        }
        Some(())
    });
    section.optional("file", |value| {
        let path = value.string()?;
        let shown = path.escape_debug().to_string();
        let text = match (surroundings.read_file)(Path::new(path)) {
            Ok(text) => text,
            Err(error) => {
                value.place.wrong(
                    format!(
                        "the file `{shown}` cannot be read: {}",
                        reading::why(&error)
                    ),
                    "store the prices there, readable for this process, or leave `file` out",
                );
                return None;
            }
        };
        if is_unchecked(&text) {
            return Some(());
        }
        if let Err(mistakes) = read(&text, &shown, Some(models), &mut prices) {
            for mistake in mistakes.iter() {
                let line = mistake.line;
                let path = match mistake.path.as_str() {
                    "" => String::new(),
                    path => format!("{path}: "),
                };
                let what = format!("line {line} of `{shown}`: {path}{}", mistake.what);
                value.place.wrong(what, mistake.remedy.clone());
            }
        }
        Some(())
    });
    section.finish();
    let together = prices.iter().map(|(id, prices)| {
        let prices = prices.iter().map(|written| written.price);
        (&**id, prices.collect())
    });
    for (id, prices) in Prices::together(together) {
        if let Some(Some(model)) = models.get_mut(id) {
            model.target.prices = CurrentPrices::new(prices);
        }
    }
    let placed = prices.into_iter().flat_map(|(id, prices)| {
        prices.into_iter().map(move |written| PlacedPrice {
            model: id.clone(),
            price: written.price,
            place: written.place,
        })
    });
    placed.collect()
}

/// The prices of a file of prices, whatever models there are.
///
/// # Errors
/// All mistakes in the file, a line for each.
pub fn price_list(text: &str, file: &str) -> Result<Vec<PlacedPrice>, Vec<String>> {
    let mut prices = BTreeMap::new();
    read(text, file, None, &mut prices).map_err(|mistakes| {
        let lines = mistakes.iter().map(|mistake| format!("{file}:{mistake}"));
        lines.collect::<Vec<_>>()
    })?;
    let placed = prices.into_iter().flat_map(|(model, prices)| {
        prices.into_iter().map(move |written| PlacedPrice {
            model: model.clone(),
            price: written.price,
            place: written.place,
        })
    });
    Ok(placed.collect())
}

/// Reads a file of prices and adds what it says to `prices`. Without `models`, any model may have a price.
///
/// # Errors
/// All mistakes in the file.
fn read(
    text: &str,
    file: &str,
    models: Option<&WrittenModels<'_>>,
    prices: &mut BTreeMap<String, Vec<WrittenPrice>>,
) -> Result<(), Mistakes> {
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    let notes = Notes::new(text, &syntax_errors);
    let mut root = Table::new(Location::root(&notes), Some(root.get_ref()));
    let exchange = root.section("exchange");
    let mut currencies = BTreeMap::from([("USD", Currency::USD)]);
    for (name, value) in exchange.named() {
        if name == "USD" {
            value
                .place
                .wrong("a USD is always worth one USD", "remove it");
        } else if let Some(currency) = Currency::read(&value) {
            currencies.insert(name, currency);
        }
    }
    let written = root.optional("price", |value| value.list());
    for value in written.iter().flatten() {
        let Some(mut table) = value.table() else {
            continue;
        };
        let model = table.required("model", "name a model of `[models]`", |value| {
            let id = value.string()?;
            match models {
                Some(models) if !models.contains_key(id) => {
                    value.place.absent(
                        format!("there is no model `{}`", id.escape_debug()),
                        value.place.advise(id, models.keys().copied()),
                    );
                    None
                }
                Some(_) | None => Some(id.to_owned()),
            }
        });
        let holds = holds(&mut table);
        let currency = table.or("currency", Some(Currency::USD), |value| {
            let name = value.string()?;
            let known = currencies.get(name).copied();
            if known.is_none() {
                value.place.wrong(
                    "no exchange rate of this currency is known",
                    "add it to `exchange`, such as `exchange.CNY = \"0.1389\"`: what one unit is worth in USD",
                );
            }
            Some(known)
        });
        let rates = price::rates(&mut table, currency.unwrap_or(Currency::USD));
        table.finish();
        let Some(model) = model else {
            continue;
        };
        let price = Price { holds, rates };
        let of_model = prices.entry(model.clone()).or_default();
        let other = of_model
            .iter()
            .find(|other| other.price.holds.overlaps(&holds));
        if let Some(other) = other {
            value.place.wrong(
                format!(
                    "the price of `{model}` at {} would hold for the same attempts",
                    other.place
                ),
                "end one before the other begins (`end_time`, `start_time`), or remove one: a price that was used is \
                 ended, never changed",
            );
            continue;
        }
        let place = format!("{} of `{file}`", value.place.shown());
        of_model.push(WrittenPrice { price, place });
    }
    root.finish();
    match notes.into_mistakes() {
        None => Ok(()),
        Some(mistakes) => Err(mistakes),
    }
}

fn holds(table: &mut Table<'_>) -> Validity {
    let tier = table.or("service_tier", ServiceTier::Standard, |value| {
        value.choice(&ServiceTier::ALL.map(|tier| (tier.name(), tier)))
    });
    let input_tokens_above = table.or("input_tokens_above", 0, |value| {
        value.whole(0..=MOST_PROMPT)
    });
    let from = table.optional("start_time", moment);
    let until = table.optional("end_time", moment);
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        table.place.wrong(
            "the price ends before it begins",
            "write an `end_time` after `start_time`",
        );
    }
    Validity {
        tier,
        input_tokens_above,
        from,
        until,
    }
}

/// A moment: a date, which stands for its beginning, or a date with a time.
pub(super) fn moment(value: &Value<'_>) -> Option<SystemTime> {
    let moment = value.datetime().and_then(|written| {
        let date = written.date?;
        let days = calendar::days(date.year.into(), date.month.into(), date.day.into());
        if days < 0 {
            return None;
        }
        let seconds = match (written.time, written.offset) {
            (None, None) => 0,
            (Some(time), Some(offset)) if time.nanosecond.unwrap_or(0) == 0 => {
                let minutes = match offset {
                    toml::value::Offset::Z => 0,
                    toml::value::Offset::Custom { minutes } => i64::from(minutes),
                };
                let of_day = (i64::from(time.hour) * 60 + i64::from(time.minute) - minutes) * 60;
                of_day + i64::from(time.second.unwrap_or(0))
            }
            (_, _) => return None,
        };
        let since = u64::try_from(days * 86_400 + seconds).ok()?;
        Some(UNIX_EPOCH + Duration::from_secs(since))
    });
    if moment.is_none() {
        value.place.wrong(
            "not a moment since 1970",
            "write a date such as 2026-11-28, which begins at midnight UTC, or a time with its offset such as \
             2026-11-28T09:00:00Z, without fractions of a second",
        );
    }
    moment
}
