//! Which labels does the `baggage` of a request offer? Those for which a rule says that it may. Pure.
//!
//! Baggage travels along a trace, and services that know nothing of ours write into it. So it never makes a call fail: what
//! breaks the grammar of W3C Baggage, or is too much, is read as no baggage at all. It is not passed on to providers.

use std::borrow::Cow;

use super::{LabelRule, is_label};

/// The name of the header.
pub const BAGGAGE: &str = "baggage";

/// The most bytes that all headers have together, the commas between them included. W3C asks for that many.
const MOST_BYTES: usize = 8_192;

/// The most members, as many as SDKs of OpenTelemetry send.
const MOST_MEMBERS: usize = 180;

/// The labels that the baggage of a request offers, in the order of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage(Vec<(String, String)>);

impl Baggage {
    /// What the values of all `baggage` headers offer to these rules. They are not looked at unless a rule asks.
    pub fn for_rules<'h>(rules: &[LabelRule], headers: impl IntoIterator<Item = &'h [u8]>) -> Self {
        let asks = |key: &str| {
            let mut asking = rules.iter().filter(|rule| rule.from_baggage);
            asking.any(|rule| *rule.key == *key)
        };
        if !rules.iter().any(|rule| rule.from_baggage) {
            return Self::default();
        }
        let mut members = Vec::new();
        let (mut bytes, mut number) = (0, 0);
        for header in headers {
            bytes += header.len() + 1;
            let Some(text) = std::str::from_utf8(header)
                .ok()
                .filter(|_| bytes <= MOST_BYTES + 1)
            else {
                return Self::default();
            };
            for member in text.split(',') {
                number += 1;
                match read(member).filter(|_| number <= MOST_MEMBERS) {
                    None => return Self::default(),
                    Some((key, Some(value))) if asks(key) && is_label(&value) => {
                        members.push((key.to_owned(), value.into_owned()));
                    }
                    Some(_) => {}
                }
            }
        }
        Self(members)
    }

    /// The value that it offers for a label: the last one, since it was added by the service that is nearest.
    pub fn value(&self, key: &str) -> Option<&str> {
        let mut members = self.0.iter().rev();
        let member = members.find(|(other, _)| other == key);
        member.map(|(_, value)| value.as_str())
    }
}

/// The key and the decoded value of a member; `None` if it breaks the grammar, and no value if that is no UTF-8 text.
fn read(member: &str) -> Option<(&str, Option<Cow<'_, str>>)> {
    let mut pieces = member.split(';');
    let (key, value) = pieces.next()?.split_once('=')?;
    let (key, value) = (trimmed(key), trimmed(value));
    let legal = is_token(key) && is_value(value) && pieces.all(is_property);
    legal.then(|| (key, decoded(value)))
}

/// A property of a member: a key, or a key and a value.
fn is_property(property: &str) -> bool {
    match property.split_once('=') {
        Some((key, value)) => is_token(trimmed(key)) && is_value(trimmed(value)),
        None => is_token(trimmed(property)),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Whether a text is a token of HTTP.
fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

/// Whether a text is a value: visible ASCII without `"`, `,`, `;` and `\`, each `%` followed by two hexadecimal digits.
fn is_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let legal = |(at, byte): (usize, &u8)| match byte {
        b'%' => bytes
            .get(at + 1..at + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        b'"' | b',' | b';' | b'\\' => false,
        byte => byte.is_ascii_graphic(),
    };
    bytes.iter().enumerate().all(legal)
}

/// A value without its percent-encoding; `None` if it is no UTF-8 text then.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    percent_encoding::percent_decode_str(value)
        .decode_utf8()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(keys: &[&str]) -> Vec<LabelRule> {
        let rule = |key: &&str| LabelRule {
            key: (*key).into(),
            values: Vec::new(),
            required: false,
            from_baggage: true,
        };
        keys.iter().map(rule).collect()
    }

    fn offered(headers: &[&str]) -> Baggage {
        let headers = headers.iter().map(|header| header.as_bytes());
        Baggage::for_rules(&rules(&["product", "run"]), headers)
    }

    #[test]
    fn members_are_read_as_w3c_writes_them() {
        for headers in [
            &["product=ads"][..],
            &["a=1,product=ads,b=2"],
            &["a=1 ,\t product \t= ads ;ttl=5; private ,b="],
            &["a=1", "product=ads"],
            &["product=%61d%73"],
            &["product=feed", "product=ads"],
            &["product=not%20a%20label,product=ads"],
        ] {
            let baggage = offered(headers);

            assert_eq!(baggage.value("product"), Some("ads"), "{headers:?}");
            assert_eq!(baggage.value("run"), None);
            assert_eq!(baggage.value("a"), None, "no rule asks for it");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_no_baggage() {
        for broken in [
            "",
            ",",
            "product",
            "=ads",
            "product=ads,",
            "product=ads,,a=1",
            "product=ads,b",
            "product=ads;",
            "product=ads;=1",
            "product=ads,a b=1",
            "product=ads,a=1 2",
            "product=ads,a=\"1\"",
            "product=ads,a=\\",
            "product=ads,a=%4",
            "product=ads,a=%zz",
            "product=ads,a=\u{e9}",
            "product=ads,\u{e9}=1",
            "product=ads\nrun=1",
        ] {
            assert_eq!(offered(&[broken]), Baggage::default(), "{broken}");
        }
        let not_text: &[u8] = b"product=ads,a=\xff";
        let baggage = Baggage::for_rules(&rules(&["product"]), [not_text]);
        assert_eq!(baggage, Baggage::default());
    }

    #[test]
    fn a_value_that_cannot_be_in_a_label_offers_nothing() {
        let long = "x".repeat(64);
        for value in ["", "a%20b", "%00", "%ff", "%0d%0a", "../..%2f", &long] {
            let header = format!("product={value},run=1");
            let baggage = offered(&[&header]);

            assert_eq!(baggage.value("product"), None, "{value}");
            assert_eq!(baggage.value("run"), Some("1"), "{value}");
        }
    }

    #[test]
    fn too_many_bytes_or_members_are_no_baggage() {
        let filled = |bytes: usize| format!("product=ads,a={}", "x".repeat(bytes - 14));
        assert_eq!(
            offered(&[&filled(MOST_BYTES)]).value("product"),
            Some("ads")
        );
        assert_eq!(offered(&[&filled(MOST_BYTES + 1)]), Baggage::default());
        let half = filled(MOST_BYTES / 2);
        assert_eq!(offered(&[&half, &half]), Baggage::default());
        let members = |number: usize| format!("product=ads{}", ",a=1".repeat(number - 1));
        assert_eq!(
            offered(&[&members(MOST_MEMBERS)]).value("product"),
            Some("ads")
        );
        assert_eq!(offered(&[&members(MOST_MEMBERS + 1)]), Baggage::default());
    }

    #[test]
    fn without_a_rule_that_asks_nothing_is_read() {
        let unasked = LabelRule {
            from_baggage: false,
            ..rules(&["product"]).remove(0)
        };
        let never = std::iter::from_fn(|| -> Option<&[u8]> { unreachable!("it is read") });

        assert_eq!(Baggage::for_rules(&[unasked], never), Baggage::default());
    }
}
