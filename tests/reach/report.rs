//! How many requests can be said, and what cannot?

use std::collections::BTreeMap;

use crate::recorded::Family;

/// More examples of one reason say nothing new.
const EXAMPLES: usize = 3;

/// Why something cannot be said, by how the first of it is reported. What is missing here is a gap that nobody chose.
const WHY: &[(Family, &str, &str)] = &[
    (
        Family::OpenAiChat,
        "`n`: several answers",
        "a call has one answer",
    ),
    (
        Family::Gemini,
        "`candidateCount`: several answers",
        "a call has one answer",
    ),
    (
        Family::OpenAiChat,
        "the door refuses messages[].role",
        "few models continue an answer that was begun for them",
    ),
    (
        Family::Anthropic,
        "the door refuses messages[].role",
        "few models continue an answer that was begun for them",
    ),
    (
        Family::OpenAiChat,
        "messages[].reasoning_details[]",
        "of reasoning without a signature, only the text is kept",
    ),
    (
        Family::OpenAiChat,
        "messages[].content[]: 2 became 1",
        "Mistral's reasoning has no signature, and the model does without it",
    ),
    (
        Family::OpenAiResponses,
        "input[].content[].annotations",
        "an answer's sources are for its reader; they are not sent back",
    ),
    (
        Family::OpenAiResponses,
        "the service refuses `store` in options",
        "the service lets providers store nothing",
    ),
    (
        Family::Anthropic,
        "a block `search_result` of the user",
        "no other family knows results of the caller's own search; they are text",
    ),
];

/// Why this cannot be said.
fn why(family: Family, reason: &str) -> Option<&'static str> {
    let mut known = WHY.iter();
    let known = known.find(|(of, begins, _)| *of == family && reason.starts_with(begins));
    known.map(|(_, _, why)| *why)
}

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
                let why = why(*family, reason).unwrap_or("not intended");
                println!("{}: {} times: {reason} ({why})", family.name(), names.len());
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

    /// What cannot be said though nobody has chosen that.
    pub(crate) fn unintended(&self) -> impl Iterator<Item = (Family, &str)> {
        let families = self.families.iter();
        let reasons = families.flat_map(|(family, count)| {
            let reasons = count.unsaid.keys();
            reasons.map(|reason| (*family, reason.as_str()))
        });
        reasons.filter(|(family, reason)| why(*family, reason).is_none())
    }

    /// The families of which less than this can be said, in per mille.
    pub(crate) fn below(&self, goal: usize) -> impl Iterator<Item = Family> {
        let families = self.families.iter();
        families
            .filter(move |(_, count)| count.said * 1000 < count.all * goal)
            .map(|(family, _)| *family)
    }
}
