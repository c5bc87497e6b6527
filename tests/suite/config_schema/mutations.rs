//! How is a file changed, and where does the schema say what may stand in a place?

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

/// A step from a value to one in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Item(at) => write!(f, "{at}"),
        }
    }
}

/// Every place in a file, the file itself first.
pub(super) fn places(file: &Value) -> Vec<Vec<Step>> {
    let mut places = vec![Vec::new()];
    let mut next = 0;
    while let Some(place) = places.get(next).cloned() {
        next += 1;
        let steps: Vec<Step> = match at(file, &place) {
            Some(Value::Object(table)) => table.keys().cloned().map(Step::Key).collect(),
            Some(Value::Array(items)) => (0..items.len()).map(Step::Item).collect(),
            _ => Vec::new(),
        };
        for step in steps {
            let mut inner = place.clone();
            inner.push(step);
            places.push(inner);
        }
    }
    places
}

pub(super) fn at<'a>(file: &'a Value, place: &[Step]) -> Option<&'a Value> {
    place.iter().try_fold(file, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Item(at) => value.get(at),
    })
}

pub(super) fn at_mut<'a>(file: &'a mut Value, place: &[Step]) -> Option<&'a mut Value> {
    place.iter().try_fold(file, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Item(at) => value.get_mut(at),
    })
}

/// A schema and all that it refers to or offers, whatever its conditions say.
fn alternatives(root: &'static Value, schema: &'static Value) -> Vec<&'static Value> {
    let mut found = vec![schema];
    let mut next = 0;
    while let Some(schema) = found.get(next).copied() {
        next += 1;
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.trim_start_matches('#');
            found.push(
                root.pointer(pointer)
                    .expect("the reference leads somewhere"),
            );
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            found.extend(schema[keyword].as_array().into_iter().flatten());
        }
        found.extend(schema.get("then"));
    }
    found
}

/// What the schema says of a place: all that may stand there, whatever its conditions say.
fn subschemas(root: &'static Value, place: &[Step]) -> Vec<&'static Value> {
    let mut found = alternatives(root, root);
    for step in place {
        let inner = found.into_iter().filter_map(|schema| match step {
            Step::Key(key) => {
                let property = schema["properties"].get(key);
                let pattern = || schema["patternProperties"].get("");
                let other = || schema.get("additionalProperties");
                let inner = property.or_else(pattern).or_else(other);
                inner.filter(|inner| inner.is_object())
            }
            Step::Item(_) => schema.get("items"),
        });
        found = inner.flat_map(|inner| alternatives(root, inner)).collect();
    }
    found
}

thread_local! {
    /// What judges each part of the schema, by where the part is in memory: making it takes far longer than its answer.
    static VALIDATORS: RefCell<HashMap<*const Value, Validator>> = RefCell::default();
}

/// Whether a part of a file follows a part of the schema.
fn is_valid(root: &'static Value, schema: &'static Value, instance: &Value) -> bool {
    VALIDATORS.with_borrow_mut(|validators| {
        let validator = validators.entry(schema).or_insert_with(|| {
            let mut schema = schema.clone();
            schema["definitions"] = root["definitions"].clone();
            jsonschema::draft7::new(&schema).expect("a part of the schema is a schema")
        });
        validator.is_valid(instance)
    })
}

/// What the schema says of the table in a place, in the form that the table has.
fn tables(root: &'static Value, file: &Value, place: &[Step]) -> Vec<&'static Value> {
    let instance = at(file, place).unwrap();
    let of_place = subschemas(root, place).into_iter();
    let mut tables: Vec<_> = of_place
        .filter(|schema| schema["additionalProperties"] == false)
        .filter(|schema| is_valid(root, schema, instance))
        .collect();
    let format = place
        .split_last()
        .filter(|(last, _)| **last == Step::Key("dialect".to_owned()));
    let format = format.and_then(|(_, provider)| at(file, provider)?["wire_format"].as_str());
    if let Some(format) = format {
        let of_format = &root["definitions"][format!("dialect_{format}")];
        tables.retain(|table| *table == of_format);
    }
    tables
}

/// The keys that the table in a place may have; `None` if they are free.
pub(super) fn keys(root: &'static Value, file: &Value, place: &[Step]) -> Option<BTreeSet<String>> {
    let tables = tables(root, file, place);
    let keys = tables
        .iter()
        .filter_map(|table| table["properties"].as_object());
    let keys: BTreeSet<String> = keys.flat_map(Map::keys).cloned().collect();
    (!tables.is_empty()).then_some(keys)
}

/// What the schema says of a key of the table in a place.
pub(super) fn property(
    root: &'static Value,
    file: &Value,
    place: &[Step],
    key: &str,
) -> &'static Value {
    let tables = tables(root, file, place);
    let mut properties = tables
        .iter()
        .filter_map(|table| table["properties"].get(key));
    properties.next().unwrap()
}

/// Visits each key that the schema knows, wherever it stands.
pub(super) fn each_property(schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    let inner: Vec<&Value> = match schema {
        Value::Object(object) => {
            for (key, property) in object
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                visit(key, property);
            }
            object.values().collect()
        }
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    for inner in inner {
        each_property(inner, visit);
    }
}

/// Values to try in a place: those at the borders of what the schema allows there, and such as stand in other places.
pub(super) fn probes(root: &'static Value, place: &[Step]) -> Vec<Value> {
    let of_place = subschemas(root, place);
    let mut probes: Vec<Value> = vec![
        true.into(),
        0.into(),
        1.into(),
        (-1).into(),
        0.5.into(),
        1.0.into(),
        "".into(),
        "x".into(),
        json!([]),
        json!({}),
    ];
    // Where only some words, numbers or booleans may stand, all other texts and lists are alike.
    let is_free = |schema: &&Value| match schema["type"].as_str() {
        Some("boolean" | "integer" | "number") => false,
        Some("object") => schema.get("properties").is_none(),
        Some(_) => true,
        None => false,
    };
    if of_place.iter().any(is_free) {
        probes.extend(TEXTS.map(Value::from));
        probes.extend([
            json!(["tools"]),
            json!([["tools", "top_k"]]),
            json!([["tools", "top_k", "seed"]]),
            json!([1]),
            json!({ "x": 1 }),
            json!({ "x": "text" }),
        ]);
    }
    for schema in of_place {
        for border in ["minimum", "maximum"] {
            if let Some(whole) = schema[border].as_i64() {
                probes.extend([whole - 1, whole, whole + 1].map(Value::from));
            }
            if let Some(number) = schema[border].as_f64() {
                probes.extend([number - 0.001, number, number + 0.001].map(Value::from));
            }
        }
        for keyword in ["enum", "examples"] {
            probes.extend(schema[keyword].as_array().into_iter().flatten().cloned());
        }
        probes.extend(schema.get("const").cloned());
        probes.extend(schema.get("default").cloned());
        for word in schema["enum"].as_array().into_iter().flatten() {
            probes.extend(word.as_str().map(|word| format!("{word}x").into()));
        }
        if schema["description"]
            .as_str()
            .is_some_and(|it| it.contains("1ms to 24h"))
        {
            probes.extend(TIMES.map(Value::from));
        }
    }
    let mut different: Vec<Value> = Vec::new();
    for probe in probes {
        if !different.contains(&probe) {
            different.push(probe);
        }
    }
    different
}

/// Texts of many kinds.
const TEXTS: [&str; 16] = [
    "none",
    "0s",
    "1.5s",
    "24h",
    "25h",
    "5",
    "4MiB",
    "4MB",
    "env:KEY",
    "env:key",
    "file:/run/key",
    "file:key",
    "/models/{model}",
    "https://host.example",
    "user:password@host",
    "127.0.0.1:1",
];

/// Times at the borders of what is allowed, and what is none.
const TIMES: [&str; 24] = [
    "0ms",
    "0.0s",
    "0.5ms",
    "1ms",
    "0.001s",
    "0.0009s",
    ".5s",
    "1.s",
    "86400s",
    "86400.0s",
    "86400.5s",
    "86401s",
    "1440m",
    "1441m",
    "0.5m",
    "23.9h",
    "24.0h",
    "24.1h",
    "86400000ms",
    "86400001ms",
    "-1s",
    "1 s",
    "1e3s",
    "1d",
];

/// One change of a file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Another value in a place.
    Replace(Index, Index),
    /// A key or an item less.
    Remove(Index),
    /// A key by another name.
    Rename(Index, Index),
    /// A key with its value in another table, too.
    Copy(Index, Index),
    /// Each of two values in the place of the other.
    Swap(Index, Index),
}

impl Change {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let two = any::<(Index, Index)>;
        prop_oneof![
            two().prop_map(|(place, value)| Self::Replace(place, value)),
            any::<Index>().prop_map(Self::Remove),
            two().prop_map(|(place, name)| Self::Rename(place, name)),
            two().prop_map(|(from, to)| Self::Copy(from, to)),
            two().prop_map(|(one, other)| Self::Swap(one, other)),
        ]
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Replace(..) => "another value",
            Self::Remove(_) => "a key or an item less",
            Self::Rename(..) => "another name of a key",
            Self::Copy(..) => "a key in another table, too",
            Self::Swap(..) => "two values exchanged",
        }
    }

    pub(super) fn apply(&self, file: &mut Value, schema: &'static Value) {
        let mut places = places(file);
        // The file itself stays one.
        places.remove(0);
        match self {
            Self::Replace(place, value) => {
                let place = place.get::<Vec<Step>>(&places);
                let probes = probes(schema, place);
                *at_mut(file, place).unwrap() = value.get(&probes).clone();
            }
            Self::Remove(place) => {
                taken(file, place.get::<Vec<Step>>(&places));
            }
            Self::Rename(place, name) => {
                let place = place.get::<Vec<Step>>(&places);
                let Some((Step::Key(key), table)) = place.split_last() else {
                    return;
                };
                let shortened: String = key.chars().skip(1).collect();
                let names = [
                    format!("{key}s"),
                    shortened,
                    key.to_uppercase(),
                    "timeout".to_owned(),
                ];
                let value = taken(file, place).unwrap();
                put(file, table, name.get::<String>(&names), value);
            }
            Self::Copy(from, to) => {
                let from = from.get::<Vec<Step>>(&places);
                let value = at(file, from).unwrap().clone();
                if let Some(Step::Key(key)) = from.last() {
                    put(file, to.get::<Vec<Step>>(&places), key, value);
                }
            }
            Self::Swap(one, other) => {
                let (one, other) = (
                    one.get::<Vec<Step>>(&places),
                    other.get::<Vec<Step>>(&places),
                );
                if one.starts_with(other) || other.starts_with(one) {
                    return;
                }
                let [first, second] = [one, other].map(|place| at(file, place).unwrap().clone());
                *at_mut(file, one).unwrap() = second;
                *at_mut(file, other).unwrap() = first;
            }
        }
    }
}

/// Takes a value out of its table or list.
fn taken(file: &mut Value, place: &[Step]) -> Option<Value> {
    let (last, parent) = place.split_last()?;
    match (at_mut(file, parent)?, last) {
        (Value::Object(table), Step::Key(key)) => table.remove(key),
        (Value::Array(items), Step::Item(at)) => Some(items.remove(*at)),
        _ => None,
    }
}

/// Puts a value into a table, if there is one.
fn put(file: &mut Value, table: &[Step], key: &str, value: Value) {
    if let Some(Value::Object(table)) = at_mut(file, table) {
        table.insert(key.to_owned(), value);
    }
}
