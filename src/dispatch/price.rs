//! What do tokens cost at a provider, in which tier, and what is not known of it? Pure.

use crate::chat::{ProviderToolUsage, ServedTier, ServiceTier, Usage};
use crate::trail::{Cost, CostSource};

/// What a model costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// In the provider's usual tier.
    pub standard: Rates,
    /// In the tier that is served sooner, if a price is known.
    pub priority: Option<Rates>,
    /// In the tier that is served later, if a price is known.
    pub flex: Option<Rates>,
    /// In the tier that is served within a day, if a price is known.
    pub batch: Option<Rates>,
}

/// Prices in pico-USD for one token, which is micro-USD for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// For input that no cache served.
    pub input: u64,
    /// For output, reasoning included.
    pub output: u64,
    /// For input that a cache served.
    pub cache_read_input: u64,
    /// For input that was written to a cache.
    pub cache_write_input: u64,
    /// For input that was written to a cache to be kept for an hour or more.
    pub cache_write_long_input: u64,
}

impl Price {
    /// The prices of a tier; `None` if they are not known.
    pub fn rates(&self, tier: ServiceTier) -> Option<&Rates> {
        match tier {
            ServiceTier::Standard => Some(&self.standard),
            ServiceTier::Priority => self.priority.as_ref(),
            ServiceTier::Flex => self.flex.as_ref(),
            ServiceTier::Batch => self.batch.as_ref(),
        }
    }

    /// The cost of what an answer used, in the tier that its provider told, or else in the usual one. What has no price
    /// is left out of the amount, which is then marked as incomplete: a tier without a price, sounds and pictures that
    /// are not charged like text, and tools that the provider ran.
    pub fn cost(&self, usage: &Usage) -> Cost {
        let rates = match usage.service_tier {
            None => Some(&self.standard),
            Some(ServedTier::Known(tier)) => self.rates(tier),
            Some(ServedTier::Other) => None,
        };
        let Some(rates) = rates else {
            return Cost {
                nanos: 0,
                source: CostSource::Unknown,
            };
        };
        let is_none = |count: Option<u64>| count.unwrap_or(0) == 0;
        let is_known = usage.input_tokens.is_some()
            && usage.output_tokens.is_some()
            && is_none(usage.audio_input_tokens)
            && is_none(usage.audio_output_tokens)
            && is_none(usage.image_output_tokens)
            && usage.provider_tools == ProviderToolUsage::default();
        Cost {
            nanos: rates.cost_nanos(usage),
            source: match is_known {
                true => CostSource::Prices,
                false => CostSource::Unknown,
            },
        }
    }
}

impl Rates {
    /// The cost of these tokens in nano-USD, rounded to the nearest; without sounds, and without pictures that were made.
    pub(super) fn cost_nanos(&self, usage: &Usage) -> i64 {
        let number = |count: Option<u64>| count.unwrap_or(0);
        let written = number(usage.cache_write_input_tokens);
        let written_long = number(usage.cache_write_long_input_tokens).min(written);
        let read = number(usage.cache_read_input_tokens);
        let cached = read.saturating_add(written);
        let plain = number(usage.input_tokens)
            .saturating_sub(cached)
            .saturating_sub(number(usage.audio_input_tokens));
        let said = number(usage.output_tokens)
            .saturating_sub(number(usage.audio_output_tokens))
            .saturating_sub(number(usage.image_output_tokens));
        let parts = [
            (plain, self.input),
            (read, self.cache_read_input),
            (written - written_long, self.cache_write_input),
            (written_long, self.cache_write_long_input),
            (said, self.output),
        ];
        // The product of two 64-bit numbers fits, but not the sum of several.
        let pico = parts.iter().fold(0_u128, |sum, (tokens, rate)| {
            sum.saturating_add(u128::from(*tokens) * u128::from(*rate))
        });
        i64::try_from(pico.saturating_add(500) / 1000).unwrap_or(i64::MAX)
    }

    /// These prices with the highest price of input for all input.
    pub(super) fn dearest(self) -> Self {
        let dearest = self
            .input
            .max(self.cache_read_input)
            .max(self.cache_write_input)
            .max(self.cache_write_long_input);
        Self {
            input: dearest,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        input: 3_000_000,
        output: 15_000_000,
        cache_read_input: 300_000,
        cache_write_input: 3_750_000,
        cache_write_long_input: 6_000_000,
    };

    fn price() -> Price {
        let flex = Rates {
            input: 1_500_000,
            output: 7_500_000,
            ..Rates::default()
        };
        Price {
            standard: RATES,
            flex: Some(flex),
            ..Price::default()
        }
    }

    fn usage() -> Usage {
        Usage {
            input_tokens: Some(1000),
            output_tokens: Some(100),
            ..Usage::default()
        }
    }

    #[test]
    fn tokens_cost_what_they_cost_in_the_tier_that_was_used() {
        use CostSource::{Prices, Unknown};
        // The tier that was told, the cost in nano-USD.
        let table = [
            (None, 4_500_000, Prices),
            (
                Some(ServedTier::Known(ServiceTier::Standard)),
                4_500_000,
                Prices,
            ),
            (
                Some(ServedTier::Known(ServiceTier::Flex)),
                2_250_000,
                Prices,
            ),
            (Some(ServedTier::Known(ServiceTier::Priority)), 0, Unknown),
            (Some(ServedTier::Known(ServiceTier::Batch)), 0, Unknown),
        ];
        for (service_tier, nanos, source) in table {
            let used = Usage {
                service_tier,
                ..usage()
            };

            let cost = price().cost(&used);

            assert_eq!(cost, Cost { nanos, source }, "{service_tier:?}");
        }
    }

    #[test]
    fn what_is_written_to_a_cache_costs_by_how_long_it_is_kept() {
        let used = |written, written_long| Usage {
            cache_read_input_tokens: Some(100),
            cache_write_input_tokens: Some(written),
            cache_write_long_input_tokens: Some(written_long),
            ..usage()
        };
        // Written, of that for long, the cost of all in nano-USD.
        let table = [
            (0, 0, 2_700_000 + 30_000 + 1_500_000),
            (400, 0, 1_500_000 + 30_000 + 1_500_000 + 1_500_000),
            (
                400,
                100,
                1_500_000 + 30_000 + 1_125_000 + 600_000 + 1_500_000,
            ),
            (400, 400, 1_500_000 + 30_000 + 2_400_000 + 1_500_000),
            // More than all is all.
            (400, 401, 1_500_000 + 30_000 + 2_400_000 + 1_500_000),
        ];
        for (written, long, nanos) in table {
            let cost = price().cost(&used(written, long));

            assert_eq!(cost.nanos, nanos, "{written} {long}");
            assert_eq!(cost.source, CostSource::Prices);
        }
    }

    #[test]
    fn what_is_not_charged_like_text_is_left_out_of_the_amount() {
        let searches = ProviderToolUsage {
            web_searches: 1,
            ..ProviderToolUsage::default()
        };
        let table = [
            (
                Usage {
                    provider_tools: searches,
                    ..usage()
                },
                4_500_000,
            ),
            (
                Usage {
                    audio_input_tokens: Some(1000),
                    ..usage()
                },
                1_500_000,
            ),
            (
                Usage {
                    audio_output_tokens: Some(100),
                    ..usage()
                },
                3_000_000,
            ),
            (
                Usage {
                    image_output_tokens: Some(200),
                    ..usage()
                },
                3_000_000,
            ),
        ];
        for (used, nanos) in table {
            let cost = price().cost(&used);

            assert_eq!(cost.source, CostSource::Unknown, "{used:?}");
            assert_eq!(cost.nanos, nanos, "{used:?}");
        }
    }

    #[test]
    fn the_largest_numbers_cost_the_largest_amount() {
        let used = Usage {
            input_tokens: Some(u64::MAX),
            output_tokens: Some(u64::MAX),
            cache_read_input_tokens: Some(u64::MAX),
            cache_write_input_tokens: Some(u64::MAX),
            cache_write_long_input_tokens: Some(u64::MAX / 2),
            ..Usage::default()
        };
        let highest = Rates {
            input: u64::MAX,
            output: u64::MAX,
            cache_read_input: u64::MAX,
            cache_write_input: u64::MAX,
            cache_write_long_input: u64::MAX,
        };
        let price = Price {
            standard: highest,
            ..Price::default()
        };

        assert_eq!(price.cost(&used).nanos, i64::MAX);
    }
}
