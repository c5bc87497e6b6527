//! What becomes of administration when several administer at once, send what makes no sense, or find the store in use?

use std::time::Duration;

use modelway::grpc::v1::{
    Account, CreateKeyRequest, DeleteLimitRequest, GrantLimitRequest, Key, Limit, LimitMatch,
    LimitUnit, ListAccountsRequest, ListAuditEventsRequest, ListKeysRequest,
    ListLimitStatesRequest, ListLimitsRequest, Price, PutAccountRequest, PutPricesRequest,
    RotateKeyRequest,
};
use rusqlite::{Connection, TransactionBehavior};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::support::details;

use super::call;
use super::limits::{put, requests};
use super::support::{Administered, caller, keys_command, secret_of};

/// Administrators who read, change and write the same limit: whoever was late is told so and reads again, so that every change
/// that was answered is there in the end.
#[tokio::test]
async fn changes_of_several_administrators_at_once_are_all_there_or_refused() {
    const ADMINISTRATORS: usize = 8;
    const CHANGES: i64 = 10;
    let administered = Administered::start("hostile-at-once", "").await;
    let mut admin = administered.client().await;
    put(&mut admin, requests("shared", 0)).await.unwrap();

    let changing = (0..ADMINISTRATORS).map(async |_| {
        let mut admin = administered.client().await;
        let (mut made, mut late) = (0, 0);
        while made < CHANGES {
            let listed = admin.list_limits(ListLimitsRequest::default()).await;
            let mut limit = listed.unwrap().into_inner().limits.remove(0);
            limit.amount += 1;
            match put(&mut admin, limit).await {
                Ok(_) => made += 1,
                Err(status) => {
                    assert_eq!(status.code(), Code::Aborted, "{status:?}");
                    assert_eq!(details(&status).reason, "OBJECT_CHANGED");
                    late += 1;
                }
            }
        }
        late
    });
    let late: i64 = futures_util::future::join_all(changing).await.iter().sum();

    let listed = admin.list_limits(ListLimitsRequest::default()).await;
    let amount = listed.unwrap().into_inner().limits[0].amount;
    let changes = CHANGES * i64::try_from(ADMINISTRATORS).unwrap();
    println!(
        "changes by {ADMINISTRATORS} administrators at once: {changes}, refused as late: {late}, lost: {}",
        changes - amount
    );
    assert_eq!(amount, changes);
    let events = admin
        .list_audit_events(ListAuditEventsRequest {
            page_size: 1_000,
            subject: "limit/shared".to_owned(),
            ..ListAuditEventsRequest::default()
        })
        .await;
    let events = events.unwrap().into_inner().events.len();
    assert_eq!(i64::try_from(events).unwrap(), changes + 1);
}

/// What must hold of a refusal: its code says whose fault it is, it names a field, and it quotes little.
fn refused(what: &str, outcome: Result<(), Status>, field: &str) {
    let Err(status) = outcome else {
        panic!("{what}: accepted");
    };
    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
    let found = details(&status);
    assert_eq!(found.reason, "INVALID_REQUEST", "{what}");
    let fields: Vec<_> = found.violations.iter().map(|(field, _)| &**field).collect();
    assert!(fields.contains(&field), "{what}: {fields:?}");
    for (field, remedy) in &found.violations {
        assert!(
            !remedy.is_empty() && remedy.len() < 600,
            "{what}: {field}: {remedy}"
        );
    }
    assert!(
        status.message().len() < 4_096,
        "{what}: {} bytes",
        status.message().len()
    );
}

#[tokio::test]
async fn numbers_at_the_edge_and_names_of_all_kinds_are_refused_with_their_field() {
    let administered = Administered::start("hostile-edges", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let (key, _) = administered.key(&mut admin, "caller").await;
    put(&mut admin, requests("day", 10)).await.unwrap();
    let mut checked = 0;

    let long = "n".repeat(100_000);
    let odd = [
        "",
        " ",
        "A",
        "ü",
        "a b",
        "a/b",
        "a\0b",
        "a\nb",
        "../a",
        "a:b",
        "\u{202e}a",
        "💸",
        "a'--",
        "\"",
        "%s",
        &long,
    ];
    for id in odd {
        let account = PutAccountRequest {
            account: Some(caller(id)),
            comment: String::new(),
        };
        let outcome = admin.put_account(account).await.map(drop);
        refused(&format!("account {id:.20?}"), outcome, "account.id");
        refused(
            &format!("limit {id:.20?}"),
            put(&mut admin, requests(id, 1)).await.map(drop),
            "limit.id",
        );
        let zoned = Limit {
            time_zone: id.to_owned(),
            ..requests("zone", 1)
        };
        if !id.is_empty() {
            let outcome = put(&mut admin, zoned).await.map(drop);
            refused(&format!("zone {id:.20?}"), outcome, "limit.time_zone");
        }
        checked += 3;
    }
    for zone in [
        "Mars/Olympus",
        "Europe/Berlin/x",
        "GMT+99",
        "+01:00",
        "/etc/localtime",
        "posix/Europe/Berlin",
    ] {
        let limit = Limit {
            time_zone: zone.to_owned(),
            ..requests("zone", 1)
        };
        refused(
            zone,
            put(&mut admin, limit).await.map(drop),
            "limit.time_zone",
        );
        let account = Account {
            time_zone: zone.to_owned(),
            ..caller("zoned")
        };
        let request = PutAccountRequest {
            account: Some(account),
            comment: String::new(),
        };
        refused(
            zone,
            admin.put_account(request).await.map(drop),
            "account.time_zone",
        );
        checked += 2;
    }
    for amount in [-1, i64::MIN, i64::MAX] {
        let outcome = put(&mut admin, requests("edge", amount)).await.map(drop);
        refused(&format!("amount {amount}"), outcome, "limit.amount");
        let money = Limit {
            unit: LimitUnit::Money.into(),
            unknown_ceiling: Some(amount.min(-1)),
            ..requests("edge", 1)
        };
        let outcome = put(&mut admin, money).await.map(drop);
        refused(
            &format!("ceiling {amount}"),
            outcome,
            "limit.unknown_ceiling",
        );
        let price = Price {
            model: "openai/first".to_owned(),
            input_pico: Some(amount),
            ..Price::default()
        };
        let request = PutPricesRequest {
            prices: vec![price],
            ..PutPricesRequest::default()
        };
        let outcome = admin.put_prices(request).await.map(drop);
        refused(&format!("rate {amount}"), outcome, "prices[0].input_pico");
        checked += 3;
    }
    for size in [-1, i32::MIN, i32::MAX] {
        let request = ListAccountsRequest {
            page_size: size,
            ..ListAccountsRequest::default()
        };
        let outcome = admin.list_accounts(request).await.map(drop);
        refused(&format!("page size {size}"), outcome, "page_size");
        checked += 1;
    }
    for token in ["x", &long, "\0", "💸"] {
        let request = ListKeysRequest {
            page_token: token.to_owned(),
            ..ListKeysRequest::default()
        };
        let outcome = admin.list_keys(request).await.map(drop);
        refused(&format!("page token {token:.20?}"), outcome, "page_token");
        checked += 1;
    }
    let percent = ListLimitStatesRequest {
        min_percent: i32::MIN,
        ..ListLimitStatesRequest::default()
    };
    refused(
        "min_percent",
        admin.list_limit_states(percent).await.map(drop),
        "min_percent",
    );
    for (seconds, nanos) in [
        (-1, 0),
        (i64::MIN, 0),
        (i64::MAX, 0),
        (0, -1),
        (1, i32::MAX),
        (0, 0),
    ] {
        let expire_time = Some(prost_types::Timestamp { seconds, nanos });
        let wish = Key {
            account: "caller".to_owned(),
            expire_time,
            ..Key::default()
        };
        let request = CreateKeyRequest {
            key: Some(wish),
            comment: String::new(),
        };
        let outcome = admin.create_key(request).await.map(drop);
        refused(
            &format!("end at {seconds}.{nanos}"),
            outcome,
            "key.expire_time",
        );
        let rotation = RotateKeyRequest {
            id: key.clone(),
            expire_time,
            ..RotateKeyRequest::default()
        };
        let outcome = admin.rotate_key(rotation).await.map(drop);
        refused(&format!("end at {seconds}.{nanos}"), outcome, "expire_time");
        checked += 2;
    }
    for (seconds, nanos) in [
        (-1, 0),
        (i64::MAX, 0),
        (i64::MIN, i32::MIN),
        (31 * 86_400, 0),
    ] {
        let rotation = RotateKeyRequest {
            id: key.clone(),
            overlap: Some(prost_types::Duration { seconds, nanos }),
            ..RotateKeyRequest::default()
        };
        let outcome = admin.rotate_key(rotation).await.map(drop);
        refused(&format!("overlap {seconds}.{nanos}"), outcome, "overlap");
        checked += 1;
    }
    for amount in [0, i64::MIN, i64::MAX] {
        let grant = GrantLimitRequest {
            id: "day".to_owned(),
            amount,
            grant_id: "the fair".to_owned(),
            comment: "the fair".to_owned(),
            ..GrantLimitRequest::default()
        };
        let outcome = admin.grant_limit(grant).await.map(drop);
        refused(&format!("grant {amount}"), outcome, "amount");
        checked += 1;
    }
    let accounts = Limit {
        r#match: Some(LimitMatch {
            accounts: vec!["nobody".to_owned(); 10_000],
            ..LimitMatch::default()
        }),
        ..requests("many", 1)
    };
    let outcome = put(&mut admin, accounts).await;
    assert_eq!(outcome.unwrap_err().code(), Code::InvalidArgument);
    println!("requests that make no sense: {checked}, accepted: 0");
    let listed = admin.list_limits(ListLimitsRequest::default()).await;
    assert_eq!(
        listed.unwrap().into_inner().limits.len(),
        1,
        "nothing was written"
    );
}

#[tokio::test]
async fn a_thousand_limits_hold_where_few_meet_and_the_thirty_third_on_one_caller_is_refused() {
    const LIMITS: usize = 1_000;
    let administered = Administered::start("hostile-many-limits", "").await;
    let mut admin = administered.client().await;
    for number in 0..50 {
        administered
            .account(&mut admin, &format!("caller-{number}"))
            .await;
    }
    let on = |account: usize, number: usize| Limit {
        r#match: Some(LimitMatch {
            accounts: vec![format!("caller-{account}")],
            ..LimitMatch::default()
        }),
        ..requests(&format!("limit-{number}"), 1_000)
    };
    let begun = Instant::now();
    for number in 0..LIMITS {
        put(&mut admin, on(number % 50, number)).await.unwrap();
    }
    let each = begun.elapsed() / u32::try_from(LIMITS).unwrap();
    for number in LIMITS..LIMITS + 12 {
        put(&mut admin, on(0, number)).await.unwrap();
    }
    let refused = put(&mut admin, on(0, LIMITS + 12)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(details(&refused).violations[0].0, "limit.match");
    let (_, secret) = administered.key(&mut admin, "caller-0").await;
    call(&administered, &secret).await.unwrap();
    println!(
        "limits: {}, {} ms for each change",
        LIMITS + 12,
        each.as_millis()
    );
}

/// Commands on the store itself and requests of the service write into one file at the same time.
#[tokio::test]
async fn commands_beside_a_running_service_and_its_own_changes_are_all_made() {
    const COMMANDS: usize = 8;
    let administered = Administered::start("hostile-commands", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let commands: Vec<_> = (0..COMMANDS)
        .map(|_| {
            let data = administered.data.clone();
            tokio::task::spawn_blocking(move || {
                let mut command = keys_command(&data, &["create", "--caller", "caller"]);
                command.output().unwrap()
            })
        })
        .collect();
    let mut secrets = Vec::new();
    for _ in 0..COMMANDS {
        secrets.push(administered.key(&mut admin, "caller").await.1);
    }
    for command in commands {
        let output = command.await.unwrap();
        assert!(output.status.success(), "{output:?}");
        secrets.push(secret_of(&output));
    }

    let begun = Instant::now();
    for secret in &secrets {
        while call(&administered, secret).await.is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "a key is not known"
            );
        }
    }
    let verified = keys_command(&administered.data, &["list"])
        .output()
        .unwrap();
    let listed = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(listed.matches("caller").count(), secrets.len(), "{listed}");
    println!(
        "keys made by {COMMANDS} commands and by the service at once: {}, lost: 0",
        secrets.len()
    );
}

/// Another program holds the store for seconds: a change says so and may be tried again, and calls notice nothing.
#[tokio::test]
async fn a_store_that_another_process_has_locked_keeps_changes_waiting_and_no_call() {
    let administered = Administered::start("hostile-locked", "").await;
    let mut admin = administered.client().await;
    administered.account(&mut admin, "caller").await;
    let (_, secret) = administered.key(&mut admin, "caller").await;
    let mut other = Connection::open(administered.data.join("control.db")).unwrap();
    let lock = other
        .transaction_with_behavior(TransactionBehavior::Exclusive)
        .unwrap();
    let changing = async {
        let mut admin = admin.clone();
        let begun = Instant::now();
        let outcome = put(&mut admin, requests("late", 1)).await;
        (outcome, begun.elapsed())
    };
    let command = {
        let data = administered.data.clone();
        tokio::task::spawn_blocking(move || {
            let create = ["create", "--caller", "caller"];
            keys_command(&data, &create).output().unwrap()
        })
    };
    let mut slowest = Duration::ZERO;
    let mut calls = 0;
    let calling = async {
        while !command.is_finished() {
            let begun = Instant::now();
            call(&administered, &secret).await.unwrap();
            slowest = slowest.max(begun.elapsed());
            calls += 1;
        }
    };
    let ((outcome, took), ()) = tokio::join!(changing, calling);

    let status = outcome.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let told = details(&status);
    assert_eq!(told.reason, "STORE_UNAVAILABLE");
    assert!(told.retry_after.is_some());
    assert!(status.message().contains("try again"), "{status:?}");
    let output = command.await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("try again"), "{said}");
    lock.rollback().unwrap();
    put(&mut admin, requests("late", 1)).await.unwrap();
    let gone = DeleteLimitRequest {
        id: "late".to_owned(),
        comment: String::new(),
    };
    admin.delete_limit(gone).await.unwrap();
    println!(
        "a change of a locked store was refused after {} ms; {calls} calls meanwhile, the slowest {} ms",
        took.as_millis(),
        slowest.as_millis()
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
