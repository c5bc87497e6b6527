//! How many tokens may an attempt use, how many will it probably use, and what do they cost at most? Pure.

use crate::chat::{ServiceTier, Usage};

use super::expectations::{AnswerExpectations, ModelTokens, PromptExpectations};
use super::price::{PricedRequest, Prices};
use super::size::PromptSize;

/// The most tokens of an answer that nothing else bounds: no model allows more.
const LONGEST_ANSWER: u64 = 128_000;

/// Bytes of an answer's text for one token, few rather than many.
const BYTES_PER_ANSWER_TOKEN: u64 = 3;

/// What a scenario sets aside for the answer of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// As much as the longest possible answer costs.
    #[default]
    Worst,
    /// As much as nearly every answer costs, once that is known. What costs more is debt.
    Usual,
}

/// The tokens that an attempt may use, and those that it will probably use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The most tokens of the prompt.
    pub most_input: u64,
    /// The most tokens of the answer.
    pub most_output: u64,
    /// The tokens that the prompt probably has; at most `most_input`.
    pub usual_input: u64,
    /// The tokens that the answer hardly exceeds; at most `most_output`.
    pub usual_output: u64,
}

impl Forecast {
    /// What is expected of an attempt with a prompt of this size whose answer may have `cap` tokens, where the request
    /// or the scenario says so.
    pub fn of(
        size: &PromptSize,
        cap: Option<u64>,
        model: &ModelTokens,
        prompts: &PromptExpectations,
        answers: &AnswerExpectations,
        reserve: Reserve,
    ) -> Self {
        let most_input = prompts.most(size, model);
        let limits = [cap, model.max_output.map(u64::from), model.context_window];
        let longest = limits.into_iter().flatten().min().unwrap_or(LONGEST_ANSWER);
        let most_output = match reserve {
            Reserve::Worst => longest,
            Reserve::Usual => answers
                .nearly_most()
                .map_or(longest, |most| most.min(longest)),
        };
        Self {
            most_input,
            most_output,
            usual_input: prompts.usual(size).min(most_input),
            usual_output: answers.usual().min(most_output),
        }
    }

    /// Lowers the most tokens that the answer may have.
    pub fn shorten(&mut self, output: u64) {
        self.most_output = self.most_output.min(output);
        self.usual_output = self.usual_output.min(self.most_output);
    }

    /// Input and output together, in tokens, at most.
    pub fn most_tokens(&self) -> u64 {
        self.most_input.saturating_add(self.most_output)
    }

    /// Fills in what the provider did not count of an attempt whose answer has so far had `content_bytes`. What was
    /// counted stays, and no estimate is less than what arrived or more than what was set aside.
    pub(super) fn complete(
        &self,
        reported: Option<Usage>,
        content_bytes: u64,
        is_whole: bool,
    ) -> Usage {
        let arrived = content_bytes.div_ceil(BYTES_PER_ANSWER_TOKEN);
        let mut usage = reported.unwrap_or_default();
        if usage.input_tokens.is_none() {
            usage.input_tokens = Some(self.usual_input);
            usage.is_estimated = true;
        }
        let estimated = match (usage.output_tokens, content_bytes) {
            (reported, 1..) => arrived.max(reported.unwrap_or(0)),
            (Some(reported), 0) => reported,
            (None, 0) if is_whole => 0,
            (None, 0) => self.usual_output,
        };
        let is_final = is_whole && usage.output_tokens.is_some();
        if !is_final && usage.output_tokens != Some(estimated) {
            usage.output_tokens = Some(estimated.min(self.most_output.max(arrived)));
            usage.is_estimated = true;
        }
        usage
    }
}

/// What is charged for a million tokens of either kind where no price is known, in nano-USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling(pub u64);

impl Ceiling {
    /// So many tokens, in nano-USD.
    pub(super) fn nanos(self, tokens: u64) -> i64 {
        let nanos = (u128::from(tokens) * u128::from(self.0)).div_ceil(1_000_000);
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}

/// The most that an attempt costs, in nano-USD; `None` if a price is missing and no ceiling is declared.
pub fn most_nanos(
    forecast: &Forecast,
    request: &PricedRequest,
    prices: Option<&Prices>,
    ceiling: Option<Ceiling>,
) -> Option<i64> {
    let (input, output) = (forecast.most_input, forecast.most_output);
    let by_prices = |prices: &Prices| {
        let tier = request.tier.unwrap_or(ServiceTier::Standard);
        let asked = prices.reserve_nanos(tier, input, output, request)?;
        // The provider may serve the standard tier in place of the one that was asked for.
        match tier {
            ServiceTier::Standard => Some(asked),
            _ => {
                let standard = prices.reserve_nanos(ServiceTier::Standard, input, output, request);
                Some(asked.max(standard.unwrap_or(0)))
            }
        }
    };
    prices
        .and_then(by_prices)
        .or_else(|| ceiling.map(|ceiling| ceiling.nanos(forecast.most_tokens())))
}

/// The most tokens of output with which an attempt costs no more than `nanos`, up to those of the forecast; `None` if no
/// price is known or even an answer without tokens costs more.
pub fn output_within(
    nanos: i64,
    forecast: &Forecast,
    request: &PricedRequest,
    prices: Option<&Prices>,
    ceiling: Option<Ceiling>,
) -> Option<u64> {
    let cost = |most_output| {
        let forecast = Forecast {
            most_output,
            ..*forecast
        };
        most_nanos(&forecast, request, prices, ceiling)
    };
    let fits = |output| cost(output).is_some_and(|cost| cost <= nanos);
    if !fits(0) {
        return None;
    }
    // The greatest number of tokens that fits: costs never fall with more tokens.
    let (mut least, mut most) = (0, forecast.most_output);
    while least < most {
        let middle = most - (most - least) / 2;
        match fits(middle) {
            true => least = middle,
            false => most = middle - 1,
        }
    }
    Some(least)
}
