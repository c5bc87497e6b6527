//! What a store of its own directory keeps, and what becomes of it between processes.

mod limits;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use crate::audit::{Actor, ChainBreak, Subject};
use crate::identity::key::{KeyHash, KeyKind};
use crate::identity::record::{AccountKind, AccountRecord, CallsUnderWay, KeyRecord, ProofBinding};
use crate::identity::{Action, LabelRule, Labels, Scope};

use super::*;

/// A directory that is removed at the end of a test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("modelway-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn store(&self) -> Store {
        Store::open(&self.0).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn event(action: &'static str, id: &str) -> AuditDraft {
    let actor = Actor::at_command_line(1);
    AuditDraft::done(at(1), actor, action, Subject::new("account", id))
}

fn account(id: &str) -> StoredAccount {
    let account = AccountRecord {
        id: id.to_owned(),
        kind: AccountKind::Caller,
        parent: Some("search".to_owned()),
        display_name: "An \"indexer\"".to_owned(),
        scopes: Some(vec![Scope {
            action: Action::Generate,
            scenarios: Some(Arc::new(["general".to_owned(), "re*".to_owned()])),
            models: Arc::new(["a/b".to_owned()]),
        }]),
        labels: Labels::from([("product".into(), "ads".into())]),
        label_rules: Some(vec![LabelRule {
            key: "run".into(),
            values: vec!["a".to_owned()],
            required: true,
            from_baggage: true,
        }]),
        time_zone: Some("Asia/Shanghai".to_owned()),
        bindings: vec![
            ProofBinding::AlternativeName("spiffe://prod/x".to_owned()),
            ProofBinding::CommonName("x".to_owned()),
            ProofBinding::Token {
                issuer: "sso".to_owned(),
                subject: "s".to_owned(),
            },
        ],
        closed: Some(CallsUnderWay::End),
        kept_in: KEPT_IN.to_owned(),
    };
    StoredAccount {
        account,
        version: 1,
    }
}

/// The hash that a key of this id has here.
fn hash(id: &str) -> KeyHash {
    KeyHash::from_bytes(crate::hash::sha256(id.as_bytes()))
}

fn key(id: &str) -> StoredKey {
    let key = KeyRecord {
        id: id.to_owned(),
        account: "indexer".to_owned(),
        kind: Some(KeyKind::Data),
        hash: hash(id),
        scopes: None,
        expires: Some(at(9)),
        rotated_until: None,
        revoked: Some(CallsUnderWay::GoOn),
        kept_in: KEPT_IN.to_owned(),
    };
    StoredKey {
        key,
        display_name: String::new(),
        shown: "mwd_abcdefgh".to_owned(),
        created: at(5),
        revoked_at: Some(at(7)),
        replaces: Some("key_0".to_owned()),
        replaced_by: None,
        used: None,
    }
}

fn put(store: &Store, record: &StoredAccount) {
    let made: Result<_, StoreError> = store.change(|writing| {
        writing.put_account(record)?;
        Ok(StoreChange::Made(
            (),
            event("account.put", &record.account.id),
        ))
    });
    made.unwrap();
}

#[test]
fn what_is_written_reads_back() {
    let directory = Directory::new();
    let store = directory.store();
    let (written, secret) = (account("indexer"), key("key_1"));
    put(&store, &written);
    let made: Result<_, StoreError> = store.change(|writing| {
        writing.put_key(&secret)?;
        Ok(StoreChange::Made((), event("key.create", "key_1")))
    });
    made.unwrap();
    drop(store);

    let read = directory.store().read(|reading| {
        Ok::<_, StoreError>((
            reading.account("indexer")?,
            reading.key("key_1")?,
            reading.key_of(&hash("key_1"))?,
            reading.key("key_2")?,
        ))
    });

    let (found, by_id, by_hash, other) = read.unwrap();
    assert_eq!(found, Some(written));
    assert_eq!(by_id.as_ref(), Some(&secret));
    assert_eq!(by_hash, by_id);
    assert_eq!(other, None);
}

#[test]
fn a_change_that_fails_leaves_neither_itself_nor_an_event() {
    let directory = Directory::new();
    let store = directory.store();

    let failed: Result<(), _> = store.change(|writing| {
        writing.put_account(&account("a"))?;
        Err(StoreError::damaged("as the test wishes"))
    });

    assert!(failed.is_err());
    let left = store.read(|reading| {
        Ok::<_, StoreError>((
            reading.accounts()?,
            reading.events(&EventFilter::default(), 9)?,
        ))
    });
    assert_eq!(left.unwrap(), (vec![], vec![]));
}

#[test]
fn the_version_of_a_change_is_the_number_of_its_event() {
    let directory = Directory::new();
    let store = directory.store();
    for expected in 1..=3 {
        let made: Result<_, StoreError> = store.change(|writing| {
            Ok(StoreChange::Made(
                writing.version(),
                event("account.put", "a"),
            ))
        });
        assert_eq!(made.unwrap(), expected);
    }

    let events = store.read(|reading| reading.events(&EventFilter::default(), 9));

    let sequences: Vec<_> = events.unwrap().iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [3, 2, 1]);
}

#[test]
fn another_process_that_writes_is_noticed_and_ones_own_change_is_not_news() {
    let directory = Directory::new();
    let (service, command) = (directory.store(), directory.store());
    let before = service.others_version().unwrap();
    put(&service, &account("own"));
    assert_eq!(service.others_version().unwrap(), before);

    put(&command, &account("other"));

    assert_ne!(service.others_version().unwrap(), before);
    let read = service.read(|reading| reading.account("other"));
    assert!(read.unwrap().is_some());
}

#[test]
fn the_last_use_of_a_key_only_moves_forward_and_survives_a_change_of_the_key() {
    let directory = Directory::new();
    let store = directory.store();
    let write = |key: &StoredKey| {
        let made: Result<_, StoreError> = store.change(|writing| {
            writing.put_key(key)?;
            Ok(StoreChange::Made((), event("key.create", &key.key.id)))
        });
        made.unwrap();
    };
    write(&key("key_1"));
    let (here, of_file) = (hash("key_1"), hash("a key of the file"));
    store
        .keys_were_used([(&here, at(120)), (&of_file, at(60))])
        .unwrap();
    store
        .keys_were_used([(&here, at(60)), (&of_file, at(0))])
        .unwrap();
    write(&key("key_1"));

    let read = store.read(|reading| reading.key("key_1"));
    assert_eq!(read.unwrap().unwrap().used, Some(at(120)));
    let of_file_keys = store.read(|reading| reading.uses_of_file_keys());
    assert_eq!(of_file_keys.unwrap(), [(of_file, at(60))].into());
}

#[test]
fn an_edited_record_does_not_pass_the_check() {
    let directory = Directory::new();
    let store = directory.store();
    for _ in 0..5 {
        store.record(event("account.put", "a")).unwrap();
    }
    let verify = |store: &Store| store.read(|reading| reading.verify()).unwrap();
    assert_eq!(verify(&store), (5, Ok(())));

    let editor = Connection::open(store.path()).unwrap();
    editor
        .execute("UPDATE audit SET comment = 'x' WHERE sequence = 4", [])
        .unwrap();

    assert_eq!(verify(&store), (3, Err(ChainBreak::Changed(4))));
}

#[test]
fn a_record_without_its_oldest_events_still_passes_the_check_and_counts_on() {
    let directory = Directory::new();
    let store = directory.store();
    for seconds in [10, 20, 30, 25, 40] {
        let mut event = event("account.put", "a");
        event.at = at(seconds);
        store.record(event).unwrap();
    }

    let dropped = store.drop_old_events(at(100), Duration::from_secs(72));

    // The fourth is old enough, but stands behind one that is not.
    assert_eq!(dropped.unwrap(), 2);
    store.record(event("account.put", "a")).unwrap();
    let verified = store.read(|reading| reading.verify());
    assert_eq!(verified.unwrap(), (4, Ok(())));
    let all_dropped = store.drop_old_events(at(100_000), Duration::from_secs(1));
    assert_eq!(all_dropped.unwrap(), 4);
    store.record(event("account.put", "a")).unwrap();
    let read = store.read(|reading| reading.events(&EventFilter::default(), 9));
    assert_eq!(read.unwrap()[0].sequence, 7);
    let verified = store.read(|reading| reading.verify());
    assert_eq!(verified.unwrap(), (1, Ok(())));
}

#[test]
fn events_are_found_by_subject_and_time() {
    let directory = Directory::new();
    let store = directory.store();
    for (id, seconds) in [("a", 10), ("b", 20), ("a", 30), ("a", 40)] {
        let mut event = event("account.put", id);
        event.at = at(seconds);
        store.record(event).unwrap();
    }
    let found = |filter: EventFilter| {
        let read = store.read(|reading| reading.events(&filter, 2));
        let events = read.unwrap();
        events
            .iter()
            .map(|event| event.sequence)
            .collect::<Vec<_>>()
    };

    let of_a = EventFilter {
        subject: Some("account/a".to_owned()),
        ..EventFilter::default()
    };
    assert_eq!(found(of_a.clone()), [4, 3]);
    assert_eq!(
        found(EventFilter {
            before: Some(3),
            ..of_a
        }),
        [1]
    );
    let within = EventFilter {
        from: Some(at(20)),
        until: Some(at(30)),
        ..EventFilter::default()
    };
    assert_eq!(found(within), [2]);
}

#[test]
fn a_file_of_a_later_release_is_left_as_it_is() {
    let directory = Directory::new();
    drop(directory.store());
    let file = Connection::open(directory.0.join(FILE_NAME)).unwrap();
    file.execute("UPDATE schema_version SET version = 99", [])
        .unwrap();
    drop(file);

    let error = Store::open(&directory.0).unwrap_err();

    assert!(error.is_of_later_release());
    let said = error.to_string();
    assert!(said.contains("control.db` is of version 99"), "{said}");
}

#[test]
fn a_file_that_is_none_of_ours_and_a_directory_that_is_missing_are_named() {
    let directory = Directory::new();
    fs::write(
        directory.0.join(FILE_NAME),
        "no database, but long enough to look",
    )
    .unwrap();
    let said = Store::open(&directory.0).unwrap_err().to_string();
    assert!(said.contains("is damaged or no control store"), "{said}");

    let missing = directory.0.join("missing");
    for opened in [Store::open(&missing), Store::open_existing(&missing)] {
        let said = opened.unwrap_err().to_string();
        assert!(said.contains("is the directory there"), "{said}");
    }
}

#[test]
fn a_key_is_shown_without_its_hash() {
    let shown = format!("{:?}", key("key_1"));

    assert!(shown.contains("KeyHash(..)"), "{shown}");
}

#[cfg(unix)]
#[test]
fn only_its_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = Directory::new();
    put(&directory.store(), &account("a"));

    for file in fs::read_dir(&directory.0).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

#[cfg(unix)]
#[test]
fn only_its_owner_enters_a_directory_that_is_made() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = Directory::new();
    let made = directory.0.join("outer/data");
    Store::create(&made).unwrap();

    for made in [made.parent().unwrap(), &made] {
        let mode = fs::metadata(made).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{made:?}");
    }
}
