//! How are prices listed and put? Those of the configuration are read-only here; those of the store are followed by the
//! calls that begin next.

mod board;
mod succession;
mod unknown;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::audit::{AuditDraft, Subject};
use crate::calendar::unix_us;
use crate::check::Faults;
use crate::ledger::{PricedTime, has_known_cost};
use crate::money::{Price, PriceVersion, Validity};
use crate::store::{StoreChange, StoredPrice};

use super::accounts::all;
use super::error::AdminError;
use super::fields::check_comment;
use super::rights::Administrator;
use super::{Administration, StoreObjects};

pub use self::board::{CompiledPrices, FilePrices, PriceBoard, PriceConflict};
pub use self::succession::WantedPrice;
pub use self::unknown::{PricedUnknown, UnknownWish};

use self::succession::{Succession, succession, whole_second};

/// The most prices of one request.
pub const MOST_PRICES: usize = 1_000;

/// A price as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPrice {
    /// Id of the model.
    pub model: String,
    /// The price.
    pub price: Price,
    /// Whether it is one of the configuration, which cannot be changed here.
    pub is_of_file: bool,
}

/// Prices that are to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricesWish {
    /// The prices.
    pub prices: Vec<WantedPrice>,
    /// Whether nothing is to be written.
    pub dry_run: bool,
    /// Why.
    pub comment: String,
}

/// What was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutPrices {
    /// The prices as they stand, in the order of the request.
    pub put: Vec<ListedPrice>,
    /// Prices that end because of them, with their ends.
    pub ended: Vec<ListedPrice>,
    /// Names all prices that hold from then on; `None` if there are none.
    pub version: Option<PriceVersion>,
}

impl Administration {
    /// The prices that hold, of the configuration and of the store.
    pub fn price_board(&self) -> &PriceBoard {
        &self.prices
    }

    /// All prices, in order of model, tier, size of the prompt and beginning, and what names all of them.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn prices(&self) -> Result<(Vec<ListedPrice>, Option<PriceVersion>), AdminError> {
        let stored = self.store.read(|reading| reading.prices())?;
        let file = self.prices.file();
        let of_file = file.prices.into_iter().map(|placed| ListedPrice {
            model: placed.model,
            price: placed.price,
            is_of_file: true,
        });
        let mut prices: Vec<_> = of_file
            .chain(stored.into_iter().map(ListedPrice::from))
            .collect();
        prices.sort_by(|one, other| one.order().cmp(&other.order()));
        Ok((prices, self.prices.compiled().version()))
    }

    /// Puts prices, and ends those that they replace.
    ///
    /// # Errors
    /// [`AdminError`]; then nothing has changed.
    pub fn put_prices(
        &self,
        by: &Administrator,
        wish: &PricesWish,
        now: SystemTime,
    ) -> Result<PutPrices, AdminError> {
        check(wish)?;
        let file = self.prices.file();
        let before = self.store.read(|reading| {
            by.check_rules_all(&self.current(by, &self.file(), &StoreObjects::read(reading)?)?)?;
            Ok::<_, AdminError>(reading.prices()?)
        })?;
        let planned = succession(&file, &before, &wish.prices, now)?;
        self.check_past(&planned, wish, now)?;
        if wish.dry_run {
            let together = CompiledPrices::of(&file.prices, &planned.applied_to(before));
            let together = together.map_err(|error| AdminError::Impossible(error.to_string()))?;
            return Ok(planned.told(together.version()));
        }
        let done = self.changed(|| {
            // The configuration may have changed since the prices were checked.
            let file = self.prices.file();
            self.store.change(|writing| {
                let done = succession(&file, &writing.prices()?, &wish.prices, now)?;
                let mut written = done.ended.iter().chain(&done.new).peekable();
                if written.peek().is_none() {
                    return Ok(StoreChange::Unneeded(done));
                }
                for stored in written {
                    writing.put_price(stored)?;
                }
                let event = event(&done, by, &wish.comment, now);
                Ok::<_, AdminError>(StoreChange::Made(done, event))
            })
        })?;
        Ok(done.told(self.prices.compiled().version()))
    }

    /// Refuses prices of a time in which an attempt was priced already: what is known is never changed.
    fn check_past(
        &self,
        planned: &Succession,
        wish: &PricesWish,
        now: SystemTime,
    ) -> Result<(), AdminError> {
        let Some(files) = self.ledger_files() else {
            return Ok(());
        };
        let mut faults = Faults::default();
        for position in &planned.past {
            let wanted = &wish.prices[*position];
            let Validity {
                tier,
                input_tokens_above,
                from,
                until,
            } = wanted.holds;
            let until = until.filter(|until| *until < now).unwrap_or(now);
            let time = PricedTime {
                model: &wanted.model,
                tier,
                input_tokens_above,
                from_us: from.map_or(0, unix_us),
                until_us: unix_us(until),
            };
            let has_known = has_known_cost(&files, &time);
            let has_known = has_known.map_err(|error| {
                AdminError::Impossible(format!(
                    "the ledger cannot tell whether an attempt of that time was priced: {error}"
                ))
            })?;
            if has_known {
                faults.add(
                    format_args!("prices[{position}].start_time"),
                    "an attempt of that time has a known price, which is never changed; take a later one, or leave it out \
                     for from now on",
                );
            }
        }
        all(faults)
    }
}

impl ListedPrice {
    /// In this order prices are listed.
    fn order(&self) -> (&str, usize, u64, i64) {
        let Validity {
            tier,
            input_tokens_above,
            from,
            until: _,
        } = self.price.holds;
        (
            &self.model,
            tier as usize,
            input_tokens_above,
            from.map_or(i64::MIN, unix_us),
        )
    }

    /// Names it among all prices: it holds for its model, tier and size of the prompt from its beginning.
    pub fn id(&self) -> String {
        let (model, tier, above, from) = self.order();
        format!("{tier}/{above}/{from}/{model}")
    }

    /// Whether it holds at this moment.
    pub fn holds_at(&self, at: SystemTime) -> bool {
        let Validity { from, until, .. } = self.price.holds;
        from.is_none_or(|from| from <= at) && until.is_none_or(|until| at < until)
    }
}

impl From<StoredPrice> for ListedPrice {
    fn from(stored: StoredPrice) -> Self {
        let StoredPrice { model, price } = stored;
        Self {
            model,
            price,
            is_of_file: false,
        }
    }
}

impl Succession {
    /// The prices of the store once this is written.
    fn applied_to(&self, mut store: Vec<StoredPrice>) -> Vec<StoredPrice> {
        store.retain(|stored| !self.before.contains(stored));
        for stored in self.ended.iter().chain(&self.new) {
            if !store.contains(stored) {
                store.push(stored.clone());
            }
        }
        store
    }

    fn told(self, version: Option<PriceVersion>) -> PutPrices {
        let listed = |prices: Vec<StoredPrice>| prices.into_iter().map(Into::into).collect();
        PutPrices {
            put: listed(self.put),
            ended: listed(self.ended),
            version,
        }
    }
}

fn check(wish: &PricesWish) -> Result<(), AdminError> {
    let mut faults = Faults::default();
    check_comment(&wish.comment, &mut faults);
    match wish.prices.len() {
        0 => faults.add("prices", "it is empty; put one price at least"),
        1..=MOST_PRICES => {}
        many => {
            let what = format!("it has {many} prices; put at most {MOST_PRICES} at a time");
            faults.add("prices", what);
        }
    }
    for (position, wanted) in wish.prices.iter().enumerate() {
        let Validity { from, until, .. } = wanted.holds;
        for (field, moment) in [("start_time", from), ("end_time", until)] {
            if moment.is_some_and(|moment| moment != whole_second(moment)) {
                faults.add(
                    format_args!("prices[{position}].{field}"),
                    "prices begin and end with whole seconds; leave the fraction out",
                );
            }
        }
    }
    all(faults)
}

fn event(done: &Succession, by: &Administrator, comment: &str, now: SystemTime) -> AuditDraft {
    let mut models: Vec<_> = done.new.iter().map(|stored| &*stored.model).collect();
    models.dedup();
    let subject = match models[..] {
        [model] => Subject::new("price", model),
        _ => Subject::new("price", "*"),
    };
    let views = |prices: &[StoredPrice]| prices.iter().map(PriceView::from).collect::<Vec<_>>();
    let mut event = AuditDraft::done(now, by.actor.clone(), "price.put", subject);
    if !done.before.is_empty() {
        event = event.before(&views(&done.before));
    }
    let mut after = views(&done.ended);
    let new = done.new.iter().filter(|new| !done.ended.contains(new));
    after.extend(new.map(PriceView::from));
    event.after(&after).because(comment)
}

/// A price in the audit record. Times are in seconds since 1970, rates in pico-USD for a token, fees in nano-USD.
#[derive(Debug, Serialize)]
struct PriceView {
    model: String,
    service_tier: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    input_tokens_above: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(flatten)]
    rates: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "is_zero")]
    request: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<&StoredPrice> for PriceView {
    fn from(stored: &StoredPrice) -> Self {
        let StoredPrice { model, price } = stored;
        let Price { holds, rates } = price;
        let Validity {
            tier,
            input_tokens_above,
            from,
            until,
        } = holds;
        let named = rates.by_name().into_iter();
        let second = |moment: SystemTime| unix_us(moment) / 1_000_000;
        Self {
            model: model.clone(),
            service_tier: tier.name(),
            input_tokens_above: *input_tokens_above,
            from: from.map(second),
            until: until.map(second),
            rates: named
                .filter_map(|(name, rate)| Some((name, rate?)))
                .collect(),
            request: rates.request_nanos,
        }
    }
}
