//! In which form is what was learned kept for the next process? As a list of numbers, in an order that no release changes. Pure.

use crate::spread::Spread;

use super::recent_most::RecentMost;
use super::{AnswerExpectations, MediaItems, PromptExpectations, TextPrompts};

/// What was learned of the tokens of a target.
#[derive(Clone, Debug)]
pub struct LearnedTokens {
    /// Name of the provider.
    pub provider: String,
    /// Where it is asked.
    pub base_url: String,
    /// The model, as it is named to the provider.
    pub model: String,
    /// Of what.
    pub learned: Learned,
}

/// What was learned of prompts, or of answers.
#[derive(Clone, Debug)]
pub enum Learned {
    /// Of all prompts.
    Prompts(Box<PromptExpectations>),
    /// Of the answers in the scenario of this name; empty for calls that name the model.
    Answers(String, Box<AnswerExpectations>),
}

/// Kept numbers that are read one after the other.
struct KeptNumbers<'n>(&'n [u64]);

impl KeptNumbers<'_> {
    fn next(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn small(&mut self) -> Option<u32> {
        self.next()?.try_into().ok()
    }

    fn most(&mut self) -> Option<RecentMost> {
        let current = usize::try_from(self.next()?).ok()?;
        let filled = self.small()?;
        let mut blocks = [0; RecentMost::BLOCKS];
        for block in &mut blocks {
            *block = self.next()?;
        }
        let is_sound = current < RecentMost::BLOCKS && filled <= RecentMost::BLOCK;
        is_sound.then_some(RecentMost {
            blocks,
            current,
            filled,
        })
    }

    fn spread(&mut self) -> Option<Spread> {
        let (counts, rest) = self.0.split_at_checked(Spread::BUCKETS)?;
        self.0 = rest;
        Spread::of_counts(counts)
    }

    fn text(&mut self) -> Option<TextPrompts> {
        Some(TextPrompts {
            attempts: self.small()?,
            overhead: self.most()?,
            long_prompts: self.small()?,
            density: self.most()?,
            reported: self.spread()?,
        })
    }

    fn items(&mut self) -> Option<MediaItems> {
        Some(MediaItems {
            attempts: self.small()?,
            tokens: self.most()?,
        })
    }

    /// The value, if nothing is left.
    fn whole<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

fn push_most(numbers: &mut Vec<u64>, most: &RecentMost) {
    let RecentMost {
        blocks,
        current,
        filled,
    } = most;
    numbers.extend([*current as u64, u64::from(*filled)]);
    numbers.extend(blocks);
}

impl PromptExpectations {
    /// All of it.
    pub fn numbers(&self) -> Vec<u64> {
        let Self {
            plain,
            with_tools,
            images,
            documents,
        } = self;
        let mut numbers = Vec::new();
        for TextPrompts {
            attempts,
            overhead,
            long_prompts,
            density,
            reported,
        } in [plain, with_tools]
        {
            numbers.push(u64::from(*attempts));
            push_most(&mut numbers, overhead);
            numbers.push(u64::from(*long_prompts));
            push_most(&mut numbers, density);
            numbers.extend(reported.counts());
        }
        for MediaItems { attempts, tokens } in [images, documents] {
            numbers.push(u64::from(*attempts));
            push_most(&mut numbers, tokens);
        }
        numbers
    }

    /// What these numbers stand for; `None` if they stand for nothing.
    pub fn of_numbers(numbers: &[u64]) -> Option<Self> {
        let mut numbers = KeptNumbers(numbers);
        let known = Self {
            plain: numbers.text()?,
            with_tools: numbers.text()?,
            images: numbers.items()?,
            documents: numbers.items()?,
        };
        numbers.whole(known)
    }
}

impl AnswerExpectations {
    /// All of it.
    pub fn numbers(&self) -> Vec<u64> {
        self.0.counts().collect()
    }

    /// What these numbers stand for; `None` if they stand for nothing.
    pub fn of_numbers(numbers: &[u64]) -> Option<Self> {
        let mut numbers = KeptNumbers(numbers);
        let known = Self(numbers.spread()?);
        numbers.whole(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::{ModelTokens, PromptSize};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_expected_again(
            seen in prop::collection::vec((0_u64..20_000, 0_u64..3, any::<bool>(), 1_u64..90_000), 0..200),
            asked in 0_u64..50_000,
        ) {
            let (mut prompts, mut answers) = (PromptExpectations::default(), AnswerExpectations::default());
            for (bytes, images, has_tools, reported) in seen {
                let size = PromptSize { bytes, messages: 2, images, has_tools, ..PromptSize::default() };
                prompts.learn(&size, reported);
                answers.learn(reported);
            }

            let again = PromptExpectations::of_numbers(&prompts.numbers()).unwrap();
            let answers_again = AnswerExpectations::of_numbers(&answers.numbers()).unwrap();

            for (images, has_tools) in [(0, false), (0, true), (2, false)] {
                let size = PromptSize { bytes: asked, messages: 1, images, has_tools, ..PromptSize::default() };
                let model = ModelTokens::default();
                prop_assert_eq!(again.most(&size, &model), prompts.most(&size, &model));
                prop_assert_eq!(again.usual(&size), prompts.usual(&size));
            }
            prop_assert_eq!(answers_again.usual(), answers.usual());
            prop_assert_eq!(answers_again.nearly_most(), answers.nearly_most());
            prop_assert_eq!(again.numbers(), prompts.numbers());
        }

        #[test]
        fn other_numbers_stand_for_nothing_and_nothing_panics(
            numbers in prop::collection::vec(any::<u64>(), 0..400),
            at in 0_usize..300,
            number in any::<u64>(),
        ) {
            prop_assert!(PromptExpectations::of_numbers(&numbers).is_none());
            let mut damaged = PromptExpectations::default().numbers();
            damaged[at] = number;
            if let Some(mut known) = PromptExpectations::of_numbers(&damaged) {
                for _ in 0..200 {
                    known.learn(&PromptSize { bytes: 10, messages: 1, ..PromptSize::default() }, 10);
                }
            }
        }
    }
}
