//! How many requests can be said, and what cannot?

use std::collections::BTreeMap;

use crate::recorded::Family;

/// More examples of one reason say nothing new.
const EXAMPLES: usize = 3;

/// What became of a recorded request.
pub(crate) enum Outcome {
    /// What is sent means what was recorded.
    Said,
    /// It cannot be said, for these reasons.
    Unsaid(Vec<String>),
    /// The service refuses it, and so did its provider.
    Refused,
}

#[derive(Default)]
pub(crate) struct Report {
    families: BTreeMap<Family, Count>,
}

#[derive(Default)]
struct Count {
    said: usize,
    all: usize,
    /// Those that their provider refused as invalid, and that the service refuses. They are not counted otherwise.
    refused: usize,
    /// By the reason, the names of the recordings.
    unsaid: BTreeMap<String, Vec<String>>,
}

impl Report {
    /// Counts one request.
    pub(crate) fn add(&mut self, family: Family, name: &str, outcome: Outcome) {
        let count = self.families.entry(family).or_default();
        let reasons = match outcome {
            Outcome::Refused => {
                count.refused += 1;
                return;
            }
            Outcome::Said => {
                count.said += 1;
                Vec::new()
            }
            Outcome::Unsaid(reasons) => reasons,
        };
        count.all += 1;
        for reason in reasons {
            let names = count.unsaid.entry(reason).or_default();
            names.push(name.to_owned());
        }
    }

    pub(crate) fn print(&self) {
        for (family, count) in &self.families {
            let mut reasons: Vec<_> = count.unsaid.iter().collect();
            reasons.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
            for (reason, names) in reasons {
                println!("{}: {} times: {reason}", family.name(), names.len());
                for name in names.iter().take(EXAMPLES) {
                    println!("    {name}");
                }
            }
        }
        for (family, count) in &self.families {
            let (
                name,
                Count {
                    said, all, refused, ..
                },
            ) = (family.name(), count);
            if *refused > 0 {
                println!("reach: {name}: {refused} that their provider refused are refused here");
            }
            println!("reach: {name}: {said} of {all} requests can be said");
        }
        let said: usize = self.families.values().map(|count| count.said).sum();
        let all: usize = self.families.values().map(|count| count.all).sum();
        println!("reach: {said} of {all} requests can be said");
    }

    /// The families of which less than this can be said, in per mille.
    pub(crate) fn below(&self, goal: usize) -> impl Iterator<Item = Family> {
        let families = self.families.iter();
        families
            .filter(move |(_, count)| count.said * 1000 < count.all * goal)
            .map(|(family, _)| *family)
    }
}
