//! What do tokens cost at a provider?

use crate::chat::Usage;

/// Prices in pico-USD for one token, which is micro-USD for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// For input that no cache served.
    pub input: u64,
    /// For output, reasoning included.
    pub output: u64,
    /// For input that a cache served.
    pub cache_read_input: u64,
    /// For input that was written to a cache.
    pub cache_write_input: u64,
}

impl Price {
    /// The cost of these tokens in nano-USD, rounded to the nearest.
    pub fn cost_nanos(&self, usage: &Usage) -> i64 {
        let cached = usage
            .cache_read_input_tokens
            .saturating_add(usage.cache_write_input_tokens);
        let plain = usage.input_tokens.saturating_sub(cached);
        let pico = u128::from(plain) * u128::from(self.input)
            + u128::from(usage.cache_read_input_tokens) * u128::from(self.cache_read_input)
            + u128::from(usage.cache_write_input_tokens) * u128::from(self.cache_write_input)
            + u128::from(usage.output_tokens) * u128::from(self.output);
        i64::try_from((pico + 500) / 1000).unwrap_or(i64::MAX)
    }
}
