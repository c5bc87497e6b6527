//! Do administrators, by the service and on the command line, get what they are allowed, and nobody else?

mod beyond;
mod command;
mod expected;
mod hostile;
mod last_use;
mod late_price;
mod limits;
mod mid_flight;
mod price_commands;
mod prices;
mod read_back;
mod record;
mod reloaded;
mod rights;
mod streams;
pub(crate) mod support;
mod unknown;
mod unknown_killed;
mod unknown_killed_service;
mod warned;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

use modelway::grpc::v1::{
    Account, AccountKind, Action, AuditEvent, Binding, CertificateBinding, CloseAccountRequest,
    CreateKeyRequest, Key, KeyState, LabelRule, ListAccountsRequest, ListAuditEventsRequest,
    ListKeysRequest, PutAccountRequest, RevokeKeyRequest, RotateKeyRequest, TokenBinding, binding,
};
use tonic::{Code, Request, Status};

use crate::support::{ask, details};

use self::support::{Administered, authorized, caller, scope};

#[tokio::test]
async fn what_is_written_reads_back_and_every_change_is_in_the_record() {
    let administered = Administered::start("reads-back", "").await;
    let mut admin = administered.client().await;
    let account = Account {
        id: "indexer".to_owned(),
        kind: AccountKind::Caller.into(),
        display_name: "The indexer".to_owned(),
        scopes: vec![modelway::grpc::v1::Scope {
            action: Action::Generate.into(),
            scenarios: vec!["one".to_owned(), "s*".to_owned()],
            models: vec!["openai/first".to_owned()],
        }],
        labels: HashMap::from([("product".to_owned(), "ads".to_owned())]),
        label_rules: vec![LabelRule {
            key: "run".to_owned(),
            values: vec!["a".to_owned(), "b".to_owned()],
            required: true,
            from_baggage: true,
        }],
        time_zone: "Asia/Shanghai".to_owned(),
        bindings: vec![
            Binding {
                proof: Some(binding::Proof::Certificate(CertificateBinding {
                    san: "spiffe://prod/indexer".to_owned(),
                    common_name: String::new(),
                })),
            },
            Binding {
                proof: Some(binding::Proof::Token(TokenBinding {
                    issuer: "sso".to_owned(),
                    subject: "indexer".to_owned(),
                })),
            },
        ],
        ..Account::default()
    };
    let request = PutAccountRequest {
        account: Some(account.clone()),
        comment: "a new one".to_owned(),
    };
    let written = admin.put_account(request).await.unwrap().into_inner();
    let written = written.account.unwrap();

    let listed = admin.list_accounts(ListAccountsRequest::default()).await;
    let listed = listed.unwrap().into_inner().accounts;
    let found = listed.iter().find(|found| found.id == "indexer").unwrap();
    assert_eq!(*found, written);
    let expected = Account {
        source: "store".to_owned(),
        etag: written.etag.clone(),
        ..account
    };
    assert_eq!(written, expected);

    let end = SystemTime::now() + Duration::from_secs(3_600);
    let wish = Key {
        account: "indexer".to_owned(),
        display_name: "nightly".to_owned(),
        scopes: vec![scope(Action::Generate)],
        expire_time: Some(end.into()),
        ..Key::default()
    };
    let request = CreateKeyRequest {
        key: Some(wish),
        comment: String::new(),
    };
    let made = admin.create_key(request).await.unwrap().into_inner();
    let key = made.key.unwrap();
    let request = ListKeysRequest {
        account: "indexer".to_owned(),
        ..ListKeysRequest::default()
    };
    let listed = admin.list_keys(request).await.unwrap().into_inner();
    assert_eq!(listed.keys, std::slice::from_ref(&key));
    assert_eq!(key.display_name, "nightly");
    assert_eq!(key.state(), KeyState::Active);
    assert_eq!(key.prefix, made.secret[..12]);
    let told = SystemTime::try_from(key.expire_time.unwrap()).unwrap();
    assert!(end.duration_since(told).unwrap() < Duration::from_micros(1));

    let close = CloseAccountRequest {
        id: "indexer".to_owned(),
        comment: String::new(),
    };
    let closed = admin.close_account(close).await.unwrap().into_inner();
    assert!(closed.account.unwrap().closed);
    let listed = admin.list_keys(ListKeysRequest::default()).await.unwrap();
    let listed = listed.into_inner().keys;
    let found = listed.iter().find(|found| found.id == key.id).unwrap();
    assert_eq!(found.state(), KeyState::Revoked);

    let events = admin
        .list_audit_events(ListAuditEventsRequest::default())
        .await;
    let events = events.unwrap().into_inner().events;
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    // When the start is written down is not known.
    let is_change = |event: &&AuditEvent| event.action != "configuration.load";
    let events: Vec<_> = events.iter().filter(is_change).collect();
    let actions: Vec<_> = events.iter().take(3).map(|event| &*event.action).collect();
    assert_eq!(actions, ["account.close", "key.create", "account.put"]);
    assert_eq!(events[2].comment, "a new one");
    assert!(
        events[2]
            .after_json
            .contains(r#""time_zone":"Asia/Shanghai""#)
    );
    assert!(
        events[2].actor.starts_with("ops/key_"),
        "{}",
        events[2].actor
    );
    assert!(
        events[2].origin.starts_with("127.0.0.1:"),
        "{}",
        events[2].origin
    );
    let last = i64::try_from(sequences.len()).unwrap();
    assert_eq!(sequences, (1..=last).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn refusals_say_which_field_is_wrong_and_what_helps() {
    let file = "
        [[accounts]]
        id = 'of-file'
        kind = 'caller'
        [auth]
        anonymous = 'local'
    ";
    let administered = Administered::start("refusals", file).await;
    let mut admin = administered.client().await;
    let put = |account: Account| PutAccountRequest {
        account: Some(account),
        comment: String::new(),
    };

    let wrong = Account {
        parent: "nobody".to_owned(),
        ..caller("Not An Id")
    };
    let status = admin.put_account(put(wrong)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let found = details(&status);
    let fields: Vec<_> = found.violations.iter().map(|(field, _)| &**field).collect();
    assert_eq!(fields, ["account.id", "account.parent"]);

    let status = admin.put_account(put(caller("of-file"))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().contains("configuration file `test`"),
        "{status}"
    );
    assert_eq!(details(&status).reason, "OBJECT_READ_ONLY");

    admin.put_account(put(caller("twice"))).await.unwrap();
    let status = admin.put_account(put(caller("twice"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(details(&status).reason, "OBJECT_CHANGED");

    let revoke = RevokeKeyRequest {
        id: "key_none".to_owned(),
        ..RevokeKeyRequest::default()
    };
    let status = admin.revoke_key(revoke).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(details(&status).reason, "OBJECT_NOT_FOUND");

    let page = ListKeysRequest {
        page_size: 1_001,
        ..ListKeysRequest::default()
    };
    let status = admin.list_keys(page).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn lists_come_page_by_page() {
    let administered = Administered::start("pages", "").await;
    let mut admin = administered.client().await;
    for number in 0..5 {
        administered
            .account(&mut admin, &format!("caller-{number}"))
            .await;
    }

    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListAccountsRequest {
            page_size: 2,
            page_token,
            ..ListAccountsRequest::default()
        };
        let page = admin.list_accounts(request).await.unwrap().into_inner();
        assert!(page.accounts.len() <= 2);
        ids.extend(page.accounts.into_iter().map(|account| account.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }

    assert_eq!(
        ids,
        [
            "caller-0", "caller-1", "caller-2", "caller-3", "caller-4", "ops"
        ]
    );
}

/// A call with this key, which fails if the key is not accepted.
async fn call(administered: &Administered, secret: &str) -> Result<(), Status> {
    let request = authorized(Request::new(ask("one", "Hello")), secret);
    let mut client = administered.gateway.generation();
    client.generate(request).await.map(drop)
}

#[tokio::test]
async fn a_hundred_revocations_through_the_service_hold_when_they_are_answered() {
    let administered = Administered::start("revocations", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let mut slowest = Duration::ZERO;

    for _ in 0..100 {
        let (id, secret) = administered.key(&mut admin, "caller").await;
        call(&administered, &secret).await.unwrap();
        let begun = Instant::now();
        let request = RevokeKeyRequest {
            id,
            ..RevokeKeyRequest::default()
        };
        let revoked = admin.revoke_key(request).await.unwrap().into_inner();
        slowest = slowest.max(begun.elapsed());

        let refused = call(&administered, &secret).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let bound = revoked.revocation_bound.unwrap();
        assert_eq!((bound.seconds, bound.nanos), (0, 0));
    }

    println!(
        "revoked through the service: 100, accepted after the answer: 0, slowest answer: {} ms",
        slowest.as_millis()
    );
}

#[tokio::test]
async fn a_rotated_key_and_its_successor_are_both_accepted_for_the_overlap() {
    let administered = Administered::start("rotation", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let (id, old) = administered.key(&mut admin, "caller").await;

    let rotate = |overlap| RotateKeyRequest {
        id: id.clone(),
        overlap: Some(prost_types::Duration {
            seconds: overlap,
            nanos: 0,
        }),
        ..RotateKeyRequest::default()
    };
    let status = admin.rotate_key(rotate(31 * 24 * 3_600)).await.unwrap_err();
    assert_eq!(details(&status).violations[0].0, "overlap");
    let status = admin.rotate_key(rotate(-1)).await.unwrap_err();
    assert_eq!(details(&status).violations[0].0, "overlap");
    let new = admin.rotate_key(rotate(60)).await.unwrap().into_inner();

    call(&administered, &old).await.unwrap();
    call(&administered, &new.secret).await.unwrap();
    assert_eq!(new.key.unwrap().replaces_key_id, id);
}

#[tokio::test]
async fn neither_a_secret_nor_its_hash_is_kept_or_shown_anywhere() {
    let administered = Administered::start("canary", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let (id, secret) = administered.key(&mut admin, "caller").await;
    call(&administered, &secret).await.unwrap();
    let rotated = RotateKeyRequest {
        id: id.clone(),
        ..RotateKeyRequest::default()
    };
    let new = admin.rotate_key(rotated).await.unwrap().into_inner();
    let request = RevokeKeyRequest {
        id,
        ..RevokeKeyRequest::default()
    };
    admin.revoke_key(request).await.unwrap();

    let events = admin
        .list_audit_events(ListAuditEventsRequest::default())
        .await;
    let keys = admin.list_keys(ListKeysRequest::default()).await;
    let shown = format!("{events:?}{keys:?}");
    let mut hits = 0;
    for secret in [&secret, &new.secret, &administered.ops] {
        let hash = ring::digest::digest(&ring::digest::SHA256, secret.as_bytes());
        let hash: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hits += usize::from(shown.contains(&secret[12..]) || shown.contains(&hash));
        for (file, bytes) in administered.files() {
            let contains = bytes
                .windows(secret.len() - 12)
                .any(|window| window == &secret.as_bytes()[12..]);
            assert!(!contains, "{}", file.display());
        }
    }
    println!("secrets and hashes in answers, record and files: {hits}");
    assert_eq!(hits, 0);
}
