//! Who must act on a call that failed? One table beside the reasons.

use super::Reason;

/// Who must act so that calls like this one succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Nobody: the call was answered.
    None,
    /// The caller: its request, its credential, its limits or its time; or it went away.
    Caller,
    /// Whoever sets the deadline, or chooses targets that are too slow for it.
    Deadline,
    /// Whoever runs the gateway's relation to its providers: they failed, and no other target could answer.
    Provider,
    /// Whoever runs the gateway: it was full, going down or defective.
    Gateway,
}

impl Blame {
    /// Every value, in the order of declaration.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Caller,
        Self::Deadline,
        Self::Provider,
        Self::Gateway,
    ];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Caller => "caller",
            Self::Deadline => "deadline",
            Self::Provider => "provider",
            Self::Gateway => "gateway",
        }
    }
}

impl Reason {
    /// Who must act on a call that failed for this reason. `had_time` says whether its caller gave it at least
    /// `admission.min_time_left`: the deadline of a call that had less was its caller's mistake.
    pub fn blame(self, had_time: bool) -> Blame {
        match self {
            Self::Unimplemented
            | Self::InvalidRequest
            | Self::ScenarioNotFound
            | Self::ModelNotFound
            | Self::CapabilityUnsupported
            | Self::ContextLengthExceeded
            | Self::IdempotencyConflict
            | Self::ContentBlocked
            | Self::CallerRateLimited
            | Self::CallerQuotaExhausted
            | Self::CredentialsMissing
            | Self::CredentialsInvalid
            | Self::PermissionDenied
            | Self::LabelNotAllowed
            | Self::CostCapExceeded
            | Self::ClientStalled => Blame::Caller,
            Self::DeadlineExceeded if !had_time => Blame::Caller,
            Self::DeadlineExceeded => Blame::Deadline,
            Self::ProviderRateLimited
            | Self::ProviderOverloaded
            | Self::ProviderError
            | Self::ProviderTimeout
            | Self::ProviderUnreachable
            | Self::ProviderAuthFailed
            | Self::ProviderQuotaExhausted
            | Self::ProviderBadResponse
            | Self::BreakerOpen
            | Self::NoProviderAvailable
            | Self::StreamInterrupted
            | Self::RetryBudgetExhausted
            | Self::WasteBudgetExhausted => Blame::Provider,
            Self::Overloaded
            | Self::Draining
            | Self::PriceUnknown
            | Self::LedgerUnavailable
            | Self::CredentialsUnchecked
            | Self::Internal => Blame::Gateway,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_blamed_for_all_that_bears_its_name() {
        for reason in Reason::ALL {
            let is_providers = reason.name().starts_with("PROVIDER_");
            assert!(
                !is_providers || reason.blame(true) == Blame::Provider,
                "{reason:?}"
            );
            let is_callers =
                reason.name().starts_with("CALLER_") || reason.name().ends_with("_NOT_FOUND");
            assert!(
                !is_callers || reason.blame(true) == Blame::Caller,
                "{reason:?}"
            );
            assert_ne!(reason.blame(true), Blame::None, "{reason:?}");
        }
    }

    #[test]
    fn only_a_deadline_depends_on_the_time_that_the_caller_gave() {
        for reason in Reason::ALL {
            let (had_time, had_none) = (reason.blame(true), reason.blame(false));

            let differs = reason == Reason::DeadlineExceeded;
            assert_eq!(had_time != had_none, differs, "{reason:?}");
        }
        assert_eq!(Reason::DeadlineExceeded.blame(true), Blame::Deadline);
        assert_eq!(Reason::DeadlineExceeded.blame(false), Blame::Caller);
    }
}
