//! What does the text of a Rust file name: which modules of the crate, which other crates?

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// What a file names.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// Modules that stand directly below the root of the crate; `*` for a glob import of the root.
    pub(crate) modules: BTreeSet<String>,
    /// First words of other paths: crates, and whatever a `use` has brought in.
    pub(crate) foreign: BTreeSet<String>,
    /// Neighbours in any path, joined by `::`.
    pub(crate) pairs: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Word(String),
    /// `::`
    Path,
    Sign(char),
}

/// Finds what `text` names, the text of the module at `path`.
pub(crate) fn uses(text: &str, path: &[String]) -> Uses {
    let tokens = tokens(text);
    let mut uses = Uses::default();
    let mut module = path.to_vec();
    // At which depth of braces each inline module ends.
    let mut inline = Vec::new();
    let mut depth = 0;
    let mut in_use = false;
    for position in 0..tokens.len() {
        if let [Token::Word(first), Token::Path, Token::Word(second), ..] = &tokens[position..] {
            uses.pairs.insert(format!("{first}::{second}"));
        }
        match &tokens[position] {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') => {
                depth -= 1;
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
            }
            Token::Sign(';') => in_use = false,
            Token::Word(word) if word == "use" => in_use = true,
            Token::Word(word) if word == "mod" => {
                if let Some([Token::Word(name), Token::Sign('{')]) =
                    tokens.get(position + 1..position + 3)
                {
                    inline.push(depth);
                    module.push(name.clone());
                }
            }
            Token::Word(word) if begins_path(&tokens, position) => {
                let is_path = tokens.get(position + 1) == Some(&Token::Path);
                match word.as_str() {
                    "crate" | "modelway" | "super" | "self" if is_path => {
                        resolve(&module, &tokens[position..], &mut uses.modules);
                    }
                    _ if is_path || in_use => {
                        uses.foreign.insert(word.clone());
                    }
                    _ => {}
                }
            }
            Token::Word(_) | Token::Path | Token::Sign(_) => {}
        }
    }
    uses
}

/// Whether the word at `position` is the first of a path; `::word` is one too.
pub(crate) fn begins_path(tokens: &[Token], position: usize) -> bool {
    match tokens[..position] {
        [.., Token::Word(_) | Token::Sign('>'), Token::Path] => false,
        // The members of a group go on with the path before its brace.
        [..] => !in_group_of_path(&tokens[..position]),
    }
}

fn in_group_of_path(before: &[Token]) -> bool {
    let mut closed = 0;
    for (position, token) in before.iter().enumerate().rev() {
        match token {
            Token::Sign('}') => closed += 1,
            Token::Sign('{') if closed > 0 => closed -= 1,
            Token::Sign('{') => return position > 0 && before[position - 1] == Token::Path,
            Token::Sign(';') => return false,
            Token::Word(_) | Token::Path | Token::Sign(_) => {}
        }
    }
    false
}

/// Collects the modules below the root that a path, or a group of paths, names from within `base`.
fn resolve(base: &[String], tokens: &[Token], modules: &mut BTreeSet<String>) {
    let rest = |skipped: usize| tokens.get(skipped..).unwrap_or_default();
    match tokens {
        [Token::Word(word), Token::Path, ..] if word == "crate" || word == "modelway" => {
            resolve(&[], rest(2), modules);
        }
        [Token::Word(word), Token::Path, ..] if word == "super" => {
            resolve(&base[..base.len().saturating_sub(1)], rest(2), modules);
        }
        [Token::Word(word), Token::Path, ..] if word == "self" => resolve(base, rest(2), modules),
        [Token::Word(word), ..] if base.is_empty() => {
            modules.insert(word.clone());
        }
        [Token::Sign('*'), ..] if base.is_empty() => {
            modules.insert("*".into());
        }
        [Token::Sign('{'), ..] => {
            let mut depth = 0;
            for (position, token) in tokens.iter().enumerate() {
                match token {
                    Token::Sign('{') => depth += 1,
                    Token::Sign('}') => depth -= 1,
                    Token::Word(_) | Token::Path | Token::Sign(_) => {}
                }
                let begins = matches!(token, Token::Sign('{' | ','));
                if begins && depth == 1 {
                    resolve(base, rest(position + 1), modules);
                }
                if depth == 0 {
                    return;
                }
            }
        }
        _ => {}
    }
}

/// The words and signs of Rust source, without comments, literals and lifetimes.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '/' if rest.peek() == Some(&'/') => skip_line(&mut rest),
            '/' if rest.peek() == Some(&'*') => skip_comment(&mut rest),
            '"' => skip_string(&mut rest),
            '\'' => skip_quote(&mut rest),
            ':' if rest.next_if_eq(&':').is_some() => tokens.push(Token::Path),
            _ if next.is_alphanumeric() || next == '_' => {
                let mut word = String::from(next);
                while let Some(letter) =
                    rest.next_if(|letter| letter.is_alphanumeric() || *letter == '_')
                {
                    word.push(letter);
                }
                if !(matches!(word.as_str(), "r" | "br" | "cr") && skip_raw_string(&mut rest)) {
                    tokens.push(Token::Word(word));
                }
            }
            _ if next.is_whitespace() => {}
            _ => tokens.push(Token::Sign(next)),
        }
    }
    tokens
}

/// The tokens without items that are compiled for tests only.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let attribute = tokens_of_attribute();
    let mut kept = Vec::new();
    let mut position = 0;
    while position < tokens.len() {
        if tokens[position..].starts_with(&attribute) {
            position = end_of_item(tokens, position + attribute.len());
        } else {
            kept.push(tokens[position].clone());
            position += 1;
        }
    }
    kept
}

fn tokens_of_attribute() -> Vec<Token> {
    tokens("#[cfg(test)]")
}

/// The position behind the item that begins at `position`: behind its braces, or behind its semicolon.
fn end_of_item(tokens: &[Token], mut position: usize) -> usize {
    let mut depth = 0;
    while position < tokens.len() {
        match tokens[position] {
            Token::Sign('{') => depth += 1,
            Token::Sign('}') if depth == 1 => return position + 1,
            Token::Sign('}') => depth -= 1,
            Token::Sign(';') if depth == 0 => return position + 1,
            Token::Sign(_) | Token::Word(_) | Token::Path => {}
        }
        position += 1;
    }
    position
}

fn skip_line(rest: &mut Peekable<Chars<'_>>) {
    rest.find(|&next| next == '\n');
}

fn skip_comment(rest: &mut Peekable<Chars<'_>>) {
    let mut depth = 1;
    rest.next();
    while let Some(next) = rest.next() {
        if next == '*' && rest.next_if_eq(&'/').is_some() {
            depth -= 1;
        } else if next == '/' && rest.next_if_eq(&'*').is_some() {
            depth += 1;
        }
        if depth == 0 {
            return;
        }
    }
}

fn skip_string(rest: &mut Peekable<Chars<'_>>) {
    while let Some(next) = rest.next() {
        match next {
            '\\' => {
                rest.next();
            }
            '"' => return,
            _ => {}
        }
    }
}

/// Skips a raw string after its `r`, if one follows.
fn skip_raw_string(rest: &mut Peekable<Chars<'_>>) -> bool {
    let mut ahead = rest.clone();
    let mut end = String::from("\"");
    while ahead.next_if_eq(&'#').is_some() {
        end.push('#');
    }
    if ahead.next() != Some('"') {
        return false;
    }
    let mut seen = String::new();
    for next in ahead.by_ref() {
        seen.push(next);
        if seen.ends_with(&end) {
            break;
        }
    }
    *rest = ahead;
    true
}

/// Skips a character literal; a lifetime's name stays, which names nothing.
fn skip_quote(rest: &mut Peekable<Chars<'_>>) {
    let mut ahead = rest.clone();
    match ahead.next() {
        Some('\\') => {
            ahead.next();
            ahead.find(|&next| next == '\'');
            *rest = ahead;
        }
        Some(_) if ahead.next() == Some('\'') => *rest = ahead,
        _ => {}
    }
}
