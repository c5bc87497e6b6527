//! What may a credential do? What its key, its caller and every account above it allow, all together. Pure.

use std::sync::Arc;

use super::key::KeyKind;
use super::{Action, Scope};

/// Stands for anything at the end of a name.
const ANYTHING: char = '*';

impl Action {
    /// Every action, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Generate,
        Self::UsageRead,
        Self::LedgerRead,
        Self::Operate,
        Self::AdminAccounts,
        Self::AdminLimits,
        Self::AdminPrices,
        Self::AdminRead,
    ];

    /// Its name in the contract and the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generate => "GENERATE",
            Self::UsageRead => "USAGE_READ",
            Self::LedgerRead => "LEDGER_READ",
            Self::Operate => "OPERATE",
            Self::AdminAccounts => "ADMIN_ACCOUNTS",
            Self::AdminLimits => "ADMIN_LIMITS",
            Self::AdminPrices => "ADMIN_PRICES",
            Self::AdminRead => "ADMIN_READ",
        }
    }

    /// The kind of key that may do it. No key of the other kind can, whatever its scopes say.
    pub fn kind(self) -> KeyKind {
        match self {
            Self::Generate | Self::UsageRead => KeyKind::Data,
            Self::LedgerRead
            | Self::Operate
            | Self::AdminAccounts
            | Self::AdminLimits
            | Self::AdminPrices
            | Self::AdminRead => KeyKind::Administration,
        }
    }
}

impl Scope {
    /// An action, for [`Action::Generate`] on all scenarios and no model.
    pub fn of(action: Action) -> Self {
        Self {
            action,
            scenarios: None,
            models: Arc::new([]),
        }
    }

    /// What an account without a parent may do unless its record says more or less.
    pub fn by_default() -> Arc<[Self]> {
        Arc::new([Self::of(Action::Generate)])
    }
}

/// Whether these scopes allow an action at all.
pub fn allow(scopes: &[Scope], action: Action) -> bool {
    scopes.iter().any(|scope| scope.action == action)
}

/// Whether these scopes allow calls for a scenario.
pub fn allow_scenario(scopes: &[Scope], id: &str) -> bool {
    generating(scopes).any(|scope| match &scope.scenarios {
        None => true,
        Some(patterns) => patterns.iter().any(|pattern| matches(pattern, id)),
    })
}

/// Whether these scopes allow calls that name a model in place of a scenario.
pub fn allow_model(scopes: &[Scope], id: &str) -> bool {
    generating(scopes).any(|scope| scope.models.iter().any(|pattern| matches(pattern, id)))
}

fn generating(scopes: &[Scope]) -> impl Iterator<Item = &Scope> {
    scopes
        .iter()
        .filter(|scope| scope.action == Action::Generate)
}

/// The part of these scopes that is for one kind of key.
pub fn of_kind(scopes: &[Scope], kind: KeyKind) -> Arc<[Scope]> {
    let of_kind = |scope: &&Scope| scope.action.kind() == kind;
    scopes.iter().filter(of_kind).cloned().collect()
}

/// What both of these allow; at most one scope for each action.
pub fn common(these: &[Scope], those: &[Scope]) -> Arc<[Scope]> {
    let mut both: Vec<Scope> = Vec::new();
    for action in Action::ALL {
        let of_action = |scope: &&Scope| scope.action == action;
        let mut found = None;
        for one in these.iter().filter(of_action) {
            for other in those.iter().filter(of_action) {
                let shared = Scope {
                    action,
                    scenarios: common_scenarios(one, other),
                    models: common_names(&one.models, &other.models).into(),
                };
                found = Some(match found {
                    None => shared,
                    Some(found) => either(found, shared),
                });
            }
        }
        both.extend(found);
    }
    // A scope for calls that allows no call is no scope.
    both.retain(|scope| {
        let none = scope.scenarios.as_deref().is_some_and(<[_]>::is_empty);
        scope.action != Action::Generate || !none || !scope.models.is_empty()
    });
    both.into()
}

fn common_scenarios(one: &Scope, other: &Scope) -> Option<Arc<[String]>> {
    match (&one.scenarios, &other.scenarios) {
        (None, None) => None,
        (Some(names), None) | (None, Some(names)) => Some(Arc::clone(names)),
        (Some(names), Some(others)) => Some(common_names(names, others).into()),
    }
}

/// What either of two scopes of one action allows.
fn either(one: Scope, other: Scope) -> Scope {
    let joined = |names: &[String], others: &[String]| {
        let mut joined = names.to_vec();
        joined.extend(others.iter().filter(|name| !names.contains(name)).cloned());
        Arc::from(joined)
    };
    Scope {
        action: one.action,
        scenarios: match (&one.scenarios, &other.scenarios) {
            (Some(names), Some(others)) => Some(joined(names, others)),
            (None, _) | (_, None) => None,
        },
        models: joined(&one.models, &other.models),
    }
}

/// The patterns for the names that match a pattern of each list.
fn common_names(these: &[String], those: &[String]) -> Vec<String> {
    let mut both = Vec::new();
    for one in these {
        for other in those {
            // Of two patterns with a name in common, one allows all that the other does.
            let narrower = match (one.strip_suffix(ANYTHING), other.strip_suffix(ANYTHING)) {
                (_, Some(beginning)) if one.starts_with(beginning) => one,
                (Some(beginning), _) if other.starts_with(beginning) => other,
                (None, None) if one == other => one,
                _ => continue,
            };
            if !both.contains(narrower) {
                both.push(narrower.clone());
            }
        }
    }
    both
}

fn matches(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix(ANYTHING) {
        Some(beginning) => id.starts_with(beginning),
        None => pattern == id,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn generate(scenarios: Option<&[&str]>, models: &[&str]) -> Scope {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Scope {
            action: Action::Generate,
            scenarios: scenarios.map(names),
            models: names(models),
        }
    }

    #[test]
    fn a_scope_allows_the_scenarios_it_names_and_no_model_unless_it_names_models() {
        let all = [Scope::of(Action::Generate)];
        assert!(allow_scenario(&all, "chat"));
        assert!(!allow_model(&all, "x/y"));

        let some = [generate(Some(&["chat", "batch-*"]), &["x/*"])];
        assert!(allow_scenario(&some, "chat"));
        assert!(allow_scenario(&some, "batch-1"));
        assert!(!allow_scenario(&some, "chats"));
        assert!(allow_model(&some, "x/y"));
        assert!(!allow_model(&some, "z/y"));

        let none = [generate(Some(&[]), &[])];
        assert!(!allow_scenario(&none, "chat"));
        assert!(!allow_scenario(&[Scope::of(Action::UsageRead)], "chat"));
    }

    #[test]
    fn administration_and_data_are_apart_whatever_a_list_says() {
        let mixed: Vec<_> = Action::ALL.into_iter().map(Scope::of).collect();

        for (kind, number) in [(KeyKind::Data, 2), (KeyKind::Administration, 6)] {
            let part = of_kind(&mixed, kind);
            assert_eq!(part.len(), number);
            assert!(part.iter().all(|scope| scope.action.kind() == kind));
        }
    }

    #[test]
    fn a_scope_without_a_scenario_in_common_is_gone() {
        let one = [generate(Some(&["a*"]), &[]), Scope::of(Action::UsageRead)];
        let other = [generate(Some(&["b"]), &[]), Scope::of(Action::UsageRead)];

        let both = common(&one, &other);

        assert_eq!(*both, [Scope::of(Action::UsageRead)]);
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[ab]{0,3}\\*?", 0..4)
    }

    fn scopes() -> impl Strategy<Value = Vec<Scope>> {
        let scope =
            (proptest::option::of(names()), names()).prop_map(|(scenarios, models)| Scope {
                action: Action::Generate,
                scenarios: scenarios.map(Into::into),
                models: models.into(),
            });
        proptest::collection::vec(scope, 0..3)
    }

    proptest! {
        #[test]
        fn what_is_common_to_scopes_is_what_each_allows(one in scopes(), other in scopes(), id in "[ab]{0,4}") {
            let both = common(&one, &other);

            prop_assert_eq!(
                allow_scenario(&both, &id),
                allow_scenario(&one, &id) && allow_scenario(&other, &id)
            );
            prop_assert_eq!(
                allow_model(&both, &id),
                allow_model(&one, &id) && allow_model(&other, &id)
            );
        }
    }
}
