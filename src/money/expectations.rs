//! What do settled attempts teach about the tokens of the next one? Pure; the caller keeps and locks them.
//!
//! The number of bytes alone says little: providers add prompts of their own, and a short prompt can have more tokens
//! than bytes. So two figures are learned for each target, apart for requests with tools and without: how many tokens a
//! prompt has beyond its text, and how dense its text is.

mod kept;
mod recent_most;

use crate::spread::Spread;

use super::size::PromptSize;

pub use self::kept::{Learned, LearnedTokens};

use self::recent_most::RecentMost;

/// From this number of settled attempts on, what was learned from them is used.
const LEAST_ATTEMPTS: u32 = 5;

/// From this number of long prompts on, the density of their text is used.
const LEAST_LONG_PROMPTS: u32 = 100;

/// A prompt of so many bytes is long: its text decides over its tokens.
const LONG_PROMPT: u64 = 4_000;

/// The tokens that are assumed for a message besides its text.
const TOKENS_PER_MESSAGE: u64 = 8;

/// Of an unknown target: bytes of a token, and the tokens that the provider adds, without tools and with them.
const COLD_SLOPE: u64 = 2;
const COLD_OVERHEAD: u64 = 256;
const COLD_TOOLS_OVERHEAD: u64 = 1_024;

/// The most tokens of a picture in a model of which nothing was learned.
const COLD_IMAGE: u64 = 5_000;

/// The most tokens of a document in a model of which nothing was learned and whose context window is not known.
const COLD_DOCUMENT: u64 = 128_000;

/// What is added to the most that was seen: a quarter, and so many tokens.
const MARGIN: u64 = 32;

/// Text seldom has more bytes for a token. What remains of a prompt beyond that is its pictures' or documents'.
const MOST_BYTES_PER_TOKEN: u64 = 6;

/// The usual bytes of a token, in tenths, and the usual tokens of a message besides.
const USUAL_BYTES_TENTHS: u64 = 37;
const USUAL_TOKENS_PER_MESSAGE: u64 = 4;

/// An answer of an unknown target in tokens: 99 of 100 recorded answers have fewer.
const COLD_ANSWER: u64 = 1_500;

/// From this number of answers on, their length is known.
const LEAST_ANSWERS: u32 = 20;

/// What is known of prompts with tools, or of those without.
#[derive(Clone, Debug, Default)]
struct TextPrompts {
    attempts: u32,
    /// Tokens beyond one for 2.5 bytes.
    overhead: RecentMost,
    long_prompts: u32,
    /// Tokens of 1,000 bytes, of long prompts.
    density: RecentMost,
    /// Tokens that providers reported for 1,000 that were assumed for an unknown target.
    reported: Spread,
}

/// What is known of the tokens of items of one kind.
#[derive(Clone, Debug, Default)]
struct MediaItems {
    attempts: u32,
    tokens: RecentMost,
}

impl MediaItems {
    /// The most tokens of an item, if enough was seen.
    fn most(&self) -> Option<u64> {
        (self.attempts >= LEAST_ATTEMPTS).then(|| with_margin(self.tokens.most()))
    }
}

/// What is known of the prompts of one target.
#[derive(Clone, Debug, Default)]
pub struct PromptExpectations {
    plain: TextPrompts,
    with_tools: TextPrompts,
    images: MediaItems,
    documents: MediaItems,
}

/// What the configuration says of the tokens of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelTokens {
    /// Tokens that prompt and answer may have together.
    pub context_window: Option<u64>,
    /// The most tokens of an answer.
    pub max_output: Option<u32>,
    /// The most tokens of a picture; `None`: 5,000 until it is learned.
    pub image: Option<u64>,
    /// The most tokens of a document, of sound or of moving pictures; `None`: the context window until it is learned.
    pub document: Option<u64>,
}

impl PromptExpectations {
    /// Learns from an attempt whose provider counted so many tokens of prompt.
    pub fn learn(&mut self, size: &PromptSize, reported: u64) {
        // Results of tools that the provider runs say nothing about the next prompt, nor does a mix of media.
        if size.grows || reported == 0 {
            return;
        }
        let beyond_text = reported.saturating_sub(size.bytes / MOST_BYTES_PER_TOKEN);
        match (size.images, size.documents) {
            (0, 0) => self.text_mut(size).learn(size, reported),
            (images, 0) => self.images.learn(beyond_text.div_ceil(images)),
            (0, documents) => self.documents.learn(beyond_text.div_ceil(documents)),
            _ => {}
        }
    }

    /// The most tokens that a prompt has as far as experience goes; never more than the context window: a longer prompt
    /// is refused and costs nothing.
    pub fn most(&self, size: &PromptSize, model: &ModelTokens) -> u64 {
        let window = model.context_window.unwrap_or(u64::MAX);
        if size.grows && model.context_window.is_some() {
            return window;
        }
        let image = model.image.or_else(|| self.images.most());
        let document = model.document.or_else(|| self.documents.most());
        let media = [
            (size.images, image.unwrap_or(COLD_IMAGE)),
            (
                size.documents,
                document.unwrap_or(model.context_window.unwrap_or(COLD_DOCUMENT)),
            ),
        ];
        let media = media.map(|(items, tokens)| items.saturating_mul(tokens));
        let media = media.into_iter().fold(0, u64::saturating_add);
        let text = self.text(size).most(size);
        text.saturating_add(media).min(window)
    }

    /// The tokens that a prompt probably has.
    pub(super) fn usual(&self, size: &PromptSize) -> u64 {
        match self.text(size).reported.percentile(50, LEAST_ATTEMPTS) {
            Some(thousandths) => cold(size)
                .saturating_mul(u64::from(thousandths))
                .div_ceil(1_000),
            None => {
                let text = size.bytes.saturating_mul(10).div_ceil(USUAL_BYTES_TENTHS);
                text.saturating_add(size.messages.saturating_mul(USUAL_TOKENS_PER_MESSAGE))
            }
        }
    }

    fn text(&self, size: &PromptSize) -> &TextPrompts {
        match size.has_tools {
            true => &self.with_tools,
            false => &self.plain,
        }
    }

    fn text_mut(&mut self, size: &PromptSize) -> &mut TextPrompts {
        match size.has_tools {
            true => &mut self.with_tools,
            false => &mut self.plain,
        }
    }
}

impl MediaItems {
    fn learn(&mut self, tokens: u64) {
        self.attempts = self.attempts.saturating_add(1);
        self.tokens.record(tokens);
    }
}

impl TextPrompts {
    fn learn(&mut self, size: &PromptSize, reported: u64) {
        self.attempts = self.attempts.saturating_add(1);
        self.overhead
            .record(reported.saturating_sub(warm_text(size)));
        if size.bytes >= LONG_PROMPT {
            self.long_prompts = self.long_prompts.saturating_add(1);
            self.density
                .record(reported.saturating_mul(1_000).div_ceil(size.bytes));
        }
        let thousandths = reported.saturating_mul(1_000) / cold(size).max(1);
        self.reported
            .record(u32::try_from(thousandths).unwrap_or(u32::MAX));
    }

    fn most(&self, size: &PromptSize) -> u64 {
        if self.attempts < LEAST_ATTEMPTS {
            return cold(size);
        }
        let messages = size.messages.saturating_mul(TOKENS_PER_MESSAGE);
        let by_overhead = warm_text(size).saturating_add(with_margin(self.overhead.most()));
        // A prompt that is longer than all that were seen has more tokens beyond one for 2.5 bytes, if its text is dense.
        let by_density = match self.long_prompts >= LEAST_LONG_PROMPTS {
            true => {
                let thousandths = self.density.most().saturating_mul(10) / 9;
                let thousandths = thousandths.clamp(400, 1_000);
                size.bytes.saturating_mul(thousandths).div_ceil(1_000)
            }
            false => 0,
        };
        by_overhead.max(by_density).saturating_add(messages)
    }
}

/// The most tokens of a prompt of which nothing was learned, without its media.
fn cold(size: &PromptSize) -> u64 {
    let overhead = match size.has_tools {
        true => COLD_OVERHEAD + COLD_TOOLS_OVERHEAD,
        false => COLD_OVERHEAD,
    };
    let messages = size.messages.saturating_mul(TOKENS_PER_MESSAGE);
    let text = size.bytes.div_ceil(COLD_SLOPE);
    text.saturating_add(messages).saturating_add(overhead)
}

/// One token for 2.5 bytes.
fn warm_text(size: &PromptSize) -> u64 {
    size.bytes.saturating_mul(2).div_ceil(5)
}

fn with_margin(most: u64) -> u64 {
    most.saturating_add(most.div_ceil(4)).saturating_add(MARGIN)
}

/// What is known of the answers of one target in one scenario.
#[derive(Clone, Debug, Default)]
pub struct AnswerExpectations(Spread);

impl AnswerExpectations {
    /// Learns from a complete answer of so many tokens.
    pub fn learn(&mut self, reported: u64) {
        self.0.record(u32::try_from(reported).unwrap_or(u32::MAX));
    }

    /// The tokens that an answer hardly exceeds: 1.2 times the 95th percentile.
    pub(super) fn usual(&self) -> u64 {
        self.percentile(95).unwrap_or(COLD_ANSWER)
    }

    /// The tokens that nearly no answer exceeds: 1.2 times the 99th percentile; `None` while too few were seen.
    pub(super) fn nearly_most(&self) -> Option<u64> {
        self.percentile(99)
    }

    fn percentile(&self, percent: u32) -> Option<u64> {
        let tokens = self.0.percentile(percent, LEAST_ANSWERS)?;
        Some(u64::from(tokens).saturating_mul(6).div_ceil(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: u64) -> PromptSize {
        PromptSize {
            bytes,
            messages: 1,
            ..PromptSize::default()
        }
    }

    const MODEL: ModelTokens = ModelTokens {
        context_window: Some(200_000),
        max_output: None,
        image: None,
        document: None,
    };

    #[test]
    fn of_an_unknown_target_every_second_byte_is_a_token() {
        let unknown = PromptExpectations::default();
        let with_tools = PromptSize {
            has_tools: true,
            ..text(1_000)
        };

        assert_eq!(unknown.most(&text(1_000), &MODEL), 500 + 8 + 256);
        assert_eq!(unknown.most(&with_tools, &MODEL), 500 + 8 + 256 + 1_024);
        assert_eq!(unknown.usual(&text(1_000)), 271 + 4);
    }

    #[test]
    fn what_a_provider_adds_is_known_from_the_fifth_attempt_on() {
        let mut known = PromptExpectations::default();
        for _ in 0..4 {
            known.learn(&text(1_000), 2_400);
        }
        assert_eq!(known.most(&text(1_000), &MODEL), 500 + 8 + 256);

        known.learn(&text(1_000), 2_400);

        assert_eq!(known.most(&text(1_000), &MODEL), 400 + 2_500 + 32 + 8);
        assert!(known.usual(&text(1_000)).abs_diff(2_400) < 300);
        // Of requests with tools nothing is known by that.
        let with_tools = PromptSize {
            has_tools: true,
            ..text(0)
        };
        assert_eq!(known.most(&with_tools, &MODEL), 8 + 256 + 1_024);
    }

    #[test]
    fn what_was_learned_fades_after_a_thousand_attempts() {
        let mut known = PromptExpectations::default();
        known.learn(&text(1_000), 50_000);
        for _ in 0..999 {
            known.learn(&text(1_000), 400);
        }
        assert!(known.most(&text(1_000), &MODEL) > 50_000);

        for _ in 0..101 {
            known.learn(&text(1_000), 400);
        }

        assert_eq!(known.most(&text(1_000), &MODEL), 400 + 32 + 8);
    }

    #[test]
    fn dense_text_is_expected_of_longer_prompts_too() {
        let mut known = PromptExpectations::default();
        for _ in 0..100 {
            known.learn(&text(5_000), 4_000);
        }

        // 0.8 tokens of a byte, and a tenth more.
        let most = known.most(&text(100_000), &MODEL);

        assert!((88_000..=89_000).contains(&most), "{most}");
    }

    #[test]
    fn pictures_and_documents_have_their_own_figures() {
        let with = |images, documents| PromptSize {
            images,
            documents,
            ..text(0)
        };
        let mut known = PromptExpectations::default();
        assert_eq!(known.most(&with(2, 0), &MODEL), 264 + 10_000);
        assert_eq!(known.most(&with(0, 1), &MODEL), 200_000);
        for _ in 0..5 {
            known.learn(&with(2, 0), 1_600);
            known.learn(&with(0, 1), 8_000);
        }
        assert_eq!(known.most(&with(2, 0), &MODEL), 264 + 2 * 1_032);
        assert_eq!(known.most(&with(0, 1), &MODEL), 264 + 10_032);

        let reported = ModelTokens {
            image: Some(7),
            document: Some(70),
            ..MODEL
        };
        assert_eq!(known.most(&with(1, 1), &reported), 264 + 77);
    }

    #[test]
    fn no_prompt_is_longer_than_the_context_window_and_one_that_grows_may_fill_it() {
        let known = PromptExpectations::default();
        let grows = PromptSize {
            grows: true,
            ..text(10)
        };

        assert_eq!(known.most(&text(10_000_000), &MODEL), 200_000);
        assert_eq!(known.most(&grows, &MODEL), 200_000);
        assert_eq!(known.most(&grows, &ModelTokens::default()), 5 + 8 + 256);
    }

    #[test]
    fn answers_are_expected_to_be_as_long_as_nearly_all_were() {
        let mut answers = AnswerExpectations::default();
        assert_eq!((answers.usual(), answers.nearly_most()), (1_500, None));
        for _ in 0..98 {
            answers.learn(100);
        }
        for _ in 0..2 {
            answers.learn(1_000);
        }

        assert_eq!(answers.usual(), 125);
        assert_eq!(answers.nearly_most(), Some(1_229));
    }

    proptest! {
        #[test]
        fn what_was_seen_is_covered_and_nothing_overflows(
            seen in prop::collection::vec((any::<u64>(), 0_u64..5, 0_u64..3, any::<bool>(), 1_u64..u64::MAX), 1..40),
        ) {
            let mut known = PromptExpectations::default();
            for (bytes, images, documents, has_tools, reported) in seen {
                let size = PromptSize { bytes, messages: 1, images, documents, has_tools, grows: false };
                known.learn(&size, reported);
                let unbounded = ModelTokens::default();
                let most = known.most(&size, &unbounded);
                if known.text(&size).attempts >= LEAST_ATTEMPTS && images == 0 && documents == 0 {
                    prop_assert!(most >= reported);
                }
                let _ = known.usual(&size);
                prop_assert!(known.most(&size, &MODEL) <= 200_000);
            }
        }
    }
}
