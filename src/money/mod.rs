//! What does an attempt cost? Prices, amounts of money, and what a provider charges for. Pure.
//!
//! Money is counted in whole nano-USD, prices in whole pico-USD for one token. There is no floating-point number and one
//! rounding for each attempt, so that the cost of a call is exactly the sum of the costs of its attempts.

mod cost;
pub mod decimal;
mod estimate;
mod expectations;
mod price;
mod rates;
mod settle;
mod size;
mod version;

pub use self::cost::{Cost, CostSource};
pub use self::estimate::{Ceiling, Forecast, Reserve, most_nanos, output_within};
pub use self::expectations::{
    AnswerExpectations, Learned, LearnedTokens, ModelTokens, PromptExpectations,
};
pub use self::price::{MOST_PROMPT, PlacedPrice, Price, PriceKey, PricedRequest, Prices, Validity};
pub use self::rates::{HIGHEST_FEE, HIGHEST_RATE, Rates, ToolFees};
pub use self::settle::{
    AttemptEnd, AttemptEnding, CostFrom, OnDisconnect, Settled, price_again, settle,
};
pub use self::size::PromptSize;
pub use self::version::PriceVersion;

#[cfg(test)]
mod tests;
