//! What a request would do: its targets in order, and which of them cannot answer it at all. Pure.

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
