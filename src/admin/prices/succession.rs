//! What becomes of the prices of the store when others are put beside them? Pure. A price that may have been used is never
//! changed: it ends where the next one begins.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Violation, advise};
use crate::money::{Price, Rates, Validity};
use crate::store::StoredPrice;

use super::super::error::AdminError;
use super::board::{FilePrices, described};

/// A price as an administrator wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedPrice {
    /// Id of the model.
    pub model: String,
    /// When it is to hold. Without a beginning: from now on.
    pub holds: Validity,
    /// The rates.
    pub rates: Rates,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Succession {
    /// The prices that were asked for, as they stand from now on.
    pub(super) put: Vec<StoredPrice>,
    /// Those of `put` that did not stand like this before.
    pub(super) new: Vec<StoredPrice>,
    /// Prices that end because of that, with their ends.
    pub(super) ended: Vec<StoredPrice>,
    /// What these were before.
    pub(super) before: Vec<StoredPrice>,
    /// The positions of prices that begin in the past: no attempt of that time may have a known price.
    pub(super) past: Vec<usize>,
}

/// What is to be written so that these prices stand.
///
/// # Errors
/// Every price that cannot be put, with the one that is in its way.
pub(super) fn succession(
    file: &FilePrices,
    store: &[StoredPrice],
    wanted: &[WantedPrice],
    now: SystemTime,
) -> Result<Succession, AdminError> {
    let mut standing: Vec<StoredPrice> = store.to_vec();
    let mut succession = Succession::default();
    let mut faults = Vec::new();
    let mut of_file = Vec::new();
    for (position, wanted) in wanted.iter().enumerate() {
        let field = format!("prices[{position}]");
        let mut put = Put {
            file,
            standing: &mut standing,
            succession: &mut succession,
            now: whole_second(now),
        };
        match put.one(position, wanted) {
            Ok(()) => {}
            Err(InTheWay::OfFile(what)) => of_file.push(format!("`{field}`: {what}")),
            Err(InTheWay::Wrong(part, what)) => faults.push(Violation {
                field: format!("{field}{part}"),
                what,
            }),
        }
    }
    match (faults.is_empty(), of_file.is_empty()) {
        (true, true) => Ok(succession),
        (true, false) => Err(AdminError::Impossible(of_file.join("; "))),
        (false, _) => Err(AdminError::Invalid(faults)),
    }
}

/// Why a price cannot be put.
enum InTheWay {
    /// A price of the configuration, which cannot be changed here.
    OfFile(String),
    /// This part of the price is wrong.
    Wrong(&'static str, String),
}

struct Put<'p> {
    file: &'p FilePrices,
    standing: &'p mut Vec<StoredPrice>,
    succession: &'p mut Succession,
    now: SystemTime,
}

impl Put<'_> {
    fn one(&mut self, position: usize, wanted: &WantedPrice) -> Result<(), InTheWay> {
        let WantedPrice {
            model,
            holds,
            rates,
        } = wanted;
        if let Some(models) = &self.file.models
            && !models.contains(model)
        {
            let advice = advise(model, models.iter().map(String::as_str));
            let model = crate::error::excerpt(model);
            let what = format!("the configuration has no model `{model}`; {advice}");
            return Err(InTheWay::Wrong(".model", what));
        }
        let mut holds = *holds;
        let is_from_now_on = holds.from.is_none();
        let from = holds.from.unwrap_or(self.now);
        holds.from = Some(from);
        let same_kind = |other: &StoredPrice| {
            other.model == *model
                && other.price.holds.tier == holds.tier
                && other.price.holds.input_tokens_above == holds.input_tokens_above
        };
        let kin: Vec<_> = self
            .standing
            .iter()
            .filter(|other| same_kind(other))
            .cloned()
            .collect();
        let holding = kin.iter().find(|other| holds_at(other, from));
        if is_from_now_on && let Some(holding) = holding {
            let stays = holding.price.rates == *rates && holding.price.holds.until == holds.until;
            if stays {
                self.succession.put.push(holding.clone());
                return Ok(());
            }
            // It may have been used in this very second.
            if holding.price.holds.from == Some(from) {
                holds.from = Some(from + Duration::from_secs(1));
            }
        }
        if let (Some(from), Some(until)) = (holds.from, holds.until)
            && until <= from
        {
            let what =
                "it is not after the beginning; take a later one, or leave it out".to_owned();
            return Err(InTheWay::Wrong(".end_time", what));
        }
        let new = StoredPrice {
            model: model.clone(),
            price: Price {
                holds,
                rates: *rates,
            },
        };
        let twin = kin
            .iter()
            .find(|other| other.price.holds.from == holds.from);
        let stays = twin.is_some_and(|twin| twin.price.rates == *rates);
        if *rates == Rates::default() && !stays {
            let what = "it has no rate, so that no cost would be known; set `input_pico` and `output_pico`, where 0 is free, or \
                        leave the price out"
                .to_owned();
            return Err(InTheWay::Wrong("", what));
        }
        if let Some(twin) = twin {
            return self.again(twin, new);
        }
        self.check_file(&new)?;
        let is_past = holds.from < Some(self.now);
        for other in kin
            .iter()
            .filter(|other| other.price.holds.overlaps(&holds))
        {
            let is_earlier = other.price.holds.from < holds.from;
            let is_of_this_request = self.succession.new.contains(other);
            if !is_earlier || is_past || is_of_this_request {
                return Err(in_the_way_of(other, is_earlier));
            }
            let mut ended = other.clone();
            ended.price.holds.until = holds.from;
            self.replace(other, ended.clone());
            self.succession.ended.push(ended);
            self.succession.before.push(other.clone());
        }
        if is_past {
            self.succession.past.push(position);
        }
        self.add(new);
        Ok(())
    }

    /// A price of the same beginning stands already: it may get another end, rates that it lacks, and other rates if it has
    /// not begun.
    fn again(&mut self, twin: &StoredPrice, new: StoredPrice) -> Result<(), InTheWay> {
        if *twin == new {
            self.succession.put.push(new);
            return Ok(());
        }
        let has_begun = twin.price.holds.from <= Some(self.now);
        let told = described(&twin.model, &twin.price.holds);
        if self.succession.new.contains(twin) {
            return Err(in_the_way_of(twin, false));
        }
        if has_begun && !only_adds(&twin.price.rates, &new.price.rates) {
            let what = format!(
                "{told} of the store may have been used, so that none of its rates is ever changed, and rates can only be \
                 added that it lacks; leave `start_time` out to have this one begin now and end that one"
            );
            return Err(InTheWay::Wrong("", what));
        }
        let is_over = |until: Option<SystemTime>| until.is_some_and(|until| until < self.now);
        let ends_elsewhere = twin.price.holds.until != new.price.holds.until;
        if ends_elsewhere
            && (is_over(twin.price.holds.until) || (has_begun && is_over(new.price.holds.until)))
        {
            let what = format!(
                "{told} of the store would end at another moment of the past, in which it may have been used; take an \
                 `end_time` from now on"
            );
            return Err(InTheWay::Wrong(".end_time", what));
        }
        self.check_file(&new)?;
        let others = self.standing.iter().filter(|other| *other != twin);
        let mut others = others.filter(|other| other.model == new.model);
        if let Some(other) = others.find(|other| other.price.holds.overlaps(&new.price.holds)) {
            return Err(in_the_way_of(other, false));
        }
        self.succession.before.push(twin.clone());
        self.replace(twin, new.clone());
        if new.price.rates == twin.price.rates && new.price.holds.until.is_some() {
            self.succession.ended.push(new.clone());
        }
        self.succession.new.push(new.clone());
        self.succession.put.push(new);
        Ok(())
    }

    fn check_file(&self, new: &StoredPrice) -> Result<(), InTheWay> {
        let mut placed = self.file.prices.iter();
        let overlaps = placed.find(|placed| {
            placed.model == new.model && placed.price.holds.overlaps(&new.price.holds)
        });
        match overlaps {
            None => Ok(()),
            Some(placed) => Err(InTheWay::OfFile(format!(
                "it would hold for the same attempts as the price at {} of the configuration, which cannot be changed here; \
                 end that one there (`end_time`), or take a `start_time` after its end",
                placed.place
            ))),
        }
    }

    fn add(&mut self, new: StoredPrice) {
        self.standing.push(new.clone());
        self.succession.new.push(new.clone());
        self.succession.put.push(new);
    }

    fn replace(&mut self, old: &StoredPrice, new: StoredPrice) {
        if let Some(standing) = self.standing.iter_mut().find(|standing| *standing == old) {
            *standing = new;
        }
    }
}

/// Whether a price only gains rates. Whatever was used and had no rate has made its cost unknown, so that a rate that is
/// added changes no cost that is known.
fn only_adds(before: &Rates, after: &Rates) -> bool {
    // Reasoning without a rate of its own costs what other output costs.
    let is_open = |name: &str| name != "reasoning_output" || before.output.is_none();
    let mut pairs = before.by_name().into_iter().zip(after.by_name());
    let only_added = pairs
        .all(|((name, before), (_, after))| before == after || (before.is_none() && is_open(name)));
    only_added && before.request_nanos == after.request_nanos
}

/// The price that is in the way, and what helps.
fn in_the_way_of(other: &StoredPrice, is_earlier: bool) -> InTheWay {
    let told = described(&other.model, &other.price.holds);
    let remedy = match is_earlier {
        true => {
            "a price that may have been used ends from now on only: take a later `start_time`, or leave it out"
        }
        false => "take an `end_time` at its beginning or before it, or leave this one out",
    };
    InTheWay::Wrong(
        "",
        format!("it would hold for the same attempts as {told}; {remedy}"),
    )
}

fn holds_at(stored: &StoredPrice, at: SystemTime) -> bool {
    let Validity { from, until, .. } = stored.price.holds;
    from.is_none_or(|from| from <= at) && until.is_none_or(|until| at < until)
}

/// Prices begin and end with whole seconds.
pub(super) fn whole_second(at: SystemTime) -> SystemTime {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ServiceTier;
    use crate::money::PlacedPrice;

    const NOW: u64 = 1_000_000;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    fn wanted(input: u64, from: Option<u64>, until: Option<u64>) -> WantedPrice {
        WantedPrice {
            model: "p/m".to_owned(),
            holds: Validity {
                from: from.map(at),
                until: until.map(at),
                ..Validity::always(ServiceTier::Standard)
            },
            rates: Rates {
                input: Some(input),
                ..Rates::default()
            },
        }
    }

    fn stored(input: u64, from: u64, until: Option<u64>) -> StoredPrice {
        let WantedPrice {
            model,
            holds,
            rates,
        } = wanted(input, Some(from), until);
        StoredPrice {
            model,
            price: Price { holds, rates },
        }
    }

    fn put(store: &[StoredPrice], wanted: &[WantedPrice]) -> Result<Succession, String> {
        let file = FilePrices::default();
        let result = succession(&file, store, wanted, at(NOW));
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn a_price_from_now_on_ends_the_one_that_holds() {
        let before = stored(5, 10, None);

        let done = put(std::slice::from_ref(&before), &[wanted(6, None, None)]).unwrap();

        assert_eq!(done.new, [stored(6, NOW, None)]);
        assert_eq!(done.ended, [stored(5, 10, Some(NOW))]);
        assert_eq!(done.before, [before]);
        assert!(done.past.is_empty());
    }

    #[test]
    fn the_same_price_again_changes_nothing() {
        let before = [stored(5, 10, None)];

        for again in [wanted(5, None, None), wanted(5, Some(10), None)] {
            let done = put(&before, &[again]).unwrap();
            assert_eq!(done.put, before);
            assert!(done.new.is_empty() && done.ended.is_empty());
        }
    }

    #[test]
    fn a_price_needs_a_rate_and_zero_is_one() {
        let with = |rates| WantedPrice {
            rates,
            ..wanted(0, None, None)
        };
        let none = Rates::default();

        let refused = put(&[], &[with(none)]).unwrap_err();
        assert!(refused.contains("prices[0]: it has no rate"), "{refused}");
        assert!(refused.contains("0 is free"), "{refused}");
        let mut later = stored(5, NOW + 10, None);
        let emptied = WantedPrice {
            rates: none,
            ..wanted(0, Some(NOW + 10), None)
        };
        assert!(put(std::slice::from_ref(&later), &[emptied]).is_err());

        assert!(put(&[], &[wanted(0, None, None)]).is_ok());
        // One that was written before may end.
        later.price.rates = none;
        let ends = WantedPrice {
            rates: none,
            ..wanted(0, Some(NOW + 10), Some(NOW + 20))
        };
        assert!(put(&[later], &[ends]).is_ok());
    }

    #[test]
    fn two_prices_of_one_second_follow_each_other() {
        let before = [stored(5, NOW, None)];

        let done = put(&before, &[wanted(6, None, None)]).unwrap();

        assert_eq!(done.new, [stored(6, NOW + 1, None)]);
        assert_eq!(done.ended, [stored(5, NOW, Some(NOW + 1))]);
    }

    #[test]
    fn a_used_price_is_not_changed_and_one_that_has_not_begun_is() {
        let used = put(&[stored(5, 10, None)], &[wanted(6, Some(10), None)]).unwrap_err();
        assert!(used.contains("none of its rates is ever changed"), "{used}");

        let later = stored(5, NOW + 10, None);
        let done = put(&[later], &[wanted(6, Some(NOW + 10), None)]).unwrap();
        assert_eq!(done.new, [stored(6, NOW + 10, None)]);
    }

    #[test]
    fn a_used_price_gains_rates_that_it_lacks_and_loses_and_changes_none() {
        let rates = |input, output, read, reasoning| Rates {
            input,
            output,
            cache_read_input: read,
            reasoning_output: reasoning,
            ..Rates::default()
        };
        let with = |rates: Rates, until: Option<u64>| {
            let mut price = stored(0, 10, until);
            price.price.rates = rates;
            price
        };
        let again = |rates: Rates, until: Option<u64>| WantedPrice {
            rates,
            ..wanted(0, Some(10), until)
        };
        let some = Some(5);
        let before = rates(some, some, None, None);
        // One that has ended, too: attempts of its time may wait for the rate.
        for until in [None, Some(NOW - 10)] {
            let whole = rates(some, some, some, None);
            let done = put(&[with(before, until)], &[again(whole, until)]).unwrap();
            assert_eq!(done.new, [with(whole, until)]);
            assert_eq!(done.before, [with(before, until)]);
            assert!(done.past.is_empty() && done.ended.is_empty());
        }
        for wrong in [
            rates(some, some, None, some),
            rates(some, None, None, None),
            rates(Some(6), some, some, None),
            Rates {
                request_nanos: 1,
                ..before
            },
        ] {
            let refused = put(&[with(before, None)], &[again(wrong, None)]).unwrap_err();
            assert!(refused.contains("ever changed"), "{refused}");
        }
        let without_output = rates(some, None, None, None);
        let done = put(
            &[with(without_output, None)],
            &[again(rates(some, some, None, some), None)],
        );
        assert_eq!(done.unwrap().new.len(), 1);
    }

    #[test]
    fn a_price_ends_from_now_on_and_not_in_the_past() {
        let before = [stored(5, 10, None)];

        let done = put(&before, &[wanted(5, Some(10), Some(NOW + 5))]).unwrap();
        assert_eq!(done.ended, [stored(5, 10, Some(NOW + 5))]);

        let past = put(&before, &[wanted(5, Some(10), Some(NOW - 5))]).unwrap_err();
        assert!(past.contains("prices[0].end_time"), "{past}");
    }

    #[test]
    fn a_price_of_the_past_holds_where_none_did() {
        let done = put(&[stored(5, NOW, None)], &[wanted(6, Some(10), Some(NOW))]).unwrap();
        assert_eq!(done.past, [0]);

        for (store, wanted) in [
            // It reaches into the one that holds now.
            (stored(5, NOW - 5, None), wanted(6, Some(10), None)),
            // It would end one that was used.
            (stored(5, 5, None), wanted(6, Some(10), None)),
        ] {
            let refused = put(std::slice::from_ref(&store), &[wanted]).unwrap_err();
            assert!(refused.contains("prices[0]"), "{refused}");
            assert!(refused.contains("1970-01-"), "{refused}");
        }
    }

    #[test]
    fn two_prices_of_a_request_that_overlap_are_both_named() {
        let both = [
            wanted(5, Some(NOW + 10), None),
            wanted(6, Some(NOW + 20), None),
        ];

        let refused = put(&[], &both).unwrap_err();

        assert!(refused.contains("prices[1]"), "{refused}");
        assert!(refused.contains("from 1970-01-12T13:46:50Z"), "{refused}");
        let apart = [
            wanted(5, Some(NOW + 10), Some(NOW + 20)),
            wanted(6, Some(NOW + 20), None),
        ];
        assert_eq!(put(&[], &apart).unwrap().new.len(), 2);
    }

    #[test]
    fn a_price_of_the_configuration_is_named_and_left_alone() {
        let file = FilePrices {
            models: Some(["p/m".to_owned()].into()),
            prices: vec![PlacedPrice {
                model: "p/m".to_owned(),
                price: stored(5, 10, None).price,
                place: "line 7 of `prices.toml`".to_owned(),
            }],
        };

        let refused = succession(&file, &[], &[wanted(6, None, None)], at(NOW)).unwrap_err();
        let unknown = WantedPrice {
            model: "p/n".to_owned(),
            ..wanted(6, None, None)
        };
        let unknown = succession(&file, &[], &[unknown], at(NOW)).unwrap_err();

        assert!(
            matches!(&refused, AdminError::Impossible(what) if what.contains("line 7 of `prices.toml`")),
            "{refused}"
        );
        assert!(unknown.to_string().contains("p/m"), "{unknown}");
    }
}
