//! What does one configuration file say that another does not? Names of tables and keys; never their values.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The tables whose entries have names of their own.
const NAMED: [(&str, &str); 3] = [
    ("providers", "provider"),
    ("models", "model"),
    ("scenarios", "scenario"),
];

/// The lists whose entries have an id.
const WITH_IDS: [(&str, &str); 3] = [
    ("accounts", "account"),
    ("keys", "key"),
    ("limits", "limit"),
];

/// The most changes that are listed. Of the others only the number is given.
const MOST_LISTED: usize = 50;

/// What changes from one text to the other, a line for each: `+ provider x`, `- model y`, `~ scenario z: targets`,
/// `~ admission: queue`. Texts that say the same differ in comments or spelling alone, which is a line, too; texts that are
/// not TOML have no differences.
pub fn differences(before: &str, after: &str) -> Vec<String> {
    let (Ok(before), Ok(after)) = (before.parse::<Table>(), after.parse::<Table>()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, of_both) in both(Some(&before), Some(&after)) {
        let kind_in = |kinds: &[(&str, &'static str)]| {
            let found = kinds.iter().find(|(table, _)| *table == key);
            found.map(|(_, kind)| *kind)
        };
        if let Some(kind) = kind_in(&NAMED) {
            named(kind, of_both, &mut found);
        } else if let Some(kind) = kind_in(&WITH_IDS) {
            let (before, after) = (of_both.0.map(by_id), of_both.1.map(by_id));
            named(kind, (before.as_ref(), after.as_ref()), &mut found);
        } else {
            whole(key, of_both, &mut found);
        }
    }
    if found.is_empty() {
        found.push("comments or spelling alone".to_owned());
    }
    let more = found.len().saturating_sub(MOST_LISTED);
    if more > 0 {
        found.truncate(MOST_LISTED);
        found.push(format!("and {more} more"));
    }
    found
}

/// A value in both texts, where it is there.
type OfBoth<'a> = (Option<&'a Value>, Option<&'a Value>);

/// Every key of two tables, with its values.
fn both<'a>(before: Option<&'a Table>, after: Option<&'a Table>) -> BTreeMap<&'a str, OfBoth<'a>> {
    let mut keys: BTreeMap<&str, OfBoth<'_>> = BTreeMap::new();
    for (key, value) in before.into_iter().flatten() {
        keys.entry(key).or_default().0 = Some(value);
    }
    for (key, value) in after.into_iter().flatten() {
        keys.entry(key).or_default().1 = Some(value);
    }
    keys
}

/// The keys whose values differ.
fn keys((before, after): OfBoth<'_>) -> Vec<&str> {
    let tables = both(
        before.and_then(Value::as_table),
        after.and_then(Value::as_table),
    );
    let differing = tables.into_iter().filter(|(_, (one, other))| one != other);
    differing.map(|(key, _)| key).collect()
}

/// The entries of a list by their ids. Entries without one are left out: no file with such is used.
fn by_id(list: &Value) -> Value {
    let entries = list.as_array().into_iter().flatten();
    let entries = entries.filter_map(|entry| {
        let id = entry.get("id")?.as_str()?;
        Some((id.to_owned(), entry.clone()))
    });
    Value::Table(entries.collect())
}

fn named(kind: &str, (before, after): OfBoth<'_>, found: &mut Vec<String>) {
    let (before, after) = (
        before.and_then(Value::as_table),
        after.and_then(Value::as_table),
    );
    for (name, of_both) in both(before, after) {
        let name = name.escape_debug();
        match of_both {
            (None, _) => found.push(format!("+ {kind} {name}")),
            (_, None) => found.push(format!("- {kind} {name}")),
            (before, after) if before != after => {
                found.push(format!("~ {kind} {name}: {}", keys(of_both).join(", ")));
            }
            _ => {}
        }
    }
}

fn whole(key: &str, of_both: OfBoth<'_>, found: &mut Vec<String>) {
    if of_both.0 != of_both.1 {
        found.push(format!("~ {key}: {}", keys(of_both).join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_listed_and_no_values() {
        let before = r#"
            [admission]
            queue = 1
            [providers.a]
            api_key = "env:OLD"
            [providers.b]
            base_url = "https://b"
            [models."a/m"]
            [scenarios.s]
            targets = ["a/m"]
            [retry]
            burst = 1
        "#;
        let after = r#"
            [admission]
            queue = 2
            max_wait = "1s"
            [providers.a]
            api_key = "env:NEW"
            [providers.c]
            base_url = "https://c"
            [models."a/m"]
            [scenarios.s]
            targets = ["c/m"]
            max_attempts = 2
        "#;

        let expected = [
            "~ admission: max_wait, queue",
            "~ provider a: api_key",
            "- provider b",
            "+ provider c",
            "~ retry: burst",
            "~ scenario s: max_attempts, targets",
        ];
        assert_eq!(differences(before, after), expected);
    }

    #[test]
    fn entries_of_lists_are_told_by_their_ids() {
        let before = r#"
            accounts = [{ id = "a" }, { id = "b", parent = "a" }]
            keys = [{ id = "k", account = "b", sha256 = "00" }]
            limits = [{ id = "day", requests = 1 }, { id = "month", requests = 2 }]
        "#;
        let after = r#"
            accounts = [{ id = "b", parent = "c" }, { id = "c" }]
            limits = [{ id = "month", requests = 2 }, { id = "day", requests = 5 }]
        "#;

        let expected = [
            "- account a",
            "~ account b: parent",
            "+ account c",
            "- key k",
            "~ limit day: requests",
        ];
        assert_eq!(differences(before, after), expected);
    }

    #[test]
    fn the_same_said_otherwise_differs_in_spelling_alone() {
        let before = "[a]\nx = 1 # one\ny.z = 2\n";
        let after = "a = { y = { z = 2 }, x = 1 }";

        assert_eq!(differences(before, after), ["comments or spelling alone"]);
        assert!(differences("[a", "[b]").is_empty());
    }

    #[test]
    fn a_long_list_ends_with_the_number_of_the_others() {
        let many: String = (0..200).map(|at| format!("[providers.p{at}]\n")).collect();

        let found = differences("", &many);

        assert_eq!(found.len(), MOST_LISTED + 1);
        assert_eq!(found[MOST_LISTED], "and 150 more");
    }
}
