//! How many tokens do the prompts and answers of a target have? What is learned is shared by the calls of all cores.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use crate::locked::locked;
use crate::money::{AnswerExpectations, Forecast, PromptExpectations, PromptSize, Reserve};

use super::target::Target;

/// So many answers of a target are learned from whatever asks for estimates: then what it takes a prompt for is known.
const FIRST_ANSWERS: u32 = 128;

/// Of later answers one in so many is learned from, if nothing asks for estimates: enough to follow a change.
const ONE_IN: u32 = 16;

/// What is known of a target's prompts. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompts(Arc<KnownPrompts>);

#[derive(Debug, Default)]
struct KnownPrompts {
    expectations: Mutex<PromptExpectations>,
    /// Answers for which nothing asked for an estimate.
    unasked: AtomicU32,
}

/// What is known of a target's answers in one scenario. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<Mutex<AnswerExpectations>>);

impl Prompts {
    /// Learns from an attempt whose provider counted so many tokens of prompt.
    pub(super) fn learn(&self, size: &PromptSize, reported: u64) {
        locked(&self.0.expectations).learn(size, reported);
    }

    /// Whether to learn from an answer although nothing has asked for an estimate of it: no limit, cap or ledger applies,
    /// and looking at the whole prompt would serve rare endings alone.
    pub(super) fn learns_unasked(&self) -> bool {
        let before = self.0.unasked.fetch_add(1, Ordering::Relaxed);
        before < FIRST_ANSWERS || before.is_multiple_of(ONE_IN)
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
            &locked(&self.0.expectations),
            &locked(&answers.0),
            reserve,
        )
    }

    /// What is known.
    pub(super) fn known(&self) -> PromptExpectations {
        locked(&self.0.expectations).clone()
    }

    /// Goes on with what was known before.
    pub(super) fn go_on(&self, known: PromptExpectations) {
        *locked(&self.0.expectations) = known;
    }

    /// Whether anything else shares it.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Answers {
    /// What is known.
    pub(super) fn known(&self) -> AnswerExpectations {
        locked(&self.0).clone()
    }

    /// Goes on with what was known before.
    pub(super) fn go_on(&self, known: AnswerExpectations) {
        *locked(&self.0) = known;
    }

    /// Learns from a complete answer of so many tokens.
    pub(super) fn learn(&self, reported: u64) {
        locked(&self.0).learn(reported);
    }

    /// Whether anything else shares it.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
