//! Where do two JSON bodies differ?

use std::collections::BTreeSet;

use serde_json::Value;

/// The places where what is sent differs from what was recorded, without the numbers of list items.
pub(crate) fn differences(recorded: &Value, sent: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(recorded, sent, "", &mut found);
    found
}

fn walk(recorded: &Value, sent: &Value, path: &str, found: &mut BTreeSet<String>) {
    match (recorded, sent) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in one {
                let path = below(path, name);
                match other.get(name) {
                    Some(sent) => walk(value, sent, &path, found),
                    None => {
                        found.insert(format!("{path} is lost"));
                    }
                }
            }
            for name in other.keys().filter(|name| !one.contains_key(*name)) {
                found.insert(format!("{} is added", below(path, name)));
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            let path = format!("{path}[]");
            if one.len() != other.len() {
                let (one, other) = (one.len(), other.len());
                found.insert(format!("{path}: {one} became {other}"));
                return;
            }
            for (one, other) in one.iter().zip(other) {
                walk(one, other, &path, found);
            }
        }
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => {}
        (one, other) if one == other => {}
        (_, _) => {
            found.insert(format!("{path} is changed"));
        }
    }
}

fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    }
}
