//! How is thinking asked for: a budget of tokens before Gemini 3, a level since?

use std::ops::Not;

use serde::Serialize;

use crate::chat::{ReasoningEffort, ReasoningOptions};
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::Adaptations;

use super::{Asking, Budgets, Generation, Level, as_int32, refused};

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Not::not")]
    include_thoughts: bool,
}

pub(super) fn thinking(
    options: &ReasoningOptions,
    asking: Asking<'_>,
    adaptations: &mut Adaptations,
) -> Result<Option<ThinkingConfig>, Unsupported> {
    let ReasoningOptions {
        effort,
        max_tokens,
        include,
    } = options;
    let mut config = ThinkingConfig {
        include_thoughts: *include,
        ..ThinkingConfig::default()
    };
    match (asking.generation, effort) {
        (Generation::Third, None) => config.thinking_budget = max_tokens.map(as_int32),
        (Generation::Second, _) => {
            config.thinking_budget = budget(*effort, *max_tokens, asking.budgets)?;
        }
        (Generation::Third, Some(effort)) => {
            if max_tokens.is_some() {
                return Err(refused(
                    "reasoning",
                    "an effort and a token limit exclude each other",
                ));
            }
            config.thinking_level = Some(level(*effort, asking.levels, adaptations)?);
        }
    }
    Ok((config != ThinkingConfig::default()).then_some(config))
}

/// Tokens that models before Gemini 3 may think for; as in Google's own mapping of efforts
/// (https://ai.google.dev/gemini-api/docs/openai#thinking), whose largest every model accepts.
pub(super) fn budget(
    effort: Option<ReasoningEffort>,
    max_tokens: Option<u32>,
    budgets: Budgets,
) -> Result<Option<u32>, Unsupported> {
    let wanted = match effort {
        None => None,
        Some(ReasoningEffort::None) if budgets.can_be_none => return Ok(Some(0)),
        Some(ReasoningEffort::None) => {
            return Err(refused("reasoning.effort", "this model always thinks"));
        }
        Some(ReasoningEffort::Minimal | ReasoningEffort::Low) => Some(1024),
        Some(ReasoningEffort::Medium) => Some(8192),
        Some(ReasoningEffort::High) => Some(24576),
        Some(ReasoningEffort::XHigh | ReasoningEffort::Max) => Some(budgets.most),
    };
    if max_tokens.is_some_and(|most| most < budgets.least) {
        return Err(refused(
            "reasoning.max_reasoning_tokens",
            "this model cannot be limited to so few",
        ));
    }
    let budget = match (wanted, max_tokens) {
        (Some(wanted), Some(most)) => Some(wanted.min(most)),
        (Some(tokens), None) | (None, Some(tokens)) => Some(tokens),
        (None, None) => None,
    };
    Ok(budget.map(|tokens| tokens.min(budgets.most)))
}

/// The level of an effort, or the nearest that the model has, preferably a lower one.
fn level(
    effort: ReasoningEffort,
    levels: &[Level],
    adaptations: &mut Adaptations,
) -> Result<&'static str, Unsupported> {
    let wanted = match effort {
        ReasoningEffort::None => {
            return Err(refused(
                "reasoning.effort",
                "models since Gemini 3 always think",
            ));
        }
        ReasoningEffort::Minimal => Level::Minimal,
        ReasoningEffort::Low => Level::Low,
        ReasoningEffort::Medium => Level::Medium,
        ReasoningEffort::High | ReasoningEffort::XHigh | ReasoningEffort::Max => Level::High,
    };
    let below = levels.iter().filter(|level| **level <= wanted).max();
    let Some(nearest) = below.or_else(|| levels.iter().min()) else {
        return Err(Unsupported::Feature(Feature::ReasoningEffort));
    };
    if *nearest != wanted || effort == ReasoningEffort::XHigh {
        adaptations.note(
            "reasoning.effort",
            "changed to the nearest level of thinking that the model has",
        );
    }
    Ok(match nearest {
        Level::Minimal => "MINIMAL",
        Level::Low => "LOW",
        Level::Medium => "MEDIUM",
        Level::High => "HIGH",
    })
}
