//! Is it told when a key was last used, of the store as of the file, at once and after a restart?

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use modelway::grpc::v1::{Key, ListKeysRequest};
use modelway::identity::key::{KeyKind, NewKey};
use modelway::simulator::{Settings, Simulator};
use ring::rand::SystemRandom;
use secrecy::ExposeSecret as _;

use crate::support::{Gateway, ONE_MODEL, program, scratch};

use super::call;
use super::support::{Administered, keys, secret_of};

/// A file with a caller, its key and a control store beside it.
struct File {
    path: PathBuf,
    data: PathBuf,
    /// The secret of the key in the file.
    filed: String,
    ops: String,
}

impl File {
    fn new() -> Self {
        let folder = scratch::folder("last-use");
        let data = folder.join("data");
        let made = NewKey::make(KeyKind::Data, &SystemRandom::new()).unwrap();
        let digits = made.hash.as_bytes().iter();
        let sha256: String = digits.map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "[server]\npredrain = '0s'\n[ledger]\npath = {:?}\n[providers.openai]\nsimulated = true\n\
             wire_format = 'openai_chat'\n{ONE_MODEL}\n[[accounts]]\nid = 'caller'\nkind = 'caller'\n\
             [[keys]]\nid = 'filed'\naccount = 'caller'\nsha256 = '{sha256}'\n",
            data.display().to_string()
        );
        let path = folder.join("modelway.toml");
        fs::write(&path, text).unwrap();
        let ops = [
            "create",
            "--caller",
            "ops",
            "--admin",
            "ADMIN_ACCOUNTS",
            "--admin",
            "ADMIN_READ",
        ];
        Self {
            ops: secret_of(&keys(&data, &ops)),
            path,
            data,
            filed: made.secret.expose_secret().to_owned(),
        }
    }

    async fn serve(&self) -> Administered {
        let simulator = Simulator::start(Settings::default()).await.unwrap();
        Administered {
            gateway: Gateway::following(simulator, &self.path).await,
            data: self.data.clone(),
            ops: self.ops.clone(),
        }
    }
}

/// The keys that the service lists.
async fn listed(administered: &Administered) -> Vec<Key> {
    let mut admin = administered.client().await;
    let listed = admin.list_keys(ListKeysRequest::default()).await;
    listed.unwrap().into_inner().keys
}

/// When the key of this id was last used, in seconds since 1970.
fn used(keys: &[Key], id: &str) -> Option<i64> {
    let key = keys.iter().find(|key| key.id == id).unwrap();
    key.last_used_time.map(|at| at.seconds)
}

/// The line of a key in what `modelway keys list` prints of the store itself.
fn line_of(file: &Path, id: &str) -> String {
    let mut command = program();
    command.args(["keys", "list", "--config"]).arg(file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .find(|line| line.starts_with(id))
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn the_last_use_of_a_key_is_told_to_the_minute_at_once_and_after_a_restart() {
    let file = File::new();
    let mut administered = file.serve().await;
    let mut admin = administered.client().await;
    let (stored, secret) = administered.key(&mut admin, "caller").await;
    let before = listed(&administered).await;
    assert_eq!(
        (used(&before, "filed"), used(&before, &stored)),
        (None, None)
    );

    call(&administered, &file.filed).await.unwrap();
    call(&administered, &secret).await.unwrap();

    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let seen = listed(&administered).await;
    let minutes = ["filed", &*stored].map(|id| used(&seen, id).unwrap());
    for minute in minutes {
        let ago = i64::try_from(now).unwrap() - minute;
        assert!(
            minute % 60 == 0 && (0..120).contains(&ago),
            "{minute}: {ago} s ago"
        );
    }

    administered.gateway.stop();
    administered.gateway.stopped().await;
    for (id, minute) in ["filed", &*stored].into_iter().zip(minutes) {
        let at = jiff::Timestamp::from_second(minute).unwrap();
        let shown = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let line = line_of(&file.path, id);
        assert!(line.contains(&shown), "{shown}: {line}");
    }
    let administered = file.serve().await;
    let again = listed(&administered).await;
    assert_eq!(
        ["filed", &*stored].map(|id| used(&again, id).unwrap()),
        minutes
    );
    println!("keys whose last use is known after a restart: 2 of 2, of the file and of the store");
}
