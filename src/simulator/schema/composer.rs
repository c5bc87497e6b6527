//! What is needed everywhere while a value is made up: the document, randomness, and the work that is left.

use std::rc::Rc;

use serde_json::Value;

use super::check::Checker;
use super::document::Document;
use super::{Stuck, WORK};

/// From this level on, values are as small as their schema lets them be.
const DEEP: usize = 4;

/// Steps of work for a value in which some places stay empty.
const WORK_LENIENT: usize = 5000;

/// Makes up one value.
pub(super) struct Composer<'s> {
    pub(super) document: Rc<Document<'s>>,
    pub(super) random: fastrand::Rng,
    work: usize,
    /// Whether places that cannot be filled stay empty.
    pub(super) is_lenient: bool,
}

impl<'s> Composer<'s> {
    pub(super) fn new(document: Rc<Document<'s>>, random: fastrand::Rng) -> Self {
        Self {
            document,
            random,
            work: WORK,
            is_lenient: false,
        }
    }

    /// Leaves places empty that cannot be filled.
    pub(super) fn lenient(document: Rc<Document<'s>>, random: fastrand::Rng) -> Self {
        Self {
            work: WORK_LENIENT,
            is_lenient: true,
            ..Self::new(document, random)
        }
    }

    /// Takes some of the work that is left.
    pub(super) fn spend(&mut self, work: usize) -> Result<(), Stuck> {
        self.work = self.work.checked_sub(work).ok_or_else(|| {
            self.work = 0;
            Stuck
        })?;
        Ok(())
    }

    /// Whether all work is spent.
    pub(super) fn is_exhausted(&self) -> bool {
        self.work == 0
    }

    /// Whether values are to be small, since they are deep or much work is spent.
    pub(super) fn is_deep(&self, depth: usize) -> bool {
        depth >= DEEP || self.work < WORK / 2
    }

    /// Whether these schemas allow the value. Checking is work, too.
    pub(super) fn allow(&mut self, schemas: &[&'s Value], value: &Value) -> Result<bool, Stuck> {
        let mut checker = Checker::new(Rc::clone(&self.document), self.work);
        let is_allowed = schemas.iter().all(|schema| checker.allows(schema, value));
        self.work = checker.work_left();
        self.spend(1)?;
        Ok(is_allowed)
    }

    /// Whether the text matches; true if the pattern cannot be obeyed.
    pub(super) fn matches(&mut self, pattern: &str, text: &str) -> Result<bool, Stuck> {
        let Some(pattern) = self.document.pattern(pattern) else {
            return Ok(true);
        };
        self.spend(pattern.work(text))?;
        Ok(pattern.matches(text))
    }
}
