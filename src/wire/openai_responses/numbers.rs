//! Does the number of an event say that it came before, or that events before it were lost?
//!
//! OpenAI numbers the events of a stream from 0. Other hosts send no numbers, or always the same one.

use std::collections::VecDeque;

use super::passed::fnv;

/// How many events are remembered: a proxy that connects again repeats no more.
const MOST_REMEMBERED: usize = 512;

/// The numbers of the events so far.
#[derive(Default)]
pub(super) struct Numbers {
    highest: Option<u64>,
    /// Whether a number was left out.
    has_gap: bool,
    /// The last events: their numbers, and hashes of their data.
    recent: VecDeque<(u64, u64)>,
}

impl Numbers {
    /// Reads the number of the next event. True if the event came before: the same data under the same number, from
    /// a host whose numbers count.
    pub(super) fn is_repeat(&mut self, number: Option<u64>, data: &str) -> bool {
        let Some(number) = number else {
            return false;
        };
        let event = (number, fnv(0, data));
        let counts = self.highest.is_some_and(|highest| highest > 0);
        if counts && self.highest >= Some(number) && self.recent.contains(&event) {
            return true;
        }
        self.has_gap |= self
            .highest
            .is_some_and(|highest| number > highest.saturating_add(1));
        self.highest = self.highest.max(Some(number));
        if self.recent.len() == MOST_REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(event);
        false
    }

    /// Whether events are missing.
    pub(super) fn has_gap(&self) -> bool {
        self.has_gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(numbers: &[(Option<u64>, &str)]) -> (Vec<bool>, bool) {
        let mut seen = Numbers::default();
        let repeats = numbers
            .iter()
            .map(|(number, data)| seen.is_repeat(*number, data))
            .collect();
        (repeats, seen.has_gap())
    }

    #[test]
    fn an_event_came_before_if_a_number_that_counts_comes_again_with_the_same_data() {
        let again = [
            (Some(0), "a"),
            (Some(1), "b"),
            (Some(0), "a"),
            (Some(1), "b"),
            (Some(2), "b"),
        ];
        let restarted = [(Some(0), "a"), (Some(1), "b"), (Some(0), "c")];
        let constant = [(Some(0), "a"), (Some(0), "a")];
        let unnumbered = [(None, "a"), (None, "a")];

        assert_eq!(
            repeats(&again),
            (vec![false, false, true, true, false], false)
        );
        assert_eq!(repeats(&restarted), (vec![false; 3], false));
        assert_eq!(repeats(&constant), (vec![false; 2], false));
        assert_eq!(repeats(&unnumbered), (vec![false; 2], false));
        assert!(repeats(&[(Some(0), "a"), (Some(2), "b")]).1);
        assert!(!repeats(&[(Some(7), "a"), (Some(8), "b")]).1);
    }
}
