//! The demonstration: its plain output adds up, and it ends well.

use std::collections::HashMap;
use std::process::Stdio;

use crate::support::program;

/// The number of each row of the table at the end, by the row's name.
fn numbers(output: &str) -> HashMap<&str, u64> {
    let mut numbers = HashMap::new();
    for line in output.lines() {
        let Some((name, rest)) = line.trim().split_once("  ") else {
            continue;
        };
        let number = rest
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok());
        if let Some(number) = number {
            numbers.insert(name, number);
        }
    }
    numbers
}

#[test]
fn the_fast_demonstration_loses_no_call_and_its_numbers_add_up() {
    let output = program()
        .args(["demo", "--fast"])
        .stdin(Stdio::null())
        .output()
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(errors, "");
    assert!(!text.contains('\x1b'), "{text}");
    let numbers = numbers(&text);
    let number = |name: &str| {
        let number = numbers.get(name).copied();
        number.unwrap_or_else(|| panic!("no `{name}` in\n{text}"))
    };
    assert_eq!(number("lost"), 0, "{text}");
    assert_eq!(
        number("calls"),
        number("answered") + number("interrupted") + number("lost"),
        "{text}"
    );
    assert_eq!(
        number("answered"),
        number("by the primary") + number("by the backup") + number("rescued"),
        "{text}"
    );
    assert!(number("rescued") > 0, "{text}");
    assert!(number("attempts") > number("calls"), "{text}");
    assert!(number("breaker opened") >= 2, "{text}");
    for change in ["closed -> open", "open -> half-open", "half-open -> closed"] {
        assert!(
            text.contains(&format!("breaker of the primary: {change}")),
            "{text}"
        );
    }
}
