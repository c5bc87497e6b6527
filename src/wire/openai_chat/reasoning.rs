//! How does a request ask for reasoning: the fields of each dialect, and the nearest effort?

use std::ops::Not;

use serde::Serialize;

use crate::chat::{ReasoningEffort, ReasoningOptions};
use crate::error::Unsupported;
use crate::features::Feature;

use super::{Dialect, ReasoningControl};
use crate::wire::Adaptations;
use crate::wire::openai::effort::{Effort, nearest};

/// What else of the request matters to reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// Whether the model may have to continue after a tool call.
    pub(super) has_tools: bool,
    /// Whether the request uses a feature that excludes reasoning.
    pub(super) excludes_reasoning: bool,
}

/// How reasoning is asked for, in all dialects.
#[derive(Default, Serialize)]
pub(super) struct ReasoningFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<ReasoningObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_budget: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct ReasoningObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effort: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Not::not")]
    pub(super) exclude: bool,
}

#[derive(Serialize)]
pub(super) struct Thinking {
    pub(super) r#type: &'static str,
}

/// Spells `options` for a request with these things beside them.
pub(super) fn controls(
    dialect: &Dialect,
    options: &ReasoningOptions,
    beside: Beside,
    adaptations: &mut Adaptations,
) -> Result<ReasoningFields, Unsupported> {
    let ReasoningOptions {
        effort,
        max_tokens,
        include,
    } = *options;
    let mut fields = ReasoningFields::default();
    let mut effort = effort;
    // can1357/oh-my-pi#1077, deepseek-ai/DeepSeek-V3#1376, BerriAI/litellm#34569
    if dialect.thinks_unasked
        && beside.excludes_reasoning
        && effort.is_none()
        && max_tokens.is_none()
    {
        adaptations.note(
            "reasoning",
            "switched off: the model reasons by default, and a feature of this request excludes that",
        );
        effort = Some(ReasoningEffort::None);
    }
    // No reasoning at all keeps every limit.
    let budget = max_tokens.filter(|_| effort != Some(ReasoningEffort::None));
    let on = effort.map(|effort| effort != ReasoningEffort::None);
    let without_budget = || match budget {
        None => Ok(()),
        Some(_) => Err(Unsupported::Feature(Feature::ReasoningBudget)),
    };
    match dialect.reasoning {
        ReasoningControl::None => {
            without_budget()?;
            if effort.is_some() {
                return Err(Unsupported::Feature(Feature::ReasoningEffort));
            }
        }
        ReasoningControl::ReasoningEffort => {
            without_budget()?;
            fields.reasoning_effort = nearest(&dialect.efforts, effort, adaptations)?;
        }
        ReasoningControl::ReasoningObject => {
            if effort.is_none() && budget.is_none() {
                return Ok(fields);
            }
            if effort.is_some() && budget.is_some() {
                adaptations.note(
                    "reasoning.effort",
                    "left out: the provider accepts either an effort or a limit of tokens",
                );
            }
            fields.reasoning = Some(ReasoningObject {
                effort: match budget {
                    Some(_) => None,
                    None => nearest(&dialect.efforts, effort, adaptations)?,
                },
                max_tokens: budget,
                // With tools, the details must be sent back in the next request.
                exclude: !include && !beside.has_tools,
            });
        }
        ReasoningControl::Thinking => {
            without_budget()?;
            fields.thinking = on.map(|on| Thinking {
                r#type: if on { "enabled" } else { "disabled" },
            });
            if on == Some(true) && !dialect.efforts.is_empty() {
                fields.reasoning_effort = nearest(&dialect.efforts, effort, adaptations)?;
            } else if on == Some(true) {
                note_switch(adaptations);
            }
        }
        ReasoningControl::EnableThinking => {
            fields.enable_thinking = on.or(budget.map(|_| true));
            fields.thinking_budget = budget;
            if on == Some(true) {
                note_switch(adaptations);
            }
        }
    }
    Ok(fields)
}

fn note_switch(adaptations: &mut Adaptations) {
    adaptations.note(
        "reasoning.effort",
        "reasoning is switched on: the provider has no levels of effort",
    );
}
