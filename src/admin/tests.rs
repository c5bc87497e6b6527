//! What administrators can do and what not, on a store of its own directory.

mod allowed;
mod grants;
mod seen;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use secrecy::ExposeSecret as _;

use super::notes::MOST_NOTED;
use super::*;
use crate::audit::{Actor, AuditEvent};
use crate::hash::in_digits;
use crate::identity::directory::{Directory, KeyState};
use crate::identity::record::{AccountKind, AccountRecord, CallsUnderWay, KeyRecord, ProofBinding};
use crate::identity::settings::Settings;
use crate::identity::{Action, LabelRule, Labels, Scope};
use crate::store::{EventFilter, KEPT_IN, specimens};

/// An administration of its own, whose directory is removed at the end.
struct Place {
    path: PathBuf,
    admin: Administration,
}

impl Place {
    fn new() -> Self {
        Self::beside(Settings::default())
    }

    fn beside(settings: Settings) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("modelway-admin-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        let store = Store::open(&path).unwrap();
        let identities = Arc::new(Identities::new(settings).unwrap());
        let admin = Administration::new(store, identities, "modelway.toml").unwrap();
        Self { path, admin }
    }

    /// The administration of another process on the same store.
    fn other_process(&self) -> Administration {
        let store = Store::open(&self.path).unwrap();
        Administration::new(store, Arc::default(), "").unwrap()
    }

    fn put(&self, account: AccountRecord) {
        put(&self.admin, &root(), account).unwrap();
    }

    fn key(&self, account: &str, scopes: Option<Vec<Scope>>) -> MadeKey {
        let wish = KeyWish {
            account: account.to_owned(),
            scopes,
            ..KeyWish::default()
        };
        self.admin.create_key(&root(), wish, now()).unwrap()
    }

    /// The administrator who shows a key of this account with these scopes.
    fn administrator(&self, account: &str, actions: &[Action]) -> Administrator {
        let made = self.key(account, Some(scopes(actions)));
        let secret = made.secret.expose_secret().as_bytes().to_vec();
        let directory = self.directory();
        let identity = &directory.key(&secret).unwrap().identity;
        Administrator::with(identity, "192.0.2.1:7".to_owned())
    }

    fn directory(&self) -> Arc<Directory> {
        self.admin.identities().directory()
    }

    fn events(&self) -> Vec<AuditEvent> {
        let read = self.admin.events(&root(), &EventFilter::default(), 1_000);
        read.unwrap().events
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn root() -> Administrator {
    Administrator::at_command_line(7)
}

fn scopes(actions: &[Action]) -> Vec<Scope> {
    actions.iter().map(|action| Scope::of(*action)).collect()
}

fn account(id: &str, kind: AccountKind, parent: Option<&str>) -> AccountRecord {
    AccountRecord {
        id: id.to_owned(),
        kind,
        parent: parent.map(str::to_owned),
        display_name: String::new(),
        scopes: None,
        labels: Labels::default(),
        label_rules: None,
        time_zone: None,
        bindings: Vec::new(),
        closed: None,
        kept_in: KEPT_IN.to_owned(),
    }
}

fn may(account: AccountRecord, actions: &[Action]) -> AccountRecord {
    AccountRecord {
        scopes: Some(scopes(actions)),
        ..account
    }
}

fn put(
    admin: &Administration,
    by: &Administrator,
    account: AccountRecord,
) -> Result<u64, AdminError> {
    let listed = admin.accounts(&root(), None).unwrap();
    let existing = listed.iter().find(|listed| listed.account.id == account.id);
    let change = AccountChange {
        version: existing.and_then(|listed| listed.version),
        account,
        comment: "because".to_owned(),
    };
    Ok(admin.put_account(by, change, now())?.version)
}

/// An organisation with two teams and a caller in each, and an administrator for all of it.
fn shop() -> Place {
    let place = Place::new();
    let all = Action::ALL;
    place.put(may(account("shop", AccountKind::Organisation, None), &all));
    for team in ["search", "ads"] {
        place.put(may(account(team, AccountKind::Team, Some("shop")), &all));
        let caller = account(&format!("{team}-caller"), AccountKind::Caller, Some(team));
        place.put(caller);
    }
    let ops = account("ops", AccountKind::Caller, None);
    place.put(may(ops, &[Action::AdminAccounts, Action::AdminRead]));
    place
}

fn fields(error: AdminError) -> Vec<String> {
    match error {
        AdminError::Invalid(violations) => violations
            .into_iter()
            .map(|violation| violation.field)
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn revoke(admin: &Administration, by: &Administrator, id: &str) -> Result<ListedKey, AdminError> {
    let revocation = Revocation {
        id: id.to_owned(),
        calls: CallsUnderWay::End,
        comment: String::new(),
    };
    admin.revoke_key(by, revocation, now())
}

#[test]
fn an_account_is_changed_only_by_whoever_has_read_it_as_it_is() {
    let place = Place::new();
    let record = account("a", AccountKind::Caller, None);
    let change = |version| AccountChange {
        account: record.clone(),
        version,
        comment: String::new(),
    };
    let write = |version| place.admin.put_account(&root(), change(version), now());
    assert!(matches!(write(Some(1)), Err(AdminError::Changed(_))));
    let first = write(None).unwrap().version;
    assert!(matches!(write(None), Err(AdminError::Changed(_))));
    let second = write(Some(first)).unwrap().version;
    assert_ne!(first, second);

    let refused = write(Some(first));

    assert!(matches!(refused, Err(AdminError::Changed(_))));
}

#[test]
fn wrong_fields_are_named_by_their_paths() {
    let place = shop();
    let wrong = AccountRecord {
        parent: Some("nobody".to_owned()),
        time_zone: Some("Mars/Olympus".to_owned()),
        ..account("A b", AccountKind::Caller, None)
    };
    let named = fields(put(&place.admin, &root(), wrong).unwrap_err());
    for field in ["account.id", "account.parent", "account.time_zone"] {
        assert!(named.iter().any(|named| named == field), "{named:?}");
    }

    let mixed = KeyWish {
        account: "search-caller".to_owned(),
        scopes: Some(scopes(&[Action::Generate, Action::Operate])),
        expires: Some(now()),
        comment: "c".repeat(257),
        ..KeyWish::default()
    };
    let named = fields(place.admin.create_key(&root(), mixed, now()).unwrap_err());
    assert_eq!(named, ["comment", "key.scopes", "key.expire_time"]);
    // A clock tells parts of microseconds, which are not written down.
    let precise = now() + Duration::from_nanos(1);
    let ended = KeyWish {
        account: "search-caller".to_owned(),
        expires: Some(precise),
        ..KeyWish::default()
    };
    let refused = place.admin.create_key(&root(), ended, precise);
    assert_eq!(fields(refused.unwrap_err()), ["key.expire_time"]);
    let nobody = KeyWish {
        account: "serch-caller".to_owned(),
        ..KeyWish::default()
    };
    let error = place.admin.create_key(&root(), nobody, now()).unwrap_err();
    assert!(error.to_string().contains("search-caller"), "{error}");
}

#[test]
fn objects_of_the_file_are_listed_and_cannot_be_changed() {
    let of_file = AccountRecord {
        kept_in: "line 3 (`accounts[0]`)".to_owned(),
        ..account("indexer", AccountKind::Caller, None)
    };
    let key = KeyRecord {
        kept_in: "line 9 (`keys[0]`)".to_owned(),
        ..crate::identity::specimens::key("batch-1", "indexer")
    };
    let place = Place::beside(Settings {
        accounts: vec![of_file.clone()],
        keys: vec![key],
        ..Settings::default()
    });

    let errors = [
        put(&place.admin, &root(), of_file).unwrap_err(),
        place
            .admin
            .close_account(&root(), "indexer", "", now())
            .unwrap_err(),
        revoke(&place.admin, &root(), "batch-1").unwrap_err(),
    ];

    for error in errors {
        assert!(matches!(error, AdminError::Impossible(_)), "{error:?}");
        assert!(
            error.to_string().contains("`modelway.toml`, line"),
            "{error}"
        );
    }
    let accounts = place.admin.accounts(&root(), None).unwrap();
    assert_eq!((accounts.len(), accounts[0].version), (1, None));
    let keys = place.admin.keys(&root(), None, now()).unwrap();
    assert!(keys[0].is_of_file);
    // A key of the store on an account of the file works.
    place.key("indexer", None);
}

#[test]
fn an_administrator_gives_only_what_it_has() {
    let place = shop();
    let by = place.administrator("ops", &[Action::AdminAccounts]);
    let wish = |actions: &[Action]| KeyWish {
        account: "ops".to_owned(),
        scopes: Some(scopes(actions)),
        ..KeyWish::default()
    };
    let make = |actions: &[Action]| place.admin.create_key(&by, wish(actions), now());
    assert!(make(&[Action::AdminAccounts]).is_ok());

    // The account may read; this key of it may not.
    for given in [
        make(&[Action::AdminRead]).map(drop),
        make(&[Action::AdminAccounts, Action::AdminRead]).map(drop),
        put(
            &place.admin,
            &by,
            may(
                account("new", AccountKind::Caller, None),
                &[Action::Operate],
            ),
        )
        .map(drop),
    ] {
        assert!(matches!(given, Err(AdminError::Denied(_))), "{given:?}");
    }

    // Nor does it get the secret of a key that may more, or a certificate of its own for such an account.
    let stronger = place.key("ops", Some(scopes(&[Action::AdminRead])));
    let rotation = Rotation {
        id: stronger.key.stored.key.id,
        ..Rotation::default()
    };
    let rotated = place.admin.rotate_key(&by, rotation, now());
    assert!(matches!(rotated, Err(AdminError::Denied(_))), "{rotated:?}");
    let bound = AccountRecord {
        bindings: vec![ProofBinding::CommonName("mine".to_owned())],
        ..may(
            account("ops", AccountKind::Caller, None),
            &[Action::AdminAccounts, Action::AdminRead],
        )
    };
    let bound = put(&place.admin, &by, bound);
    assert!(matches!(bound, Err(AdminError::Denied(_))), "{bound:?}");
}

#[test]
fn an_administrator_of_a_team_stays_below_it() {
    let place = shop();
    let by = place.administrator("search", &[Action::AdminAccounts, Action::AdminRead]);
    let own = place.key("search-caller", None).key.stored.key.id;
    let other = place.key("ads-caller", None).key.stored.key.id;

    let seen = place.admin.accounts(&by, None).unwrap();
    let seen: Vec<_> = seen.iter().map(|listed| &*listed.account.id).collect();
    assert_eq!(seen, ["search", "search-caller"]);
    let keys = place.admin.keys(&by, None, now()).unwrap();
    assert!(keys.iter().all(|key| key.stored.key.id != other));
    assert!(revoke(&place.admin, &by, &own).is_ok());
    let new = account("indexer", AccountKind::Caller, Some("search"));
    assert!(put(&place.admin, &by, new.clone()).is_ok());

    let moved = AccountRecord {
        parent: Some("ads".to_owned()),
        ..new
    };
    let outside = [
        put(&place.admin, &by, moved),
        put(&place.admin, &by, account("top", AccountKind::Caller, None)),
        put(
            &place.admin,
            &by,
            account("ads-caller", AccountKind::Caller, Some("search")),
        ),
        put(
            &place.admin,
            &by,
            account("search", AccountKind::Team, Some("shop")),
        ),
    ];
    for refused in outside {
        assert!(matches!(refused, Err(AdminError::Denied(_))), "{refused:?}");
    }
    let revoked = revoke(&place.admin, &by, &other);
    assert!(matches!(revoked, Err(AdminError::Denied(_))), "{revoked:?}");
    let read = place.admin.events(&by, &EventFilter::default(), 1);
    assert!(matches!(read, Err(AdminError::Denied(_))));
    let wish = KeyWish {
        account: "ads-caller".to_owned(),
        ..KeyWish::default()
    };
    assert_eq!(
        fields(place.admin.create_key(&by, wish, now()).unwrap_err()),
        ["key.account"]
    );
}

#[test]
fn a_rotated_key_goes_on_for_the_overlap_and_revoking_the_new_one_does_not_revive_it() {
    let place = shop();
    let old = place.key("search-caller", None).key.stored.key.id;
    let rotation = |id: &str| Rotation {
        id: id.to_owned(),
        overlap: Some(Duration::from_secs(60)),
        ..Rotation::default()
    };
    let new = place
        .admin
        .rotate_key(&root(), rotation(&old), now())
        .unwrap();
    let new = new.key.stored.key.id;
    let state = |id: &str, at| {
        let keys = place.admin.keys(&root(), None, at).unwrap();
        keys.into_iter()
            .find(|key| key.stored.key.id == id)
            .unwrap()
            .state
    };
    let later = now() + Duration::from_secs(60);

    assert_eq!(
        (state(&old, now()), state(&new, now())),
        (KeyState::Rotated, KeyState::Active)
    );
    assert_eq!(
        (state(&old, later), state(&new, later)),
        (KeyState::Expired, KeyState::Active)
    );
    let again = place.admin.rotate_key(&root(), rotation(&old), now());
    assert!(matches!(again, Err(AdminError::Impossible(_))));
    revoke(&place.admin, &root(), &new).unwrap();
    assert_eq!(
        (state(&old, later), state(&new, later)),
        (KeyState::Expired, KeyState::Revoked)
    );
}

#[test]
fn a_new_key_lives_as_long_as_its_predecessor_had_and_no_longer_than_is_allowed() {
    let place = Place::beside(Settings {
        max_key_life: Some(Duration::from_secs(1_000)),
        ..Settings::default()
    });
    place.put(account("a", AccountKind::Caller, None));
    let unbounded = place.key("a", None).key.stored.key;
    assert_eq!(unbounded.expires, Some(now() + Duration::from_secs(1_000)));
    let wish = |seconds| KeyWish {
        account: "a".to_owned(),
        expires: Some(now() + Duration::from_secs(seconds)),
        ..KeyWish::default()
    };
    let too_long = place.admin.create_key(&root(), wish(1_001), now());
    assert_eq!(fields(too_long.unwrap_err()), ["key.expire_time"]);
    let short = place.admin.create_key(&root(), wish(100), now()).unwrap();

    let later = now() + Duration::from_secs(50);
    let rotation = Rotation {
        id: short.key.stored.key.id,
        ..Rotation::default()
    };
    let rotated = place.admin.rotate_key(&root(), rotation, later).unwrap();

    assert_eq!(
        rotated.key.stored.key.expires,
        Some(later + Duration::from_secs(100))
    );
}

#[test]
fn a_revocation_takes_effect_before_it_is_answered() {
    let place = shop();
    let (tell, told) = mpsc::channel();
    place
        .admin
        .follow_changes(Box::new(move |objects| tell.send(objects.clone()).unwrap()));
    let keys: Vec<_> = (0..100)
        .map(|_| place.key("search-caller", None).key.stored.key.id)
        .collect();
    told.try_iter().count();

    for id in &keys {
        revoke(&place.admin, &root(), id).unwrap();
        let directory = place.directory();
        let state = |key: &crate::identity::directory::KeyEntry| key.state(now());
        let mut known = directory.keys();
        let known = known.find(|key| key.identity.key_id.as_deref() == Some(id));
        assert_eq!(known.map(state), Some(KeyState::Revoked));
        let objects = told.try_iter().last().unwrap();
        let key = objects.keys.iter().find(|key| key.id == *id).unwrap();
        assert_eq!(key.revoked, Some(CallsUnderWay::End));
    }

    println!("revoked through the service: {}, bound: 0 ms", keys.len());
    let before = place.events().len();
    revoke(&place.admin, &root(), &keys[0]).unwrap();
    assert_eq!(place.events().len(), before, "the second time is no change");
}

#[test]
fn a_change_of_another_process_is_told_at_the_next_look() {
    let place = shop();
    let (tell, told) = mpsc::channel();
    place
        .admin
        .follow_changes(Box::new(move |objects| tell.send(objects.clone()).unwrap()));
    let id = place.key("search-caller", None).key.stored.key.id;
    told.try_iter().count();
    assert!(!place.admin.look().unwrap(), "the own change is no news");

    revoke(&place.other_process(), &root(), &id).unwrap();

    assert!(place.admin.look().unwrap());
    let objects = told.try_iter().last().unwrap();
    let key = objects.keys.iter().find(|key| key.id == id).unwrap();
    assert!(key.revoked.is_some());
    assert!(!place.admin.look().unwrap());
}

#[test]
fn every_change_has_one_event_and_none_shows_a_secret_or_its_hash() {
    let place = shop();
    let made = place.key("search-caller", None);
    let id = made.key.stored.key.id.clone();
    let rotation = Rotation {
        id: id.clone(),
        comment: "yearly".to_owned(),
        ..Rotation::default()
    };
    let new = place.admin.rotate_key(&root(), rotation, now()).unwrap();
    revoke(&place.admin, &root(), &id).unwrap();
    place
        .admin
        .close_account(&root(), "search-caller", "gone", now())
        .unwrap();

    let events = place.events();

    let actions: Vec<_> = events.iter().take(4).map(|event| &*event.action).collect();
    assert_eq!(
        actions,
        ["account.close", "key.revoke", "key.rotate", "key.create"]
    );
    assert_eq!(events[0].comment, "gone");
    assert_eq!(events[1].subject.as_str(), format!("key/{id}"));
    assert_eq!(events[2].actor, Actor::at_command_line(7));
    let text = format!("{events:?}");
    for made in [made, new] {
        let secret = made.secret.expose_secret();
        let hash = in_digits(made.key.stored.key.hash.as_bytes());
        for canary in [secret, &secret[4..], &*hash] {
            assert!(!text.contains(canary));
        }
        assert!(!format!("{made:?}").contains(&secret[12..]));
    }
}

#[test]
fn failed_logins_and_denied_methods_are_written_down() {
    let place = Place::new();
    let actor = Actor {
        name: "ops/key_1".to_owned(),
        origin: "192.0.2.1:7".to_owned(),
    };
    place.admin.note_denied(now(), actor, "PutAccount");
    for _ in 0..3 {
        place.admin.count_failed_login(now(), "192.0.2.9");
    }
    place.admin.write_logins(now(), false).unwrap();
    assert_eq!(place.events().len(), 1, "the minute has not ended");
    place
        .admin
        .write_logins(now() + Duration::from_secs(60), false)
        .unwrap();

    let events = place.events();

    assert_eq!(
        (&*events[1].action, &*events[1].code),
        ("denied", "PERMISSION_DENIED")
    );
    assert_eq!(events[1].subject.as_str(), "method/PutAccount");
    assert_eq!(
        (&*events[0].action, &*events[0].after),
        ("login.failed", r#"{"count":3}"#)
    );
    assert_eq!(events[0].actor.origin, "192.0.2.9");
}

fn label_text() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._-]{1,8}"
}

fn accounts() -> impl Strategy<Value = AccountRecord> {
    let names = || proptest::collection::vec("[a-z]{1,5}\\*?", 1..3);
    let scope = (
        proptest::option::of(names()),
        proptest::collection::vec("[a-z]{1,4}", 0..3),
    );
    let generate = scope.prop_map(|(scenarios, models)| Scope {
        action: Action::Generate,
        scenarios: scenarios.map(Into::into),
        models: models.into(),
    });
    let scopes = prop_oneof![
        Just(None),
        generate.prop_map(|scope| Some(vec![scope])),
        Just(Some(scopes(&[Action::UsageRead, Action::Generate]))),
        Just(Some(scopes(&[Action::Operate]))),
    ];
    let values = proptest::collection::vec(label_text(), 0..3);
    let rule = (values, any::<bool>());
    let rules = proptest::collection::btree_map(label_text(), rule, 0..3);
    let binding = prop_oneof![
        "[a-z]{1,6}\\.test".prop_map(ProofBinding::AlternativeName),
        "[a-z ]{1,8}".prop_map(ProofBinding::CommonName),
        ("[a-z]{1,4}", "\\PC{1,6}")
            .prop_map(|(issuer, subject)| ProofBinding::Token { issuer, subject }),
    ];
    let bindings = proptest::collection::hash_set(binding, 0..3);
    let zone = proptest::option::of(prop_oneof![Just("Asia/Shanghai"), Just("Europe/Berlin")]);
    let labels = proptest::collection::btree_map(label_text(), label_text(), 0..3);
    let rules = proptest::option::of(rules);
    (scopes, labels, rules, zone, bindings, "\\PC{0,9}").prop_map(
        |(scopes, labels, rules, zone, bindings, display_name)| {
            let rule = |(key, (values, required)): (String, (Vec<String>, bool))| LabelRule {
                key: key.into(),
                values,
                required,
                from_baggage: required,
            };
            AccountRecord {
                display_name,
                scopes,
                labels: (labels.into_iter())
                    .map(|(key, value)| (key.into(), value.into()))
                    .collect(),
                label_rules: rules.map(|rules| rules.into_iter().map(rule).collect()),
                time_zone: zone.map(str::to_owned),
                bindings: bindings.into_iter().collect(),
                ..account("a", AccountKind::Caller, None)
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_accepted_field_of_an_account_reads_back(record in accounts()) {
        let place = Place::new();
        let written = put(&place.admin, &root(), record.clone());
        prop_assert!(written.is_ok(), "{written:?}");

        let listed = place.other_process().accounts(&root(), None).unwrap();

        prop_assert_eq!(&listed[0].account, &record);
        prop_assert_eq!(listed[0].version, written.ok());
    }
}

#[test]
fn whoever_reads_the_record_sees_what_was_noted_before_also_while_another_thread_writes_it_down() {
    let place = Place::new();
    for round in 1..=20 {
        for _ in 0..20 {
            place.admin.note_denied(now(), Actor::file(), "PutAccount");
        }

        let events = thread::scope(|scope| {
            scope.spawn(|| place.admin.write_noted().unwrap());
            thread::yield_now();
            place.events()
        });

        assert_eq!(events.len(), 20 * round);
    }
}

#[test]
fn events_that_cannot_be_written_are_counted_by_what_becomes_of_them() {
    let place = Place::new();
    let counted = |place: &Place| {
        let failures = place.admin.audit_failures();
        [&failures.refused, &failures.retried, &failures.lost].map(|count| count.count())
    };
    let denied = || {
        let actor = Actor::file();
        place.admin.note_denied(now(), actor, "PutAccount");
    };
    put(
        &place.admin,
        &root(),
        account("a", AccountKind::Caller, None),
    )
    .unwrap();
    denied();
    place.admin.write_noted().unwrap();
    assert_eq!(counted(&place), [0, 0, 0]);

    // The table of events is gone, as if the file were damaged.
    let change = |statement| specimens::change(place.admin.store().path(), statement);
    change("ALTER TABLE audit RENAME TO gone");
    denied();
    place.admin.write_noted().unwrap_err();
    place.admin.count_failed_login(now(), "192.0.2.7");
    place.admin.count_failed_login(now(), "192.0.2.8");
    place.admin.write_logins(now(), true).unwrap_err();
    put(
        &place.admin,
        &root(),
        account("b", AccountKind::Caller, None),
    )
    .unwrap_err();
    assert_eq!(counted(&place), [1, 1, 2]);

    change("ALTER TABLE gone RENAME TO audit");
    place.admin.write_noted().unwrap();
    for _ in 0..=MOST_NOTED {
        denied();
    }
    assert_eq!(counted(&place), [1, 1, 3]);
}
