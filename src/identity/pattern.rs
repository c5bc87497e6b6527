//! Where does the id of a caller stand in the name of a workload? In the part that a pattern says. Pure.

/// Stands for one part of a name.
const ANY_PART: &str = "*";
/// Stands for the part of a name that is the id of a caller.
const CALLER_PART: &str = "{caller}";

/// Where the id of a caller stands in a URI or DNS name, such as `spiffe://prod/ns/*/sa/{caller}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    parts: Vec<String>,
    is_uri: bool,
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_uri = text.contains("://");
        let parts: Vec<_> = parts(text, is_uri).map(str::to_owned).collect();
        let callers = parts.iter().filter(|part| *part == CALLER_PART).count();
        if callers != 1 {
            return Err("`{caller}` must stand in it once, as a whole part");
        }
        let is_mixed = |part: &String| {
            part != ANY_PART && part != CALLER_PART && part.contains(['*', '{', '}'])
        };
        if parts.iter().any(is_mixed) {
            return Err("`*` and `{caller}` must be whole parts of it");
        }
        Ok(Self { parts, is_uri })
    }

    /// Whether it is of URIs, and not of DNS names.
    pub(super) fn is_of_uris(&self) -> bool {
        self.is_uri
    }

    /// The id of the caller in a name.
    pub(super) fn caller<'n>(&self, name: &'n str) -> Option<&'n str> {
        let mut caller = None;
        let mut given = parts(name, self.is_uri);
        for part in &self.parts {
            let given = given.next()?;
            match &**part {
                ANY_PART if !given.is_empty() => {}
                CALLER_PART => caller = Some(given),
                _ if part == given => {}
                _ => return None,
            }
        }
        given.next().is_none().then_some(caller)?
    }
}

/// The parts of a URI between slashes, or of a DNS name between dots.
fn parts(name: &str, is_uri: bool) -> impl Iterator<Item = &str> {
    name.split(if is_uri { '/' } else { '.' })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_the_caller_in_a_name_of_its_form_only() {
        let pattern = NamePattern::parse("spiffe://prod/ns/*/sa/{caller}").unwrap();

        for (name, caller) in [
            ("spiffe://prod/ns/a/sa/search", Some("search")),
            ("spiffe://prod/ns/b/sa/search", Some("search")),
            ("spiffe://prod/ns//sa/search", None),
            ("spiffe://prod/ns/a/b/sa/search", None),
            ("spiffe://prod/ns/a/sa/search/x", None),
            ("spiffe://prod/ns/a/sa", None),
            ("spiffe://test/ns/a/sa/search", None),
            ("https://prod/ns/a/sa/search", None),
        ] {
            assert_eq!(pattern.caller(name), caller, "{name}");
        }
        let dns = NamePattern::parse("{caller}.*.internal").unwrap();
        assert_eq!(dns.caller("search.a.internal"), Some("search"));
        assert_eq!(dns.caller("search.internal"), None);
    }

    #[test]
    fn a_pattern_that_can_name_no_caller_is_refused() {
        for text in [
            "spiffe://prod/search",
            "spiffe://prod/{caller}/{caller}",
            "spiffe://prod/x-{caller}",
            "spiffe://prod/a*/{caller}",
            "",
        ] {
            assert!(NamePattern::parse(text).is_err(), "{text}");
        }
    }
}
