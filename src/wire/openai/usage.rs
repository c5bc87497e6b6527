//! Which tokens do the counts of a chat completion stand for?
//!
//! Hosts agree on the names of counts, but not on what a count includes. Most of them also send the total, which
//! shows what a count leaves out.

use crate::wire::json::{Count, object};
use crate::wire::tally::Tally;

object! {
    /// The `usage` of an answer.
    pub(in crate::wire) struct TokenCounts {
        // Relays of Anthropic keep its names.
        prompt_tokens: Count = "prompt_tokens" | "input_tokens",
        completion_tokens: Count = "completion_tokens" | "output_tokens",
        total_tokens: Count = "total_tokens",
        prompt_details: Option<PromptDetails> = "prompt_tokens_details" | "input_tokens_details",
        completion_details: Option<CompletionDetails> = "completion_tokens_details" | "output_tokens_details",
        prompt_cache_hit_tokens: Count = "prompt_cache_hit_tokens",
        cached_tokens: Count = "cached_tokens",
        num_cached_tokens: Count = "num_cached_tokens",
        cache_read_input_tokens: Count = "cache_read_input_tokens",
        cache_creation_input_tokens: Count = "cache_creation_input_tokens",
        reasoning_tokens: Count = "reasoning_tokens",
    }
}

object! {
    #[derive(Clone, Copy)]
    struct PromptDetails {
        cached_tokens: Count = "cached_tokens",
        cache_write_tokens: Count = "cache_write_tokens",
        audio_tokens: Count = "audio_tokens",
    }
}

object! {
    #[derive(Clone, Copy)]
    struct CompletionDetails {
        reasoning_tokens: Count = "reasoning_tokens",
    }
}

impl TokenCounts {
    /// The counts in our terms, where every sub-count is part of its total; `None` if there are none.
    pub(in crate::wire) fn tally(&self) -> Option<Tally> {
        let prompt = self.prompt_details.unwrap_or_default();
        let completion = self.completion_details.unwrap_or_default();
        let cache_read = (prompt.cached_tokens.0)
            .or(self.prompt_cache_hit_tokens.0)
            .or(self.cached_tokens.0)
            .or(self.num_cached_tokens.0)
            .or(self.cache_read_input_tokens.0);
        let cache_write = (prompt.cache_write_tokens.0).or(self.cache_creation_input_tokens.0);
        let reasoning = (completion.reasoning_tokens.0).or(self.reasoning_tokens.0);
        let counts = Tally {
            input: self.prompt_tokens.0,
            output: self.completion_tokens.0,
            cache_read,
            cache_write,
            reasoning,
            ..Tally::default()
        };
        if counts.input.is_none() && counts.output.is_none() {
            return None;
        }
        Some(whole(counts, self.total_tokens.0, prompt.audio_tokens.0))
    }
}

/// Adds to each total the tokens that the host counts separately.
fn whole(counts: Tally, total: Option<u64>, audio: Option<u64>) -> Tally {
    let input = counts.input.unwrap_or(0);
    let output = counts.output.unwrap_or(0);
    let sum = input.saturating_add(output);
    let [cache_read, cache_write, reasoning, audio] = [
        counts.cache_read,
        counts.cache_write,
        counts.reasoning,
        audio,
    ]
    .map(|count| count.unwrap_or(0));
    let cache = cache_read.saturating_add(cache_write);
    let (apart_from_input, apart_from_output) = match total {
        // An absent count is the rest of the sum.
        Some(total) if counts.input.is_none() => (total.saturating_sub(output), 0),
        Some(total) if counts.output.is_none() => (0, total.saturating_sub(input)),
        Some(total) if total > sum => {
            let gap = total - sum;
            // Relays of Claude count a cache in the sum alone, Mistral does so with audio.
            let of_input = [0, cache_read, cache_write, cache, audio];
            let explained = |part: &u64| {
                let rest = gap.checked_sub(*part);
                rest == Some(0) || (reasoning > 0 && rest == Some(reasoning))
            };
            let part = of_input.into_iter().find(explained).unwrap_or(0);
            // xAI and Gemini's compatible API count reasoning in the sum alone; the latter does not tell
            // how much of it there was.
            (part, gap - part)
        }
        // By the sum, nothing is missing.
        Some(total) if total == sum => (0, 0),
        Some(_) | None => (
            0,
            // Gemini behind an aggregator leaves reasoning out even of the sum.
            if reasoning > output { reasoning } else { 0 },
        ),
    };
    let mut input = input.saturating_add(apart_from_input);
    let output = output.saturating_add(apart_from_output);
    if cache_read > input {
        // Grok on Azure leaves cached tokens out of the prompt and of the sum.
        input = input.saturating_add(cache_read);
    }
    Tally {
        input: counts.input.or(total).map(|_| input),
        output: counts.output.or(total).map(|_| output),
        reasoning: counts.reasoning.map(|reasoning| reasoning.min(output)),
        ..counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<[Option<u64>; 5]> {
        let tokens: TokenCounts = serde_json::from_str(json).unwrap();
        let counts = tokens.tally()?;
        Some([
            counts.input,
            counts.output,
            counts.cache_read,
            counts.cache_write,
            counts.reasoning,
        ])
    }

    #[test]
    fn what_the_sum_holds_beyond_its_parts_is_what_a_sub_count_explains() {
        let table = [
            // Nothing is missing.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"completion_tokens_details":{"reasoning_tokens":3}}"#,
                [Some(10), Some(5), None, None, Some(3)],
            ),
            // xAI: the reasoning.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":18,"completion_tokens_details":{"reasoning_tokens":3}}"#,
                [Some(10), Some(8), None, None, Some(3)],
            ),
            // Gemini's compatible API: reasoning that is not told.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}"#,
                [Some(10), Some(30), None, None, None],
            ),
            // Relays of Claude: a cache that was read, written, or both.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"cache_read_input_tokens":100}"#,
                [Some(110), Some(5), Some(100), None, None],
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":165,"cache_read_input_tokens":100,"cache_creation_input_tokens":50}"#,
                [Some(160), Some(5), Some(100), Some(50), None],
            ),
            // The same beside reasoning that is counted apart, too.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":122,"cache_read_input_tokens":100,"reasoning_tokens":7}"#,
                [Some(110), Some(12), Some(100), None, Some(7)],
            ),
            // Mistral: audio.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":215,"prompt_tokens_details":{"audio_tokens":200}}"#,
                [Some(210), Some(5), None, None, None],
            ),
            // The sum denies that the reasoning is missing.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"reasoning_tokens":9}"#,
                [Some(10), Some(5), None, None, Some(5)],
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"reasoning_tokens":9}"#,
                [Some(10), Some(14), None, None, Some(9)],
            ),
            // Grok on Azure.
            (
                r#"{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":100}}"#,
                [Some(103), Some(5), Some(100), None, None],
            ),
            // One count is absent.
            (
                r#"{"prompt_tokens":10,"total_tokens":15}"#,
                [Some(10), Some(5), None, None, None],
            ),
            (
                r#"{"completion_tokens":5,"total_tokens":15}"#,
                [Some(10), Some(5), None, None, None],
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":null}"#,
                [Some(10), None, None, None, None],
            ),
            // Anthropic's names.
            (
                r#"{"input_tokens":10,"output_tokens":5}"#,
                [Some(10), Some(5), None, None, None],
            ),
        ];
        for (json, expected) in table {
            assert_eq!(read(json), Some(expected), "{json}");
        }
        for nothing in [
            "{}",
            r#"{"total_tokens":5}"#,
            r#"{"prompt_tokens":-1}"#,
            "\"\"",
            "[]",
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
