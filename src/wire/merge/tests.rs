use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn merged(body: &str, fields: &[&str]) -> Result<String, Collision> {
    let fields: Vec<&RawValue> = fields
        .iter()
        .map(|json| serde_json::from_str(json).expect("JSON"))
        .collect();
    let merged = merge(body.as_bytes().to_vec(), &fields)?;
    Ok(String::from_utf8(merged).expect("text"))
}

#[test]
fn members_follow_those_of_the_body_and_objects_of_both_sides_are_merged() {
    let table: [(&str, &[&str], &str); 9] = [
        (r#"{"b":1,"a":2}"#, &[], r#"{"b":1,"a":2}"#),
        (r#"{"b":1,"a":2}"#, &["{}"], r#"{"b":1,"a":2}"#),
        ("{}", &[r#"{"b":1,"a":2}"#], r#"{"b":1,"a":2}"#),
        (
            r#"{"model":"m"}"#,
            &[r#"{"z":1}"#, r#"{"y":[]}"#],
            r#"{"model":"m","z":1,"y":[]}"#,
        ),
        (
            r#"{"generationConfig":{"seed":1},"contents":[]}"#,
            &[r#"{"labels":{},"generationConfig":{"thinkingConfig":{"level":"LOW"}}}"#],
            r#"{"generationConfig":{"seed":1,"thinkingConfig":{"level":"LOW"}},"contents":[],"labels":{}}"#,
        ),
        (
            r#"{"a":{"b":{"c":{}}}}"#,
            &[r#"{"a":{"b":{"c":{"d":null}}}}"#, r#"{"a":{"e":false}}"#],
            r#"{"a":{"b":{"c":{"d":null}},"e":false}}"#,
        ),
        (
            "{}",
            &[r#"{"a":{"b":1},"a":{"c":2}}"#],
            r#"{"a":{"b":1,"c":2}}"#,
        ),
        (
            " { \"a\" : 1 } ",
            &[" { \"b\" : [ 1 ] } "],
            r#"{"a":1,"b":[ 1 ]}"#,
        ),
        (
            r#"{"a\u0062":{"c":1}}"#,
            &[r#"{"ab":{"d":2},"\ud800":3}"#],
            r#"{"a\u0062":{"c":1,"d":2},"\ud800":3}"#,
        ),
    ];
    for (body, fields, expected) in table {
        assert_eq!(
            merged(body, fields).as_deref(),
            Ok(expected),
            "{body} {fields:?}"
        );
    }
}

#[test]
fn lists_of_tools_are_joined() {
    let table: [(&str, &[&str], &str); 5] = [
        (
            r#"{"tools":[{"name":"a"}]}"#,
            &[r#"{"tools":[{"type":"web_search"}]}"#],
            r#"{"tools":[{"name":"a"},{"type":"web_search"}]}"#,
        ),
        (r#"{"tools":[]}"#, &[r#"{"tools":[ ]}"#], r#"{"tools":[]}"#),
        (r#"{"tools":[]}"#, &[r#"{"tools":[1]}"#], r#"{"tools":[1]}"#),
        (
            "{}",
            &[r#"{"tools":[1]}"#, r#"{"tools":[ 2, 3 ]}"#],
            r#"{"tools":[1,2, 3]}"#,
        ),
        (
            r#"{"toolConfig":{"tools":[1]}}"#,
            &[r#"{"toolConfig":{"tools":[2]}}"#],
            r#"{"toolConfig":{"tools":[1,2]}}"#,
        ),
    ];
    for (body, fields, expected) in table {
        assert_eq!(
            merged(body, fields).as_deref(),
            Ok(expected),
            "{body} {fields:?}"
        );
    }
}

#[test]
fn lists_of_what_is_included_are_joined_without_repetitions() {
    let table: [(&str, &[&str], &str); 4] = [
        (
            r#"{"include":["reasoning.encrypted_content"]}"#,
            &[r#"{"include":["file_search_call.results"]}"#],
            r#"{"include":["reasoning.encrypted_content","file_search_call.results"]}"#,
        ),
        (
            r#"{"include":["a"]}"#,
            &[r#"{"include":[ "b", "a" ]}"#, r#"{"include":["b","c"]}"#],
            r#"{"include":["a","b","c"]}"#,
        ),
        (
            r#"{"include":[]}"#,
            &[r#"{"include":["a"]}"#],
            r#"{"include":["a"]}"#,
        ),
        (
            "{}",
            &[r#"{"include":["a","a"]}"#],
            r#"{"include":["a","a"]}"#,
        ),
    ];
    for (body, fields, expected) in table {
        assert_eq!(
            merged(body, fields).as_deref(),
            Ok(expected),
            "{body} {fields:?}"
        );
    }
}

#[test]
fn numbers_and_texts_stay_as_they_were_written() {
    let body = r#"{"a":1.0,"b":123456789012345678901234567890,"c":1e400,"d":"\u00e4\/ä"}"#;
    let fields = r#"{"e":-0.0,"f":0.10000000000000000001,"g":"\ud800"}"#;

    let text = merged(body, &[fields]).expect("no collision");

    assert_eq!(
        text,
        format!("{},{}", &body[..body.len() - 1], &fields[1..])
    );
}

#[test]
fn what_would_be_overwritten_is_refused_with_its_path() {
    let table: [(&str, &[&str], &str); 12] = [
        (r#"{"model":"m"}"#, &[r#"{"model":"m"}"#], "model"),
        (r#"{"a":{"b":1}}"#, &[r#"{"a":{"c":1,"b":{}}}"#], "a.b"),
        (r#"{"a":{}}"#, &[r#"{"a":null}"#], "a"),
        (r#"{"a":null}"#, &[r#"{"a":{}}"#], "a"),
        (r#"{"a":[]}"#, &[r#"{"a":[]}"#], "a"),
        (r#"{"tools":[]}"#, &[r#"{"tools":{}}"#], "tools"),
        (r#"{"include":[]}"#, &[r#"{"include":"a"}"#], "include"),
        ("{}", &[r#"{"a":1}"#, r#"{"a":1}"#], "a"),
        ("{}", &[r#"{"a":1,"\u0061":1}"#], "a"),
        (r#"{"a":1}"#, &["7"], ""),
        ("[]", &["{}"], ""),
        (r#"{"a":1} {"#, &["{}"], ""),
    ];
    for (body, fields, path) in table {
        let path = path.to_owned();
        assert_eq!(
            merged(body, fields),
            Err(Collision { path }),
            "{body} {fields:?}"
        );
    }
}

#[test]
fn a_path_is_shown_on_one_line_and_in_part_if_it_is_long() {
    let name = "ä".repeat(500);
    let collision = merged(
        &format!(r#"{{"{name}":1}}"#),
        &[&format!(r#"{{"{name}":1}}"#)],
    )
    .expect_err("a collision");
    assert_eq!(collision.path, "ä".repeat(100));

    let collision = merged(r#"{"a\n":1}"#, &[r#"{"a\n":1}"#]).expect_err("a collision");
    assert_eq!(collision.path, r"a\n");
}

#[test]
fn objects_that_lie_too_deep_in_each_other_are_refused() {
    let nested =
        |depth: usize, end: &str| format!("{}{end}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let (one, other) = (r#"{"b":1}"#, r#"{"c":1}"#);

    assert!(merged(&nested(31, one), &[&nested(31, other)]).is_ok());
    assert!(merged(&nested(32, one), &[&nested(32, other)]).is_err());
    assert!(merged("{}", &[&nested(100_000, one)]).is_ok());
    assert!(merged(&nested(100_000, one), &[&nested(100_000, other)]).is_err());
}

/// The same by trees.
fn by_trees(one: &Map<String, Value>, other: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut merged = one.clone();
    for (name, value) in other {
        let joined = match (merged.get(name), value) {
            (None, value) => value.clone(),
            (Some(Value::Object(one)), Value::Object(other)) => by_trees(one, other)?.into(),
            (Some(Value::Array(one)), Value::Array(other)) if name == TOOLS => {
                one.iter().chain(other).cloned().collect()
            }
            (Some(Value::Array(one)), Value::Array(other)) if name == INCLUDE => {
                // As they are written: the members of two objects may stand in another order.
                let mut written = HashSet::new();
                let united = one.iter().chain(other);
                let united = united.filter(|item| written.insert(item.to_string()));
                united.cloned().collect()
            }
            (Some(_), _) => return None,
        };
        merged.insert(name.clone(), joined);
    }
    Some(merged)
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "[a\"\\\\ä ]{0,3}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            members(inner).prop_map(Value::from),
        ]
    });
    members(value)
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![
        "[a-e\"]",
        Just("tools".to_owned()),
        Just("include".to_owned())
    ];
    proptest::collection::vec((name, value), 0..4).prop_map(|members| members.into_iter().collect())
}

proptest! {
    #[test]
    fn the_result_is_that_of_trees(one in object(), other in object(), third in object()) {
        let text = |object: &Map<String, Value>| serde_json::to_string(object).expect("JSON");
        let expected = by_trees(&one, &other)
            .and_then(|merged| by_trees(&merged, &third))
            .map(|merged| text(&merged));

        let found = merged(&text(&one), &[&text(&other), &text(&third)]);

        prop_assert_eq!(found.ok(), expected);
    }
}

#[test]
fn of_what_two_objects_say_the_upper_one_holds() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let table = [
        (r#"{"a":1}"#, r#"{"b":2}"#, r#"{"a":1,"b":2}"#),
        (
            r#"{"a":1,"c":1.50}"#,
            r#"{"a":[2]}"#,
            r#"{"a":[2],"c":1.50}"#,
        ),
        (
            r#"{"o":{"a":1,"b":{}}}"#,
            r#"{"o":{"b":3}}"#,
            r#"{"o":{"a":1,"b":3}}"#,
        ),
        (r#"{"tools":[1]}"#, r#"{"tools":[2]}"#, r#"{"tools":[1,2]}"#),
    ];
    for (lower, upper, expected) in table {
        let over = overlay(&raw(lower), &raw(upper)).unwrap();

        assert_eq!(over.get(), expected);
    }
}
