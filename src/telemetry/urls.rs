//! How are passwords kept out of the URLs in a text?

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Stands between the scheme of a URL and the rest of it. Every line of the log is searched for it.
const AFTER_SCHEME: &str = "://";

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(AFTER_SCHEME));

/// The text with the user and the password taken out of every URL in it.
///
/// Everything up to the last `@` of the URL is removed, in case a password holds a character that should have been
/// escaped. It is better to lose a part of a path than to show a part of a password.
pub(super) fn without_credentials(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = FINDER.find(rest.as_bytes()) {
        let (before, after) = rest.split_at(at + AFTER_SCHEME.len());
        let end = after.find(ends_url).unwrap_or(after.len());
        let begin = after[..end].rfind('@').map_or(0, |sign| sign + 1);
        shown.push_str(before);
        rest = &after[begin..];
    }
    match shown.len() + rest.len() == text.len() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(shown + rest),
    }
}

fn ends_url(character: char) -> bool {
    character.is_whitespace() || "\"'`<>\\".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_taken_out_and_nothing_else() {
        let table = [
            ("no URL, me@example.com", "no URL, me@example.com"),
            ("at http://host:4317/v1", "at http://host:4317/v1"),
            ("at http://me:s3cret@host:4317/v1", "at http://host:4317/v1"),
            ("`https://s3cret@host` is wrong", "`https://host` is wrong"),
            (
                "\"http://a:s3cret@b\", 'socks5://c:s3cret@d'",
                "\"http://b\", 'socks5://d'",
            ),
            ("http://me:s3#cr/et@host", "http://host"),
            ("http://me:s3@cret@host", "http://host"),
            ("://", "://"),
            ("http://", "http://"),
            ("http://\u{e4}:s3cret@\u{f6}", "http://\u{f6}"),
        ];
        for (text, shown) in table {
            assert_eq!(without_credentials(text), shown, "{text}");
        }
    }
}
