//! Reads `simulate` of a model: how the built-in simulator plays it, request after request.

use std::fmt::Display;

use serde_json::Value as Json;

use crate::simulator::{Behaviour, KEYS, Sequence};

use super::table::Value;

/// The key of the last step after which the first follows.
const REPEAT: &str = "repeat";

/// Where all of this is explained.
const PAGE: &str = "see docs/simulator.md";

/// The model's name with what is to be simulated, which is how the simulator learns of it. The name alone where
/// something is wrong. `is_simulated` is `None` if the provider is wrong.
pub(super) fn model(value: &Value<'_>, model: &str, is_simulated: Option<bool>) -> String {
    if is_simulated == Some(false) {
        refuse(
            value,
            "its provider is not simulated",
            "remove `simulate`, or set `simulated = true` for the provider",
        );
    }
    if model.contains('+') {
        refuse(
            value,
            "the model's name says otherwise",
            "write all of it here, and remove what follows the `+` in the name",
        );
        return model.to_owned();
    }
    let steps = match value.is_table() {
        true => step(value, false).into_iter().collect(),
        false => {
            let items = value.list().unwrap_or_default();
            let count = items.len();
            let steps = items.iter().enumerate();
            let steps = steps.map(|(place, item)| step(item, count > 1 && place + 1 == count));
            steps.collect::<Option<Vec<_>>>().unwrap_or_default()
        }
    };
    let behaviour = steps.join("+then+");
    if behaviour.is_empty() {
        return model.to_owned();
    }
    if let Err(why) = behaviour.parse::<Sequence>() {
        refuse(value, why, PAGE);
        return model.to_owned();
    }
    format!("{model}+{behaviour}")
}

fn refuse(value: &Value<'_>, why: impl Display, remedy: impl Into<String>) {
    let what = format!("the simulator cannot behave like this: {why}");
    value.place.wrong(what, remedy);
}

/// One step in the words of the simulator; `None` if something is wrong. The last of several may repeat all of them.
fn step(value: &Value<'_>, may_repeat: bool) -> Option<String> {
    let mut parts = Vec::new();
    let mut is_right = true;
    for (key, value) in value.table()?.named() {
        match setting(key, &value, may_repeat) {
            Some(written) => parts.extend(written),
            None => is_right = false,
        }
    }
    let step = parts.join("+");
    let faults = parts.iter().filter(|part| **part != REPEAT);
    let together: Vec<&str> = faults.map(String::as_str).collect();
    if is_right
        && !together.is_empty()
        && let Err(why) = together.join("+").parse::<Behaviour>()
    {
        refuse(value, why, "leave one; the next step may have another");
        return None;
    }
    is_right.then_some(step)
}

/// A key and its value in the words of the simulator, several if the value is a list; `None` if it is wrong.
fn setting(key: &str, value: &Value<'_>, may_repeat: bool) -> Option<Vec<String>> {
    let name = key.replace('_', "-");
    if key == REPEAT {
        return match value.json()? {
            Json::Bool(true) if may_repeat => Some(vec![name]),
            Json::Bool(false) => Some(Vec::new()),
            _ => {
                let why = "`repeat` is `true` in the last of several steps";
                refuse(value, why, "move it there, or remove it");
                None
            }
        };
    }
    let known = KEYS.map(|key| key.replace('-', "_"));
    if !known.iter().any(|known| known == key) {
        let known = known.iter().map(String::as_str).chain([REPEAT]);
        refuse(
            value,
            "there is no such key",
            value.place.advise(key, known),
        );
        return None;
    }
    let written = match value.json()? {
        Json::Array(items) => items,
        one => vec![one],
    };
    let mut parts = Vec::new();
    for written in written {
        let part = match written {
            Json::Bool(true) => name.clone(),
            Json::String(text) if text.contains('+') => {
                refuse(value, "a `+` begins another setting", "remove it");
                return None;
            }
            Json::String(text) => format!("{name}={text}"),
            Json::Number(number) => format!("{name}={number}"),
            Json::Bool(false) | Json::Null | Json::Array(_) | Json::Object(_) => {
                refuse(
                    value,
                    "this is no value of the key",
                    format!("write a number, a string or `true`, or remove it; {PAGE}"),
                );
                return None;
            }
        };
        if let Err(why) = part.parse::<Behaviour>() {
            refuse(value, why, PAGE);
            return None;
        }
        parts.push(part);
    }
    Some(parts)
}
