//! How many tokens do the prompts and answers of a target have? What is learned is shared by the calls of all cores.

use std::sync::{Arc, Mutex};

use crate::locked::locked;
use crate::money::{AnswerExpectations, Forecast, PromptExpectations, PromptSize, Reserve};

use super::target::Target;

/// What is known of a target's prompts. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompts(Arc<Mutex<PromptExpectations>>);

/// What is known of a target's answers in one scenario. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<Mutex<AnswerExpectations>>);

impl Prompts {
    /// Learns from an attempt whose provider counted so many tokens of prompt.
    pub(super) fn learn(&self, size: &PromptSize, reported: u64) {
        locked(&self.0).learn(size, reported);
    }

    /// What is expected of an attempt on this target.
    pub(super) fn forecast(
        &self,
        answers: &Answers,
        target: &Target,
        size: &PromptSize,
        cap: Option<u64>,
        reserve: Reserve,
    ) -> Forecast {
        let model = target.tokens();
        Forecast::of(
            size,
            cap,
            &model,
            &locked(&self.0),
            &locked(&answers.0),
            reserve,
        )
    }

    /// Whether anything else shares it.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Answers {
    /// Learns from a complete answer of so many tokens.
    pub(super) fn learn(&self, reported: u64) {
        locked(&self.0).learn(reported);
    }

    /// Whether anything else shares it.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
