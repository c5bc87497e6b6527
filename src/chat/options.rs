//! What does a request say to a provider beyond the conversation?

/// Fields in a provider's own words, for the targets that understand them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderOptions {
    /// Config name of a provider, or the name of a wire format.
    pub target: String,
    /// The fields: a JSON object as text.
    pub fields: String,
    /// Whether a target that they do not fit is asked without them.
    pub optional: bool,
}

/// What a provider gives for its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceTier {
    /// As usual.
    Standard,
    /// Sooner and dearer.
    Priority,
    /// Later and cheaper.
    Flex,
    /// Within a day, cheaper; only in answers.
    Batch,
}

impl ServiceTier {
    /// Every tier, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Priority, Self::Flex, Self::Batch];

    /// Its name in the configuration and in exports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Priority => "priority",
            Self::Flex => "flex",
            Self::Batch => "batch",
        }
    }
}

/// How wordy an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Terse.
    Low,
    /// In between.
    Medium,
    /// At length.
    High,
}
