//! How are wishes written: who is asking, what is kept in the cache, which tier serves, how wordy the answer is?

use serde::Serialize;

use crate::chat::{CacheRetention, ChatRequest, ServiceTier, Verbosity};
use crate::wire::Adaptations;
use crate::wire::wishes::{Wish, note_unless};

use super::{CacheMarks, Dialect, EndUserField, TierWord};

/// The longest `safety_identifier` that OpenAI takes, in characters.
const MAX_SAFETY_IDENTIFIER: usize = 64;

#[derive(Default, Serialize)]
pub(super) struct WishFields<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    safety_identifier: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    prompt_cache_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_retention: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<TierWord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'static str>,
}

/// The wishes of a request, as far as the host has a place for them.
pub(super) fn wishes_of<'a>(
    dialect: &Dialect,
    request: &'a ChatRequest,
    adaptations: &mut Adaptations,
) -> WishFields<'a> {
    note_unless(request, |wish| has_place(dialect, wish), adaptations);
    let mut fields = WishFields::default();
    let user = request.end_user_id.as_str();
    match dialect.end_user {
        EndUserField::None => {}
        EndUserField::SafetyIdentifier if user.chars().count() > MAX_SAFETY_IDENTIFIER => {
            adaptations.note(
                "end_user_id",
                "left out: the provider takes at most 64 characters",
            );
        }
        EndUserField::SafetyIdentifier => fields.safety_identifier = user,
        EndUserField::User => fields.user = user,
    }
    if dialect.prompt_cache_key {
        fields.prompt_cache_key = &request.prompt_cache_key;
    }
    if dialect.prompt_cache_retention {
        fields.prompt_cache_retention = match request.prompt_cache_retention {
            Some(CacheRetention::Long) => Some("24h"),
            Some(CacheRetention::Short) => Some("in_memory"),
            Some(CacheRetention::Default) | None => None,
        };
    }
    if let Some(tier) = request.service_tier
        && !dialect.service_tiers.is_empty()
    {
        fields.service_tier = word_for(tier, &dialect.service_tiers);
        if fields.service_tier.is_none() {
            let why = "left out: the provider does not have this tier";
            adaptations.note("service_tier", why);
        }
    }
    if dialect.verbosity {
        fields.verbosity = request.verbosity.map(|verbosity| match verbosity {
            Verbosity::Low => "low",
            Verbosity::Medium => "medium",
            Verbosity::High => "high",
        });
    }
    fields
}

fn has_place(dialect: &Dialect, wish: Wish) -> bool {
    match wish {
        Wish::EndUser => dialect.end_user != EndUserField::None,
        Wish::CacheKey => dialect.prompt_cache_key,
        Wish::CacheRetention => dialect.prompt_cache_retention,
        Wish::PartCache => dialect.cache_marks != CacheMarks::None,
        Wish::ToolCache => dialect.cache_marks == CacheMarks::CacheControl,
        Wish::ServiceTier => !dialect.service_tiers.is_empty(),
        Wish::Verbosity => dialect.verbosity,
    }
}

/// The host's word for a tier.
fn word_for(tier: ServiceTier, words: &[TierWord]) -> Option<TierWord> {
    words.iter().copied().find(|word| {
        tier == match word {
            TierWord::Default | TierWord::OnDemand | TierWord::Standard => ServiceTier::Standard,
            TierWord::Priority | TierWord::Performance => ServiceTier::Priority,
            TierWord::Flex => ServiceTier::Flex,
        }
    })
}
