//! What is wrong with a limit that an administrator writes? The same that is a mistake in the configuration file. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{LimitUnit, excerpt};
use crate::identity::AccountPath;
use crate::identity::directory::Directory;

use super::check::{TooManyLimits, at_most_applying};
use super::ground::{LedgerLack, LimitGround};
use super::limit::{
    Enforcement, Limit, LimitDimension, LimitMatch, MOST_APPLYING, MOST_THRESHOLDS,
};
use super::record::LimitRecord;
use super::windows::LimitWindow;

/// The largest count that a limit can have.
pub const HIGHEST_COUNT: i64 = 1_000_000_000_000_000;

/// The most characters of a description.
pub const MOST_DESCRIPTION: usize = 256;

/// A field of a limit that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitFault {
    /// The field, such as `match.accounts[0]`.
    pub field: String,
    /// What is wrong, and what helps.
    pub what: String,
}

/// Collects what is wrong.
#[derive(Default)]
struct LimitFaults(Vec<LimitFault>);

impl LimitFaults {
    fn add(&mut self, field: impl Into<String>, what: impl Into<String>) {
        self.0.push(LimitFault {
            field: field.into(),
            what: what.into(),
        });
    }
}

/// What is wrong with a limit beside these others, on this ground.
pub fn judge(
    record: &LimitRecord,
    others: &[Limit],
    ground: &LimitGround,
    directory: &Directory,
) -> Vec<LimitFault> {
    let limit = &record.limit;
    let mut faults = LimitFaults::default();
    texts(limit, &mut faults);
    amounts(record, &mut faults);
    names(&limit.matching, ground, directory, &mut faults);
    dimensions(&limit.per, directory, &mut faults);
    money(limit, ground, &mut faults);
    if faults.0.is_empty() {
        applying(limit, others, ground, directory, &mut faults);
    }
    faults.0
}

fn texts(limit: &Limit, faults: &mut LimitFaults) {
    let is_legal =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if !(1..=64).contains(&limit.id.len()) || !limit.id.bytes().all(is_legal) {
        let what = match limit.id.is_empty() {
            true => "it is required".to_owned(),
            false => format!("`{}` cannot be the id of a limit", excerpt(&limit.id)),
        };
        let remedy = "write 1 to 64 small letters, digits, `.`, `_` or `-`";
        faults.add("id", format!("{what}; {remedy}"));
    }
    let characters = limit.description.chars().count();
    if characters > MOST_DESCRIPTION {
        let what =
            format!("it has {characters} characters; at most {MOST_DESCRIPTION} are allowed");
        faults.add("description", what);
    }
    if limit.description.chars().any(char::is_control) {
        faults.add("description", "it has control characters; leave them out");
    }
}

fn amounts(record: &LimitRecord, faults: &mut LimitFaults) {
    let limit = &record.limit;
    let highest = match limit.unit.is_money() {
        true => i64::MAX,
        false => HIGHEST_COUNT,
    };
    if !(0..=highest).contains(&limit.amount) {
        faults.add("amount", format!("use 0 to {highest}"));
    }
    match (limit.unit, limit.window) {
        (LimitUnit::ConcurrentCalls, Some(_)) => faults.add(
            "window",
            "open calls are counted at every moment, in no window; leave it out",
        ),
        (LimitUnit::ConcurrentCalls, None) | (_, Some(_)) => {}
        (_, None) => faults.add(
            "window",
            "it is required; use one of LimitWindow, such as LIMIT_WINDOW_MONTH",
        ),
    }
    if record.zone.is_some() && !limit.begins_in_zone() {
        faults.add(
            "time_zone",
            "the window of the limit is the same in every time zone; leave it out",
        );
    }
    let thresholds = &limit.thresholds;
    let never = matches!(limit.window, None | Some(LimitWindow::Minute));
    if never && !thresholds.is_empty() {
        faults.add(
            "thresholds",
            "limits by the minute and limits on open calls announce no thresholds; leave them out",
        );
    }
    let are_percentages = thresholds.iter().all(|it| (1..=100).contains(it));
    if !are_percentages
        || thresholds.len() > MOST_THRESHOLDS
        || !thresholds.is_sorted_by(|one, next| one < next)
    {
        faults.add(
            "thresholds",
            format!(
                "use at most {MOST_THRESHOLDS} percentages from 1 to 100, each higher than the one before"
            ),
        );
    }
    match limit.unknown_ceiling {
        Some(_) if !limit.unit.is_money() => faults.add(
            "unknown_ceiling",
            "only limits on money and waste need a ceiling for unknown prices; leave it out",
        ),
        Some(..0) => faults.add("unknown_ceiling", "it is negative; use 0 or more nano-USD"),
        Some(_) | None => {}
    }
}

fn names(
    matching: &LimitMatch,
    ground: &LimitGround,
    directory: &Directory,
    faults: &mut LimitFaults,
) {
    let LimitMatch {
        accounts,
        scenarios,
        providers,
        models,
        labels,
    } = matching;
    for (at, id) in accounts.iter().enumerate() {
        // Issuers of tokens name their accounts `ISSUER:SUBJECT`; those are not in the directory.
        if directory.account(id).is_none() && !id.contains(':') {
            let id = excerpt(id);
            faults.add(
                format!("match.accounts[{at}]"),
                format!("there is no account `{id}`; create it first"),
            );
        }
    }
    if let Some(known) = &ground.scenarios {
        let targets = &ground.targets;
        let mut listed = |what: &str, names: &[Arc<str>], is_known: &dyn Fn(&str) -> bool| {
            for (at, name) in names.iter().enumerate() {
                if !is_known(name) {
                    let name = excerpt(name);
                    faults.add(
                        format!("match.{what}s[{at}]"),
                        format!("the configuration has no {what} `{name}`; correct the name"),
                    );
                }
            }
        };
        listed("scenario", scenarios, &|name| {
            known.iter().any(|scenario| **scenario == *name)
        });
        listed("provider", providers, &|name| {
            targets.iter().any(|target| *target.provider == *name)
        });
        listed("model", models, &|name| {
            targets.iter().any(|target| *target.model == *name)
        });
    }
    for (key, value) in labels {
        let field = format!("match.labels[\"{}\"]", excerpt(key));
        if !has_label(directory, key) {
            faults.add(
                field,
                "no account has this label; add it to the `label_rules` or the `labels` of one",
            );
        } else if !allows(directory, key, value) {
            faults.add(
                field,
                "no account allows this value; use one that `label_rules` list, or add it there",
            );
        }
    }
}

fn dimensions(per: &[LimitDimension], directory: &Directory, faults: &mut LimitFaults) {
    let mut seen = BTreeSet::new();
    for (at, dimension) in per.iter().enumerate() {
        if !seen.insert(dimension.name()) {
            faults.add(
                format!("per[{at}]"),
                "it stands here twice; remove one of them",
            );
        }
        if let LimitDimension::Label(key) = dimension
            && !has_label(directory, key)
        {
            faults.add(
                format!("per[{at}].label"),
                format!(
                    "no account has a label `{}`; add it to the `label_rules` or the `labels` of one",
                    excerpt(key)
                ),
            );
        }
    }
}

fn has_label(directory: &Directory, key: &str) -> bool {
    directory.accounts().any(|(_, account)| {
        account.labels.contains_key(key) || account.label_rules.iter().any(|rule| *rule.key == *key)
    })
}

fn allows(directory: &Directory, key: &str, value: &str) -> bool {
    directory.accounts().any(|(_, account)| {
        let own = account.labels.get(key);
        own.is_some_and(|own| **own == *value)
            || account.label_rules.iter().any(|rule| {
                *rule.key == *key
                    && (rule.values.is_empty() || rule.values.iter().any(|known| known == value))
            })
    })
}

/// Whether it can be known what is spent.
fn money(limit: &Limit, ground: &LimitGround, faults: &mut LimitFaults) {
    if !limit.unit.is_money() {
        return;
    }
    if let (Enforcement::Hard, Some(LedgerLack { needs, remedy })) =
        (limit.enforcement, ground.lack)
    {
        faults.add(
            "enforcement",
            format!(
                "a hard limit on money needs {needs}; {remedy} in the configuration, or use LIMIT_ENFORCEMENT_WATCH"
            ),
        );
    }
    let among = |list: &[Arc<str>], name: &str| {
        list.is_empty() || list.iter().any(|known| **known == *name)
    };
    let LimitMatch {
        providers, models, ..
    } = &limit.matching;
    let mut applies = (ground.targets.iter())
        .filter(|it| among(providers, &it.provider) && among(models, &it.model))
        .peekable();
    let names_any = applies.peek().is_some();
    if names_any && limit.unknown_ceiling.is_none() && !applies.any(|target| target.has_price) {
        faults.add(
            "unknown_ceiling",
            "no model to which the limit applies has a price; give the models a price, or set what a million tokens of \
             unknown price are taken to cost",
        );
    }
}

/// Whether no call meets too many limits.
fn applying(
    limit: &Limit,
    others: &[Limit],
    ground: &LimitGround,
    directory: &Directory,
    faults: &mut LimitFaults,
) {
    let mut all: Vec<Limit> = others.to_vec();
    all.push(limit.clone());
    let targets: Vec<(&str, &str, &str)> = ground
        .targets
        .iter()
        .map(|it| (&*it.scenario, &*it.provider, &*it.model))
        .collect();
    let accounts: Vec<&AccountPath> = directory
        .accounts()
        .map(|(_, account)| &account.path)
        .collect();
    if let Err(TooManyLimits { caller, applying }) = at_most_applying(&all, accounts, &targets) {
        faults.add(
            "match",
            format!(
                "{applying} limits could then apply to one attempt of `{caller}`, and {MOST_APPLYING} may; name accounts, \
                 scenarios or models, or use `per` in place of a limit for each"
            ),
        );
    }
}
