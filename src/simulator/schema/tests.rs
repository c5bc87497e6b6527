//! Is what is made up for a schema what another implementation of JSON Schema accepts?

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{LONGEST_STRING, MOST_ITEMS, instance};

/// The judge: another implementation, with its formats.
fn judge(schema: &Value) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap_or_else(|error| panic!("{error}: {schema}"))
}

/// Fails unless what is made up obeys, for some seeds.
fn obeyed(schema: &Value) {
    let judge = judge(schema);
    for seed in 0..20 {
        let made = instance(schema, seed);
        if let Err(error) = judge.validate(&made) {
            panic!("{error}\nschema: {schema}\nmade: {made}");
        }
    }
}

#[test]
fn every_kind_of_schema_is_obeyed() {
    let person = json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name"],
        "additionalProperties": false,
    });
    let tree = json!({
        "$ref": "#/$defs/node",
        "$defs": {"node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "left", "right"],
            "additionalProperties": false,
        }},
    });
    let shapes = json!({
        "oneOf": [
            {"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0}}, "required": ["kind", "radius"]},
            {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"type": "number", "exclusiveMinimum": 0}}, "required": ["kind", "side"]},
        ],
    });
    let address = json!({
        "type": "object",
        "properties": {"country": {"enum": ["US", "NL"]}, "code": {"type": "string"}},
        "required": ["country", "code"],
        "if": {"properties": {"country": {"const": "US"}}},
        "then": {"properties": {"code": {"pattern": "^[0-9]{5}$"}}},
        "else": {"properties": {"code": {"pattern": "^[0-9]{4} [A-Z]{2}$"}}},
    });
    let table = [
        json!(true),
        json!({}),
        person.clone(),
        tree,
        shapes,
        address,
        json!({"type": "array", "items": person, "minItems": 2, "maxItems": 4}),
        json!({"const": {"a": [1, null]}}),
        json!({"enum": [null, "a", 3, {"b": 1}]}),
        json!({"type": "string", "enum": ["a", 3, "b"]}),
        json!({"type": ["string", "null"], "maxLength": 3}),
        json!({"type": "integer", "minimum": 7, "maximum": 7}),
        json!({"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": -1}),
        json!({"type": "integer", "multipleOf": 7, "minimum": 100, "maximum": 106}),
        json!({"type": "number", "multipleOf": 0.01, "minimum": 0.05, "maximum": 0.07}),
        json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        json!({"type": "number", "minimum": 0.1, "maximum": 0.1}),
        json!({"type": "number", "minimum": 1e300}),
        json!({"type": "number", "maximum": -1e-20, "minimum": -1e-19}),
        json!({"type": "integer", "minimum": 9_223_372_036_854_775_000_i64}),
        json!({"type": "integer", "minimum": 18_446_744_073_709_551_615_u64}),
        json!({"type": "integer", "minimum": 1.5, "maximum": 2.5}),
        json!({"allOf": [{"multipleOf": 4}, {"multipleOf": 6}, {"type": "integer", "minimum": 1}]}),
        json!({"type": "string", "minLength": 5, "maxLength": 5}),
        json!({"type": "string", "maxLength": 0}),
        json!({"type": "string", "minLength": 3000}),
        json!({"type": "string", "pattern": "^[A-Z]{2}[0-9]{3}$"}),
        json!({"type": "string", "pattern": "^(foo|bar)+-\\d+(\\.\\d+)?$", "minLength": 20, "maxLength": 22}),
        json!({"type": "string", "pattern": "b+", "minLength": 500, "maxLength": 500}),
        json!({"type": "string", "pattern": "^[\\u4e00-\\u9fa5]{2,4}$"}),
        json!({"type": "string", "pattern": "^\\S+@\\S+\\.\\S+$"}),
        json!({"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "z$"}]}),
        json!({"type": "array", "uniqueItems": true, "items": {"enum": [1, 2, 3, 4, 5]}, "minItems": 5}),
        json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": false, "minItems": 2}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "string"}], "additionalItems": {"type": "integer"}, "minItems": 3}),
        json!({"type": "array", "contains": {"const": 5}, "minContains": 2, "items": {"type": "integer"}}),
        json!({"type": "array", "contains": {"const": 5}, "maxContains": 1, "items": {"enum": [5, 6]}, "minItems": 3}),
        json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 3, "maxProperties": 3}),
        json!({"type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": false, "minProperties": 1}),
        json!({"type": "object", "propertyNames": {"pattern": "^[a-z]{3}$"}, "additionalProperties": {"type": "null"}, "minProperties": 2}),
        json!({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 1, "minProperties": 1}),
        json!({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "dependentRequired": {"a": ["b"]}}),
        json!({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "dependentSchemas": {"a": {"required": ["c"], "properties": {"c": {"type": "boolean"}}}}}),
        json!({"type": "object", "allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}], "unevaluatedProperties": false}),
        json!({"not": {"type": "string"}}),
        json!({"type": "string", "enum": ["a", "b", "c"], "not": {"enum": ["a", "b"]}}),
        json!({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "integer", "minimum": 5}], "type": "integer"}),
        json!({"oneOf": [{"type": "integer", "multipleOf": 2}, {"type": "integer", "multipleOf": 3}]}),
        json!({"$ref": "#other", "$defs": {"x": {"$anchor": "other", "type": "boolean"}}}),
        json!({"$ref": "#/$defs/a~1b%25c", "$defs": {"a/b%c": {"type": "boolean"}}}),
        json!({"type": "object", "properties": {"self": {"$ref": "#"}}, "minProperties": 0}),
        json!({"type": "array", "items": {"$ref": "#"}}),
    ];

    for schema in &table {
        obeyed(schema);
    }
}

#[test]
fn every_listed_format_is_obeyed() {
    for format in [
        "date-time",
        "date",
        "time",
        "duration",
        "email",
        "idn-email",
        "hostname",
        "idn-hostname",
        "ipv4",
        "ipv6",
        "uri",
        "uri-reference",
        "iri",
        "iri-reference",
        "uuid",
        "uri-template",
        "json-pointer",
        "relative-json-pointer",
        "regex",
    ] {
        obeyed(&json!({"type": "string", "format": format}));
    }
    for format in ["email", "hostname", "uri", "json-pointer"] {
        obeyed(&json!({"type": "string", "format": format, "minLength": 60, "maxLength": 62}));
    }
    obeyed(&json!({"type": "string", "format": "email", "maxLength": 14}));
}

#[test]
fn the_same_seed_makes_the_same_value_and_another_seed_another() {
    let schema =
        json!({"type": "array", "items": {"type": "string", "format": "uuid"}, "minItems": 3});

    assert_eq!(instance(&schema, 1), instance(&schema, 1));
    assert_ne!(instance(&schema, 1), instance(&schema, 2));
}

#[test]
fn optional_fields_are_sometimes_there() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});

    let there = (0..100)
        .filter(|seed| instance(&schema, *seed).get("a").is_some())
        .count();

    assert!((20..80).contains(&there), "{there}");
}

#[test]
fn what_openapi_says_in_its_own_way_is_understood() {
    let schema = json!({
        "type": "OBJECT",
        "properties": {
            "tags": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "2", "maxItems": "2"},
            "note": {"type": "STRING", "nullable": true},
            "share": {"type": "NUMBER", "minimum": 0, "exclusiveMinimum": true, "maximum": 1},
            "size": {"type": "STRING", "enum": ["small", "large"], "format": "enum"},
        },
        "required": ["tags", "note", "share", "size"],
    });

    let made: Vec<Value> = (0..50).map(|seed| instance(&schema, seed)).collect();

    for value in &made {
        assert_eq!(value["tags"].as_array().map(Vec::len), Some(2), "{value}");
        assert!(value["tags"][0].is_string());
        assert!(value["note"].is_string() || value["note"].is_null());
        let share = value["share"].as_f64().unwrap();
        assert!(share > 0.0 && share <= 1.0);
        assert!(value["size"] == "small" || value["size"] == "large");
    }
    assert!(made.iter().any(|value| value["note"].is_null()));
    assert!(made.iter().any(|value| value["note"].is_string()));
}

/// The number of values in a value.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

#[test]
fn a_schema_that_cannot_be_obeyed_gets_a_bounded_answer() {
    let mut deep = json!({"type": "string"});
    for _ in 0..120 {
        deep = json!({"type": "array", "items": deep, "minItems": 1});
    }
    let mut wide = serde_json::Map::new();
    for number in 0..20_000 {
        wide.insert(format!("field{number}"), json!({"type": "string"}));
    }
    let names: Vec<&String> = wide.keys().collect();
    let wide = json!({"type": "object", "properties": wide, "required": names});
    let endless = json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "required": ["left", "right"]});
    let mut branches = json!({"type": "integer"});
    for _ in 0..40 {
        branches = json!({"allOf": [{"anyOf": [branches, {"type": "string"}]}, {"not": {"type": "string"}}]});
    }
    let patterns: serde_json::Map<String, Value> = (0..3000)
        .map(|number| {
            (
                format!("^(a|b|ab){{1,60}}{number}$"),
                json!({"type": "string"}),
            )
        })
        .collect();
    let table = [
        json!(false),
        json!({"type": "array", "items": {"type": "string"}, "minItems": 1_000_000_000}),
        json!({"type": "array", "items": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}, "minItems": 900}, "minItems": 900}, "minItems": 900}),
        json!({"type": "string", "minLength": 4_000_000_000_u64}),
        json!({"type": "string", "minLength": 5, "maxLength": 4}),
        json!({"type": "integer", "minimum": 2, "maximum": 1}),
        json!({"type": "integer", "multipleOf": 0}),
        json!({"type": "object", "minProperties": 1_000_000}),
        json!({"type": "array", "uniqueItems": true, "items": {"type": "boolean"}, "minItems": 3}),
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"not": {}}),
        json!({"type": "string", "pattern": "((a{90}){90}){90}"}),
        json!({"type": "string", "pattern": "(a*)*b{1000}c", "maxLength": 3}),
        json!({"type": "string", "pattern": "^(?=a)b"}),
        json!({"type": "object", "patternProperties": patterns, "additionalProperties": false, "minProperties": 4}),
        json!({"type": 3, "properties": 3, "required": 3, "items": 3, "enum": 3, "anyOf": 3, "minLength": -1, "pattern": 3}),
        json!({"enum": []}),
        json!({"type": []}),
        json!({"anyOf": []}),
        json!({"type": "unheard-of"}),
        deep,
        wide,
        endless,
        branches,
    ];

    for schema in &table {
        for seed in 0..2 {
            let made = instance(schema, seed);

            assert!(count(&made) <= 20 * MOST_ITEMS, "{}", count(&made));
            assert!(made.to_string().len() < 40 * LONGEST_STRING);
        }
    }
}

#[test]
fn a_place_that_cannot_be_filled_is_empty_and_the_others_are_not() {
    let schema = json!({
        "type": "object",
        "properties": {
            "possible": {"type": "integer", "minimum": 3, "maximum": 3},
            "impossible": {"type": "string", "minLength": 2, "maxLength": 1},
        },
        "required": ["possible", "impossible"],
    });

    assert_eq!(
        instance(&schema, 0),
        json!({"possible": 3, "impossible": ""})
    );
}

/// A schema that some value obeys.
fn schemas() -> impl Strategy<Value = Value> {
    let text = (0..12_usize, 0..12_usize).prop_map(
        |(least, more)| json!({"type": "string", "minLength": least, "maxLength": least + more}),
    );
    let whole = (-1000..1000_i64, 0..50_i64, 1..9_i64).prop_map(|(least, more, step)| {
        json!({"type": "integer", "minimum": least, "maximum": least + more + step, "multipleOf": step})
    });
    let fraction = (-1000..1000_i64, 1..500_i64).prop_map(|(least, more)| {
        json!({"type": "number", "minimum": least as f64 / 8.0, "exclusiveMaximum": (least + more) as f64 / 8.0})
    });
    let pattern = prop::sample::select(vec![
        "^[a-c]+$",
        "x{2,3}",
        "^\\w+\\s\\d$",
        "^(yes|no)$",
        "[^a-z]",
    ])
    .prop_map(|pattern| json!({"type": "string", "pattern": pattern}));
    let format = prop::sample::select(vec![
        "date-time",
        "email",
        "uri",
        "uuid",
        "ipv4",
        "ipv6",
        "hostname",
    ])
    .prop_map(|format| json!({"type": "string", "format": format}));
    let fixed = prop::sample::select(vec![
        json!("a"),
        json!(1),
        json!(null),
        json!([1, 2]),
        json!({"b": true}),
    ]);
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": ["integer", "null"]})),
        Just(json!({"$ref": "#/$defs/list"})),
        Just(json!({"$ref": "#/$defs/plain"})),
        fixed.clone().prop_map(|value| json!({"const": value})),
        prop::collection::vec(fixed, 1..4).prop_map(|values| json!({"enum": values})),
        text,
        whole,
        fraction,
        pattern,
        format,
    ];
    let name = || prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let fields = prop::collection::btree_map(name(), (inner.clone(), any::<bool>()), 0..5);
        let object = (fields, any::<bool>()).prop_map(|(fields, is_open)| {
            let required: Vec<&str> = fields.iter().filter(|(_, (_, is_required))| *is_required).map(|(name, _)| *name).collect();
            let properties: serde_json::Map<String, Value> =
                fields.iter().map(|(name, (schema, _))| ((*name).to_owned(), schema.clone())).collect();
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": is_open})
        });
        let array = (inner.clone(), 0..3_usize, 0..3_usize).prop_map(|(items, least, more)| {
            json!({"type": "array", "items": items, "minItems": least, "maxItems": least + more})
        });
        let any_of = prop::collection::vec(inner.clone(), 1..4).prop_map(|branches| json!({"anyOf": branches}));
        let tagged = prop::collection::vec(inner.clone(), 1..4).prop_map(|branches| {
            let branch = |(number, schema): (usize, Value)| {
                json!({"type": "object", "properties": {"kind": {"const": number}, "body": schema}, "required": ["kind", "body"]})
            };
            json!({"oneOf": branches.into_iter().enumerate().map(branch).collect::<Vec<_>>()})
        });
        let all_of = (inner.clone(), inner.clone()).prop_map(|(one, other)| {
            json!({"allOf": [
                {"type": "object", "properties": {"one": one}, "required": ["one"]},
                {"type": "object", "properties": {"other": other}, "required": ["other"]},
            ]})
        });
        let map = (inner.clone(), 0..3_usize).prop_map(|(values, least)| {
            json!({"type": "object", "additionalProperties": values, "minProperties": least})
        });
        let tuple = prop::collection::vec(inner, 1..4)
            .prop_map(|first| json!({"type": "array", "minItems": first.len(), "prefixItems": first, "items": false}));
        prop_oneof![object, array, any_of, tagged, all_of, map, tuple]
    })
    .prop_map(|mut schema| {
        schema["$defs"] = json!({
            "plain": {"type": "string", "maxLength": 4},
            "list": {
                "type": "object",
                "properties": {"head": {"type": "integer"}, "tail": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/list"}]}},
                "required": ["head", "tail"],
            },
        });
        schema
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_made_up_is_accepted_by_another_implementation(schema in schemas(), seed: u64) {
        let made = instance(&schema, seed);

        let verdict = judge(&schema).validate(&made).map_err(|error| error.to_string());
        prop_assert_eq!(verdict, Ok(()), "{}", made);
    }

    #[test]
    fn no_schema_makes_it_panic(schema in broken(), seed: u64) {
        let _ = instance(&schema, seed);
    }
}

/// Keywords with values that do not suit them.
fn broken() -> impl Strategy<Value = Value> {
    let keyword = prop::sample::select(vec![
        "type",
        "properties",
        "required",
        "items",
        "prefixItems",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "if",
        "then",
        "else",
        "enum",
        "const",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "multipleOf",
        "exclusiveMinimum",
        "$ref",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "dependentRequired",
        "dependencies",
        "contains",
        "minContains",
        "uniqueItems",
        "nullable",
        "examples",
    ]);
    let leaf = prop_oneof![
        any::<f64>().prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|flag| json!(flag)),
        prop::sample::select(vec![
            "string", "integer", "number", "array", "object", "null", "#", "#/a", "[", "a+",
            "email", "é",
        ])
        .prop_map(|text| json!(text)),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(keyword.clone(), inner, 0..6).prop_map(|fields| {
                Value::Object(
                    fields
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}
