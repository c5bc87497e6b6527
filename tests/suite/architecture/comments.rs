//! Do comments set the names of types apart from their words? A name that is written like a word shows that a renaming has
//! reached into a sentence.

use std::collections::BTreeSet;

use super::names::types_in;

/// Each place where a comment names a type of several words outside of back quotes: the file, the line and the name.
pub(crate) fn unquoted_types<'a>(
    texts: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Vec<(&'a str, usize, String)> {
    let types: BTreeSet<String> = texts
        .clone()
        .flat_map(|(_, text)| types_in(text).into_keys())
        .filter(|name| has_several_words(name))
        .collect();
    let mut found = Vec::new();
    for (file, text) in texts {
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                continue;
            };
            let words = words_of(comment).into_iter();
            let named = words.filter(|word| types.contains(*word));
            found.extend(named.map(|name| (file, number + 1, name.to_owned())));
        }
    }
    found
}

/// Whether a name has a capital letter behind a small one, so that it is no English word.
fn has_several_words(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes
        .windows(2)
        .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// The words of a comment outside of back quotes and of the targets of links.
fn words_of(comment: &str) -> Vec<&str> {
    let unquoted = comment.split('`').step_by(2);
    let prose = unquoted.map(|piece| match piece.strip_prefix("](") {
        Some(linked) => linked.split_once(')').map_or("", |(_, behind)| behind),
        None => piece,
    });
    let is_joint = |sign: char| !(sign.is_ascii_alphanumeric() || sign == '_');
    prose.flat_map(|piece| piece.split(is_joint)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_in_a_comment_is_found_unless_it_is_quoted_or_the_target_of_a_link() {
        let texts = [
            ("a.rs", "struct LatencyCounts;\nstruct Validity;"),
            (
                "b.rs",
                "/// LatencyCounts are kept. Validity no tokens.\n\
                 //! `LatencyCounts`, [`LatencyCounts::new`], [`it`](super::LatencyCounts) and OtherCounts\n\
                 fn f() {} // code before it\n    // of LatencyCounts.",
            ),
        ];

        let found = unquoted_types(texts.into_iter());

        let name = || "LatencyCounts".to_owned();
        assert_eq!(found, [("b.rs", 1, name()), ("b.rs", 4, name())]);
    }
}
