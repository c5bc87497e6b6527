//! How does a model behave, request after request, by its name and the header `x-simulate`?

use std::str::FromStr;
use std::sync::Arc;

use super::behaviour::Behaviour;
use super::fingerprint::fingerprint;

/// What stands between two steps.
const THEN: &str = "then";

/// Stands in the last step if the first follows it.
const REPEAT: &str = "repeat";

/// How many steps there may be.
const MOST_STEPS: usize = 100;

/// Behaviours for one request each. The last one stays, or the first follows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequence {
    first: Arc<Behaviour>,
    /// Those after the first.
    further: Vec<Arc<Behaviour>>,
    repeats: bool,
    /// Tells sequences apart.
    fingerprint: u64,
}

impl FromStr for Sequence {
    type Err = String;

    /// Reads steps such as `status=429+then+cut=10+then+repeat`; a step may be empty, for the default behaviour.
    ///
    /// # Errors
    /// A sentence that names the part that cannot be read.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::default().with(text)
    }
}

impl Sequence {
    /// The sequence of a model's name: what follows its first `+`.
    ///
    /// # Errors
    /// A sentence that names the part that cannot be read.
    pub(super) fn of_name(model: &str) -> Result<Self, String> {
        match model.split_once('+') {
            Some((_, text)) => text.parse(),
            None => Ok(Self::default()),
        }
    }

    /// This sequence with what `text` changes: every step of it, or its only one by several steps.
    ///
    /// # Errors
    /// A sentence that names the part that cannot be read.
    pub(super) fn with(&self, text: &str) -> Result<Self, String> {
        let mut steps: Vec<Vec<&str>> = vec![Vec::new()];
        for part in text.split('+') {
            if part == THEN {
                steps.push(Vec::new());
            } else if let Some(step) = steps.last_mut() {
                step.push(part);
            }
        }
        if steps.len() > MOST_STEPS {
            return Err(format!("more than {MOST_STEPS} steps in one sequence"));
        }
        let is_sequence = steps.len() > 1;
        if is_sequence && !self.further.is_empty() {
            return Err(format!(
                "`{THEN}` stands in the model's name and in the header"
            ));
        }
        let mut repeats = self.repeats;
        if is_sequence && let Some(last) = steps.last_mut() {
            let written = last.len();
            last.retain(|part| *part != REPEAT);
            repeats = last.len() < written;
        }
        if steps.iter().flatten().any(|part| *part == REPEAT) {
            return Err(format!("`{REPEAT}` belongs to the last of several steps"));
        }
        let step = |behaviour: &Behaviour, parts: &[&str]| {
            let mut behaviour = behaviour.clone();
            if !(is_sequence && parts.iter().all(|part| part.is_empty())) {
                behaviour.apply(&parts.join("+"))?;
            }
            Ok::<_, String>(Arc::new(behaviour))
        };
        let mut behaviours = Vec::new();
        if is_sequence {
            for parts in &steps {
                behaviours.push(step(&self.first, parts)?);
            }
        } else {
            for behaviour in self.further.iter().chain([&self.first]) {
                behaviours.push(step(behaviour, &steps[0])?);
            }
            behaviours.rotate_right(1);
        }
        let mut behaviours = behaviours.into_iter();
        Ok(Self {
            first: behaviours.next().unwrap_or_default(),
            further: behaviours.collect(),
            repeats,
            fingerprint: fingerprint((self.fingerprint, text)),
        })
    }

    /// The behaviour of the first request.
    pub(super) fn first(&self) -> &Arc<Behaviour> {
        &self.first
    }

    /// Tells sequences of several steps apart; `None` for one step, which needs no counting.
    pub(super) fn fingerprint(&self) -> Option<u64> {
        (!self.further.is_empty()).then_some(self.fingerprint)
    }

    /// The behaviour of a request, counted from 0.
    pub(super) fn step(&self, number: usize) -> &Arc<Behaviour> {
        let place = match self.repeats {
            true => number % (self.further.len() + 1),
            false => number.min(self.further.len()),
        };
        match place.checked_sub(1) {
            None => &self.first,
            Some(place) => &self.further[place],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::behaviour::Fault;
    use super::*;

    fn tokens(sequence: &Sequence, requests: usize) -> Vec<usize> {
        let steps = (0..requests).map(|number| sequence.step(number));
        steps.map(|step| step.tokens).collect()
    }

    #[test]
    fn the_last_step_stays_or_the_first_follows_it() {
        let stays: Sequence = "tokens=1+then+tokens=2+then".parse().unwrap();
        let repeats: Sequence = "tokens=1+then+tokens=2+repeat".parse().unwrap();
        let one: Sequence = "tokens=1".parse().unwrap();

        assert_eq!(tokens(&stays, 5), [1, 2, 24, 24, 24]);
        assert_eq!(tokens(&repeats, 5), [1, 2, 1, 2, 1]);
        assert_eq!(tokens(&one, 3), [1, 1, 1]);
    }

    #[test]
    fn each_step_may_have_a_fault() {
        let sequence = Sequence::of_name("sim+cut=3+then+hang").unwrap();

        assert_eq!(sequence.step(0).fault, Some(Fault::Cut { after: 3 }));
        assert_eq!(sequence.step(1).fault, Some(Fault::Hang));
    }

    #[test]
    fn a_header_changes_every_step_or_adds_steps_to_one() {
        let several = Sequence::of_name("sim+tokens=1+then+tokens=2").unwrap();
        let one = Sequence::of_name("sim+tokens=7").unwrap();

        let changed = several.with("reasoning=3").unwrap();
        let added = one.with("reasoning=3+then+tokens=4").unwrap();

        assert_eq!(tokens(&changed, 3), [1, 2, 2]);
        assert_eq!(changed.step(1).reasoning, 3);
        assert_eq!(tokens(&added, 2), [7, 4]);
        assert_ne!(changed.fingerprint(), several.fingerprint());
    }

    #[test]
    fn a_mistake_is_named() {
        let many = "+then".repeat(100);
        let table = [
            ("then+tokns=3", "unknown behaviour `tokns` in `tokns=3`"),
            ("repeat", "`repeat` belongs to the last of several steps"),
            (
                "repeat+then+cut=1",
                "`repeat` belongs to the last of several steps",
            ),
            ("cut=1+hang+then", "more than one fault in `cut=1+hang`"),
            ("", "unknown behaviour `` in ``"),
            (&*many, "more than 100 steps in one sequence"),
        ];
        for (text, message) in table {
            assert_eq!(text.parse::<Sequence>(), Err(message.to_owned()), "{text}");
        }
        let several = Sequence::of_name("sim+then+hang").unwrap();
        assert!(several.with("hang+then").is_err());
    }
}
