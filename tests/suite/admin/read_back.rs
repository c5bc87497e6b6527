//! Is every field of an account and of a key that is accepted read back as it was written? Row 15 of the invariants.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use modelway::grpc::v1::{
    Account, AccountKind, Action, Binding, CertificateBinding, CreateKeyRequest, Key, KeyState,
    LabelRule, ListAccountsRequest, ListKeysRequest, PutAccountRequest, Scope, TokenBinding,
    binding::Proof,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::support::{AdminClient, Administered, keys, secret_of};

const ACCOUNTS: usize = 200;
const KEYS: usize = 200;
/// Each is a process of its own.
const BY_COMMAND: usize = 30;

const ZONES: [&str; 5] = [
    "",
    "UTC",
    "Asia/Kolkata",
    "America/St_Johns",
    "Pacific/Chatham",
];

/// Names of scenarios or models, or beginnings of them; each once.
fn names() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![
        Just("*".to_owned()),
        "[a-z][a-z0-9._/-]{0,12}\\*?".prop_map(|name| name),
    ];
    proptest::collection::vec(name, 1..4)
}

fn data_scopes() -> impl Strategy<Value = Vec<Scope>> {
    let generate = || {
        (names(), proptest::option::of(names())).prop_map(|(scenarios, models)| Scope {
            action: Action::Generate.into(),
            scenarios,
            models: models.unwrap_or_default(),
        })
    };
    let usage = Just(Scope {
        action: Action::UsageRead.into(),
        ..Scope::default()
    });
    prop_oneof![
        Just(Vec::new()),
        generate().prop_map(|scope| vec![scope]),
        (generate(), usage).prop_map(|(one, other)| vec![one, other]),
    ]
}

fn labels() -> impl Strategy<Value = HashMap<String, String>> {
    proptest::collection::hash_map("[A-Za-z0-9._-]{1,63}", "[A-Za-z0-9._-]{1,63}", 0..5)
}

fn label_rules() -> impl Strategy<Value = Vec<LabelRule>> {
    let value = "[A-Za-z0-9._-]{1,20}";
    let rule = (
        proptest::collection::vec(value, 0..3),
        any::<bool>(),
        any::<bool>(),
    );
    proptest::collection::btree_map("[A-Za-z0-9._-]{1,63}", rule, 0..4).prop_map(|rules| {
        let rules = rules.into_iter();
        rules
            .map(|(key, (values, required, from_baggage))| LabelRule {
                key,
                values,
                required,
                from_baggage,
            })
            .collect()
    })
}

/// Proofs that no other account has: `number` is in each.
fn bindings(number: usize) -> impl Strategy<Value = Vec<Binding>> {
    let proof = prop_oneof![
        "[a-zA-Z0-9%._/-]{0,30}".prop_map(move |name| Proof::Certificate(CertificateBinding {
            san: format!("spiffe://prod/{number}/{name}"),
            common_name: String::new(),
        })),
        "[^\\pC]{0,30}".prop_map(move |name| Proof::Certificate(CertificateBinding {
            san: String::new(),
            common_name: format!("{number} {name}"),
        })),
        "[^\\pC]{0,30}".prop_map(move |subject| Proof::Token(TokenBinding {
            issuer: "sso".to_owned(),
            subject: format!("{number}|{subject}"),
        })),
    ];
    proptest::collection::vec(proof, 0..4).prop_map(|proofs| {
        let mut known: Vec<Binding> = Vec::new();
        for proof in proofs {
            let binding = Binding { proof: Some(proof) };
            if !known.contains(&binding) {
                known.push(binding);
            }
        }
        known
    })
}

/// Any caller, team or organisation that is accepted.
fn any_account(number: usize) -> impl Strategy<Value = Account> {
    let kinds = [
        (AccountKind::Organisation, ""),
        (AccountKind::Team, ""),
        (AccountKind::Team, "above"),
        (AccountKind::Caller, ""),
        (AccountKind::Caller, "above"),
        (AccountKind::Caller, "between"),
    ];
    (
        ("[a-z0-9._-]{0,50}", "[^\\pC]{0,128}"),
        proptest::sample::select(kinds.to_vec()),
        data_scopes(),
        labels(),
        label_rules(),
        proptest::sample::select(ZONES.to_vec()),
        bindings(number),
    )
        .prop_map(
            move |(
                (id, display_name),
                (kind, parent),
                scopes,
                labels,
                label_rules,
                zone,
                bindings,
            )| Account {
                id: format!("n{number}-{id}"),
                kind: kind.into(),
                parent: parent.to_owned(),
                display_name,
                scopes,
                labels,
                label_rules,
                time_zone: zone.to_owned(),
                bindings: match kind {
                    AccountKind::Caller => bindings,
                    _ => Vec::new(),
                },
                ..Account::default()
            },
        )
}

async fn put(admin: &mut AdminClient, account: Account) -> Account {
    let request = PutAccountRequest {
        account: Some(account.clone()),
        comment: String::new(),
    };
    let written = admin.put_account(request).await;
    let written = written.unwrap_or_else(|status| panic!("{account:?}: {status:?}"));
    written.into_inner().account.unwrap()
}

/// All keys, by their ids.
async fn listed_keys(admin: &mut AdminClient) -> BTreeMap<String, Key> {
    let mut keys = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = ListKeysRequest {
            page_size: 1_000,
            page_token,
            ..ListKeysRequest::default()
        };
        let page = admin.list_keys(request).await.unwrap().into_inner();
        keys.extend(page.keys.into_iter().map(|key| (key.id.clone(), key)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return keys;
        }
    }
}

/// All that a caller can be allowed.
fn all_data() -> Vec<Scope> {
    let generate = Scope {
        action: Action::Generate.into(),
        scenarios: vec!["*".to_owned()],
        models: vec!["*".to_owned()],
    };
    let usage = Scope {
        action: Action::UsageRead.into(),
        ..Scope::default()
    };
    vec![generate, usage]
}

/// An account above all others, and a team between them, which allow everything.
async fn above(admin: &mut AdminClient) {
    for (id, kind, parent) in [
        ("above", AccountKind::Organisation, ""),
        ("between", AccountKind::Team, "above"),
    ] {
        let account = Account {
            id: id.to_owned(),
            kind: kind.into(),
            parent: parent.to_owned(),
            scopes: all_data(),
            ..Account::default()
        };
        put(admin, account).await;
    }
}

#[tokio::test]
async fn every_field_of_an_account_that_is_accepted_reads_back() {
    let administered = Administered::start("accounts-read-back", "").await;
    let mut admin = administered.client().await;
    above(&mut admin).await;
    let mut runner = TestRunner::deterministic();
    let mut written = BTreeMap::new();

    for number in 0..ACCOUNTS {
        let tree = any_account(number).new_tree(&mut runner);
        let account = tree.unwrap().current();
        let made = put(&mut admin, account.clone()).await;
        let expected = Account {
            source: "store".to_owned(),
            etag: made.etag.clone(),
            ..account
        };
        assert_eq!(made, expected);
        // As it reads back it can be written again, and stays the same but for its etag.
        let again = put(&mut admin, made.clone()).await;
        let same = Account {
            etag: made.etag,
            ..again.clone()
        };
        assert_eq!(same, expected);
        written.insert(again.id.clone(), again);
    }

    let request = ListAccountsRequest {
        page_size: 1_000,
        ..ListAccountsRequest::default()
    };
    let listed = admin.list_accounts(request).await.unwrap().into_inner();
    let mut lost = 0;
    for account in listed.accounts {
        if let Some(expected) = written.remove(&account.id) {
            lost += usize::from(account != expected);
        }
    }
    assert!(written.is_empty(), "{:?}", written.keys());
    println!("accounts written twice and read: {ACCOUNTS}, fields lost: {lost}");
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn every_field_of_a_key_that_is_accepted_reads_back() {
    let administered = Administered::start("keys-read-back", "").await;
    let mut admin = administered.client().await;
    above(&mut admin).await;
    for (id, parent) in [("one", ""), ("two", "above"), ("three", "between")] {
        let account = Account {
            id: id.to_owned(),
            kind: AccountKind::Caller.into(),
            parent: parent.to_owned(),
            scopes: match parent {
                "" => all_data(),
                // What is below another account has by default the scopes of that.
                _ => Vec::new(),
            },
            ..Account::default()
        };
        put(&mut admin, account).await;
    }
    let any_key = (
        proptest::sample::select(vec!["one", "two", "three"]),
        "[^\\pC]{0,128}",
        data_scopes(),
        proptest::option::of(3_600_000_000_u64..400 * 86_400_000_000),
    );
    let mut runner = TestRunner::deterministic();
    let mut written = BTreeMap::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = u64::try_from(now.as_micros()).unwrap();

    for _ in 0..KEYS {
        let (account, display_name, scopes, life) =
            any_key.new_tree(&mut runner).unwrap().current();
        let end = life.map(|life| UNIX_EPOCH + Duration::from_micros(now + life));
        let wish = Key {
            account: account.to_owned(),
            display_name,
            scopes,
            expire_time: end.map(Into::into),
            ..Key::default()
        };
        let request = CreateKeyRequest {
            key: Some(wish.clone()),
            comment: String::new(),
        };
        let made = admin.create_key(request).await;
        let made = made.unwrap_or_else(|status| panic!("{wish:?}: {status:?}"));
        let (key, secret) = (made.get_ref().key.clone().unwrap(), &made.get_ref().secret);
        let expected = Key {
            id: key.id.clone(),
            prefix: secret[..12].to_owned(),
            state: KeyState::Active.into(),
            create_time: key.create_time,
            source: "store".to_owned(),
            ..wish
        };
        assert_eq!(key, expected);
        written.insert(key.id.clone(), key);
    }
    for number in 0..BY_COMMAND {
        let (name, days) = (format!("nightly {number} \"ü\" \\ *"), 1 + number);
        let expires = format!("{days}d");
        let (scenario, model) = (format!("s{number}*"), format!("m/{number}"));
        let mut arguments = vec![
            "create",
            "--caller",
            "one",
            "--name",
            &name,
            "--expires",
            &expires,
        ];
        let mut scopes = Vec::new();
        if number % 3 > 0 {
            arguments.extend(["--scenario", &scenario, "--model", &model]);
            scopes.push(Scope {
                action: Action::Generate.into(),
                scenarios: vec![scenario.clone()],
                models: vec![model.clone()],
            });
        }
        if number % 3 == 2 {
            arguments.push("--usage");
            scopes.push(Scope {
                action: Action::UsageRead.into(),
                ..Scope::default()
            });
        }
        let output = keys(&administered.data, &arguments);
        let secret = secret_of(&output);
        let told = String::from_utf8(output.stderr).unwrap();
        let id = told.split_whitespace().next().unwrap().to_owned();
        let listed = listed_keys(&mut admin).await;
        let key = &listed[&id];
        let end = SystemTime::try_from(key.expire_time.unwrap()).unwrap();
        let life = end.duration_since(SystemTime::now()).unwrap();
        let days = Duration::from_secs(86_400 * u64::try_from(days).unwrap());
        assert!(
            life <= days && life > days - Duration::from_secs(60),
            "{life:?}"
        );
        let expected = Key {
            id: id.clone(),
            account: "one".to_owned(),
            display_name: name,
            prefix: secret[..12].to_owned(),
            scopes,
            state: KeyState::Active.into(),
            expire_time: key.expire_time,
            create_time: key.create_time,
            source: "store".to_owned(),
            ..Key::default()
        };
        assert_eq!(*key, expected);
        written.insert(id, expected);
    }

    let listed = listed_keys(&mut admin).await;
    let lost = written
        .iter()
        .filter(|(id, key)| listed.get(*id) != Some(key));
    let lost = lost.count();
    println!(
        "keys written and read: {KEYS} by the service, {BY_COMMAND} by the command, fields lost: {lost}"
    );
    assert_eq!(lost, 0);
}
