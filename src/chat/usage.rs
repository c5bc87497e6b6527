//! What did an answer use? Token counts, and how often the provider ran tools of its own.

use super::ServiceTier;

/// Token counts. Every sub-count is included in its total, as in the OpenTelemetry GenAI conventions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u64,
    /// Part of the input that a provider cache served.
    pub cache_read_input_tokens: u64,
    /// Part of the input that was written to a provider cache.
    pub cache_write_input_tokens: u64,
    /// Part of what was written to a cache that is kept for an hour or more.
    pub cache_write_long_input_tokens: u64,
    /// Part of the output spent on reasoning.
    pub reasoning_output_tokens: u64,
    /// Part of the input that was sound.
    pub audio_input_tokens: u64,
    /// Part of the input that was pictures.
    pub image_input_tokens: u64,
    /// Part of the input that was moving pictures.
    pub video_input_tokens: u64,
    /// Part of the output that was sound.
    pub audio_output_tokens: u64,
    /// Part of the output that was pictures.
    pub image_output_tokens: u64,
    /// How often the provider ran tools of its own.
    pub provider_tools: ProviderToolUsage,
    /// The tier that the provider says it used. Of a sum, the tier of all that tell one; `None` if they differ.
    pub service_tier: Option<ServiceTier>,
}

/// How often a provider ran tools of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProviderToolUsage {
    /// Searches of the web.
    pub web_searches: u32,
    /// Pages that were fetched.
    pub web_fetches: u32,
    /// Runs of code.
    pub code_executions: u32,
    /// Searches of files.
    pub file_searches: u32,
}

impl Usage {
    /// The sum of two counts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |count: fn(&Self) -> u64| count(&self).saturating_add(count(&other));
        Self {
            input_tokens: sum(|usage| usage.input_tokens),
            output_tokens: sum(|usage| usage.output_tokens),
            cache_read_input_tokens: sum(|usage| usage.cache_read_input_tokens),
            cache_write_input_tokens: sum(|usage| usage.cache_write_input_tokens),
            cache_write_long_input_tokens: sum(|usage| usage.cache_write_long_input_tokens),
            reasoning_output_tokens: sum(|usage| usage.reasoning_output_tokens),
            audio_input_tokens: sum(|usage| usage.audio_input_tokens),
            image_input_tokens: sum(|usage| usage.image_input_tokens),
            video_input_tokens: sum(|usage| usage.video_input_tokens),
            audio_output_tokens: sum(|usage| usage.audio_output_tokens),
            image_output_tokens: sum(|usage| usage.image_output_tokens),
            provider_tools: self.provider_tools.plus(other.provider_tools),
            service_tier: match (self.service_tier, other.service_tier) {
                (Some(one), Some(other)) if one != other => None,
                (one, other) => one.or(other),
            },
        }
    }
}

impl ProviderToolUsage {
    fn plus(self, other: Self) -> Self {
        let sum = |count: fn(&Self) -> u32| count(&self).saturating_add(count(&other));
        Self {
            web_searches: sum(|tools| tools.web_searches),
            web_fetches: sum(|tools| tools.web_fetches),
            code_executions: sum(|tools| tools.code_executions),
            file_searches: sum(|tools| tools.file_searches),
        }
    }
}
