//! What do these counts cost at these rates, and what of it is not known?

use crate::chat::{ProviderToolUsage, Usage};

/// The highest rate that can be set: a million USD for a million tokens, in pico-USD for one token.
pub const HIGHEST_RATE: u64 = 1_000_000_000_000;

/// The highest fee that can be set: a million USD, in nano-USD.
pub const HIGHEST_FEE: u64 = 1_000_000_000_000_000;

/// What a model costs under one set of conditions. Tokens in pico-USD for one, which is micro-USD for a million;
/// `None`: not known, 0: free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// For input that no cache served and that was not written to one.
    pub input: Option<u64>,
    /// For output.
    pub output: Option<u64>,
    /// For input that a cache served.
    pub cache_read_input: Option<u64>,
    /// For input that was written to a cache.
    pub cache_write_input: Option<u64>,
    /// For input that was written to a cache to be kept for an hour or more.
    pub cache_write_long_input: Option<u64>,
    /// For output that is reasoning; `None`: as other output.
    pub reasoning_output: Option<u64>,
    /// For tools that the provider runs.
    pub tools: ToolFees,
    /// For each attempt that is charged for, in nano-USD.
    pub request_nanos: u64,
}

/// What one use of a tool costs that the provider runs, in nano-USD; `None`: not known, 0: free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolFees {
    /// A search of the web.
    pub web_search: Option<u64>,
    /// A page that is fetched.
    pub web_fetch: Option<u64>,
    /// A run of code.
    pub code_execution: Option<u64>,
    /// A search of files.
    pub file_search: Option<u64>,
}

/// The cost of some parts, as far as it is known.
struct Sum {
    pico: u128,
    is_whole: bool,
}

impl Sum {
    /// Adds a part. One without tokens needs no rate; one that is free needs no count.
    fn add(&mut self, count: Option<u64>, rate: Option<u64>) {
        match (count, rate) {
            (Some(0), _) | (_, Some(0)) => {}
            (Some(count), Some(rate)) => {
                // The product of two 64-bit numbers fits, but not the sum of several.
                let part = u128::from(count) * u128::from(rate);
                self.pico = self.pico.saturating_add(part);
            }
            (None, _) | (_, None) => self.is_whole = false,
        }
    }
}

impl Rates {
    /// Every rate and every fee of a tool, in an order that no release changes, and by the names under which they are
    /// written down. The fee of an attempt, which is always known, is not among them.
    pub fn by_name(&self) -> [(&'static str, Option<u64>); 10] {
        let Self {
            input,
            output,
            cache_read_input,
            cache_write_input,
            cache_write_long_input,
            reasoning_output,
            tools,
            request_nanos: _,
        } = *self;
        let ToolFees {
            web_search,
            web_fetch,
            code_execution,
            file_search,
        } = tools;
        [
            ("input", input),
            ("output", output),
            ("cache_read_input", cache_read_input),
            ("cache_write_input", cache_write_input),
            ("cache_write_long_input", cache_write_long_input),
            ("reasoning_output", reasoning_output),
            ("web_search", web_search),
            ("web_fetch", web_fetch),
            ("code_execution", code_execution),
            ("file_search", file_search),
        ]
    }

    /// The cost in nano-USD, rounded once, and whether it is the whole.
    pub(super) fn cost_nanos(&self, usage: &Usage) -> (i64, bool) {
        let Self {
            input: _,
            output,
            cache_read_input,
            cache_write_input,
            cache_write_long_input,
            reasoning_output,
            tools,
            request_nanos,
        } = *self;
        let usage = usage.consistent();
        let number = |count: Option<u64>| count.unwrap_or(0);
        let read = number(usage.cache_read_input_tokens);
        let written = number(usage.cache_write_input_tokens);
        let long = number(usage.cache_write_long_input_tokens);
        let reasoning = number(usage.reasoning_output_tokens);
        let audio = number(usage.audio_input_tokens);
        let plain = usage.input_tokens.map(|input| {
            let cached = read.saturating_add(written);
            input.saturating_sub(cached).saturating_sub(audio)
        });
        let apart =
            number(usage.audio_output_tokens).saturating_add(number(usage.image_output_tokens));
        let said = usage
            .output_tokens
            .map(|output| output.saturating_sub(reasoning).saturating_sub(apart));
        let mut sum = Sum {
            pico: 0,
            is_whole: true,
        };
        sum.add(plain, self.input);
        sum.add(Some(read), cache_read_input);
        sum.add(Some(written.saturating_sub(long)), cache_write_input);
        sum.add(Some(long), cache_write_long_input);
        sum.add(said, output);
        sum.add(Some(reasoning), reasoning_output.or(output));
        // Sound, and pictures that were made, are not charged for like text.
        sum.add(Some(audio.saturating_add(apart)), None);
        let nanos = sum.pico.saturating_add(500) / 1000;
        let (fees, are_known) = tools.nanos(&usage.provider_tools);
        let nanos = nanos
            .saturating_add(fees)
            .saturating_add(u128::from(request_nanos));
        match i64::try_from(nanos) {
            Ok(nanos) => (nanos, sum.is_whole && are_known),
            Err(_) => (i64::MAX, false),
        }
    }

    /// These rates with the highest rate that the input of a request may have; `None` if it may need one that is not
    /// known.
    pub(super) fn reserved(self, writes_cache: bool) -> Option<Self> {
        match writes_cache {
            true => {
                self.cache_write_input?;
                self.cache_write_long_input.or(self.cache_write_input)?;
                Some(self.dearest())
            }
            // Without being asked to, a provider serves input from a cache, but charges for no writing to one.
            false => Some(
                Self {
                    cache_write_input: None,
                    cache_write_long_input: None,
                    ..self
                }
                .dearest(),
            ),
        }
    }

    /// These rates with the highest known rate of input for all input.
    pub(super) fn dearest(self) -> Self {
        let known = [
            self.input,
            self.cache_read_input,
            self.cache_write_input,
            self.cache_write_long_input,
        ];
        Self {
            input: self.input.and(known.into_iter().max().flatten()),
            output: self.output.and(self.output.max(self.reasoning_output)),
            ..self
        }
    }
}

impl ToolFees {
    /// What these uses cost in nano-USD, and whether that is the whole.
    fn nanos(&self, used: &ProviderToolUsage) -> (u128, bool) {
        let Self {
            web_search,
            web_fetch,
            code_execution,
            file_search,
        } = *self;
        let mut sum = Sum {
            pico: 0,
            is_whole: true,
        };
        for (uses, fee) in [
            (used.web_searches, web_search),
            (used.web_fetches, web_fetch),
            (used.code_executions, code_execution),
            (used.file_searches, file_search),
        ] {
            sum.add(Some(u64::from(uses)), fee);
        }
        (sum.pico, sum.is_whole)
    }
}
