//! Does a name of a type mean one thing?

use std::collections::BTreeMap;

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

/// The name of every type that other files can name and that is declared more than once, with the files. A type that only
/// its own file can name counts, too, if others can name one that is called the same.
pub(crate) fn declared_twice<'a>(
    texts: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, Vec<&'a str>> {
    let mut declared: BTreeMap<(&str, String), Declared<'_>> = BTreeMap::new();
    for (file, text) in texts {
        let part = APART.into_iter().find(|part| {
            let rest = file.strip_prefix(part);
            rest.is_some_and(|rest| rest.starts_with(['/', '.']))
        });
        for (name, is_for_others) in types_in(text) {
            let part = part.filter(|_| !EVERYWHERE.contains(&&*name));
            let known = declared
                .entry((part.unwrap_or_default(), name))
                .or_default();
            known.files.push(file);
            known.is_for_others |= is_for_others;
        }
    }
    let twice = declared
        .into_iter()
        .filter(|(_, known)| known.is_for_others && known.files.len() > 1);
    twice
        .map(|((_, name), known)| (name, known.files))
        .collect()
}

#[derive(Default)]
struct Declared<'a> {
    files: Vec<&'a str>,
    /// Whether other files can name the type of one of them.
    is_for_others: bool,
}

/// The types that a file declares, code for tests aside, and whether other files can name them.
pub(crate) fn types_in(text: &str) -> BTreeMap<String, bool> {
    let tokens = scan::without_tests(&scan::tokens(text));
    let mut types = BTreeMap::new();
    let mut depth = 0;
    for (position, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') => depth -= 1,
            _ => {}
        }
        let (Token::Word(kind), Some(Token::Word(name))) = (token, tokens.get(position + 1)) else {
            continue;
        };
        let is_type = matches!(
            kind.as_str(),
            "struct" | "enum" | "union" | "trait" | "type"
        );
        let is_for_others = is_for_others(&tokens[..position]);
        // Private ones that are deeper are associated types, and types of one function.
        if is_type && (is_for_others || depth == 0) {
            types.insert(name.clone(), is_for_others);
        }
    }
    types
}

/// Whether what follows these tokens begins with `pub`, or with `pub` and a part of the crate.
fn is_for_others(before: &[Token]) -> bool {
    let is_pub = |token: Option<&Token>| token == Some(&Token::Word("pub".to_owned()));
    if before.last() != Some(&Token::Sign(')')) {
        return is_pub(before.last());
    }
    let open = before.iter().rposition(|token| *token == Token::Sign('('));
    is_pub(open.and_then(|open| before[..open].last()))
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
            ("d.rs", "struct A; fn f() { struct D; } struct E;"),
            (
                "e.rs",
                "struct E; pub struct F; impl X for Y { type F = u8; }",
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
                ("A".to_owned(), vec!["a.rs", "b.rs", "d.rs"]),
                ("B".to_owned(), vec!["a.rs", "b.rs"]),
                ("C".to_owned(), vec!["a.rs", "b.rs"]),
                ("D".to_owned(), vec!["a.rs", "b.rs"]),
                ("Refusal".to_owned(), vec!["health.rs", "simulator/b.rs"]),
            ]
        );
    }
}
