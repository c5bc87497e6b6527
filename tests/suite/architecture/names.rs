//! Does a name of a type mean one thing?

use std::collections::{BTreeMap, BTreeSet};

use super::scan::{self, Token};

/// Parts that name things for themselves: nobody reads two of them as one. The wire formats take the names
/// from what providers document; the simulator and the demonstration are programs of their own.
const APART: [&str; 6] = [
    "demo",
    "simulator",
    "wire/anthropic",
    "wire/gemini",
    "wire/openai_chat",
    "wire/openai_responses",
];

/// Words that mean one thing in those parts, too: a reader meets them on both sides of a test.
const EVERYWHERE: [&str; 8] = [
    "Arrival", "Ending", "Permit", "Place", "Record", "Refusal", "Ticket", "Verdict",
];

/// The name of every type that other files can name and that is declared more than once, with the files.
pub(crate) fn declared_twice<'a>(
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, Vec<&'a str>> {
    let mut declared: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for (file, text) in texts {
        let part = APART.into_iter().find(|part| {
            let rest = file.strip_prefix(part);
            rest.is_some_and(|rest| rest.starts_with(['/', '.']))
        });
        for name in types_in(text) {
            let part = part.filter(|_| !EVERYWHERE.contains(&&*name));
            declared
                .entry((part.unwrap_or_default(), name))
                .or_default()
                .push(file);
        }
    }
    let twice = declared.into_iter().filter(|(_, files)| files.len() > 1);
    twice.map(|((_, name), files)| (name, files)).collect()
}

/// The types that a file declares for others, code for tests aside.
fn types_in(text: &str) -> BTreeSet<String> {
    let tokens = scan::without_tests(&scan::tokens(text));
    let mut types = BTreeSet::new();
    for (position, token) in tokens.iter().enumerate() {
        if *token != Token::Word("pub".to_owned()) {
            continue;
        }
        let mut rest = &tokens[position + 1..];
        if rest.first() == Some(&Token::Sign('(')) {
            let end = rest.iter().position(|token| *token == Token::Sign(')'));
            rest = &rest[end.map_or(0, |end| end + 1)..];
        }
        if let [Token::Word(kind), Token::Word(name), ..] = rest
            && matches!(
                kind.as_str(),
                "struct" | "enum" | "union" | "trait" | "type"
            )
        {
            types.insert(name.clone());
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_that_two_files_declare_for_others() {
        let texts = [
            (
                "a.rs",
                "pub struct A; struct B; pub(super) enum C {} pub type D = u8; pub fn E() {}",
            ),
            (
                "b.rs",
                "pub(in crate::x) trait A {} pub struct B; pub(crate) type C = u8; enum D {}",
            ),
            (
                "c.rs",
                "#[cfg(test)] pub struct A; // pub struct B;\n#[cfg(test)] mod tests { pub struct C; }",
            ),
            ("wire/gemini/a.rs", "pub struct A;"),
            ("wire/gemini.rs", "pub struct B;"),
            ("simulator/a.rs", "pub struct A;"),
            ("health.rs", "pub enum Refusal {}"),
            ("simulator/b.rs", "pub enum Refusal {}"),
        ];

        let twice = declared_twice(texts);

        let names: Vec<_> = twice.into_iter().collect();
        assert_eq!(
            names,
            [
                ("A".to_owned(), vec!["a.rs", "b.rs"]),
                ("C".to_owned(), vec!["a.rs", "b.rs"]),
                ("Refusal".to_owned(), vec!["health.rs", "simulator/b.rs"]),
            ]
        );
    }
}
