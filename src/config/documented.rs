//! Which tables and keys has the configuration? As its JSON Schema lists them, for tests that compare other pages with it.

use serde_json::{Map, Value};

const SCHEMA: &str = include_str!("../../config.schema.json");

fn properties(of: &Value) -> Map<String, Value> {
    of["properties"].as_object().unwrap().clone()
}

fn whole() -> Map<String, Value> {
    properties(&serde_json::from_str(SCHEMA).unwrap())
}

/// The names of its tables and lists.
pub fn tables() -> Vec<String> {
    whole().into_iter().map(|(name, _)| name).collect()
}

/// The keys of a table that is no list.
pub fn keys_of(table: &str) -> Vec<String> {
    let keys = properties(&whole()[table]);
    keys.into_iter().map(|(key, _)| key).collect()
}
