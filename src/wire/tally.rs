//! Adds up the token counts that a provider sends piece by piece; an absent count is not zero.

use crate::chat::{ProviderToolUsage, ServedTier, Usage};

/// Token counts; `None` where the provider has not sent one. Every sub-count is included in its total.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// The prompt, what a cache served or stored included.
    pub(super) input: Option<u64>,
    /// The answer, reasoning included.
    pub(super) output: Option<u64>,
    /// Part of the input that a cache served.
    pub(super) cache_read: Option<u64>,
    /// Part of the input that was written to a cache.
    pub(super) cache_write: Option<u64>,
    /// Part of what was written to a cache that is kept for an hour or more.
    pub(super) cache_write_long: Option<u64>,
    /// Part of the output spent on reasoning.
    pub(super) reasoning: Option<u64>,
    /// Part of the input that was sound.
    pub(super) audio_input: Option<u64>,
    /// Part of the input that was pictures.
    pub(super) image_input: Option<u64>,
    /// Part of the input that was moving pictures.
    pub(super) video_input: Option<u64>,
    /// Part of the output that was sound.
    pub(super) audio_output: Option<u64>,
    /// Part of the output that was pictures.
    pub(super) image_output: Option<u64>,
    /// How often the provider has run its own tools so far.
    pub(super) tools: ProviderToolUsage,
    /// The tier that the provider says it used.
    pub(super) tier: Option<ServedTier>,
}

impl Tally {
    /// Whether no tokens are counted.
    pub(super) fn is_none(self) -> bool {
        let tokens = Self {
            tools: ProviderToolUsage::default(),
            tier: None,
            ..self
        };
        tokens == Self::default()
    }

    /// These counts, and the earlier ones where these have none.
    ///
    /// A prompt always has tokens, so a host that sends 0 for it has not counted it; if the answer's count is 0 as
    /// well, nothing was counted. Every other count replaces the earlier one, even by a smaller number.
    pub(super) fn or(self, earlier: Self) -> Self {
        let mut new = self;
        let tools = later_tools(new.tools, earlier.tools);
        let tier = new.tier.or(earlier.tier);
        if new.input == Some(0) && earlier.input.is_some() {
            if new.output.unwrap_or(0) == 0 {
                return Self {
                    tools,
                    tier,
                    ..earlier
                };
            }
            new.input = None;
            new.cache_read = None;
            new.cache_write = None;
            new.cache_write_long = None;
            new.audio_input = None;
            new.image_input = None;
            new.video_input = None;
        }
        let input = new.input.or(earlier.input);
        let output = new.output.or(earlier.output);
        // An earlier part of a total that has become smaller than the part is outdated.
        let part = |new: Option<u64>, earlier: Option<u64>, total: Option<u64>| {
            new.or(earlier.filter(|part| total.is_none_or(|total| *part <= total)))
        };
        Self {
            input,
            output,
            cache_read: part(new.cache_read, earlier.cache_read, input),
            cache_write: part(new.cache_write, earlier.cache_write, input),
            cache_write_long: part(new.cache_write_long, earlier.cache_write_long, input),
            reasoning: part(new.reasoning, earlier.reasoning, output),
            audio_input: part(new.audio_input, earlier.audio_input, input),
            image_input: part(new.image_input, earlier.image_input, input),
            video_input: part(new.video_input, earlier.video_input, input),
            audio_output: part(new.audio_output, earlier.audio_output, output),
            image_output: part(new.image_output, earlier.image_output, output),
            tools,
            tier,
        }
    }

    /// The counts as the rest of the service sees them: no part is larger than its total.
    pub(super) fn usage(self) -> Usage {
        let Self {
            input,
            output,
            cache_read,
            cache_write,
            cache_write_long,
            reasoning,
            audio_input,
            image_input,
            video_input,
            audio_output,
            image_output,
            tools,
            tier,
        } = self;
        Usage {
            input_tokens: input,
            output_tokens: output,
            cache_read_input_tokens: cache_read,
            cache_write_input_tokens: cache_write,
            cache_write_long_input_tokens: cache_write_long,
            reasoning_output_tokens: reasoning,
            audio_input_tokens: audio_input,
            image_input_tokens: image_input,
            video_input_tokens: video_input,
            audio_output_tokens: audio_output,
            image_output_tokens: image_output,
            provider_tools: tools,
            service_tier: tier,
            is_contradictory: false,
            is_estimated: false,
        }
        .consistent()
    }
}

/// Counts of runs only grow while an answer goes on.
fn later_tools(new: ProviderToolUsage, earlier: ProviderToolUsage) -> ProviderToolUsage {
    ProviderToolUsage {
        web_searches: new.web_searches.max(earlier.web_searches),
        web_fetches: new.web_fetches.max(earlier.web_fetches),
        code_executions: new.code_executions.max(earlier.code_executions),
        file_searches: new.file_searches.max(earlier.file_searches),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(input: Option<u64>, output: Option<u64>, cache_read: Option<u64>) -> Tally {
        Tally {
            input,
            output,
            cache_read,
            ..Tally::default()
        }
    }

    #[test]
    fn later_counts_replace_earlier_ones_unless_they_count_nothing() {
        let earlier = counts(Some(100), Some(20), Some(80));
        let table = [
            // Nothing is counted.
            (counts(None, None, None), earlier),
            (counts(Some(0), Some(0), Some(0)), earlier),
            (counts(Some(0), None, None), earlier),
            // An answer was counted, the prompt was not.
            (
                counts(Some(0), Some(30), Some(0)),
                counts(Some(100), Some(30), Some(80)),
            ),
            (
                counts(None, Some(0), None),
                counts(Some(100), Some(0), Some(80)),
            ),
            // Every other count replaces.
            (
                counts(Some(90), None, None),
                counts(Some(90), Some(20), Some(80)),
            ),
            (
                counts(Some(90), None, Some(0)),
                counts(Some(90), Some(20), Some(0)),
            ),
            (
                counts(Some(50), Some(0), None),
                counts(Some(50), Some(0), None),
            ),
        ];
        for (later, expected) in table {
            assert_eq!(later.or(earlier), expected, "{later:?}");
            assert_eq!(later.or(expected), expected, "twice {later:?}");
        }
        let first = counts(Some(0), Some(0), None);
        assert_eq!(first.or(Tally::default()), first);
    }
}
