//! Do two files of `src` import each other, be it by way of others?
//!
//! The root file of a folder holds the words that the files in the folder share, and puts these files to use: that
//! they name it counts as no import.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::{self, Token};

/// The files of the crate and what each of them names, without code for tests.
pub(crate) struct Files {
    /// Files by the path of their module.
    files: BTreeMap<Vec<String>, File>,
}

struct File {
    name: String,
    /// Paths from the root of the crate that it names, re-exports aside.
    imports: BTreeSet<Vec<String>>,
    /// What it re-exports; `*` for all names of a module.
    exports: Vec<Named>,
}

/// A path that a file names, from the root of the crate.
struct Named {
    path: Vec<String>,
    /// What it is called in the file.
    name: String,
}

impl Files {
    /// Files with the path of their module, their name and their text.
    pub(crate) fn read(texts: &[(Vec<String>, String, String)]) -> Self {
        let modules: BTreeSet<_> = texts.iter().map(|(path, ..)| path.clone()).collect();
        let file = |(path, name, text): &(Vec<String>, String, String)| {
            let (imports, exports) = names_in(text, path, &modules);
            let file = File {
                name: name.clone(),
                imports,
                exports,
            };
            (path.clone(), file)
        };
        Self {
            files: texts.iter().map(file).collect(),
        }
    }

    /// Every set of files of which each imports every other, be it by way of others; sorted.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let imports: BTreeMap<_, _> = self
            .files
            .iter()
            .map(|(path, file)| (path, self.imported_by(path, file)))
            .collect();
        let reached: BTreeMap<_, _> = imports
            .keys()
            .map(|path| (*path, reachable(&imports, path)))
            .collect();
        let mut circles = BTreeSet::new();
        for (path, others) in &reached {
            let circle: BTreeSet<&str> = others
                .iter()
                .filter(|other| reached[*other].contains(*path))
                .map(|other| self.files[*other].name.as_str())
                .collect();
            if circle.len() > 1 {
                circles.insert(circle.into_iter().collect());
            }
        }
        circles.into_iter().collect()
    }

    fn imported_by(&self, own: &[String], file: &File) -> BTreeSet<&Vec<String>> {
        let imports = file.imports.iter();
        let mut imported: BTreeSet<_> = imports.filter_map(|path| self.home(path, 0)).collect();
        imported.retain(|path| !own.starts_with(path));
        imported
    }

    /// The file in which the item of this path stands, however many files re-export it.
    fn home(&self, path: &[String], depth: usize) -> Option<&Vec<String>> {
        let known = (0..=path.len())
            .rev()
            .find(|&length| self.files.contains_key(&path[..length]))?;
        let (module, file) = self.files.get_key_value(&path[..known])?;
        let Some(item) = path.get(known).filter(|_| depth < 8) else {
            return Some(module);
        };
        match file.exports.iter().find(|export| export.name == *item) {
            Some(export) => self.home(&export.path, depth + 1),
            None => Some(module),
        }
    }
}

fn reachable<'a>(
    imports: &BTreeMap<&'a Vec<String>, BTreeSet<&'a Vec<String>>>,
    from: &Vec<String>,
) -> BTreeSet<&'a Vec<String>> {
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<_> = imports[from].iter().copied().collect();
    while let Some(path) = ahead.pop() {
        if reached.insert(path) {
            ahead.extend(&imports[path]);
        }
    }
    reached
}

/// The paths that the file of a module names, and those that it re-exports under which name.
fn names_in(
    text: &str,
    module: &[String],
    modules: &BTreeSet<Vec<String>>,
) -> (BTreeSet<Vec<String>>, Vec<Named>) {
    let tokens = scan::without_tests(&scan::tokens(text));
    let mut imports = BTreeSet::new();
    let mut exports = Vec::new();
    // Whether the statement is a `use`, and whether it is one for others, too.
    let (mut in_use, mut for_others) = (false, false);
    for position in 0..tokens.len() {
        match &tokens[position] {
            Token::Sign(';') => in_use = false,
            Token::Word(word) if word == "use" => {
                in_use = true;
                for_others = is_public(&tokens[..position]);
            }
            Token::Word(word) if scan::begins_path(&tokens, position) => {
                let is_path = tokens.get(position + 1) == Some(&Token::Path);
                let child: Vec<_> = module.iter().chain([word]).cloned().collect();
                let is_relative = matches!(word.as_str(), "crate" | "super" | "self");
                if !is_path || !(is_relative || modules.contains(&child)) {
                    continue;
                }
                let mut named = Vec::new();
                follow(module, &tokens[position..], &mut named);
                match in_use && for_others {
                    true => exports.extend(named),
                    false => imports.extend(named.into_iter().map(|named| named.path)),
                }
            }
            Token::Word(_) | Token::Path | Token::Sign(_) => {}
        }
    }
    (imports, exports)
}

/// Whether the item that begins behind these tokens is for other modules.
fn is_public(before: &[Token]) -> bool {
    let begin = before
        .iter()
        .rposition(|token| matches!(token, Token::Sign(';' | '}' | '{' | ']')));
    let item = &before[begin.map_or(0, |begin| begin + 1)..];
    item.contains(&Token::Word("pub".to_owned()))
}

/// Collects what a path, or each path of a group, names from within `base`.
fn follow(base: &[String], tokens: &[Token], named: &mut Vec<Named>) {
    let mut path = base.to_vec();
    let mut rest = tokens;
    loop {
        match rest {
            [Token::Word(word), ..] => {
                match word.as_str() {
                    "crate" => path.clear(),
                    "super" => _ = path.pop(),
                    "self" => {}
                    _ => path.push(word.clone()),
                }
                rest = &rest[1..];
            }
            [Token::Sign('*'), ..] => {
                let name = "*".to_owned();
                return named.push(Named { path, name });
            }
            [Token::Sign('{'), ..] => return follow_group(&path, rest, named),
            _ => return,
        }
        match rest {
            [Token::Path, Token::Sign('<'), ..] => break,
            [Token::Path, ..] => rest = &rest[1..],
            _ => break,
        }
    }
    let name = match rest {
        [Token::Word(alias), Token::Word(name), ..] if alias == "as" => name.clone(),
        _ => path.last().cloned().unwrap_or_default(),
    };
    named.push(Named { path, name });
}

fn follow_group(base: &[String], tokens: &[Token], named: &mut Vec<Named>) {
    let mut depth = 0;
    for (position, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') => depth -= 1,
            Token::Word(_) | Token::Path | Token::Sign(_) => {}
        }
        let begins = matches!(token, Token::Sign('{' | ','));
        if begins && depth == 1 {
            follow(base, &tokens[position + 1..], named);
        }
        if depth == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(texts: &[(&str, &str)]) -> Vec<String> {
        let text = |(name, text): &(&str, &str)| {
            let path = super::super::module_path(std::path::Path::new(name));
            (path, (*name).to_owned(), (*text).to_owned())
        };
        let files = Files::read(&texts.iter().map(text).collect::<Vec<_>>());
        files
            .circles()
            .iter()
            .map(|circle| circle.join(" "))
            .collect()
    }

    #[test]
    fn files_that_import_each_other_by_whatever_way_are_a_circle() {
        let table: [&[(&str, &str)]; 5] = [
            &[("a.rs", "use crate::b::B;"), ("b.rs", "use super::a;")],
            &[
                ("a.rs", "fn f(b: crate::b::B) {}"),
                ("b.rs", "use crate::{a::A, c};"),
            ],
            &[
                ("a.rs", "use crate::b::{c, d::{E}};"),
                ("b.rs", "use crate::a::A as B;"),
            ],
            &[
                ("a.rs", "use crate::m::B;"),
                ("m/mod.rs", "mod b; pub use self::b::B;"),
                ("m/b.rs", "use crate::a::A;"),
            ],
            &[
                ("a.rs", "use crate::m;"),
                ("m/mod.rs", "mod b; fn f() { b::g() }"),
                ("m/b.rs", "use crate::a::A;"),
            ],
        ];
        let expected = [
            "a.rs b.rs",
            "a.rs b.rs",
            "a.rs b.rs",
            "a.rs m/b.rs",
            "a.rs m/b.rs m/mod.rs",
        ];
        for (texts, expected) in table.into_iter().zip(expected) {
            assert_eq!(circles(texts), [expected], "{texts:?}");
        }
        let three = [
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::c;"),
            ("c.rs", "use crate::a;"),
        ];
        assert_eq!(circles(&three), ["a.rs b.rs c.rs"]);
    }

    #[test]
    fn declarations_re_exports_and_code_for_tests_are_no_imports() {
        let table: [&[(&str, &str)]; 4] = [
            &[
                ("m/mod.rs", "mod b; pub use self::b::B;"),
                ("m/b.rs", "use super::A;"),
            ],
            &[
                ("m/mod.rs", "mod b; use self::b::B;"),
                ("m/b.rs", "use super::{A, c::C};"),
                ("m/c.rs", ""),
            ],
            &[
                ("a.rs", "use crate::b;"),
                ("b.rs", "#[cfg(test)] mod tests { use crate::a; fn f() {} }"),
            ],
            &[
                ("a.rs", "use crate::b;"),
                ("b.rs", "#[cfg(test)] use crate::a; // crate::a"),
            ],
        ];
        for texts in table {
            assert_eq!(circles(texts), [""; 0], "{texts:?}");
        }
    }
}
