//! How does a request ask for reasoning, and which settings does the API refuse beside it?

use serde::Serialize;

use super::{Dialect, Effort, ThinkingDialect, value};
use crate::chat::{ReasoningEffort, ReasoningOptions, Sampling};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::Adaptations;
use crate::wire::openai::effort::nearest;

/// The least budget that the API takes, in tokens.
const LEAST_BUDGET: u32 = 1024;

/// The request's fields about reasoning; a field is left out where the provider decides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reasoning {
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<Effort>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Thinking {
    Disabled,
    Adaptive {
        display: Display,
    },
    Enabled {
        budget_tokens: u32,
        display: Display,
    },
}

/// Whether the reasoning text comes with its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Display {
    Summarized,
    Omitted,
}

/// Spells `options` for an answer of at most `max_tokens`.
pub(super) fn reasoning(
    dialect: &Dialect,
    options: &ReasoningOptions,
    max_tokens: u32,
    adaptations: &mut Adaptations,
) -> Result<Reasoning, Unsupported> {
    let ReasoningOptions {
        effort,
        max_tokens: limit,
        include,
    } = *options;
    if effort == Some(ReasoningEffort::None) {
        return Ok(Reasoning {
            thinking: Some(Thinking::Disabled),
            effort: None,
        });
    }
    if effort.is_none() && limit.is_none() {
        return Ok(Reasoning::default());
    }
    let display = if include {
        Display::Summarized
    } else {
        Display::Omitted
    };
    match dialect.thinking {
        ThinkingDialect::Adaptive => {
            if limit.is_some() {
                return Err(Unsupported::Feature(Feature::ReasoningBudget));
            }
            Ok(Reasoning {
                thinking: Some(Thinking::Adaptive { display }),
                effort: nearest(dialect.efforts(), effort, adaptations)?,
            })
        }
        ThinkingDialect::Budget => Ok(Reasoning {
            thinking: Some(Thinking::Enabled {
                budget_tokens: budget(effort, limit, max_tokens)?,
                display,
            }),
            effort: None,
        }),
    }
}

fn budget(
    effort: Option<ReasoningEffort>,
    limit: Option<u32>,
    max_tokens: u32,
) -> Result<u32, Unsupported> {
    let percent = |share: u64| {
        let tokens = u64::from(max_tokens) * share / 100;
        u32::try_from(tokens).unwrap_or(u32::MAX).max(LEAST_BUDGET)
    };
    let wanted = effort.map(|effort| match effort {
        ReasoningEffort::None | ReasoningEffort::Minimal => LEAST_BUDGET,
        ReasoningEffort::Low => percent(20),
        ReasoningEffort::Medium => percent(50),
        ReasoningEffort::High => percent(80),
        ReasoningEffort::XHigh => percent(90),
        ReasoningEffort::Max => percent(95),
    });
    let budget = match (wanted, limit) {
        (Some(wanted), Some(limit)) => wanted.min(limit),
        (Some(tokens), None) | (None, Some(tokens)) => tokens,
        (None, None) => LEAST_BUDGET,
    };
    if budget < LEAST_BUDGET {
        return Err(value(
            "reasoning.max_reasoning_tokens",
            "a thinking budget is at least 1024 tokens",
        ));
    }
    if budget >= max_tokens {
        return Err(value(
            "sampling.max_output_tokens",
            "it must be larger than the thinking budget, which is at least 1024 tokens",
        ));
    }
    Ok(budget)
}

/// Refuses what the API refuses beside thinking, see
/// <https://platform.claude.com/docs/en/build-with-claude/extended-thinking#feature-compatibility>.
pub(super) fn check_beside_thinking(sampling: &Sampling) -> Result<(), Unsupported> {
    if sampling.temperature.is_some_and(|value| value != 1.0) {
        return Err(value(
            "sampling.temperature",
            "it must be 1 beside reasoning",
        ));
    }
    if sampling.top_k.is_some() {
        return Err(value("sampling.top_k", "it cannot be set beside reasoning"));
    }
    if sampling.top_p.is_some_and(|value| value < 0.95) {
        return Err(value(
            "sampling.top_p",
            "it must be at least 0.95 beside reasoning",
        ));
    }
    Ok(())
}
