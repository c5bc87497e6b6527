//! The table that tells errors apart: which codes, messages and statuses mean which kind.
//!
//! The text of an error counts more than its status, and a specific text more than a vague one: a blocked
//! prompt or a spent balance is recognised whatever the status is. More specific rows stand first.

mod blocked;
mod context;
mod contract;
mod key;
mod load;
mod model;
mod money;
mod statuses;

use std::ops::RangeInclusive;

use crate::error::UpstreamErrorKind;

use super::report::Report;
use super::text;

/// One row of the table. It applies if a code, a message or the status says so.
pub(super) struct Rule {
    pub(super) kind: UpstreamErrorKind,
    statuses: &'static [RangeInclusive<u16>],
    codes: &'static [&'static str],
    says: &'static [Says],
    unless: &'static [&'static [&'static str]],
    within: RangeInclusive<u16>,
}

/// A condition on one sentence of a message. All words are in lower case; a word also matches longer words
/// that begin with it.
pub(super) enum Says {
    /// One of these words, or phrases.
    Any(&'static [&'static str]),
    /// One word of each list, in any order.
    All(&'static [&'static [&'static str]]),
    /// One word of the first list and, at most so many words later, one of the second.
    Then(&'static [&'static str], usize, &'static [&'static str]),
}

impl Rule {
    /// A row that applies to no error yet.
    const fn of(kind: UpstreamErrorKind) -> Self {
        Self {
            kind,
            statuses: &[],
            codes: &[],
            says: &[],
            unless: &[],
            within: 0..=u16::MAX,
        }
    }

    /// Applies with these statuses.
    const fn statuses(self, statuses: &'static [RangeInclusive<u16>]) -> Self {
        Self { statuses, ..self }
    }

    /// Applies with these codes, and with longer codes that contain them as whole words; a number must be the
    /// whole code. They are spelled as [`text::code`] spells them.
    const fn codes(self, codes: &'static [&'static str]) -> Self {
        Self { codes, ..self }
    }

    /// Applies if a sentence meets one of these conditions.
    const fn says(self, says: &'static [Says]) -> Self {
        Self { says, ..self }
    }

    /// Ignores sentences that also contain one of these words.
    const fn unless(self, unless: &'static [&'static [&'static str]]) -> Self {
        Self { unless, ..self }
    }

    /// Applies only with statuses of this range.
    const fn within(self, within: RangeInclusive<u16>) -> Self {
        Self { within, ..self }
    }

    pub(super) fn applies(&self, status: u16, report: &Report) -> bool {
        self.within.contains(&status)
            && (self.statuses.iter().any(|range| range.contains(&status))
                || self.codes.iter().any(|code| report.has_code(code))
                || report.sentences().iter().any(|it| self.is_said_in(it)))
    }

    fn is_said_in(&self, sentence: &str) -> bool {
        self.says.iter().any(|says| says.is_in(sentence))
            && !self.unless.iter().any(|words| holds_any(sentence, words))
    }

    #[cfg(test)]
    pub(super) fn codes_of(&self) -> &'static [&'static str] {
        self.codes
    }

    #[cfg(test)]
    pub(super) fn words(&self) -> Vec<&'static str> {
        let mut words = self.unless.concat();
        for says in self.says {
            match says {
                Says::Any(any) => words.extend(*any),
                Says::All(all) => words.extend(all.iter().copied().flatten()),
                Says::Then(first, _, second) => words.extend(first.iter().chain(*second)),
            }
        }
        words
    }
}

impl Says {
    fn is_in(&self, sentence: &str) -> bool {
        match self {
            Self::Any(words) => holds_any(sentence, words),
            Self::All(ideas) => ideas.iter().all(|words| holds_any(sentence, words)),
            Self::Then(first, most, second) => first.iter().any(|word| {
                let mut from = 0;
                while let Some(start) = text::find(sentence, word, from) {
                    from = start + word.len();
                    if is_soon(sentence, from, *most, second) {
                        return true;
                    }
                }
                false
            }),
        }
    }
}

/// Whether one of the words follows in a sentence at most so many words after this byte.
fn is_soon(sentence: &str, from: usize, most: usize, words: &[&str]) -> bool {
    words.iter().any(|word| {
        text::find(sentence, word, from).is_some_and(|start| {
            let between = &sentence[from..start];
            between.split_whitespace().count() <= most
        })
    })
}

fn holds_any(sentence: &str, words: &[&str]) -> bool {
    words
        .iter()
        .any(|word| text::find(sentence, word, 0).is_some())
}

/// All rows; the first that applies decides. An error to which none applies is the provider's fault: a
/// redirect, or an unexplained error in a 200 response.
pub(super) fn rules() -> impl Iterator<Item = &'static Rule> {
    let parts: [&[Rule]; 13] = [
        blocked::BLOCKED,
        context::BY_CODE,
        money::QUOTA,
        key::CLOSED,
        load::OVERLOADED,
        load::RATE_LIMITED_BY_CODE,
        context::BY_MESSAGE,
        model::GONE,
        contract::LACKING,
        key::REFUSED,
        model::UNSUPPORTED,
        load::RATE_LIMITED_BY_MESSAGE,
        statuses::STATUSES,
    ];
    parts.into_iter().flatten()
}
