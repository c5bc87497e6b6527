//! What may the log quote of the error that a provider sent? A short text without anything that could be a secret.
//! Pure.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// The most bytes of the quoted text.
const MAX_BYTES: usize = 512;

/// Stands for what is not shown.
const HIDDEN: &str = "[redacted]";

/// A shorter secret is not searched for: it would be found everywhere.
const SHORTEST_SECRET: usize = 4;

/// A word from the alphabet of keys that is at least this long and has a digit in it could be a key.
const SHORTEST_KEY: usize = 20;

/// How deep the text for people is searched for in a body.
const MAX_DEPTH: usize = 6;

/// The words that come before a credential in a header.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// The text of an error's body without these secrets, and without anything else that could be one.
pub(super) fn redact(body: &[u8], secrets: &[String]) -> String {
    let mut text = match serde_json::from_slice::<Value>(body) {
        Ok(json) => message(&json, 0).unwrap_or_else(|| json.to_string()),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    for secret in secrets
        .iter()
        .filter(|secret| secret.len() >= SHORTEST_SECRET)
    {
        let spellings = [
            secret.clone(),
            STANDARD_NO_PAD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
        ];
        for spelling in spellings {
            text = text.replace(&spelling, HIDDEN);
        }
    }
    let text = without_key_like_words(&text);
    match text.len() > MAX_BYTES {
        true => cut(&text, MAX_BYTES).to_owned(),
        false => text,
    }
}

/// The text for people in an error: the first `message` or the like, from the outside in.
fn message(json: &Value, depth: usize) -> Option<String> {
    if depth > MAX_DEPTH {
        return None;
    }
    match json {
        Value::Object(fields) => {
            let named = ["message", "error_msg", "msg", "detail", "error"];
            let texts = named.iter().filter_map(|name| fields.get(*name)?.as_str());
            if let Some(text) = texts.into_iter().find(|text| !text.is_empty()) {
                return Some(text.to_owned());
            }
            fields.values().find_map(|inner| message(inner, depth + 1))
        }
        Value::Array(items) => items.iter().find_map(|inner| message(inner, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Replaces what follows `Bearer`, and each long word with a digit from the alphabet of keys.
fn without_key_like_words(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_scheme = false;
    while !rest.is_empty() {
        let ends = |char: char| match after_scheme {
            true => char.is_whitespace() || "\"'`,<>".contains(char),
            false => !is_of_keys(char),
        };
        let end = rest.find(ends).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let gap_end = behind.find(is_of_keys).unwrap_or(behind.len());
        let (gap, behind) = behind.split_at(gap_end);
        let could_be_key =
            word.len() >= SHORTEST_KEY && word.bytes().any(|byte| byte.is_ascii_digit());
        let is_hidden = !word.is_empty() && (could_be_key || after_scheme);
        shown.push_str(if is_hidden { HIDDEN } else { word });
        shown.push_str(gap);
        let is_scheme = SCHEMES
            .iter()
            .any(|scheme| word.eq_ignore_ascii_case(scheme));
        after_scheme = is_scheme && gap.chars().all(|char| char.is_whitespace() || char == ':');
        rest = behind;
    }
    shown
}

/// Whether keys and base64 are made of such characters.
fn is_of_keys(char: char) -> bool {
    char.is_ascii_alphanumeric() || "-_+/=".contains(char)
}

/// The beginning of a text, no longer than this, that does not end within a character.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "hush-a-secret";

    fn redacted(body: &str) -> String {
        redact(body.as_bytes(), &[SECRET.to_owned(), "abc".to_owned()])
    }

    #[test]
    fn the_text_for_people_is_quoted_without_secrets() {
        let table = [
            (r#"{"error":{"message":"no such model"}}"#, "no such model"),
            (r#"{"error":"no such model"}"#, "no such model"),
            (r#"[{"error":{"code":7,"message":"a\nb"}}]"#, "a\nb"),
            ("<p>down</p>", "<p>down</p>"),
            (r#"{"code":7}"#, r#"{"code":7}"#),
            (
                "the key hush-a-secret is wrong",
                "the key [redacted] is wrong",
            ),
            ("aHVzaC1hLXNlY3JldA==", "[redacted]=="),
            (
                "Authorization: Bearer x.y!",
                "Authorization: Bearer [redacted]",
            ),
            ("bearer: short", "bearer: [redacted]"),
            ("key sk-0123456789abcdefghij!", "key [redacted]!"),
            ("sk-0123456789abcdefghij, then", "[redacted], then"),
            ("counterrevolutionaries abc", "counterrevolutionaries abc"),
            ("the bearer", "the bearer"),
            ("", ""),
        ];
        for (body, shown) in table {
            assert_eq!(redacted(body), shown, "{body}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = redacted(&"ä ".repeat(1000));

        assert!(text.len() <= MAX_BYTES && text.len() > MAX_BYTES - 4);
    }
}
