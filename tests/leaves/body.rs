//! A recorded body as JSON texts between others, so that one leaf can be changed and all else stays.

use std::collections::BTreeMap;

use modelway::wire::metadata::AnswerFields;
use serde_json::{Number, Value};

use crate::paths::{LeafPath, Step, place, walk};

/// A body.
pub(crate) struct Body {
    pieces: Vec<Piece>,
}

struct Piece {
    text: String,
    /// What the text says; `None` for what stands between: names of events, blank lines.
    json: Option<Value>,
}

/// A leaf: the piece, and the way to it.
pub(crate) struct Leaf {
    piece: usize,
    steps: Vec<Step>,
}

impl Body {
    /// The body of one JSON text, or of events; `None` if it holds neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let json = |json: Value| Piece {
            text: json.to_string(),
            json: Some(json),
        };
        let other = |text: &str| Piece {
            text: text.to_owned(),
            json: None,
        };
        if let Ok(whole) = serde_json::from_str(text) {
            let pieces = vec![json(whole)];
            return Some(Self { pieces });
        }
        let mut pieces = Vec::new();
        for line in text.split_inclusive('\n') {
            let data = line.strip_prefix("data:").map(str::trim);
            match data.and_then(|data| serde_json::from_str(data).ok()) {
                Some(event) => pieces.extend([other("data: "), json(event), other("\n")]),
                None => pieces.push(other(line)),
            }
        }
        let has_json = pieces.iter().any(|piece| piece.json.is_some());
        has_json.then_some(Self { pieces })
    }

    pub(crate) fn text(&self) -> String {
        self.pieces.iter().map(|piece| &*piece.text).collect()
    }

    /// The pieces that are read until this says that the answer is complete; nothing after it belongs to the answer.
    pub(crate) fn truncate(&mut self, mut is_complete: impl FnMut(&str) -> bool) {
        let complete = self
            .pieces
            .iter()
            .position(|piece| is_complete(&piece.text));
        if let Some(last) = complete {
            self.pieces.truncate(last + 1);
        }
    }

    /// The leaves that say something, by their path. Of those with one place in a whole answer, the last one says what the
    /// answer says, and the earlier ones where they say the same.
    pub(crate) fn leaves(&self, fields: &AnswerFields) -> BTreeMap<LeafPath, Vec<Vec<Leaf>>> {
        let mut last: BTreeMap<String, (LeafPath, Value, Vec<Leaf>)> = BTreeMap::new();
        for (piece, json) in self.pieces.iter().enumerate() {
            let Some(json) = &json.json else { continue };
            walk(json, &mut |path, steps, value| {
                let steps = steps.to_vec();
                let place = place(json, &steps, fields);
                let leaf = Leaf { piece, steps };
                let new = || (path.clone(), value.clone(), Vec::new());
                let (said_by, said, leaves) = last.entry(place).or_insert_with(new);
                if said != value {
                    (*said_by, *said) = (path, value.clone());
                    leaves.clear();
                }
                leaves.push(leaf);
            });
        }
        let mut leaves: BTreeMap<LeafPath, Vec<Vec<Leaf>>> = BTreeMap::new();
        for (path, _, same) in last.into_values() {
            leaves.entry(path).or_default().push(same);
        }
        leaves
    }

    /// The body's text with another value in the place of a leaf.
    pub(crate) fn variations(&self, leaf: &Leaf) -> impl Iterator<Item = String> {
        let piece = &self.pieces[leaf.piece];
        let value = piece.json.as_ref().and_then(|json| {
            leaf.steps.iter().try_fold(json, |value, step| match step {
                Step::Member(name) => value.get(name),
                Step::Item(position) => value.get(position),
            })
        });
        let others = value.map(others).unwrap_or_default();
        others.into_iter().filter_map(|other| {
            let mut json = piece.json.clone()?;
            let place = leaf
                .steps
                .iter()
                .try_fold(&mut json, |value, step| match step {
                    Step::Member(name) => value.get_mut(name),
                    Step::Item(position) => value.get_mut(position),
                });
            *place? = other;
            let changed = json.to_string();
            let texts = self.pieces.iter().enumerate();
            let texts = texts.map(|(position, piece)| match position == leaf.piece {
                true => &*changed,
                false => &*piece.text,
            });
            Some(texts.collect())
        })
    }
}

/// Other values of the same kind.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![Value::Bool(!flag)],
        Value::Number(number) => {
            let others = match (number.as_u64(), number.as_f64()) {
                // One more may be taken for too many.
                (Some(count), _) => {
                    let others = [count.checked_add(1), count.checked_sub(1)];
                    others.map(|other| other.map(Number::from))
                }
                (None, float) => [float.and_then(|float| Number::from_f64(float + 1.0)), None],
            };
            others.into_iter().flatten().map(Value::Number).collect()
        }
        Value::String(text) => vec![
            Value::String(format!("{text}x")),
            Value::String("another".to_owned()),
        ],
        Value::Null | Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}
