//! Does what the store keeps of limits read back, and does a file of the former version get the tables for it?

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;

use crate::error::LimitUnit;
use crate::limits::{
    AnnouncedThreshold, Enforcement, Grant, Limit, LimitDimension, LimitMatch, LimitNotice,
    LimitRecord, LimitWindow, Zone,
};

use super::*;
use crate::store::{StoredGrant, StoredLimit};

fn names() -> impl Strategy<Value = Vec<Arc<str>>> {
    proptest::collection::vec("[a-z/]{1,8}".prop_map(Arc::from), 0..3)
}

fn matching() -> impl Strategy<Value = LimitMatch> {
    let labels = proptest::collection::btree_map("[a-z]{1,4}", "[A-Za-z0-9._-]{1,6}", 0..3);
    (names(), names(), names(), names(), labels).prop_map(
        |(accounts, scenarios, providers, models, labels)| LimitMatch {
            accounts,
            scenarios,
            providers,
            models,
            labels: labels
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        },
    )
}

fn record() -> impl Strategy<Value = LimitRecord> {
    let dimension = prop_oneof![
        proptest::sample::select(vec![
            "organisation",
            "team",
            "caller",
            "key",
            "scenario",
            "provider",
            "model"
        ])
        .prop_map(|name| LimitDimension::named(name).unwrap()),
        "[a-z]{1,5}".prop_map(|key| LimitDimension::Label(key.into())),
    ];
    let zone = proptest::sample::select(vec![None, Some("Asia/Kolkata"), Some("UTC")]);
    (
        ("[a-z]{1,8}", "\\PC{0,20}", matching()),
        proptest::collection::vec(dimension, 0..3),
        proptest::sample::select(LimitUnit::ALL.to_vec()),
        0..i64::MAX,
        proptest::option::of(proptest::sample::select(LimitWindow::ALL.to_vec())),
        zone,
        proptest::collection::vec(1_u8..=100, 0..4),
        proptest::sample::select(Enforcement::ALL.to_vec()),
        proptest::option::of(0..i64::MAX),
    )
        .prop_map(
            |(
                (id, description, matching),
                per,
                unit,
                amount,
                window,
                zone,
                thresholds,
                enforcement,
                ceiling,
            )| {
                LimitRecord {
                    limit: Limit {
                        id: id.into(),
                        description,
                        matching,
                        per,
                        unit,
                        amount,
                        window,
                        zone: Zone::UTC,
                        thresholds,
                        enforcement,
                        unknown_ceiling: ceiling,
                    },
                    zone: zone.map(|name| Zone::named(name).unwrap()),
                }
            },
        )
}

fn written(store: &Store, write: impl FnOnce(&StoreWriting<'_>) -> Result<(), StoreError>) {
    let draft = AuditDraft::done(
        at(0),
        Actor::at_command_line(1),
        "limit.put",
        Subject::new("limit", "day"),
    );
    let change = |writing: &StoreWriting<'_>| {
        write(writing)?;
        Ok::<_, StoreError>(StoreChange::Made((), draft))
    };
    store.change(change).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_field_of_a_limit_reads_back(record in record(), version in 0..u64::MAX / 2) {
        let directory = Directory::new();
        let store = directory.store();
        let stored = StoredLimit { record, version };

        written(&store, |writing| writing.put_limit(&stored));

        let read = store.read(|reading| reading.limit(&stored.record.limit.id)).unwrap();
        prop_assert_eq!(read.as_ref(), Some(&stored));
        let all = store.read(|reading| reading.limits()).unwrap();
        prop_assert_eq!(all, [stored]);
    }
}

fn grant(id: &str, end: i64) -> StoredGrant {
    StoredGrant {
        grant: Grant {
            id: id.into(),
            limit: "day".into(),
            key: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
            unit: LimitUnit::Tokens,
            amount: -5,
            at: at(100),
        },
        end,
    }
}

#[test]
fn grants_read_back_while_their_window_runs_and_go_with_their_limit() {
    let directory = Directory::new();
    let store = directory.store();
    let (ended, runs, always) = (
        grant("ended", 200),
        grant("runs", 300),
        grant("always", i64::MAX),
    );
    for grant in [&ended, &runs, &always] {
        written(&store, |writing| writing.put_grant(grant));
    }

    let running = store.read(|reading| reading.running_grants(200)).unwrap();
    let found = store.read(|reading| reading.grant("day", "ended")).unwrap();
    assert_eq!(running, [always, runs]);
    assert_eq!(found, Some(ended));

    written(&store, |writing| writing.delete_limit("day"));
    let running = store.read(|reading| reading.running_grants(0)).unwrap();
    assert_eq!(running, []);
}

fn notice(threshold: u8, amount: i64) -> LimitNotice {
    LimitNotice {
        id: format!("{threshold} of {amount}"),
        limit: "day".into(),
        key: vec![(LimitDimension::Team, "search".into())],
        unit: LimitUnit::Money,
        amount,
        used: 90,
        threshold,
        window: Some((at(0), at(86_400))),
    }
}

/// All limits are in the configuration file.
fn of_file(_: &str) -> bool {
    true
}

#[test]
fn only_the_first_who_writes_a_threshold_down_announces_it() {
    let directory = Directory::new();
    let store = directory.store();
    let other = directory.store();

    let first = store
        .announce(&[notice(80, 100), notice(95, 100)], of_file)
        .unwrap();
    let second = other
        .announce(&[notice(95, 100), notice(95, 200)], of_file)
        .unwrap();

    assert_eq!((first, second), (vec![true, true], vec![false, true]));
    let announced = store.read(|reading| reading.announced(86_399)).unwrap();
    let told: Vec<_> = announced
        .iter()
        .map(|it| (it.threshold, it.amount))
        .collect();
    assert_eq!(told, [(80, 100), (95, 100), (95, 200)]);
    let expected = AnnouncedThreshold {
        limit: "day".into(),
        key: BTreeMap::from([("team".to_owned(), "search".to_owned())]),
        unit: LimitUnit::Money,
        start: 0,
        threshold: 80,
        amount: 100,
    };
    assert_eq!(announced[0], expected);
    let after = store.read(|reading| reading.announced(86_400)).unwrap();
    assert_eq!(after, []);
}

#[test]
fn what_a_limit_has_reached_that_was_deleted_keeps_none_with_its_id_from_announcing() {
    let directory = Directory::new();
    let store = directory.store();
    let day = StoredLimit {
        record: LimitRecord {
            limit: Limit {
                id: "day".into(),
                description: String::new(),
                matching: LimitMatch::default(),
                per: vec![LimitDimension::Team],
                unit: LimitUnit::Money,
                amount: 100,
                window: Some(LimitWindow::Day),
                zone: Zone::UTC,
                thresholds: vec![80],
                enforcement: Enforcement::Hard,
                unknown_ceiling: None,
            },
            zone: None,
        },
        version: 1,
    };
    let announce = || store.announce(&[notice(80, 100)], |_| false).unwrap();

    written(&store, |writing| writing.put_limit(&day));
    let first = announce();
    written(&store, |writing| writing.delete_limit("day"));
    let deleted = announce();
    written(&store, |writing| writing.put_limit(&day));
    let (again, once_more) = (announce(), announce());

    assert_eq!((first, deleted), (vec![true], vec![false]));
    assert_eq!((again, once_more), (vec![true], vec![false]));
}

#[test]
fn a_notice_waits_for_the_webhook_until_that_is_done_with_it() {
    let directory = Directory::new();
    let store = directory.store();
    store
        .announce(&[notice(80, 100), notice(95, 100)], of_file)
        .unwrap();

    store.notices_are_sent(["80 of 100"]).unwrap();

    assert_eq!(store.notices_to_send().unwrap(), [notice(95, 100)]);
    store
        .forget_announced(at(86_400 + 11), Duration::from_secs(10))
        .unwrap();
    assert_eq!(store.notices_to_send().unwrap(), []);
}

#[test]
fn a_file_of_the_former_version_opens_with_what_it_holds() {
    let directory = Directory::new();
    let file = Connection::open(directory.0.join(FILE_NAME)).unwrap();
    file.execute_batch(schema::MIGRATIONS[0]).unwrap();
    file.execute_batch(
        "CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
         INSERT INTO schema_version VALUES (1);
         INSERT INTO accounts VALUES ('a', 'caller', NULL, '', NULL, '{}', NULL, NULL, '[]', NULL, 1);",
    )
    .unwrap();
    drop(file);

    let store = directory.store();

    let accounts = store.read(|reading| reading.accounts()).unwrap();
    assert_eq!(accounts[0].account.id, "a");
    assert_eq!(store.read(|reading| reading.limits()).unwrap(), []);
    assert_eq!(store.announce(&[notice(80, 100)], of_file).unwrap(), [true]);
}
