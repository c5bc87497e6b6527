//! Which behaviour does a request get: the scripted one or its model name's?

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::behaviour::{Behaviour, Fault};
use super::fingerprint::fingerprint;
use super::sequence::Sequence;

/// How many sequences of one model are counted. Those of headers are without limit.
const MOST_SEQUENCES: usize = 1000;

/// What was scripted for each model.
#[derive(Debug)]
pub(super) struct Scripts {
    seed: u64,
    models: Mutex<HashMap<String, Model>>,
}

#[derive(Debug, Default)]
struct Model {
    queue: VecDeque<Arc<Behaviour>>,
    /// How many requests each sequence of its name and header has answered.
    turns: HashMap<u64, usize>,
    /// How many requests have drawn whether they fail.
    draws: u64,
}

impl Scripts {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            models: Mutex::new(HashMap::new()),
        }
    }

    /// Replaces the script of a model; an empty one leaves the model to its name.
    pub(super) fn set(&self, model: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        let queue = behaviours.into_iter().map(Arc::new).collect();
        self.models().entry(model.to_owned()).or_default().queue = queue;
    }

    /// The behaviour of a model's next request, and its fault if this request suffers it.
    pub(super) fn next(&self, model: &str, named: &Sequence) -> (Arc<Behaviour>, Option<Fault>) {
        let mut models = self.models();
        let queue = models.get_mut(model).map(|model| &mut model.queue);
        let behaviour = match queue {
            Some(queue) if queue.len() > 1 => queue.pop_front(),
            Some(queue) => queue.front().cloned(),
            None => None,
        };
        let behaviour = behaviour.unwrap_or_else(|| {
            let Some(fingerprint) = named.fingerprint() else {
                return Arc::clone(named.first());
            };
            let turns = &mut models.entry(model.to_owned()).or_default().turns;
            if turns.len() == MOST_SEQUENCES {
                turns.clear();
            }
            let turn = turns.entry(fingerprint).or_default();
            *turn += 1;
            Arc::clone(named.step(*turn - 1))
        });
        let Some(fault) = behaviour.fault else {
            return (behaviour, None);
        };
        if behaviour.fail_ratio >= 1.0 {
            return (behaviour, Some(fault));
        }
        let state = models.entry(model.to_owned()).or_default();
        let seed = fingerprint((self.seed, model, state.draws));
        state.draws += 1;
        let drawn = fastrand::Rng::with_seed(seed).f64();
        let suffered = (drawn < behaviour.fail_ratio).then_some(fault);
        (behaviour, suffered)
    }

    fn models(&self) -> MutexGuard<'_, HashMap<String, Model>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_used_up_but_for_its_last_behaviour() {
        let scripts = Scripts::new(0);
        let named = Sequence::default();
        scripts.set("m", [Fault::Hang.into(), Fault::Silence.into()]);

        let faults: Vec<_> = (0..4).map(|_| scripts.next("m", &named).1).collect();
        scripts.set("m", []);
        let (after, _) = scripts.next("m", &named);

        let last = Some(Fault::Silence);
        assert_eq!(faults, [Some(Fault::Hang), last, last, last]);
        assert_eq!(after.fault, None);
    }

    #[test]
    fn a_share_of_the_requests_fails_the_same_way_every_time() {
        let named: Sequence = "hang+ratio=0.2".parse().unwrap();
        let run = |seed| -> Vec<bool> {
            let scripts = Scripts::new(seed);
            let mut fails = Vec::new();
            for _ in 0..1000 {
                fails.push(scripts.next("m", &named).1.is_some());
            }
            fails
        };

        let fails = run(7).iter().filter(|fails| **fails).count();

        assert!((160..240).contains(&fails), "{fails} of 1000");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
