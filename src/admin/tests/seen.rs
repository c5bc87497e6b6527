//! Does an administrator of a team read nothing of what it does not see, also in the messages that refuse it?

use crate::error::LimitUnit;
use crate::identity::specimens::key;
use crate::limits::book::LimitBook;
use crate::limits::{Enforcement, Limit, LimitGround, LimitMatch, LimitRecord, LimitWindow, Zone};

use super::*;

/// The accounts and keys of the file, which are none of the team's.
fn of_file() -> Settings {
    let mut org = account("hidden-org", AccountKind::Organisation, None);
    org.kept_in = "line 3 (`accounts[0]`)".to_owned();
    let mut caller = account("hidden-file", AccountKind::Caller, Some("hidden-org"));
    caller.kept_in = "line 7 (`accounts[1]`)".to_owned();
    let key = KeyRecord {
        kept_in: "line 9 (`keys[0]`)".to_owned(),
        ..key("hidden-key", "hidden-file")
    };
    Settings {
        accounts: vec![org, caller],
        keys: vec![key],
        ..Settings::default()
    }
}

pub(super) fn limit(id: &str, accounts: &[&str]) -> Limit {
    Limit {
        id: id.into(),
        description: String::new(),
        matching: LimitMatch {
            accounts: accounts.iter().map(|id| Arc::from(*id)).collect(),
            ..LimitMatch::default()
        },
        per: Vec::new(),
        unit: LimitUnit::Requests,
        amount: 10,
        window: Some(LimitWindow::Day),
        zone: Zone::UTC,
        thresholds: Vec::new(),
        enforcement: Enforcement::Hard,
        unknown_ceiling: None,
    }
}

pub(super) fn put_limit(
    admin: &Administration,
    by: &Administrator,
    limit: Limit,
) -> Result<ListedLimit, AdminError> {
    let change = LimitChange {
        record: LimitRecord { limit, zone: None },
        version: None,
        comment: String::new(),
    };
    admin.put_limit(by, change, now())
}

/// Two teams of the store beside the file, with a limit on the other one in each, and the administrator of `own`.
fn two_teams() -> (Place, Administrator) {
    let mut place = Place::beside(of_file());
    let book = LimitBook::new(Limits::none(), Box::new(|_| Ok(PriorUse::default())));
    let ground = LimitGround {
        file: "modelway.toml".to_owned(),
        limits: vec![limit("hidden-file-limit", &["hidden-file"])],
        ..LimitGround::default()
    };
    book.follow_file(
        ground,
        &place.directory(),
        PriorUse::default(),
        Now::of_clocks(),
    );
    let taken = Place::new();
    let admin = std::mem::replace(&mut place.admin, taken.other_process());
    place.admin = admin.limiting(Arc::new(book)).unwrap();
    let rights = [
        Action::Generate,
        Action::AdminAccounts,
        Action::AdminLimits,
        Action::AdminRead,
    ];
    for team in ["own", "hidden-team"] {
        place.put(may(account(team, AccountKind::Team, None), &rights));
        let mut caller = account(&format!("{team}-caller"), AccountKind::Caller, Some(team));
        caller.bindings = vec![ProofBinding::CommonName(format!("cn-{team}"))];
        place.put(caller);
    }
    put_limit(
        &place.admin,
        &root(),
        limit("hidden-limit", &["hidden-team"]),
    )
    .unwrap();
    let by = place.administrator("own", &rights[1..]);
    (place, by)
}

#[test]
fn no_refusal_names_an_account_a_key_or_a_limit_that_the_administrator_does_not_see() {
    let (place, by) = two_teams();
    let admin = &place.admin;
    let foreign_key = place.key("hidden-team-caller", None).key.stored.key.id;
    let below = |id: &str, parent: &str| account(id, AccountKind::Caller, Some(parent));
    let bound = AccountRecord {
        bindings: vec![ProofBinding::CommonName("cn-hidden-team".to_owned())],
        ..below("new", "own")
    };
    let write = |record| {
        let change = AccountChange {
            account: record,
            version: None,
            comment: String::new(),
        };
        admin.put_account(&by, change, now()).map(drop)
    };
    let revoked = |id: &str| revoke(admin, &by, id).map(drop);
    let put_limit = |limit| put_limit(admin, &by, limit).map(drop);
    let deleted = |id: &str| admin.delete_limit(&by, id, "", now());

    // What was asked for, and what it may name of all that is hidden: nothing but what the request itself names.
    let refusals = [
        ("", write(below("new", "zz"))),
        ("hidden-org", write(below("new", "hidden-org"))),
        ("hidden-file", write(below("new", "hidden-file"))),
        ("hidden-file", write(below("hidden-file", "own"))),
        (
            "hidden-team-caller",
            write(below("hidden-team-caller", "own")),
        ),
        ("", write(bound)),
        (
            "hidden-file",
            admin.close_account(&by, "hidden-file", "", now()).map(drop),
        ),
        (
            "hidden-team",
            admin.close_account(&by, "hidden-team", "", now()).map(drop),
        ),
        ("hidden-key", revoked("hidden-key")),
        ("", revoked(&foreign_key)),
        (
            "hidden-team",
            admin.accounts(&by, Some("hidden-team")).map(drop),
        ),
        (
            "hidden-team",
            admin.keys(&by, Some("hidden-team"), now()).map(drop),
        ),
        (
            "hidden-file-limit",
            put_limit(limit("hidden-file-limit", &["own-caller"])),
        ),
        (
            "hidden-limit",
            put_limit(limit("hidden-limit", &["own-caller"])),
        ),
        ("hidden-file-limit", deleted("hidden-file-limit")),
        ("hidden-limit", deleted("hidden-limit")),
    ];

    for (number, (named, refused)) in refusals.into_iter().enumerate() {
        let told = refused.expect_err(named).to_string();
        let rest = told.replace(&format!("`{named}`"), "");
        for secret in ["hidden", "modelway.toml", "line ", "etag"] {
            assert!(!rest.contains(secret), "{number}: {told}");
        }
    }
    let unknown = write(below("new", "zz")).unwrap_err();
    assert!(
        unknown.to_string().contains("use one of `own`"),
        "{unknown}"
    );
    assert!(matches!(revoked(&foreign_key), Err(AdminError::Denied(_))));
}

#[test]
fn an_administrator_of_the_whole_service_is_told_where_everything_stands() {
    let (place, _) = two_teams();

    let unknown = account("new", AccountKind::Caller, Some("zz"));
    let unknown = put(&place.admin, &root(), unknown).unwrap_err();
    let of_file = account("hidden-file", AccountKind::Caller, None);
    let of_file = put(&place.admin, &root(), of_file).unwrap_err();

    assert!(unknown.to_string().contains("`hidden-org`"), "{unknown}");
    assert!(of_file.to_string().contains("line 7"), "{of_file}");
}
