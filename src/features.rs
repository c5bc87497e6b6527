//! Which features does a request need from a target? A set of them.
//!
//! A target that lacks one of them is ineligible before anything is sent; see `dispatch::plan`.

mod modality;
mod of_request;

pub use self::modality::Modality;
pub use self::of_request::features_of;

/// Something that not every target can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Feature {
    /// An image carried in the request.
    ImageData,
    /// An image that the provider fetches.
    ImageUri,
    /// A document carried in the request.
    DocumentData,
    /// A document that the provider fetches.
    DocumentUri,
    /// Sound carried in the request.
    AudioData,
    /// Sound that the provider fetches.
    AudioUri,
    /// Moving pictures carried in the request.
    VideoData,
    /// Moving pictures that the provider fetches.
    VideoUri,
    /// A file that is stored at the provider.
    StoredFile,
    /// Tool definitions, tool calls and tool results.
    Tools,
    /// A tool that must be called: `required`, or one by name.
    ForcedToolChoice,
    /// `parallel_tool_calls = false`.
    SerialToolCalls,
    /// Tools whose arguments follow their schema exactly.
    StrictTools,
    /// An answer that is some JSON object.
    JsonObject,
    /// An answer that follows a JSON Schema.
    JsonSchema,
    /// `sampling.temperature`.
    Temperature,
    /// `sampling.top_p`.
    TopP,
    /// `sampling.top_k`.
    TopK,
    /// `sampling.frequency_penalty`.
    FrequencyPenalty,
    /// `sampling.presence_penalty`.
    PresencePenalty,
    /// `sampling.seed`.
    Seed,
    /// `sampling.stop_sequences`.
    StopSequences,
    /// `reasoning.effort`.
    ReasoningEffort,
    /// `reasoning.max_reasoning_tokens`.
    ReasoningBudget,
    /// Reasoning that is asked for: by an effort other than `none`, or by a limit of its tokens.
    Reasoning,
    /// The provider's own search of the web.
    WebSearch,
    /// The provider's own runs of code.
    CodeExecution,
    /// `sampling.top_logprobs`.
    Logprobs,
}

impl Feature {
    /// Every feature, in the order of declaration.
    pub const ALL: [Self; 28] = [
        Self::ImageData,
        Self::ImageUri,
        Self::DocumentData,
        Self::DocumentUri,
        Self::AudioData,
        Self::AudioUri,
        Self::VideoData,
        Self::VideoUri,
        Self::StoredFile,
        Self::Tools,
        Self::ForcedToolChoice,
        Self::SerialToolCalls,
        Self::StrictTools,
        Self::JsonObject,
        Self::JsonSchema,
        Self::Temperature,
        Self::TopP,
        Self::TopK,
        Self::FrequencyPenalty,
        Self::PresencePenalty,
        Self::Seed,
        Self::StopSequences,
        Self::ReasoningEffort,
        Self::ReasoningBudget,
        Self::Reasoning,
        Self::WebSearch,
        Self::CodeExecution,
        Self::Logprobs,
    ];

    /// Name in the configuration and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageData => "image_data",
            Self::ImageUri => "image_uri",
            Self::DocumentData => "document_data",
            Self::DocumentUri => "document_uri",
            Self::AudioData => "audio_data",
            Self::AudioUri => "audio_uri",
            Self::VideoData => "video_data",
            Self::VideoUri => "video_uri",
            Self::StoredFile => "stored_file",
            Self::Tools => "tools",
            Self::ForcedToolChoice => "forced_tool_choice",
            Self::SerialToolCalls => "serial_tool_calls",
            Self::StrictTools => "strict_tools",
            Self::JsonObject => "json_object",
            Self::JsonSchema => "json_schema",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::TopK => "top_k",
            Self::FrequencyPenalty => "frequency_penalty",
            Self::PresencePenalty => "presence_penalty",
            Self::Seed => "seed",
            Self::StopSequences => "stop_sequences",
            Self::ReasoningEffort => "reasoning_effort",
            Self::ReasoningBudget => "reasoning_budget",
            Self::Reasoning => "reasoning",
            Self::WebSearch => "web_search",
            Self::CodeExecution => "code_execution",
            Self::Logprobs => "logprobs",
        }
    }

    /// The feature of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }
}

/// Two features of which a target can serve either, but not both in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exclusion(pub Feature, pub Feature);

impl Exclusion {
    /// A tool that must be called excludes reasoning.
    pub const FORCED_TOOL_AND_REASONING: Self = Self(Feature::ForcedToolChoice, Feature::Reasoning);
    /// `temperature` excludes `top_p`.
    pub const TEMPERATURE_AND_TOP_P: Self = Self(Feature::Temperature, Feature::TopP);

    /// The feature that excludes this one, if the exclusion is of it.
    pub fn of(self, feature: Feature) -> Option<Feature> {
        match self {
            Self(one, other) if one == feature => Some(other),
            Self(one, other) if other == feature => Some(one),
            Self(..) => None,
        }
    }

    /// Whether a request that uses these features uses both.
    pub const fn concerns(self, used: Features) -> bool {
        used.contains(self.0) && used.contains(self.1)
    }
}

/// A set of [`Feature`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Every kind of content besides text, wherever it is.
    pub const MEDIA: Self = Self::NONE
        .with(Feature::ImageData)
        .with(Feature::ImageUri)
        .with(Feature::DocumentData)
        .with(Feature::DocumentUri)
        .with(Feature::AudioData)
        .with(Feature::AudioUri)
        .with(Feature::VideoData)
        .with(Feature::VideoUri)
        .with(Feature::StoredFile);
    /// Everything.
    pub const ALL: Self = Self((1 << Feature::ALL.len()) - 1);

    /// The same set with `feature`.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u8)
    }

    /// The same set without `feature`.
    #[must_use]
    pub const fn without(self, feature: Feature) -> Self {
        Self(self.0 & !(1 << feature as u8))
    }

    /// Whether `feature` is in the set.
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u8 != 0
    }

    /// The features in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The features in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The features in this set but not in `other`.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The features of the set, in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL
            .into_iter()
            .filter(move |feature| self.contains(*feature))
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_stands_once_in_all_and_has_a_name_of_its_own() {
        let mut names: Vec<_> = Feature::ALL.iter().map(|feature| feature.name()).collect();
        names.sort_unstable();
        names.dedup();

        assert_eq!(names.len(), Feature::ALL.len());
        assert_eq!(
            Feature::ALL.into_iter().collect::<Features>(),
            Features::ALL
        );
        for (position, feature) in Feature::ALL.into_iter().enumerate() {
            assert_eq!(position, feature as usize);
            assert_eq!(Feature::named(feature.name()), Some(feature));
        }
    }

    #[test]
    fn an_exclusion_concerns_requests_that_use_both() {
        let both = [Feature::Temperature, Feature::TopP];

        let exclusion = Exclusion::TEMPERATURE_AND_TOP_P;

        assert!(exclusion.concerns(both.into_iter().collect()));
        for one in both {
            assert!(!exclusion.concerns(Features::NONE.with(one)));
        }
    }
}
