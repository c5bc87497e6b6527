//! Which targets cannot answer a request, however healthy they are? Pure.

use std::sync::Arc;

use crate::error::Unsupported;
use crate::trail::Skip;

use crate::dispatch::needs::Needs;
use crate::dispatch::target::Target;

use super::Plan;

impl Plan {
    /// Why a target cannot answer: the prompt was too long for others, its provider has refused the request, it
    /// lacks a feature, or there is no access token for its provider.
    pub(super) fn ineligible(&self, target: &Target) -> Option<Skip> {
        let targets = &self.route.targets;
        let too_small = self.cursor.too_small();
        let too_small = too_small.map(|position| &*targets[position].target);
        if !may_hold_more(target, too_small) {
            return Some(Skip::ContextTooSmall);
        }
        let refused = self.cursor.refused();
        let refused = refused.map(|position| &*targets[position].target);
        if !is_of_another_provider(target, refused) {
            return Some(Skip::RefusedByProvider);
        }
        self.asked
            .lacked_by(target)
            .or_else(|| target.lacks_token())
    }

    /// Whether a target could answer if it were healthy.
    pub(super) fn could_answer(&self, target: &Arc<Target>) -> bool {
        self.ineligible(target).is_none() && self.asked.can_be_put_to(target)
    }
}

/// Why a target cannot answer a request that needs this; `None` if it can.
pub(in crate::dispatch) fn ineligible(target: &Target, needs: &Needs) -> Option<Skip> {
    let Needs {
        used,
        max_output_tokens,
        ..
    } = *needs;
    if let Some(missing) = used.minus(target.features).iter().next() {
        return Some(Skip::Unsupported(Unsupported::Feature(missing)));
    }
    let exclusions = target.wire_format.exclusions();
    if let Some(pair) = exclusions.iter().find(|pair| pair.concerns(used)) {
        return Some(Skip::Unsupported(Unsupported::Together(*pair)));
    }
    match (max_output_tokens, target.max_output_tokens) {
        (Some(wanted), Some(most)) if wanted > most => {
            Some(Skip::Unsupported(Unsupported::Value {
                field: "sampling.max_output_tokens",
                why: "the model cannot give so many",
            }))
        }
        _ => needs
            .kept_from(&target.provider.name)
            .map(Skip::Unsupported),
    }
}

/// Whether a target may hold a prompt that was too long for others. Its window must be known to be larger than the
/// known windows of the others; if none is known, it must be another model.
pub(in crate::dispatch) fn may_hold_more<'a>(
    target: &Target,
    too_small: impl Iterator<Item = &'a Target> + Clone,
) -> bool {
    let windows = too_small.clone();
    let largest = windows
        .filter_map(|other| other.context_window_tokens)
        .max();
    match (target.context_window_tokens, largest) {
        (Some(window), Some(largest)) => window > largest,
        // A target of unknown window is not worth an attempt if the windows that were too small are known.
        (None, Some(_)) => false,
        (Some(_) | None, None) => {
            let mut others = too_small;
            others.all(|other| other.model != target.model)
        }
    }
}

/// Whether this target's provider is none of those that have refused the request. A provider would refuse it by the
/// same rule again.
pub(in crate::dispatch) fn is_of_another_provider<'a>(
    target: &Target,
    mut refused: impl Iterator<Item = &'a Target>,
) -> bool {
    refused.all(|other| other.provider.name != target.provider.name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dispatch::specimens::target;
    use crate::features::{Exclusion, Feature, Features};
    use crate::wire::anthropic::Anthropic;

    fn using(used: Features) -> Needs {
        Needs {
            used,
            ..Needs::default()
        }
    }

    #[test]
    fn a_target_that_lacks_a_feature_cannot_answer_a_request_that_needs_it() {
        let able = target("able");
        let unable = Target {
            features: Features::ALL.without(Feature::Tools),
            ..target("unable")
        };
        let used = Features::NONE.with(Feature::Tools);

        assert_eq!(ineligible(&able, &using(used)), None);
        let missing = Skip::Unsupported(Unsupported::Feature(Feature::Tools));
        assert_eq!(ineligible(&unable, &using(used)), Some(missing));
        assert_eq!(ineligible(&unable, &using(Features::NONE)), None);
    }

    #[test]
    fn a_target_that_serves_either_of_two_features_cannot_answer_a_request_that_needs_both() {
        let claude = Target {
            wire_format: Arc::new(Anthropic::default()),
            ..target("claude")
        };
        let temperature = Features::NONE.with(Feature::Temperature);
        let both = temperature.with(Feature::TopP);

        let together = Unsupported::Together(Exclusion::TEMPERATURE_AND_TOP_P);
        assert_eq!(ineligible(&claude, &using(temperature)), None);
        assert_eq!(
            ineligible(&claude, &using(both)),
            Some(Skip::Unsupported(together.clone()))
        );
        assert_eq!(
            together.to_string(),
            "it cannot combine `temperature` with `top_p`"
        );
        assert_eq!(ineligible(&target("other"), &using(both)), None);
    }

    #[test]
    fn a_target_cannot_answer_at_more_length_than_it_has() {
        // Tokens wanted, the most that the target gives, whether it can.
        let table = [
            (Some(1000), Some(1000), true),
            (Some(999), Some(1000), true),
            (Some(1001), Some(1000), false),
            (Some(1001), None, true),
            (None, Some(1000), true),
        ];
        for (wanted, most, can) in table {
            let target = Target {
                max_output_tokens: most,
                ..target("short")
            };

            let needs = Needs {
                max_output_tokens: wanted,
                ..Needs::default()
            };
            let skip = ineligible(&target, &needs);

            assert_eq!(skip.is_none(), can, "{wanted:?} of {most:?}");
        }
    }

    #[test]
    fn a_larger_window_may_hold_what_was_too_long_and_an_unknown_one_of_another_model() {
        // Windows of the target and of another model that was too small.
        let table = [
            (Some(9), Some(8), true),
            (Some(8), Some(8), false),
            (Some(7), Some(8), false),
            (None, Some(8), false),
            (Some(8), None, true),
            (None, None, true),
        ];
        for (window, exceeded, expected) in table {
            let of_window = |model: &str, window| Target {
                context_window_tokens: window,
                ..target(model)
            };
            let too_small = [of_window("small", exceeded)];

            let other = of_window("other", window);
            assert_eq!(
                may_hold_more(&other, too_small.iter()),
                expected,
                "{window:?}"
            );
            assert!(may_hold_more(&other, [].iter()));
            let same = of_window("small", None);
            assert!(!may_hold_more(&same, too_small.iter()));
        }
    }

    #[test]
    fn a_target_of_a_provider_that_has_refused_would_refuse_by_the_same_rule() {
        let (one, other) = (target("one"), target("other"));
        let same = Target {
            provider: Arc::clone(&one.provider),
            ..target("same")
        };
        let table: [(&Target, &[&Target], bool); 4] = [
            (&other, &[], true),
            (&other, &[&one], true),
            (&same, &[&one], false),
            (&same, &[&other, &one], false),
        ];
        for (target, refused, expected) in table {
            let is_of_another = is_of_another_provider(target, refused.iter().copied());

            assert_eq!(is_of_another, expected, "{}", target.id);
        }
    }
}
