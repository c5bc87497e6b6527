//! By which word is an effort of reasoning asked for?

use serde::{Deserialize, Serialize};

use crate::chat::ReasoningEffort;
use crate::error::Unsupported;
use crate::features::Feature;
use crate::wire::Adaptations;

/// A word for the effort of reasoning, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// `none`
    None,
    /// `minimal`
    Minimal,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `xhigh`
    Xhigh,
    /// `max`
    Max,
}

/// The word for an effort that is asked for: the nearest of those that the provider takes.
///
/// # Errors
/// It takes none that would serve.
pub(in crate::wire) fn nearest(
    efforts: &[Effort],
    effort: Option<ReasoningEffort>,
    adaptations: &mut Adaptations,
) -> Result<Option<Effort>, Unsupported> {
    let Some(effort) = effort else {
        return Ok(None);
    };
    let Some((word, is_exact)) = nearest_effort(efforts, effort) else {
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
        ReasoningEffort::XHigh => Effort::Xhigh,
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
