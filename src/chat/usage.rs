//! What did an answer use? Token counts, and how often the provider ran tools of its own.

use super::ServiceTier;

/// Token counts; `None` where the provider has told none, which is not 0. Every sub-count is included in its total, as
/// in the OpenTelemetry GenAI conventions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: Option<u64>,
    /// Part of the input that a provider cache served.
    pub cache_read_input_tokens: Option<u64>,
    /// Part of the input that was written to a provider cache.
    pub cache_write_input_tokens: Option<u64>,
    /// Part of what was written to a cache that is kept for an hour or more.
    pub cache_write_long_input_tokens: Option<u64>,
    /// Part of the output spent on reasoning.
    pub reasoning_output_tokens: Option<u64>,
    /// Part of the input that was sound.
    pub audio_input_tokens: Option<u64>,
    /// Part of the input that was pictures.
    pub image_input_tokens: Option<u64>,
    /// Part of the input that was moving pictures.
    pub video_input_tokens: Option<u64>,
    /// Part of the output that was sound.
    pub audio_output_tokens: Option<u64>,
    /// Part of the output that was pictures.
    pub image_output_tokens: Option<u64>,
    /// How often the provider ran tools of its own.
    pub provider_tools: ProviderToolUsage,
    /// The tier that the provider says it used. Of a sum, the tier of all that tell one; `None` if they differ.
    pub service_tier: Option<ServedTier>,
    /// Whether the provider told a part that is larger than its total. Such a part has been cut down to the total.
    pub is_contradictory: bool,
    /// Whether any of the counts is an estimate, because the provider did not tell it.
    pub is_estimated: bool,
}

/// The tier in which a provider says it served a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedTier {
    /// One that callers can ask for, or that of batches.
    Known(ServiceTier),
    /// Another one, of which neither the service nor the prices are known.
    Other,
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
    /// The sum of two counts: of those that were told, if only one was.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |count: fn(&Self) -> Option<u64>| match (count(&self), count(&other)) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
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
            is_contradictory: self.is_contradictory || other.is_contradictory,
            is_estimated: self.is_estimated || other.is_estimated,
        }
    }

    /// Cuts every part that is larger than its total down to the total, and says so. Parts of a total that was not told
    /// stay as they are.
    #[must_use]
    pub fn consistent(mut self) -> Self {
        let Self {
            input_tokens: input,
            output_tokens: output,
            ..
        } = self;
        let mut is_cut = false;
        let mut cut = |part: &mut Option<u64>, total: Option<u64>| {
            if let (Some(count), Some(total)) = (*part, total)
                && count > total
            {
                *part = Some(total);
                is_cut = true;
            }
        };
        cut(&mut self.cache_read_input_tokens, input);
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let unread = input.map(|input| input.saturating_sub(read));
        cut(&mut self.cache_write_input_tokens, unread);
        let written = self.cache_write_input_tokens;
        cut(&mut self.cache_write_long_input_tokens, written);
        for part in [
            &mut self.audio_input_tokens,
            &mut self.image_input_tokens,
            &mut self.video_input_tokens,
        ] {
            cut(part, input);
        }
        for part in [
            &mut self.reasoning_output_tokens,
            &mut self.audio_output_tokens,
            &mut self.image_output_tokens,
        ] {
            cut(part, output);
        }
        self.is_contradictory |= is_cut;
        self
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_count_is_not_zero() {
        let told = Usage {
            input_tokens: Some(3),
            output_tokens: Some(0),
            ..Usage::default()
        };

        let sum = told.plus(Usage::default()).plus(told);

        assert_eq!(sum.input_tokens, Some(6));
        assert_eq!(sum.output_tokens, Some(0));
        assert_eq!(sum.cache_read_input_tokens, None);
    }

    #[test]
    fn a_part_is_cut_down_to_its_total() {
        // Input, read from a cache, written to it, of that for long; what of them stays.
        let table = [
            ((Some(10), Some(4), Some(6), Some(6)), (4, 6, 6), false),
            ((Some(10), Some(11), None, None), (10, 0, 0), true),
            ((Some(10), Some(6), Some(6), Some(6)), (6, 4, 4), true),
            ((Some(10), Some(1), Some(3), Some(4)), (1, 3, 3), true),
            // A total that was not told contradicts nothing.
            ((None, Some(6), Some(6), Some(6)), (6, 6, 6), false),
        ];
        for ((input, read, written, long), (of_read, of_written, of_long), is_cut) in table {
            let usage = Usage {
                input_tokens: input,
                cache_read_input_tokens: read,
                cache_write_input_tokens: written,
                cache_write_long_input_tokens: long,
                ..Usage::default()
            };

            let usage = usage.consistent();

            assert_eq!(usage.cache_read_input_tokens.unwrap_or(0), of_read);
            assert_eq!(usage.cache_write_input_tokens.unwrap_or(0), of_written);
            assert_eq!(usage.cache_write_long_input_tokens.unwrap_or(0), of_long);
            assert_eq!(usage.is_contradictory, is_cut);
        }
    }

    #[test]
    fn parts_of_the_output_are_cut_down_to_it() {
        let usage = Usage {
            output_tokens: Some(5),
            reasoning_output_tokens: Some(6),
            audio_output_tokens: Some(7),
            image_output_tokens: Some(5),
            ..Usage::default()
        };

        let usage = usage.consistent();

        assert_eq!(usage.reasoning_output_tokens, Some(5));
        assert_eq!(usage.audio_output_tokens, Some(5));
        assert_eq!(usage.image_output_tokens, Some(5));
        assert!(usage.is_contradictory);
    }
}
