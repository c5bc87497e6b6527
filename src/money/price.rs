//! Which price of a model holds: by the tier that was served, the size of the prompt, and the date?

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::chat::{ServiceTier, Usage};

use super::rates::Rates;
use super::version::PriceVersion;

/// The most tokens that a price can ask of a prompt.
pub const MOST_PROMPT: u64 = 1_000_000_000;

/// What a model costs, and when that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// When it holds.
    pub holds: Validity,
    /// The rates.
    pub rates: Rates,
}

/// A price of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPrice {
    /// Id of the model.
    pub model: String,
    /// The price.
    pub price: Price,
    /// Where it stands, for messages.
    pub place: String,
}

/// The conditions under which a price holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The tier that the provider served.
    pub tier: ServiceTier,
    /// For prompts with more tokens than this, cached ones included. Of several prices, that with the greatest number
    /// holds, for all of its rates.
    pub input_tokens_above: u64,
    /// From this moment on; `None`: it always has.
    pub from: Option<SystemTime>,
    /// Until shortly before this moment; `None`: for ever.
    pub until: Option<SystemTime>,
}

impl Validity {
    /// At all times, for prompts of every size.
    pub fn always(tier: ServiceTier) -> Self {
        Self {
            tier,
            input_tokens_above: 0,
            from: None,
            until: None,
        }
    }

    /// Whether two prices would hold for the same attempt, and neither is that of longer prompts.
    pub fn overlaps(&self, other: &Self) -> bool {
        let begins_before_end = |one: &Self, other: &Self| match (one.from, other.until) {
            (Some(from), Some(until)) => from < until,
            (None, _) | (_, None) => true,
        };
        self.tier == other.tier
            && self.input_tokens_above == other.input_tokens_above
            && begins_before_end(self, other)
            && begins_before_end(other, self)
    }

    /// Whether the prompt is long enough. One of no tokens is in the lowest tier.
    fn is_reached_by(&self, input_tokens: u64) -> bool {
        self.input_tokens_above < input_tokens.max(1)
    }

    fn holds_at(&self, at: SystemTime) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// What decides which price of a model holds for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceKey {
    /// The tier that the provider served.
    pub tier: ServiceTier,
    /// All tokens of the prompt, cached ones included; `None` if the provider did not report them.
    pub input_tokens: Option<u64>,
    /// When the attempt began.
    pub at: SystemTime,
}

/// What is priced of an attempt before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PricedRequest {
    /// The tier that is asked for.
    pub tier: Option<ServiceTier>,
    /// Whether the request asks for parts of the prompt to be kept in a cache.
    pub writes_cache: bool,
    /// When the attempt begins.
    pub at: SystemTime,
}

/// All prices of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    list: Arc<[Price]>,
    version: PriceVersion,
}

impl Prices {
    /// The prices of models, each with the id of its model, as they hold together.
    pub fn together<'m>(
        models: impl IntoIterator<Item = (&'m str, Vec<Price>)>,
    ) -> Vec<(&'m str, Self)> {
        let models: Vec<_> = models.into_iter().collect();
        let mut lines = Vec::new();
        for (model, prices) in &models {
            lines.extend(prices.iter().map(|price| price.canonical(model)));
        }
        lines.sort_unstable();
        let version = PriceVersion::of(&lines.concat());
        models
            .into_iter()
            .map(|(model, list)| {
                let list = list.into();
                (model, Self { list, version })
            })
            .collect()
    }

    /// Names all prices of all models.
    pub fn version(&self) -> PriceVersion {
        self.version
    }

    /// All of them.
    pub fn list(&self) -> &[Price] {
        &self.list
    }

    /// The prices of a tier at a time, for prompts of every length.
    fn holding(&self, tier: ServiceTier, at: SystemTime) -> impl Iterator<Item = &Price> {
        let prices = self.list.iter();
        prices.filter(move |price| price.holds.tier == tier && price.holds.holds_at(at))
    }

    /// The rates that hold; `None` if no price is known for such an attempt.
    pub fn rates(&self, key: &PriceKey) -> Option<&Rates> {
        let PriceKey {
            tier,
            input_tokens,
            at,
        } = *key;
        let mut known = self.holding(tier, at);
        let price = match input_tokens {
            Some(tokens) => known
                .filter(|price| price.holds.is_reached_by(tokens))
                .max_by_key(|price| price.holds.input_tokens_above),
            // Of several tiers of context, it is not known which one holds.
            None => known.next().filter(|_| known.next().is_none()),
        };
        price.map(|price| &price.rates)
    }

    /// What so many tokens cost in the standard tier without any cache, in nano-USD; `None` if that is not known.
    pub fn plain_nanos(
        &self,
        input_tokens: u64,
        output_tokens: u64,
        at: SystemTime,
    ) -> Option<i64> {
        let key = PriceKey {
            tier: ServiceTier::Standard,
            input_tokens: Some(input_tokens),
            at,
        };
        let usage = plain(input_tokens, output_tokens);
        let (nanos, is_whole) = self.rates(&key)?.cost_nanos(&usage);
        is_whole.then_some(nanos)
    }

    /// The most that so many tokens cost in the standard tier, whatever a cache served or stored of them; `None` if that is
    /// not known. It bounds the cost of prompts with fewer tokens, too.
    pub fn most_nanos(&self, input_tokens: u64, output_tokens: u64, at: SystemTime) -> Option<i64> {
        let usage = plain(input_tokens, output_tokens);
        let mut most = None;
        let known = self.holding(ServiceTier::Standard, at);
        for price in known.filter(|price| price.holds.is_reached_by(input_tokens)) {
            let (nanos, is_whole) = price.rates.dearest().cost_nanos(&usage);
            if !is_whole {
                return None;
            }
            most = most.max(Some(nanos));
        }
        most
    }

    /// The most that so many tokens of a tier cost, in nano-USD; `None` if a rate is missing that they may need. Of two
    /// tiers of context that the prompt may be in, the dearer one counts.
    pub(super) fn reserve_nanos(
        &self,
        tier: ServiceTier,
        input_tokens: u64,
        output_tokens: u64,
        request: &PricedRequest,
    ) -> Option<i64> {
        let usage = plain(input_tokens, output_tokens);
        let mut most = None;
        let known = self.holding(tier, request.at);
        for price in known.filter(|price| price.holds.is_reached_by(input_tokens)) {
            let rates = price.rates.reserved(request.writes_cache)?;
            let (nanos, is_whole) = rates.cost_nanos(&usage);
            if !is_whole {
                return None;
            }
            most = most.max(Some(nanos));
        }
        most
    }
}

impl Price {
    /// The line that stands for it in the text from which versions are made: equal lines mean equal prices.
    fn canonical(&self, model: &str) -> String {
        let Self { holds, rates } = self;
        let Validity {
            tier,
            input_tokens_above,
            from,
            until,
        } = holds;
        let mut line = format!("{model:?} {tier:?} {input_tokens_above}");
        let bounds = [("from", from.map(seconds)), ("until", until.map(seconds))];
        let request = ("request", Some(rates.request_nanos));
        for (name, number) in bounds.into_iter().chain(rates.by_name()).chain([request]) {
            if let Some(number) = number {
                // Writing to a string cannot fail.
                let _ = write!(line, " {name}={number}");
            }
        }
        line.push('\n');
        line
    }
}

/// So many tokens without any cache.
fn plain(input_tokens: u64, output_tokens: u64) -> Usage {
    Usage {
        input_tokens: Some(input_tokens),
        output_tokens: Some(output_tokens),
        ..Usage::default()
    }
}

/// Since the beginning of 1970; all moments before it are the same.
fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
