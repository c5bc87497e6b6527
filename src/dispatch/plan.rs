//! What a request would do: its targets in order, and which of them cannot answer it at all. Pure.

use std::sync::Arc;

use crate::error::Unsupported;
use crate::features::Features;
use crate::trail::Skip;

use super::target::Target;

/// Why a target cannot answer a request that uses these features and asks for so many output tokens;
/// `None` if it can.
pub fn ineligible(target: &Target, used: Features, max_output_tokens: Option<u32>) -> Option<Skip> {
    if let Some(missing) = used.minus(target.features).iter().next() {
        return Some(Skip::Unsupported(Unsupported::Feature(missing)));
    }
    match (max_output_tokens, target.max_output_tokens) {
        (Some(wanted), Some(most)) if wanted > most => {
            Some(Skip::Unsupported(Unsupported::Value {
                field: "sampling.max_output_tokens",
                why: "the model cannot give so many",
            }))
        }
        _ => None,
    }
}

/// Whether a target may hold a prompt that was too long for others: its window is known to be larger
/// than those of them that are known, or nothing is known but that it is another model.
pub fn may_hold_more(target: &Target, too_small: &[Arc<Target>]) -> bool {
    let largest = too_small
        .iter()
        .filter_map(|other| other.context_window_tokens)
        .max();
    match (target.context_window_tokens, largest) {
        (Some(window), Some(largest)) => window > largest,
        // One that nobody wrote down is not worth an attempt while the sizes of others are known.
        (None, Some(_)) => false,
        (Some(_) | None, None) => too_small.iter().all(|other| other.model != target.model),
    }
}
