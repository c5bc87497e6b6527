//! Which labels does a call have? Those of its account, and those that the caller may set and did set. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Violation, excerpt};

use super::{LabelRule, Labels, MAX_LABELS, is_label};

/// The most values of a label without a list of values that are told apart on one day.
pub const MOST_VALUES: usize = 1000;

/// What the values of a label are summed under once there are too many.
pub const OTHER: &str = "(other)";

/// The labels of a call that asks for `asked`, beside those of its account. A key that is asked for twice has its last
/// value.
///
/// # Errors
/// The first label, in the order of keys, that is missing, not allowed or has a value that is not allowed.
pub fn of_call<'a>(
    account: &Arc<Labels>,
    rules: &[LabelRule],
    asked: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Arc<Labels>, Violation> {
    let mut asked: Vec<_> = asked.into_iter().collect();
    if asked.is_empty() && !rules.iter().any(|rule| rule.required) {
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
        if !rule.values.is_empty() {
            if !rule.values.iter().any(|allowed| allowed == value) {
                let what = format!(
                    "not a value that is allowed; use {}",
                    rule.values.join(", ")
                );
                return Err(wrong(what));
            }
        } else if !is_label(value) {
            return Err(wrong(
                "a value has 1 to 63 letters, digits, `.`, `_` or `-`".to_owned(),
            ));
        }
        labels.insert(Arc::clone(&rule.key), value.into());
    }
    let missing = |rule: &&LabelRule| rule.required && !labels.contains_key(&rule.key);
    if let Some(rule) = rules.iter().find(missing) {
        let what = match rule.values.is_empty() {
            true => "the account requires this label; set it".to_owned(),
            false => format!(
                "the account requires this label; set it to {}",
                rule.values.join(", ")
            ),
        };
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

/// The path of a label in a request.
fn field(key: &str) -> String {
    format!("labels[{:?}]", excerpt(key))
}

/// Which values of labels are told apart on a day. Labels are for sums: the rows of calls keep every value.
#[derive(Debug, Default)]
pub struct LabelValues {
    /// Days since 1970, in UTC.
    day: u64,
    seen: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

impl LabelValues {
    /// The same labels, with [`OTHER`] in place of a value that is one too many on this day. Values that the rules list
    /// are always told apart.
    pub fn summed(&mut self, labels: &Arc<Labels>, rules: &[LabelRule], day: u64) -> Arc<Labels> {
        if day > self.day {
            self.day = day;
            self.seen.clear();
        }
        let mut summed = None;
        for (key, value) in labels.iter() {
            let is_listed = |rule: &LabelRule| rule.key == *key && !rule.values.is_empty();
            if rules.iter().any(is_listed) || self.is_told_apart(key, value) {
                continue;
            }
            let summed = summed.get_or_insert_with(|| Labels::clone(labels));
            summed.insert(Arc::clone(key), OTHER.into());
        }
        summed.map_or_else(|| Arc::clone(labels), Arc::new)
    }

    fn is_told_apart(&mut self, key: &Arc<str>, value: &Arc<str>) -> bool {
        let seen = self.seen.entry(Arc::clone(key)).or_default();
        if seen.contains(value) {
            return true;
        }
        let has_room = seen.len() < MOST_VALUES;
        if has_room {
            seen.insert(Arc::clone(value));
        }
        has_room
    }
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
        }
    }

    #[test]
    fn a_call_has_the_labels_of_its_account_and_those_it_may_set() {
        let account = labels(&[("unit", "shop")]);
        let rules = [
            rule("product", &["ads", "feed"], true),
            rule("run", &[], false),
        ];

        let asked = [("run", "7.1_a-B"), ("product", "ads"), ("unit", "shop")];
        let found = of_call(&account, &rules, asked).unwrap();

        assert_eq!(
            found,
            labels(&[("product", "ads"), ("run", "7.1_a-B"), ("unit", "shop")])
        );
        assert_eq!(of_call(&account, &[], []).unwrap(), account);
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
            let violation = of_call(&account, &rules, asked.iter().copied()).unwrap_err();

            assert_eq!(violation.field, format!("labels[{key:?}]"));
            assert!(violation.what.contains(remedy), "{violation}");
        }
    }

    #[test]
    fn a_required_label_may_come_from_the_account() {
        let account = labels(&[("product", "ads")]);

        let found = of_call(&account, &[rule("product", &["ads"], true)], []);

        assert_eq!(found.unwrap(), account);
    }

    #[test]
    fn labels_of_account_and_call_are_at_most_16() {
        let keys: Vec<_> = (0..17).map(|number| format!("k{number}")).collect();
        let rules: Vec<_> = keys.iter().map(|key| rule(key, &[], false)).collect();
        let asked = |number: usize| keys.iter().take(number).map(|key| (&**key, "v"));
        let account = labels(&[("unit", "shop")]);

        assert_eq!(of_call(&account, &rules, asked(15)).unwrap().len(), 16);
        let violation = of_call(&account, &rules, asked(16)).unwrap_err();
        assert_eq!(violation.field, "labels");
    }

    #[test]
    fn values_beyond_a_thousand_a_day_are_summed_together_until_the_next_day() {
        let mut values = LabelValues::default();
        let mut sum = |value: &str, day| {
            let of_call = labels(&[("run", value)]);
            let summed = values.summed(&of_call, &[rule("run", &[], false)], day);
            summed.values().next().unwrap().to_string()
        };
        for number in 0..MOST_VALUES {
            let value = number.to_string();
            assert_eq!(sum(&value, 1), value);
        }
        assert_eq!(sum("1000", 1), OTHER);
        assert_eq!(sum("999", 1), "999");
        assert_eq!(sum("1000", 2), "1000");

        let mut listed = LabelValues::default();
        let rules = [rule("run", &["a"], false)];
        listed.summed(&labels(&[("run", "a")]), &rules, 1);
        assert!(listed.seen.is_empty());
    }
}
