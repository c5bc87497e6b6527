//! Which labels does a call have? Those of its account, those that the caller may set and did set, and those that its
//! baggage offers to rules that say so. Pure.

use std::sync::Arc;

use crate::error::{Violation, excerpt};

use super::baggage::Baggage;
use super::{LabelRule, Labels, MAX_LABELS, is_label};

/// The labels of a call that asks for `asked`, beside those of its account. A key that is asked for twice has its last
/// value. Where neither sets a label that may come from baggage, the value that `baggage` offers is taken if it is allowed.
///
/// # Errors
/// The first label, in the order of keys, that is missing, not allowed or has a value that is not allowed.
pub fn of_call<'a>(
    account: &Arc<Labels>,
    rules: &[LabelRule],
    asked: impl IntoIterator<Item = (&'a str, &'a str)>,
    baggage: &Baggage,
) -> Result<Arc<Labels>, Violation> {
    let mut asked: Vec<_> = asked.into_iter().collect();
    let must_look = |rule: &LabelRule| rule.required || rule.from_baggage;
    if asked.is_empty() && !rules.iter().any(must_look) {
        return Ok(Arc::clone(account));
    }
    asked.sort_unstable();
    let mut labels = Labels::clone(account);
    for (key, value) in asked {
        let wrong = |what: String| Violation {
            field: field(key),
            what,
        };
        if let Some(fixed) = account.get(key) {
            match **fixed == *value {
                true => continue,
                false => {
                    let what = "it is set by the account and cannot be changed; leave it out";
                    return Err(wrong(what.to_owned()));
                }
            }
        }
        let Some(rule) = rules.iter().find(|rule| *rule.key == *key) else {
            let known: Vec<_> = rules.iter().map(|rule| &*rule.key).collect();
            return Err(wrong(match known.is_empty() {
                true => "the account allows no labels; leave it out".to_owned(),
                false => format!(
                    "the account does not allow this label; it allows {}",
                    known.join(", ")
                ),
            }));
        };
        if !allows(rule, value) {
            return Err(wrong(match rule.values.is_empty() {
                true => "a value has 1 to 63 letters, digits, `.`, `_` or `-`".to_owned(),
                false => format!(
                    "not a value that is allowed; use {}",
                    rule.values.join(", ")
                ),
            }));
        }
        labels.insert(Arc::clone(&rule.key), value.into());
    }
    for rule in rules.iter().filter(|rule| rule.from_baggage) {
        if labels.len() < MAX_LABELS
            && !labels.contains_key(&rule.key)
            && let Some(value) = baggage.value(&rule.key)
            && allows(rule, value)
        {
            labels.insert(Arc::clone(&rule.key), value.into());
        }
    }
    let missing = |rule: &&LabelRule| rule.required && !labels.contains_key(&rule.key);
    if let Some(rule) = rules.iter().find(missing) {
        let values = match rule.values.is_empty() {
            true => String::new(),
            false => format!(" to {}", rule.values.join(", ")),
        };
        let otherwise = match rule.from_baggage {
            true => ", here or in the header `baggage`",
            false => "",
        };
        let what = format!("the account requires this label; set it{values}{otherwise}");
        return Err(Violation {
            field: field(&rule.key),
            what,
        });
    }
    if labels.len() > MAX_LABELS {
        return Err(Violation {
            field: "labels".to_owned(),
            what: format!(
                "together with those of the account they are {}; at most {MAX_LABELS} are allowed",
                labels.len()
            ),
        });
    }
    Ok(Arc::new(labels))
}

/// Whether a label may have this value.
fn allows(rule: &LabelRule, value: &str) -> bool {
    match rule.values.is_empty() {
        true => is_label(value),
        false => rule.values.iter().any(|allowed| allowed == value),
    }
}

/// The path of a label in a request.
fn field(key: &str) -> String {
    format!("labels[{:?}]", excerpt(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Arc<Labels> {
        let owned = |(key, value): &(&str, &str)| ((*key).into(), (*value).into());
        Arc::new(pairs.iter().map(owned).collect())
    }

    fn rule(key: &str, values: &[&str], required: bool) -> LabelRule {
        LabelRule {
            key: key.into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            required,
            from_baggage: false,
        }
    }

    fn none() -> Baggage {
        Baggage::default()
    }

    #[test]
    fn a_call_has_the_labels_of_its_account_and_those_it_may_set() {
        let account = labels(&[("unit", "shop")]);
        let rules = [
            rule("product", &["ads", "feed"], true),
            rule("run", &[], false),
        ];

        let asked = [("run", "7.1_a-B"), ("product", "ads"), ("unit", "shop")];
        let found = of_call(&account, &rules, asked, &none()).unwrap();

        assert_eq!(
            found,
            labels(&[("product", "ads"), ("run", "7.1_a-B"), ("unit", "shop")])
        );
        assert_eq!(of_call(&account, &[], [], &none()).unwrap(), account);
    }

    #[test]
    fn a_label_that_breaks_a_rule_is_named_with_the_remedy() {
        let account = labels(&[("unit", "shop")]);
        let rules = [
            rule("product", &["ads", "feed"], true),
            rule("run", &[], false),
        ];
        let long = "x".repeat(64);
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let broken: [(Pairs<'_>, &str, &str); 8] = [
            (&[], "product", "set it to ads, feed"),
            (&[("product", "adz")], "product", "use ads, feed"),
            (&[("product", "")], "product", "use ads, feed"),
            (
                &[("product", "ads"), ("prod", "x")],
                "prod",
                "it allows product, run",
            ),
            (
                &[("product", "ads"), ("unit", "else")],
                "unit",
                "leave it out",
            ),
            (&[("product", "ads"), ("run", "a b")], "run", "1 to 63"),
            (&[("product", "ads"), ("run", "")], "run", "1 to 63"),
            (&[("product", "ads"), ("run", &long)], "run", "1 to 63"),
        ];
        for (asked, key, remedy) in broken {
            let violation = of_call(&account, &rules, asked.iter().copied(), &none()).unwrap_err();

            assert_eq!(violation.field, format!("labels[{key:?}]"));
            assert!(violation.what.contains(remedy), "{violation}");
        }
    }

    #[test]
    fn a_required_label_may_come_from_the_account() {
        let account = labels(&[("product", "ads")]);

        let found = of_call(&account, &[rule("product", &["ads"], true)], [], &none());

        assert_eq!(found.unwrap(), account);
    }

    #[test]
    fn labels_of_account_and_call_are_at_most_16() {
        let keys: Vec<_> = (0..17).map(|number| format!("k{number}")).collect();
        let rules: Vec<_> = keys.iter().map(|key| rule(key, &[], false)).collect();
        let asked = |number: usize| keys.iter().take(number).map(|key| (&**key, "v"));
        let account = labels(&[("unit", "shop")]);

        assert_eq!(
            of_call(&account, &rules, asked(15), &none()).unwrap().len(),
            16
        );
        let violation = of_call(&account, &rules, asked(16), &none()).unwrap_err();
        assert_eq!(violation.field, "labels");
    }

    #[test]
    fn baggage_sets_what_the_request_leaves_open_and_its_rule_allows() {
        let account = labels(&[("unit", "shop")]);
        let from_baggage = |rule: LabelRule| LabelRule {
            from_baggage: true,
            ..rule
        };
        let rules = [
            from_baggage(rule("product", &["ads", "feed"], true)),
            from_baggage(rule("unit", &[], false)),
            rule("run", &[], false),
        ];
        let found = |asked: &[(&str, &str)], header: &str| {
            let baggage = Baggage::for_rules(&rules, [header.as_bytes()]);
            of_call(&account, &rules, asked.iter().copied(), &baggage)
        };
        let product = |value: &str| labels(&[("product", value), ("unit", "shop")]);

        let header = "product=ads,unit=else,run=7";
        assert_eq!(found(&[], header).unwrap(), product("ads"));
        let asked = [("product", "feed")];
        assert_eq!(found(&asked, header).unwrap(), product("feed"));
        assert_eq!(found(&asked, "product=junk").unwrap(), product("feed"));
        let missing = found(&[], "product=junk").unwrap_err();
        assert_eq!(missing.field, "labels[\"product\"]");
        assert!(missing.what.contains("`baggage`"), "{missing}");
    }

    #[test]
    fn baggage_never_sets_more_labels_than_a_call_may_have() {
        let keys: Vec<_> = (0..17).map(|number| format!("k{number}")).collect();
        let rules = keys.iter().map(|key| LabelRule {
            from_baggage: true,
            ..rule(key, &[], false)
        });
        let rules: Vec<_> = rules.collect();
        let members: Vec<_> = keys.iter().map(|key| format!("{key}=v")).collect();
        let header = members.join(",");
        let baggage = Baggage::for_rules(&rules, [header.as_bytes()]);

        let found = of_call(&Arc::default(), &rules, [], &baggage).unwrap();

        assert_eq!(found.len(), MAX_LABELS);
    }
}
