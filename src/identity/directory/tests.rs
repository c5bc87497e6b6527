use std::time::{Duration, UNIX_EPOCH};

use crate::identity::key::KeyHash;
use crate::identity::record::{AccountRecord, DirectoryRecords, KeyRecord, ProofBinding};
use crate::identity::specimens;
use crate::identity::{Action, CredentialKind, LOCAL, LabelRule};

use super::complaints::{DirectoryMistake, MistakenRecord};
use super::numbers::AccountNumbers;
use super::*;

fn account(id: &str, kind: AccountKind, parent: Option<&str>) -> AccountRecord {
    AccountRecord {
        id: id.to_owned(),
        kind,
        parent: parent.map(str::to_owned),
        display_name: String::new(),
        scopes: None,
        labels: Labels::new(),
        label_rules: None,
        time_zone: None,
        bindings: Vec::new(),
        closed: None,
        kept_in: format!("the place of {id}"),
    }
}

fn key(id: &str, account: &str, number: u8) -> KeyRecord {
    KeyRecord {
        hash: KeyHash::from_bytes([number; 32]),
        ..specimens::key(id, account)
    }
}

/// An organisation with a team with a caller, and a caller without a team.
fn family() -> Vec<AccountRecord> {
    vec![
        account("indexer", AccountKind::Caller, Some("search")),
        account("search", AccountKind::Team, Some("shop")),
        account("shop", AccountKind::Organisation, None),
        account("cron", AccountKind::Caller, Some("shop")),
    ]
}

fn generate(scenarios: &[&str]) -> Scope {
    Scope {
        scenarios: Some(scenarios.iter().map(|name| (*name).to_owned()).collect()),
        ..Scope::of(Action::Generate)
    }
}

fn build(
    accounts: &[AccountRecord],
    keys: &[KeyRecord],
) -> Result<Directory, Vec<DirectoryMistake>> {
    after(&Directory::default(), accounts, keys)
}

fn after(
    previous: &Directory,
    accounts: &[AccountRecord],
    keys: &[KeyRecord],
) -> Result<Directory, Vec<DirectoryMistake>> {
    let records = DirectoryRecords {
        accounts,
        keys,
        anonymous: None,
        reads_certificates: true,
        pattern: None,
        nameable: None,
    };
    Directory::build(&records, previous, &AccountNumbers::default())
}

fn of_key(directory: &Directory, number: u8) -> &KeyEntry {
    &directory.keys[&KeyHash::from_bytes([number; 32])]
}

#[test]
fn a_caller_has_its_place_whatever_the_order_of_the_records() {
    let directory = build(&family(), &[key("k1", "indexer", 1), key("k2", "cron", 2)]).unwrap();

    let path = &of_key(&directory, 1).identity.account;
    assert_eq!(&*path.caller, "indexer");
    assert_eq!(path.team.as_deref(), Some("search"));
    assert_eq!(path.organisation.as_deref(), Some("shop"));
    let path = &of_key(&directory, 2).identity.account;
    assert_eq!((&*path.caller, path.team.as_deref()), ("cron", None));
    assert_eq!(path.organisation.as_deref(), Some("shop"));
}

#[test]
fn scopes_are_those_of_key_caller_team_and_organisation_together() {
    let mut accounts = family();
    accounts[2].scopes = Some(vec![
        generate(&["a*", "b*", "c"]),
        Scope::of(Action::UsageRead),
    ]);
    accounts[1].scopes = Some(vec![generate(&["a*", "b1"])]);
    let mut narrow = key("k1", "indexer", 1);
    narrow.scopes = Some(vec![generate(&["a1", "b*", "c"])]);
    let wide = key("k2", "indexer", 2);

    let directory = build(&accounts, &[narrow, wide]).unwrap();

    let scopes = |number| of_key(&directory, number).identity.scopes.to_vec();
    assert_eq!(scopes(1), [generate(&["a1", "b1"])]);
    assert_eq!(scopes(2), [generate(&["a*", "b1"])]);
}

#[test]
fn labels_add_up_and_rules_and_the_time_zone_are_inherited_until_an_account_has_its_own() {
    let mut accounts = family();
    let rule = |key: &str| {
        vec![LabelRule {
            key: key.into(),
            values: Vec::new(),
            required: false,
            from_baggage: false,
        }]
    };
    accounts[2].labels.insert("unit".into(), "shop".into());
    accounts[2].label_rules = Some(rule("product"));
    accounts[2].time_zone = Some("Asia/Shanghai".to_owned());
    accounts[1].labels.insert("team".into(), "search".into());
    accounts[0].time_zone = Some("Europe/Berlin".to_owned());
    accounts[3].label_rules = Some(Vec::new());

    let directory = build(&accounts, &[key("k1", "indexer", 1), key("k2", "cron", 2)]).unwrap();

    let indexer = &of_key(&directory, 1).identity;
    assert_eq!(indexer.labels.len(), 2);
    assert_eq!(&*indexer.label_rules[0].key, "product");
    assert_eq!(&*indexer.time_zone, "Europe/Berlin");
    let cron = &of_key(&directory, 2).identity;
    assert_eq!(cron.labels.len(), 1);
    assert!(cron.label_rules.is_empty());
    assert_eq!(&*cron.time_zone, "Asia/Shanghai");
}

#[test]
fn a_closed_account_refuses_everything_below_it() {
    for closed in ["shop", "search", "indexer"] {
        let mut accounts = family();
        for account in &mut accounts {
            account.closed = (account.id == closed).then_some(CallsUnderWay::End);
        }
        let directory = build(&accounts, &[key("k1", "indexer", 1)]).unwrap();

        assert_eq!(of_key(&directory, 1).state(UNIX_EPOCH), KeyState::Revoked);
    }
}

#[test]
fn a_key_holds_until_the_earlier_of_its_end_and_the_end_of_its_rotation() {
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let mut rotated = key("k1", "indexer", 1);
    rotated.expires = Some(at(20));
    rotated.rotated_until = Some(at(10));

    let directory = build(&family(), &[rotated]).unwrap();

    assert_eq!(of_key(&directory, 1).identity.expires, Some(at(10)));
    assert_eq!(of_key(&directory, 1).state(at(9)), KeyState::Rotated);
    assert_eq!(of_key(&directory, 1).state(at(10)), KeyState::Expired);
}

#[test]
fn no_list_of_scopes_gives_a_key_something_of_the_other_kind() {
    let mut accounts = family();
    accounts[2].scopes = Some(Action::ALL.into_iter().map(Scope::of).collect());
    accounts[1].scopes = accounts[2].scopes.clone();
    for (kind, number) in [(KeyKind::Data, 2), (KeyKind::Administration, 6)] {
        let mut caller = account("one", AccountKind::Caller, Some("search"));
        let of_kind = |action: &Action| action.kind() == kind;
        let actions = Action::ALL.into_iter().filter(of_kind);
        caller.scopes = Some(actions.map(Scope::of).collect());
        accounts.push(caller);

        let directory = build(&accounts, &[key("k1", "one", 1)]).unwrap();

        let entry = of_key(&directory, 1);
        assert_eq!(entry.kind, kind);
        assert_eq!(entry.identity.scopes.len(), number);
        accounts.pop();
    }
    // A data key of a caller that may administer has nothing.
    let mut admin = account("one", AccountKind::Caller, Some("search"));
    admin.scopes = Some(vec![Scope::of(Action::Operate)]);
    accounts.push(admin);
    let mut data = key("k1", "one", 1);
    data.kind = Some(KeyKind::Data);
    assert!(
        of_key(&build(&accounts, &[data]).unwrap(), 1)
            .identity
            .scopes
            .is_empty()
    );
}

#[test]
fn every_mistake_is_told_with_the_other_place_and_the_remedy() {
    let mut accounts = family();
    accounts.push(account("shop", AccountKind::Caller, None));
    accounts.push(account("Über", AccountKind::Caller, None));
    accounts.push(account("a", AccountKind::Team, Some("search")));
    accounts.push(account("b", AccountKind::Caller, Some("serach")));
    accounts.push(account("c", AccountKind::Organisation, Some("shop")));
    let mut mixed = account("d", AccountKind::Caller, None);
    mixed.scopes = Some(vec![
        Scope::of(Action::Generate),
        Scope::of(Action::Operate),
    ]);
    mixed.time_zone = Some("Mars/Olympus".to_owned());
    mixed.labels.insert("a b".into(), "x".into());
    accounts.push(mixed);
    accounts[1].bindings = vec![ProofBinding::CommonName("x".to_owned())];
    let same = vec![ProofBinding::AlternativeName("A.test".to_owned())];
    accounts[0].bindings = same.clone();
    accounts[3].bindings = vec![ProofBinding::AlternativeName("a.TEST".to_owned())];
    let keys = [
        key("k1", "indexer", 1),
        key("k1", "cron", 2),
        key("k3", "indexer", 1),
        key("k4", "search", 4),
        key("k5", "indexr", 5),
    ];

    let mistakes = build(&accounts, &keys).unwrap_err();

    let told: Vec<_> = mistakes
        .iter()
        .map(|mistake| {
            format!(
                "{:?} {}: {}; {}",
                mistake.record, mistake.field, mistake.what, mistake.remedy
            )
        })
        .collect();
    let told = told.join("\n");
    for part in [
        "Account(4) id: `shop` is also the id of the account in the place of shop",
        "Account(5) id: `Über` cannot be the id of an account; write 1 to 64",
        "Account(6) parent: `search` in the place of search is a team, which cannot be above a team",
        "Account(7) parent: there is no account `serach`; did you mean `search`?",
        "Account(8) parent: an organisation has no account above it; leave `parent` out",
        "Account(9) scopes: a caller has scopes for data or for administration",
        "Account(9) time_zone: there is no time zone `Mars/Olympus`",
        "Account(9) labels: `a b` cannot be in a label",
        "Account(1) bindings: a team holds no credentials",
        "Account(3) bindings: the same proof is bound to `indexer` in the place of indexer",
        "Key(1) id: `k1` is also the id of the key in the place of k1",
        "Key(2) sha256: the key `k1` in the place of k1 has the same secret",
        "Key(3) account: `search` is a team; only callers hold data keys",
        "Key(4) account: there is no account `indexr`, whose is the key `k5` in the place of k5; did you mean `indexer`?; to \
         take an account away, revoke its keys first",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[test]
fn an_account_may_go_as_soon_as_its_keys_are_revoked() {
    let mut of_gone = key("k", "gone", 9);
    let refused = build(&family(), std::slice::from_ref(&of_gone)).unwrap_err();
    assert!(refused[0].what.contains("key `k`"), "{refused:?}");
    assert!(
        refused[0].remedy.contains("revoke its keys first"),
        "{refused:?}"
    );

    of_gone.revoked = Some(CallsUnderWay::End);

    assert!(build(&family(), &[of_gone]).unwrap().keys.is_empty());
}

#[test]
fn calls_without_a_credential_are_an_account_that_the_rules_name() {
    let accounts = family();
    let anonymous = |id: &'static str| {
        let records = DirectoryRecords {
            accounts: &accounts,
            anonymous: Some(id),
            ..DirectoryRecords::default()
        };
        Directory::build(&records, &Directory::default(), &AccountNumbers::default())
    };

    let directory = anonymous("cron").unwrap();
    let identity = directory.anonymous().unwrap();
    assert_eq!(&*identity.account.caller, "cron");
    assert_eq!(identity.kind, CredentialKind::Anonymous);
    let local = anonymous(LOCAL).unwrap();
    assert!(!local.is_closed(local.anonymous().unwrap()));
    assert_eq!(local.anonymous().unwrap().number, Identity::local().number);
    for (id, part) in [("corn", "`cron`"), ("search", "is not a caller but a team")] {
        let mistakes = anonymous(id).unwrap_err();
        assert_eq!(mistakes[0].record, MistakenRecord::Rules);
        let told = format!("{}; {}", mistakes[0].what, mistakes[0].remedy);
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn open_calls_end_with_their_credential_and_with_no_other() {
    let keys = |number: u8| key(&format!("k{number}"), "indexer", number);
    let before = build(
        &family(),
        &[keys(1), keys(2), keys(3), keys(4), key("k5", "cron", 5)],
    )
    .unwrap();
    let standing = |number: u8| Arc::clone(&of_key(&before, number).identity.standing);
    let standings: Vec<_> = (1..=5).map(standing).collect();
    standings[0].is_used(UNIX_EPOCH + Duration::from_secs(600));

    let mut revoked = keys(2);
    revoked.revoked = Some(CallsUnderWay::End);
    let mut spared = keys(3);
    spared.revoked = Some(CallsUnderWay::GoOn);
    let mut expired = keys(4);
    expired.expires = Some(UNIX_EPOCH);
    let next = after(&before, &family(), &[keys(1), revoked, spared, expired]).unwrap();
    let ended = || -> Vec<_> {
        standings
            .iter()
            .map(|standing| standing.has_ended())
            .collect()
    };
    assert_eq!(ended(), [false; 5], "building a directory changes nothing");

    assert_eq!(next.end_what_is_gone(&before), 2);

    assert_eq!(ended(), [false, true, false, false, true]);
    let kept = &of_key(&next, 1).identity.standing;
    assert!(kept.last_used().is_some(), "a key keeps its last use");

    // A key that is accepted again has a standing of its own; those of a closed account end.
    let again = after(&next, &family(), &[keys(1), keys(2)]).unwrap();
    again.end_what_is_gone(&next);
    assert!(!of_key(&again, 2).identity.standing.has_ended());
    let mut closed = family();
    closed[2].closed = Some(CallsUnderWay::End);
    let last = after(&again, &closed, &[keys(1), keys(2)]).unwrap();
    last.end_what_is_gone(&again);
    assert!(of_key(&again, 1).identity.standing.has_ended());
}

#[test]
fn keys_are_counted_by_what_becomes_of_them() {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let hours = |hours: u64| Some(now + Duration::from_secs(hours * 3_600));
    let day = 24;
    let with = |number: u8, expires| KeyRecord {
        expires,
        ..key(&format!("k{number}"), "cron", number)
    };
    let keys = [
        with(1, None),
        with(2, hours(7 * day + 1)),
        with(3, hours(7 * day)),
        with(4, hours(day + 1)),
        with(5, hours(day)),
        with(6, Some(now)),
        KeyRecord {
            rotated_until: hours(1),
            ..with(7, None)
        },
        KeyRecord {
            revoked: Some(CallsUnderWay::End),
            ..with(8, hours(1))
        },
    ];
    let directory = build(&family(), &keys).unwrap();

    let counts = directory.keys_by_state(now);

    let named = census::CountedState::ALL.map(|state| state.name());
    let counted: Vec<_> = named.into_iter().zip(counts).collect();
    let expected = [
        ("active", 2),
        ("ends_within_week", 2),
        ("ends_within_day", 1),
        ("rotated", 1),
        ("expired", 1),
        ("revoked", 1),
    ];
    assert_eq!(counted, expected);
}
