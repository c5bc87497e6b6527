use super::*;
use serde_json::Value;

const CLOSED: SchemaRules = SchemaRules {
    closed: true,
    ..SchemaRules::NONE
};
const COMPLETE: SchemaRules = SchemaRules {
    all_required: true,
    ..CLOSED
};
const LONE: SchemaRules = SchemaRules {
    lone_refs: true,
    const_as_enum: true,
    ..SchemaRules::NONE
};

fn fitted(schema: &str, rules: &SchemaRules) -> Result<String, &'static str> {
    fit(schema, rules).map(|fitted| fitted.schema.get().to_owned())
}

#[test]
fn what_is_not_touched_stays_as_it_was_written() {
    for schema in [
        "{}",
        "{ \"type\" : \"object\", \"additionalProperties\": false }",
        "{\"enum\": [1.0, 1e400, 12345678901234567890123, \"\\u00e9\"]}",
        "{\"items\": [true, {\"type\": \"string\"}], \"const\": {\"type\": \"object\"}}",
    ] {
        let rules = SchemaRules {
            keyword: |_, _| Fate::Ignored,
            ..CLOSED
        };
        let fitted = fit(schema, &rules).unwrap();

        assert_eq!(fitted.schema.get(), schema);
        assert!(!fitted.is_narrowed);
    }
}

#[test]
fn objects_are_closed_wherever_they_stand_and_data_is_left_alone() {
    let schema = r##"{"type":"object","default":{"type":"object"},"properties":{
        "type":{"type":["object","null"]},
        "list":{"type":"array","items":{"properties":{"a":{"const":1.0}}}},
        "one":{"anyOf":[{"type":"object"},{"$ref":"#/$defs/d"}]}
    },"$defs":{"d":{"type":"object","additionalProperties":false}}}"##;

    let fitted = fit(schema, &CLOSED).unwrap();

    let expected = r##"{"type":"object","default":{"type":"object"},"properties":{
        "type":{"type":["object","null"],"additionalProperties":false},
        "list":{"type":"array","items":{"properties":{"a":{"const":1.0}},"additionalProperties":false}},
        "one":{"anyOf":[{"type":"object","additionalProperties":false},{"$ref":"#/$defs/d"}]}
    },"$defs":{"d":{"type":"object","additionalProperties":false}},"additionalProperties":false}"##;
    let without_breaks = |text: &str| text.replace('\n', "").replace("  ", "");
    assert_eq!(fitted.schema.get(), without_breaks(expected));
    assert!(fitted.is_narrowed);
}

#[test]
fn every_key_is_required_those_that_were_named_first() {
    let schema = r##"{"type":"object","required":["b"],"properties":{"a":{},"b":{}}}"##;

    assert_eq!(
        fitted(schema, &COMPLETE).unwrap(),
        r##"{"type":"object","properties":{"a":{},"b":{}},"additionalProperties":false,"required":["b","a"]}"##
    );
    let complete = r##"{"required":["a"],"type":"object","properties":{"a":{}},"additionalProperties":false}"##;
    assert_eq!(fitted(complete, &COMPLETE).unwrap(), complete);
}

#[test]
fn what_would_change_its_meaning_is_refused() {
    for schema in [
        // Further keys are wanted.
        r##"{"type":"object","additionalProperties":true}"##,
        r##"{"type":"object","additionalProperties":{"type":"string"}}"##,
        r##"{"properties":{"a":{"type":"object","additionalProperties":{}}}}"##,
        // What one part allows, the other would forbid.
        r##"{"type":"object","properties":{"a":{}},"anyOf":[{"properties":{"b":{}}}]}"##,
        r##"{"type":"object","$ref":"#/$defs/a"}"##,
        r##"{"allOf":[{"type":"object","properties":{"a":{}}},{"properties":{"b":{}}}]}"##,
        r##"{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}],"$defs":{"a":{"type":"object"}}}"##,
    ] {
        assert!(fit(schema, &CLOSED).is_err(), "{schema}");
    }
    // One part alone is the whole.
    assert!(fit(r##"{"allOf":[{"type":"object"}]}"##, &CLOSED).is_ok());
}

#[test]
fn a_reference_stands_alone_and_a_constant_is_an_enum_of_one() {
    for (schema, expected, is_loose) in [
        (
            r##"{"description":"d","$ref":"#/$defs/a","title":"t","$defs":{"a":{"const":"x"}}}"##,
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"enum":["x"]}}}"##,
            false,
        ),
        (r##"{"minimum":1,"$ref":"#"}"##, r##"{"$ref":"#"}"##, true),
        (r##"{"const":1.0}"##, r##"{"enum":[1.0]}"##, false),
        (r##"{"const":true}"##, r##"{"const":true}"##, false),
    ] {
        let fitted = fit(schema, &LONE).unwrap();

        assert_eq!(fitted.schema.get(), expected);
        assert_eq!(fitted.is_loose, is_loose, "{schema}");
    }
}

#[test]
fn the_schema_of_arguments_is_that_of_an_object() {
    let rules = SchemaRules {
        object_root: true,
        plain_root: true,
        ..SchemaRules::NONE
    };
    for (schema, expected) in [
        ("{}", Some(r##"{"type":"object"}"##)),
        (r##"{"type":"object"}"##, Some(r##"{"type":"object"}"##)),
        (
            r##"{"properties":{"a":{}}}"##,
            Some(r##"{"properties":{"a":{}},"type":"object"}"##),
        ),
        (r##"{"type":"string"}"##, None),
        (r##"{"type":"object","oneOf":[{}]}"##, None),
    ] {
        assert_eq!(fitted(schema, &rules).ok().as_deref(), expected, "{schema}");
    }
}

#[test]
fn no_text_is_too_odd() {
    for schema in [
        "",
        "[]",
        "null",
        "{",
        "{\"properties\": 1}",
        "{\"items\": null, \"not\": 1.5, \"anyOf\": \"x\", \"required\": {}, \"type\": []}",
        &format!("{}{}", "{\"not\":".repeat(100_000), "1"),
        &format!("{}1{}", "{\"items\":[".repeat(60), "]}".repeat(60)),
    ] {
        for rules in [CLOSED, COMPLETE, LONE] {
            if let Ok(fitted) = fit(schema, &rules) {
                let read: Value = serde_json::from_str(fitted.schema.get()).unwrap();
                assert!(read.is_object());
            }
        }
    }
}
