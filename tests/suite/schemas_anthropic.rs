//! Do the requests that we write for Anthropic follow its published schema?
//!
//! The schemas are found by `MODELWAY_SPECS`, else beside the crate; where they are absent there is
//! nothing to check.

use std::path::Path;

use jsonschema::Validator;
use modelway::wire::anthropic::{Anthropic, Dialect, ThinkingDialect};
use serde_json::{Value, json};

use crate::support::{published, written};

/// Fields that older models still take, although the newest schema has forgotten them.
const OLDER_FIELDS: [&str; 3] = ["temperature", "top_p", "top_k"];

#[test]
fn requests_follow_the_published_schema() {
    let Some(directory) = published("anthropic") else {
        return;
    };
    let [streaming, whole] = ["streaming", "nonstreaming"]
        .map(|kind| validator(&directory.join(format!("messages.request.{kind}.schema.json"))));
    assert_it_bites(&whole);

    for dialect in [ThinkingDialect::Adaptive, ThinkingDialect::Budget] {
        let format = Anthropic {
            dialect: Dialect {
                thinking: dialect,
                ..Dialect::default()
            },
        };
        for (stream, validator) in [(true, &streaming), (false, &whole)] {
            let bodies = written(&format, "anthropic", stream);
            for body in &bodies {
                if let Some(error) = validator.iter_errors(body).next() {
                    panic!("{error} at {} of {body:#}", error.instance_path());
                }
            }
            assert!(bodies.len() > 140, "only {} requests", bodies.len());
        }
    }
}

fn validator(path: &Path) -> Validator {
    let text = std::fs::read_to_string(path).expect("the schema can be read");
    let mut schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    for field in OLDER_FIELDS {
        schema["properties"][field] = json!({ "type": "number" });
    }
    close(&mut schema);
    jsonschema::validator_for(&schema).expect("the schema is a schema")
}

/// The published schemas let unknown fields pass, and with them every misspelt one.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && fields.get("type") == Some(&json!("object")) {
                fields
                    .entry("additionalProperties")
                    .or_insert(Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn assert_it_bites(validator: &Validator) {
    let good = json!({ "model": "m", "max_tokens": 1, "messages": [] });
    assert!(validator.is_valid(&good));
    for (field, value) in [
        ("max_tokens", json!("1")),
        ("seed", json!(1)),
        ("system", json!([{ "type": "text", "txt": "x" }])),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}
