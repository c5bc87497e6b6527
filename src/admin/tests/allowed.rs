//! Is nothing written that can never be used, and nothing given that whoever gives it does not have?

use super::*;

fn data_shop() -> Place {
    let place = Place::new();
    let data = [Action::Generate];
    place.put(may(account("shop", AccountKind::Organisation, None), &data));
    let search = account("search", AccountKind::Team, Some("shop"));
    place.put(may(search, &data));
    place.put(account("search-api", AccountKind::Caller, Some("search")));
    place
}

fn make(
    place: &Place,
    by: &Administrator,
    id: &str,
    actions: &[Action],
) -> Result<MadeKey, AdminError> {
    let wish = KeyWish {
        account: id.to_owned(),
        scopes: Some(scopes(actions)),
        ..KeyWish::default()
    };
    place.admin.create_key(by, wish, now())
}

/// The one violation of a request: its field and what it says.
fn violation(error: AdminError) -> (String, String) {
    match error {
        AdminError::Invalid(violations) if violations.len() == 1 => {
            (violations[0].field.clone(), violations[0].what.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_not_made_with_a_scope_that_its_account_or_one_above_does_not_allow() {
    let place = data_shop();
    let refused =
        |actions: &[Action]| violation(make(&place, &root(), "search-api", actions).unwrap_err());

    for (actions, field, above, remedy) in [
        (
            &[Action::Operate][..],
            "key.scopes[0]",
            "`search-api`",
            "take another one",
        ),
        (
            &[Action::AdminRead],
            "key.scopes[0]",
            "`search-api`",
            "take another one",
        ),
        (
            &[Action::Generate, Action::UsageRead],
            "key.scopes[1]",
            "the organisation `shop`",
            "give `shop` this scope",
        ),
    ] {
        let (named, what) = refused(actions);
        assert_eq!(named, field);
        assert!(what.contains(above) && what.contains(remedy), "{what}");
    }
    let elsewhere = KeyWish {
        account: "search-api".to_owned(),
        scopes: Some(vec![Scope {
            action: Action::Generate,
            scenarios: Some(Arc::new([])),
            models: Arc::new(["p/m".to_owned()]),
        }]),
        ..KeyWish::default()
    };
    let (_, what) = violation(
        place
            .admin
            .create_key(&root(), elsewhere, now())
            .unwrap_err(),
    );
    assert!(
        what.contains("allows none of its scenarios and models"),
        "{what}"
    );
    assert!(make(&place, &root(), "search-api", &[Action::Generate]).is_ok());
}

#[test]
fn an_account_is_not_written_that_could_do_less_than_it_says_or_nothing() {
    let place = data_shop();
    let below =
        |actions: &[Action]| may(account("new", AccountKind::Caller, Some("search")), actions);
    let refused = |record| violation(put(&place.admin, &root(), record).unwrap_err());

    for action in [Action::AdminRead, Action::Operate, Action::UsageRead] {
        let (field, what) = refused(below(&[action]));
        assert_eq!(field, "account.scopes[0]");
        assert!(
            what.contains(action.name()) && what.contains("`shop`"),
            "{what}"
        );
    }
    let ops = account("ops-team", AccountKind::Team, None);
    place.put(may(ops, &[Action::AdminRead]));
    let (field, what) = refused(account("new", AccountKind::Caller, Some("ops-team")));
    assert_eq!(field, "account.scopes");
    assert!(what.contains("`ops-team`"), "{what}");
    place
        .admin
        .close_account(&root(), "search", "", now())
        .unwrap();
    let (field, what) = refused(below(&[Action::Generate]));
    assert_eq!(field, "account.parent");
    assert!(what.contains("`search` is closed"), "{what}");
}

#[test]
fn what_was_allowed_when_it_was_written_stays_and_goes_on_when_less_is_allowed_above() {
    let place = shop();
    let both = [Action::Generate, Action::UsageRead];
    let caller = may(
        account("search-caller", AccountKind::Caller, Some("search")),
        &both,
    );
    place.put(caller.clone());
    let key = place
        .key("search-caller", Some(scopes(&both)))
        .key
        .stored
        .key
        .id;
    place.put(may(
        account("search", AccountKind::Team, Some("shop")),
        &[Action::Generate],
    ));

    let renamed = AccountRecord {
        display_name: "Search".to_owned(),
        ..caller
    };
    place.put(renamed.clone());
    let rotation = Rotation {
        id: key,
        ..Rotation::default()
    };
    assert!(place.admin.rotate_key(&root(), rotation, now()).is_ok());

    // Somewhere else it would be written anew.
    let moved = AccountRecord {
        parent: Some("search-2".to_owned()),
        ..renamed
    };
    place.put(may(
        account("search-2", AccountKind::Team, Some("shop")),
        &[Action::Generate],
    ));
    let (field, _) = violation(put(&place.admin, &root(), moved).unwrap_err());
    assert_eq!(field, "account.scopes[1]");
}

#[test]
fn nobody_gives_an_action_that_it_does_not_have_also_where_it_would_grant_nothing_yet() {
    let place = shop();
    let rights = [Action::AdminAccounts, Action::AdminRead];
    let team = account("search", AccountKind::Team, Some("shop"));
    place.put(may(
        team.clone(),
        &[&rights[..], &[Action::LedgerRead]].concat(),
    ));
    let wide = place.key(
        "search",
        Some(scopes(&[Action::LedgerRead, Action::AdminRead])),
    );
    let below = account("below", AccountKind::Caller, Some("search"));
    let below = may(below, &[Action::LedgerRead]);
    place.put(below.clone());
    place.put(may(team.clone(), &rights));
    let by = place.administrator("search", &rights);

    let rotation = Rotation {
        id: wide.key.stored.key.id,
        ..Rotation::default()
    };
    let bound = AccountRecord {
        bindings: vec![ProofBinding::CommonName("mine".to_owned())],
        ..below.clone()
    };
    let new = AccountRecord {
        id: "new".to_owned(),
        ..below.clone()
    };
    for given in [
        make(&place, &by, "search", &[Action::LedgerRead]).map(drop),
        place.admin.rotate_key(&by, rotation, now()).map(drop),
        put(&place.admin, &by, new).map(drop),
        put(&place.admin, &by, bound).map(drop),
    ] {
        assert!(matches!(given, Err(AdminError::Denied(_))), "{given:?}");
    }
    let renamed = AccountRecord {
        display_name: "named before".to_owned(),
        ..below
    };
    assert!(put(&place.admin, &by, renamed).is_ok());
}

#[test]
fn an_account_above_itself_is_told_so() {
    let place = shop();

    let error = put(
        &place.admin,
        &root(),
        account("x1", AccountKind::Caller, Some("x1")),
    );

    let (field, what) = violation(error.unwrap_err());
    assert_eq!(field, "account.parent");
    assert!(what.contains("no account stands above itself"), "{what}");
}
