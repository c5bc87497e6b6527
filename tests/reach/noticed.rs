//! Does the comparison notice a change at every place of a body? No normalisation may hide one that matters.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::compare::differences;
use crate::recorded::{Family, Recorded};
use crate::same;

/// Places deeper than this are taken for one: they lie in schemas, arguments and results.
const MOST_DEPTH: usize = 8;

/// Places at which a change means nothing to the provider; the normalisations say why.
const MEANINGLESS: &[(Family, &str)] = &[
    (Family::OpenAiChat, "messages[].tool_calls[].index"),
    (Family::OpenAiChat, "stream_options.include_usage"),
    (Family::OpenAiResponses, "input[].id"),
    (Family::Gemini, "model"),
    (Family::Gemini, "systemInstruction.role"),
];

/// The places that were tried, and those of them at which a change went unnoticed.
#[derive(Default)]
pub(crate) struct Noticed {
    tried: BTreeSet<(Family, String)>,
    missed: BTreeSet<(Family, String)>,
}

impl Noticed {
    /// Changes a request that can be said, at each place that was not tried yet.
    pub(crate) fn check(&mut self, recorded: &Recorded, sent: &Value) {
        let family = recorded.family;
        let mut leaves = Vec::new();
        collect(&recorded.body, &mut Vec::new(), &mut leaves);
        for path in leaves {
            let place = place(&path);
            if !self.tried.insert((family, place.clone())) {
                continue;
            }
            let (mut changed, mut sent) = (recorded.body.clone(), sent.clone());
            if let Some(leaf) = at(&mut changed, &path) {
                change(leaf);
            }
            same::normalise(family, &mut changed, &mut sent, &mut same::Needed::new());
            if differences(&changed, &sent).is_empty() {
                self.missed.insert((family, place));
            }
        }
    }

    /// The places at which a change that may matter went unnoticed.
    pub(crate) fn missed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let missed = self.missed.iter();
        let missed = missed.map(|(family, place)| (*family, place.as_str()));
        missed
            .filter(|place| !MEANINGLESS.contains(place))
            .map(|(family, place)| (family.name(), place))
    }

    pub(crate) fn tried(&self) -> usize {
        self.tried.len()
    }
}

/// A step from a value to one in it.
#[derive(Clone)]
enum Step {
    Member(String),
    Item(usize),
}

/// The paths of all values that are neither lists nor objects nor null.
fn collect(value: &Value, path: &mut Vec<Step>, leaves: &mut Vec<Vec<Step>>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                path.push(Step::Member(name.clone()));
                collect(value, path, leaves);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                path.push(Step::Item(index));
                collect(value, path, leaves);
                path.pop();
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => leaves.push(path.clone()),
    }
}

fn at<'v>(body: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(body, |value, step| match step {
        Step::Member(name) => value.get_mut(name),
        Step::Item(index) => value.get_mut(index),
    })
}

fn change(leaf: &mut Value) {
    *leaf = match &leaf {
        Value::String(text) => format!("{text} changed").into(),
        Value::Bool(flag) => (!flag).into(),
        Value::Number(number) => (number.as_f64().unwrap_or_default() + 1.0).into(),
        value => (*value).clone(),
    };
}

fn place(path: &[Step]) -> String {
    let mut place = String::new();
    for step in path.iter().take(MOST_DEPTH) {
        match step {
            Step::Item(_) => place.push_str("[]"),
            Step::Member(name) => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(name);
            }
        }
    }
    place
}
