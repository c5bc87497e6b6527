//! What does an attempt cost? Prices, amounts of money, and what a provider charges for. Pure.
//!
//! Money is counted in whole nano-USD, prices in whole pico-USD for one token. There is no floating-point number and one
//! rounding for each attempt, so that the cost of a call is exactly the sum of the costs of its attempts.

mod cost;
pub mod decimal;
mod price;
mod rates;
mod settle;
mod version;

pub use self::cost::{Cost, CostSource};
pub use self::price::{Price, PriceKey, Prices, Validity};
pub use self::rates::{Rates, ToolFees};
pub use self::settle::{AttemptEnd, AttemptEnding, CostFrom, Settled, settle};
pub use self::version::PriceVersion;

#[cfg(test)]
mod tests;
