//! Which name did the author of a text mean who wrote one that is not known?

/// The most known names that a misspelt one is compared with.
const MOST_COMPARED: usize = 1000;

/// The most known names that are listed if none is similar to the one written.
const MOST_NAMED: usize = 50;

/// A longer text is not compared with known names.
const LONGEST_NAME: usize = 256;

/// What to write instead of an unknown name: the most similar known one, or else a list of them.
pub fn advise<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let compared = known.clone().into_iter().take(MOST_COMPARED);
    if written.len() <= LONGEST_NAME
        && let Some(name) = probably_meant(written, compared)
    {
        return format!("did you mean `{name}`?");
    }
    let mut known = known.into_iter();
    let named: Vec<_> = known.by_ref().take(MOST_NAMED).collect();
    let named = named.iter().map(|name| format!("`{name}`"));
    let named = named.collect::<Vec<_>>().join(", ");
    match (named.as_str(), known.count()) {
        ("", _) => "define one first".to_owned(),
        (_, 0) => format!("use one of {named}"),
        (_, more) => format!("use one of {named} and {more} more"),
    }
}

/// The known name that is most similar to `written`, if one is similar enough to be a misspelling.
pub fn probably_meant<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut closest = None;
    for name in known {
        let distance = strsim::damerau_levenshtein(written, name);
        let is_slip = distance <= 1 + name.len() / 4;
        let is_shortened = written.len() >= 3 && name.starts_with(written);
        let is_closest = closest.is_none_or(|(least, _)| distance < least);
        if (is_slip || is_shortened) && is_closest {
            closest = Some((distance, name));
        }
    }
    closest.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_set_right_and_other_names_are_shown_what_there_is() {
        let known = ["telemetry", "logging"];
        for (written, advice) in [
            ("telemetrie", "did you mean `telemetry`?"),
            ("log", "did you mean `logging`?"),
            ("metrics", "use one of `telemetry`, `logging`"),
        ] {
            assert_eq!(advise(written, known), advice);
        }
        assert_eq!(advise("any", []), "define one first");
    }
}
