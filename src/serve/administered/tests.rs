//! When is the store written to, on a clock that the test moves?

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use http::{HeaderMap, HeaderValue, header};
use tokio::time::sleep;

use crate::identity::key::KeyHash;
use crate::identity::record::{AccountKind, AccountRecord, KeyRecord};
use crate::identity::resolve::Shown;
use crate::identity::settings::Settings;
use crate::identity::specimens;
use crate::store::StoreChange;

use super::*;

const KEYS: usize = 3;

/// The secret of the key of this number.
fn secret(number: usize) -> String {
    format!("mwd_{number:049}")
}

/// A store in a directory of its own, beside keys that stand in the configuration file.
struct Place {
    path: PathBuf,
    administration: Administration,
}

impl Place {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("modelway-uses-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let keys = (0..KEYS).map(|number| KeyRecord {
            hash: KeyHash::of(secret(number).as_bytes()).unwrap(),
            ..specimens::key(&format!("key-{number}"), "a")
        });
        let account = AccountRecord {
            id: "a".to_owned(),
            kind: AccountKind::Caller,
            parent: None,
            display_name: String::new(),
            scopes: None,
            labels: Default::default(),
            label_rules: None,
            time_zone: None,
            bindings: Vec::new(),
            closed: None,
            kept_in: "the file".to_owned(),
        };
        let settings = Settings {
            accounts: vec![account],
            keys: keys.collect(),
            ..Settings::default()
        };
        let store = Store::create(&path).unwrap();
        let identities = Arc::new(Identities::new(settings).unwrap());
        let administration = Administration::new(store, identities, "modelway.toml").unwrap();
        Self {
            path,
            administration,
        }
    }

    /// A call with each key, at this time.
    fn use_all(&self, at: SystemTime) {
        for number in 0..KEYS {
            let shown = format!("Bearer {}", secret(number));
            let mut headers = HeaderMap::new();
            headers.insert(
                header::AUTHORIZATION,
                HeaderValue::from_str(&shown).unwrap(),
            );
            let shown = Shown {
                headers: &headers,
                certificate: None,
                token: None,
            };
            self.administration.identities().resolve(shown, at).unwrap();
        }
    }

    /// The store as another process has it.
    fn other(&self) -> Store {
        Store::open_existing(&self.path).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// The last uses that are written down, in seconds since 1970.
fn written(store: &Store) -> Vec<u64> {
    let uses = store.read(|reading| reading.uses_of_file_keys()).unwrap();
    let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    uses.into_values().map(since).collect()
}

/// A number that changes with each transaction of another process.
fn transactions(store: &Store) -> i64 {
    store.others_version().unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn the_last_uses_are_written_every_minute_in_one_transaction_and_at_the_end() {
    let place = Place::new("minute");
    let observer = place.other();
    let (stop, stopped) = oneshot::channel();
    let script = async {
        place.use_all(at(6_000_059));
        sleep(Duration::from_secs(59)).await;
        assert_eq!(written(&observer), [0_u64; 0]);

        let before = transactions(&observer);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(written(&observer), [6_000_000; KEYS]);
        assert_eq!(transactions(&observer), before + 1, "one batch");

        // Whoever is used again in the same minute is not written again.
        place.use_all(at(6_000_030));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(transactions(&observer), before + 1);

        place.use_all(at(6_000_120));
        sleep(Duration::from_secs(10)).await;
        assert_eq!(written(&observer), [6_000_000; KEYS]);
        drop(stop);
    };
    tokio::join!(follow(&place.administration, stopped), script);

    assert_eq!(written(&observer), [6_000_120; KEYS], "at the end");
}

#[test]
fn what_cannot_be_written_while_another_process_writes_is_written_the_next_time() {
    let place = Place::new("busy");
    let other = place.other();
    place.use_all(at(6_000_000));

    let held: Result<_, StoreError> = other.change(|_| {
        let result = tasks(&place.administration, Due::Minute, at(6_000_001));
        Ok(StoreChange::Unneeded(result))
    });
    let error = held.unwrap().unwrap_err();
    assert!(matches!(error, Unfollowed::Store(error) if error.is_passing()));
    assert_eq!(written(&other), [0_u64; 0]);

    tasks(&place.administration, Due::Minute, at(6_000_061)).unwrap();
    assert_eq!(written(&other), [6_000_000; KEYS]);
}
