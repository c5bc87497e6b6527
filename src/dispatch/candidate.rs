//! What would an attempt on a target cost at most, and how far must its answer be shortened to fit in what is left?

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::LimitUnit;
use crate::limits::{Denial, DenialCause, Estimate, Expected};
use crate::money::{Forecast, PricedRequest, Prices, most_nanos, output_within};

use super::asked::AskedRequest;
use super::routes::Route;
use super::target::Target;

/// A target is skipped if it could answer only with fewer tokens than this: such an answer would be useless.
const LEAST_ANSWER: u64 = 16;

/// An answer is shortened to fit what a limit has left, but not below this many tokens.
const LEAST_FITTED_ANSWER: u64 = 256;

/// An attempt whose cost is compared with the limits.
pub(super) struct Candidate<'a> {
    target: &'a Target,
    request: PricedRequest,
    pub(super) forecast: Forecast,
    pub(super) prices: Option<Arc<Prices>>,
}

/// An answer that is shortened so that its cost fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerCap {
    /// The most tokens of the answer.
    pub(super) tokens: u32,
    /// What makes it shorter.
    pub(super) by: CapBy,
}

/// What makes an answer shorter than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CapBy {
    /// What the call may cost.
    MaxCost,
    /// What a limit has left.
    Limit,
}

impl CapBy {
    /// What the warning to the caller says about it.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::MaxCost => "lowered to what the call may cost (`limits.max_cost`)",
            Self::Limit => "lowered to what a limit of the account has left",
        }
    }
}

impl<'a> Candidate<'a> {
    /// An attempt on the target at this position, at the prices of this moment.
    pub(super) fn of(route: &'a Route, asked: &AskedRequest, position: usize) -> Self {
        let target = &route.targets[position].target;
        let reserve = route.scenario.spending.reserve;
        // These hold for the whole attempt, whatever an administrator changes meanwhile.
        Self {
            target,
            request: PricedRequest {
                tier: asked.request.service_tier,
                writes_cache: asked.writes_cache(),
                at: SystemTime::now(),
            },
            forecast: route.forecast(position, asked, reserve),
            prices: target.prices.now(),
        }
    }

    /// The same, with the shortest answer to which a limit may shorten it.
    pub(super) fn shortest(self) -> Self {
        Self {
            forecast: Forecast {
                most_output: self.forecast.most_output.min(LEAST_FITTED_ANSWER),
                ..self.forecast
            },
            ..self
        }
    }

    /// What it costs at most, in nano-USD; `None` if that is not known.
    pub(super) fn nanos(&self) -> Option<i64> {
        let ceiling = self.target.charging.unknown_ceiling;
        most_nanos(
            &self.forecast,
            &self.request,
            self.prices.as_deref(),
            ceiling,
        )
    }

    /// What limits are asked for.
    pub(super) fn estimate(&self) -> Estimate {
        Estimate {
            tokens: self.forecast.most_tokens(),
            money: self.nanos().map_or(Expected::Unknown, Expected::Known),
        }
    }

    /// Shortens it so that it costs no more than this; false if too short an answer is left.
    pub(super) fn fit_into_money(&mut self, nanos: i64) -> bool {
        match self.output_within(nanos) {
            Some(tokens) if tokens >= LEAST_ANSWER => {
                self.forecast.shorten(tokens);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Shortens it to what a limit has left; false if that is too little.
    pub(super) fn fit_into_limit(&mut self, denial: &Denial) -> bool {
        let left = denial.remaining;
        let tokens = match denial.unit {
            _ if denial.cause == DenialCause::PriceUnknown => None,
            LimitUnit::Money | LimitUnit::Waste => self.output_within(left),
            LimitUnit::Tokens => {
                let left = u64::try_from(left).unwrap_or(0);
                left.checked_sub(self.forecast.most_input)
            }
            LimitUnit::Requests | LimitUnit::ConcurrentCalls => None,
        };
        let fits = |tokens: &u64| (LEAST_FITTED_ANSWER..self.forecast.most_output).contains(tokens);
        match tokens.filter(fits) {
            Some(tokens) => {
                self.forecast.shorten(tokens);
                true
            }
            None => false,
        }
    }

    /// The answer's cap, if this has shortened it.
    pub(super) fn capped(&self, by: CapBy) -> AnswerCap {
        AnswerCap {
            tokens: u32::try_from(self.forecast.most_output).unwrap_or(u32::MAX),
            by,
        }
    }

    /// The most tokens of output with which it costs no more than this.
    fn output_within(&self, nanos: i64) -> Option<u64> {
        let ceiling = self.target.charging.unknown_ceiling;
        output_within(
            nanos,
            &self.forecast,
            &self.request,
            self.prices.as_deref(),
            ceiling,
        )
    }
}
