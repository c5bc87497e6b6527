//! How does a request ask for reasoning: the fields of each dialect, and the nearest effort?

use crate::chat::{ReasoningEffort, ReasoningOptions};
use crate::error::Unsupported;
use crate::features::Feature;

use super::body::{ReasoningFields, ReasoningObject, Thinking};
use super::{Dialect, Effort, ReasoningControl};
use crate::wire::Adaptations;

/// What else of the request matters to reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// Whether the model may have to continue after a tool call.
    pub(super) has_tools: bool,
    /// Whether the request uses a feature that excludes reasoning.
    pub(super) excludes_reasoning: bool,
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
            fields.reasoning_effort = nearest(dialect, effort, adaptations)?;
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
                    None => nearest(dialect, effort, adaptations)?,
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
                fields.reasoning_effort = nearest(dialect, effort, adaptations)?;
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

fn nearest(
    dialect: &Dialect,
    effort: Option<ReasoningEffort>,
    adaptations: &mut Adaptations,
) -> Result<Option<Effort>, Unsupported> {
    let Some(effort) = effort else {
        return Ok(None);
    };
    let Some((word, is_exact)) = nearest_effort(&dialect.efforts, effort) else {
        return Err(Unsupported::Feature(Feature::ReasoningEffort));
    };
    if !is_exact {
        adaptations.note(
            "reasoning.effort",
            "changed to the nearest effort that the provider takes",
        );
    }
    Ok(Some(word))
}

/// The word nearest to an effort, preferably a lower one, and whether it means exactly that effort.
fn nearest_effort(efforts: &[Effort], effort: ReasoningEffort) -> Option<(Effort, bool)> {
    let wanted = match effort {
        ReasoningEffort::None => Effort::None,
        ReasoningEffort::Minimal => Effort::Minimal,
        ReasoningEffort::Low => Effort::Low,
        ReasoningEffort::Medium => Effort::Medium,
        ReasoningEffort::High => Effort::High,
        ReasoningEffort::Max => Effort::Max,
    };
    // A caller who asks for some reasoning must not get none.
    let serving = || {
        let serves = |word: &Effort| *word != Effort::None || wanted == Effort::None;
        efforts.iter().copied().filter(serves)
    };
    let word = serving()
        .filter(|word| *word <= wanted)
        .max()
        .or_else(|| serving().min())?;
    // The most a model can is the strongest word there is.
    Some((word, word == wanted || wanted == Effort::Max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effort_is_asked_for_by_the_nearest_word() {
        let cases = [
            (
                &[Effort::None, Effort::High][..],
                ReasoningEffort::None,
                Some((Effort::None, true)),
            ),
            (
                &[Effort::None, Effort::High],
                ReasoningEffort::Low,
                Some((Effort::High, false)),
            ),
            (
                &[Effort::None, Effort::High],
                ReasoningEffort::Max,
                Some((Effort::High, true)),
            ),
            (
                &[Effort::Low, Effort::High],
                ReasoningEffort::None,
                Some((Effort::Low, false)),
            ),
            (
                &[Effort::Low, Effort::High],
                ReasoningEffort::Medium,
                Some((Effort::Low, false)),
            ),
            (
                &[Effort::High, Effort::Low],
                ReasoningEffort::High,
                Some((Effort::High, true)),
            ),
            (&[], ReasoningEffort::High, None),
        ];

        for (efforts, wanted, expected) in cases {
            assert_eq!(
                nearest_effort(efforts, wanted),
                expected,
                "{wanted:?} of {efforts:?}"
            );
        }
    }
}
