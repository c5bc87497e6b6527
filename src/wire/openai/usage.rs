//! Which tokens do the counts of a chat completion stand for?
//!
//! Hosts agree on the names of counts, but not on what a count includes. Most of them also send the total, which
//! shows what a count leaves out.

use serde::de::{Deserialize, Deserializer};

use crate::chat::{ProviderToolUsage, ServedTier, ServiceTier};
use crate::wire::json::{Count, Flag, MaybeAbsent, Text, object};
use crate::wire::tally::Tally;

use super::cost::{ByokCost, Usd};

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
        cache_creation: Option<CacheCreation> = "cache_creation",
        // Perplexity.
        num_search_queries: Count = "num_search_queries",
        // Relays of Anthropic; OpenRouter; xAI.
        server_tools: Option<ServerTools> = "server_tool_use" | "server_tool_use_details" | "server_side_tool_usage_details",
        // Mistral.
        service_tier: Tier = "service_tier",
        cost: Usd = "cost",
        cost_in_usd_ticks: Count = "cost_in_usd_ticks",
        is_byok: Flag = "is_byok",
        cost_details: Option<ByokCost> = "cost_details",
    }
}

object! {
    struct CacheCreation {
        for_an_hour: Count = "ephemeral_1h_input_tokens",
        for_a_day: Count = "ephemeral_24h_input_tokens",
    }
}

object! {
    #[derive(Clone, Copy)]
    struct ServerTools {
        web_searches: Count = "web_search_requests" | "web_search_calls",
        web_fetches: Count = "web_fetch_requests",
        code_executions: Count = "code_execution_requests" | "code_interpreter_calls",
        file_searches: Count = "file_search_calls",
    }
}

object! {
    #[derive(Clone, Copy)]
    struct PromptDetails {
        cached_tokens: Count = "cached_tokens",
        cache_write_tokens: Count = "cache_write_tokens",
        audio_tokens: Count = "audio_tokens",
        image_tokens: Count = "image_tokens",
        video_tokens: Count = "video_tokens",
    }
}

object! {
    #[derive(Clone, Copy)]
    struct CompletionDetails {
        reasoning_tokens: Count = "reasoning_tokens",
        audio_tokens: Count = "audio_tokens",
        image_tokens: Count = "image_tokens",
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
            cache_write_long: self.cache_write_long(),
            reasoning,
            audio_input: prompt.audio_tokens.0,
            image_input: prompt.image_tokens.0,
            video_input: prompt.video_tokens.0,
            audio_output: completion.audio_tokens.0,
            image_output: completion.image_tokens.0,
            tools: self.provider_tools(),
            tier: self.service_tier.0,
        };
        if counts.input.is_none() && counts.output.is_none() {
            return None;
        }
        Some(whole(counts, self.total_tokens.0))
    }

    /// What the answer cost in nano-USD, as far as the host says so.
    pub(in crate::wire) fn cost(&self) -> Option<i64> {
        let upstream = match self.is_byok.0 {
            // The caller's own account with the model's maker pays the most of it.
            true => self.cost_details.as_ref().and_then(ByokCost::nanos),
            false => None,
        };
        let cost = self
            .cost
            .nanos()
            .map(|cost| cost.saturating_add(upstream.unwrap_or(0)));
        // Hosts of xAI's models that do not know the price send 0.
        let ticks = self.cost_in_usd_ticks.0.filter(|ticks| *ticks > 0);
        cost.or(ticks.and_then(|ticks| i64::try_from(ticks / TICKS_PER_NANO).ok()))
    }

    fn cache_write_long(&self) -> Option<u64> {
        let CacheCreation {
            for_an_hour,
            for_a_day,
        } = self.cache_creation.as_ref()?;
        let sum = for_an_hour
            .0
            .unwrap_or(0)
            .saturating_add(for_a_day.0.unwrap_or(0));
        (for_an_hour.0).or(for_a_day.0).map(|_| sum)
    }

    fn provider_tools(&self) -> ProviderToolUsage {
        let tools = self.server_tools.unwrap_or_default();
        let number = |count: Count| {
            count
                .0
                .map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
        };
        let web_searches = Count(tools.web_searches.0.or(self.num_search_queries.0));
        ProviderToolUsage {
            web_searches: number(web_searches),
            web_fetches: number(tools.web_fetches),
            code_executions: number(tools.code_executions),
            file_searches: number(tools.file_searches),
        }
    }
}

/// xAI counts money in ticks of a ten-thousandth of a micro-USD: <https://docs.x.ai/docs/key-information/billing>.
const TICKS_PER_NANO: u64 = 10;

/// The tier that served an answer; `None` for a word that says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::wire) struct Tier(pub(in crate::wire) Option<ServedTier>);

impl MaybeAbsent for Tier {
    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Text::deserialize(deserializer)?;
        Ok(Self::of(&word.0))
    }
}

impl Tier {
    /// The tier for which a host has this word.
    pub(in crate::wire) fn of(word: &str) -> Self {
        Self(Some(match word {
            "" | "null" | "none" | "None" | "unspecified" => return Self(None),
            "default" | "standard" | "on_demand" | "auto" => {
                ServedTier::Known(ServiceTier::Standard)
            }
            "priority" | "fast" | "performance" => ServedTier::Known(ServiceTier::Priority),
            "flex" => ServedTier::Known(ServiceTier::Flex),
            "batch" => ServedTier::Known(ServiceTier::Batch),
            _ => ServedTier::Other,
        }))
    }
}

/// Adds to each total the tokens that the host counts separately.
fn whole(counts: Tally, total: Option<u64>) -> Tally {
    let input = counts.input.unwrap_or(0);
    let output = counts.output.unwrap_or(0);
    let sum = input.saturating_add(output);
    let [cache_read, cache_write, reasoning, audio] = [
        counts.cache_read,
        counts.cache_write,
        counts.reasoning,
        counts.audio_input,
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
        ..counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<[Option<u64>; 5]> {
        let tokens: TokenCounts = serde_json::from_str(json).unwrap();
        let usage = tokens.tally()?.usage();
        Some([
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_input_tokens,
            usage.cache_write_input_tokens,
            usage.reasoning_output_tokens,
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

    #[test]
    fn parts_of_tokens_and_runs_of_tools_are_counted() {
        let told = |json: &str| {
            let tokens: TokenCounts = serde_json::from_str(json).unwrap();
            tokens.tally().unwrap().usage()
        };

        let usage = told(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
                "prompt_tokens_details":{"audio_tokens":10,"image_tokens":20,"video_tokens":30},
                "completion_tokens_details":{"audio_tokens":40,"image_tokens":500},
                "cache_creation_input_tokens":9,
                "cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":3,"ephemeral_24h_input_tokens":5},
                "server_tool_use":{"web_search_requests":2,"web_fetch_requests":1},
                "service_tier":"standard"}"#,
        );

        assert_eq!(usage.audio_input_tokens, Some(10));
        assert_eq!(usage.image_input_tokens, Some(20));
        assert_eq!(usage.video_input_tokens, Some(30));
        assert_eq!(usage.audio_output_tokens, Some(40));
        // No part is greater than its total.
        assert_eq!(usage.image_output_tokens, Some(50));
        assert_eq!(usage.cache_write_long_input_tokens, Some(8));
        assert_eq!(usage.provider_tools.web_searches, 2);
        assert_eq!(usage.provider_tools.web_fetches, 1);
        assert_eq!(
            usage.service_tier,
            Some(ServedTier::Known(ServiceTier::Standard))
        );
        let perplexity =
            told(r#"{"prompt_tokens":1,"completion_tokens":1,"num_search_queries":3}"#);
        assert_eq!(perplexity.provider_tools.web_searches, 3);
    }

    #[test]
    fn a_cost_is_told_where_its_unit_is_known() {
        for (json, nanos) in [
            (r#"{"cost":0.0002444}"#, Some(244_400)),
            (r#"{"cost":{"total_cost":0.0051}}"#, Some(5_100_000)),
            (r#"{"cost_in_usd_ticks":1707000}"#, Some(170_700)),
            (r#"{"cost_in_usd_ticks":0}"#, None),
            (
                r#"{"cost":0.000001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.00002}}"#,
                Some(21_000),
            ),
            (
                r#"{"cost":0.00002,"is_byok":false,"cost_details":{"upstream_inference_cost":0.00002}}"#,
                Some(20_000),
            ),
            (r#"{"cost":-1}"#, None),
            ("{}", None),
        ] {
            let tokens: TokenCounts = serde_json::from_str(json).unwrap();

            assert_eq!(tokens.cost(), nanos, "{json}");
        }
    }
}
