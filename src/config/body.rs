//! Reads `body`: what the body of every request to a provider or a model says besides.

use serde_json::value::to_raw_value;
use serde_json::{Map, Value as Json};

use crate::wire::merge::ExtraFields;

use super::family::Family;
use super::secret::is_reference;
use super::table::{Table, Value};

/// Fields that every request sets, or that would change what kind of answer arrives.
const OURS: [&[&str]; 14] = [
    &["model"],
    &["messages"],
    &["contents"],
    &["input"],
    &["stream"],
    &["stream_options"],
    &["max_tokens"],
    &["max_completion_tokens"],
    &["max_output_tokens"],
    &["generationConfig", "maxOutputTokens"],
    &["n"],
    &["generationConfig", "candidateCount"],
    &["background"],
    &["anthropic_version"],
];

/// Reads `body`; empty if it is absent or wrong.
pub(super) fn read(table: &mut Table<'_>, family: Option<Family>) -> Map<String, Json> {
    let Some(value) = table.get("body") else {
        return Map::new();
    };
    check(&value, family, &mut Vec::new());
    match value.is_table().then(|| value.json()) {
        Some(Some(Json::Object(fields))) => fields,
        Some(_) => Map::new(),
        None => {
            // Notes that something else stands here.
            value.table();
            Map::new()
        }
    }
}

/// Notes the fields that no configuration may set.
fn check<'a>(value: &Value<'a>, family: Option<Family>, path: &mut Vec<&'a str>) {
    if value.text().is_some_and(is_reference) {
        value.place.wrong(
            "a body must not hold a secret: the host would get the reference itself",
            "send it in a header: `api_key` with `auth`, or `headers`",
        );
    }
    let Some(table) = value.is_table().then(|| value.table()).flatten() else {
        return;
    };
    for (name, value) in table.named() {
        path.push(name);
        if OURS.contains(&path.as_slice()) {
            value.place.wrong(
                "the service sets this field for each request",
                "remove it; callers limit an answer by `sampling`, a model by `max_output_tokens`",
            );
        }
        let is_in_config = matches!(**path, ["generationConfig", _]);
        if family == Some(Family::Gemini) && name.contains('_') && (path.len() == 1 || is_in_config)
        {
            value.place.wrong(
                "the host reads this as another spelling of a field that the service may set",
                "write it in camelCase, such as `generationConfig`",
            );
        }
        check(&value, family, path);
        path.pop();
    }
}

/// The fields of a model over those of its provider, `None` if there are none.
pub(super) fn fields(
    mut of_provider: Map<String, Json>,
    of_model: Map<String, Json>,
) -> Option<ExtraFields> {
    overlay(&mut of_provider, of_model);
    if of_provider.is_empty() {
        return None;
    }
    // A tree with names as keys always has a JSON form.
    to_raw_value(&of_provider).ok().map(ExtraFields::new)
}

fn overlay(base: &mut Map<String, Json>, over: Map<String, Json>) {
    for (name, value) in over {
        match (base.get_mut(&name), value) {
            (Some(Json::Object(base)), Json::Object(over)) => overlay(base, over),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}
