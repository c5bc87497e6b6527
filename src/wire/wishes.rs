//! Which wishes of a request has a provider no place for? They are left out, with a warning each.

use crate::chat::ChatRequest;

use super::Adaptations;

/// Something that a request asks for and that a target may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// `end_user_id`
    EndUser,
    /// `prompt_cache_key`
    CacheKey,
    /// `prompt_cache_retention`
    CacheRetention,
    /// `cache_breakpoint` of a part
    PartCache,
    /// `cache_breakpoint` of a tool
    ToolCache,
    /// `service_tier`
    ServiceTier,
    /// `verbosity`
    Verbosity,
}

impl Wish {
    const ALL: [Self; 7] = [
        Self::EndUser,
        Self::CacheKey,
        Self::CacheRetention,
        Self::PartCache,
        Self::ToolCache,
        Self::ServiceTier,
        Self::Verbosity,
    ];

    fn field(self) -> &'static str {
        match self {
            Self::EndUser => "end_user_id",
            Self::CacheKey => "prompt_cache_key",
            Self::CacheRetention => "prompt_cache_retention",
            Self::PartCache => "messages.parts.cache_breakpoint",
            Self::ToolCache => "tools.cache_breakpoint",
            Self::ServiceTier => "service_tier",
            Self::Verbosity => "verbosity",
        }
    }

    fn is_in(self, request: &ChatRequest) -> bool {
        match self {
            Self::EndUser => !request.end_user_id.is_empty(),
            Self::CacheKey => !request.prompt_cache_key.is_empty(),
            Self::CacheRetention => request.prompt_cache_retention.is_some(),
            Self::PartCache => {
                let mut marks = request.marks.of_parts();
                marks.any(|(_, mark)| mark.cache.is_some())
            }
            Self::ToolCache => {
                let mut marks = request.marks.of_tools();
                marks.any(|(_, mark)| mark.cache.is_some())
            }
            Self::ServiceTier => request.service_tier.is_some(),
            Self::Verbosity => request.verbosity.is_some(),
        }
    }
}

/// Notes each wish of a request that is not among those that the format spells.
pub(super) fn note_left_out(
    request: &ChatRequest,
    spelled: &[Wish],
    adaptations: &mut Adaptations,
) {
    note_unless(request, |wish| spelled.contains(&wish), adaptations);
}

/// Notes each wish of a request that has no place in what is sent.
pub(super) fn note_unless(
    request: &ChatRequest,
    has_place: impl Fn(Wish) -> bool,
    adaptations: &mut Adaptations,
) {
    for wish in Wish::ALL {
        if !has_place(wish) && wish.is_in(request) {
            adaptations.note(wish.field(), "left out: the provider has no place for it");
        }
    }
}
