//! Is a key in a file that has changed used without a restart, and does the old one stay where there is none?

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelway::grpc::v1::ListBreakersRequest;
use modelway::simulator::{Behaviour, Settings, Simulator, WireName};
use tokio::time::{Instant, timeout};

use crate::support::foreign::answer::events;
use crate::support::foreign::host::Host;
use crate::support::{Gateway, METHODS, ask, lines, scratch, subscribe, until};

/// Much longer than it takes until a file is looked at.
const PROMPTLY: Duration = Duration::from_secs(20);

/// A service with a provider whose key and another secret are in a file.
async fn start(key: &Path) -> Gateway {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let url = simulator.base_url(WireName::OpenAiChat);
    let key = key.display();
    let config = format!(
        r#"
        [credential_lock]
        base = "1h"
        max = "1h"
        [providers.p]
        wire_format = "openai_chat"
        base_url = "{url}"
        api_key = "file:{key}"
        headers = {{ x-project = "file:{key}" }}
        [models."p/model"]
        [scenarios.s]
        targets = ["p/model"]
        "#
    );
    Gateway::before(simulator, &config).await
}

/// The key that the next call is made with.
async fn key_in_use(gateway: &Gateway) -> String {
    gateway.generate(ask("s", "Hello")).await.unwrap();
    let received = gateway.simulator.requests().pop().unwrap();
    let bearer = received.header("authorization").unwrap();
    let key = bearer.strip_prefix("Bearer ").unwrap();
    assert!(!key.is_empty());
    key.to_owned()
}

/// Waits until calls are made with this key.
async fn until_in_use(gateway: &Gateway, key: &str) {
    let used = async { while key_in_use(gateway).await != key {} };
    timeout(PROMPTLY, used)
        .await
        .unwrap_or_else(|_| panic!("`{key}` is not used"));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        subscribe(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits until a line has all of these in it.
    async fn until(&self, parts: &[&str]) {
        let has_it = || {
            let is_it = |line: &str| parts.iter().all(|part| line.contains(part));
            self.text().lines().any(is_it)
        };
        until(&format!("a line with {parts:?}"), async || has_it()).await;
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_key_is_read_again_however_its_file_is_replaced() {
    let folder = scratch::folder("replaced");
    let key = folder.join("key");
    fs::write(&key, "in-place-1\n").unwrap();
    let gateway = start(&key).await;
    until_in_use(&gateway, "in-place-1").await;

    fs::write(&key, "in-place-2\n").unwrap();
    until_in_use(&gateway, "in-place-2").await;

    fs::write(folder.join("beside"), "renamed-3").unwrap();
    fs::rename(folder.join("beside"), &key).unwrap();
    until_in_use(&gateway, "renamed-3").await;

    fs::remove_file(&key).unwrap();
    fs::write(&key, "created-4").unwrap();
    until_in_use(&gateway, "created-4").await;

    // Each place where the file is named is given the new key by itself.
    let followed = async {
        loop {
            key_in_use(&gateway).await;
            let request = gateway.simulator.requests().pop().unwrap();
            if request.header("x-project") == Some("created-4") {
                return;
            }
        }
    };
    timeout(PROMPTLY, followed).await.expect("the other secret");
}

#[tokio::test]
async fn a_key_is_read_again_when_kubernetes_swaps_the_folder_behind_it() {
    let folder = scratch::folder("mounted");
    let generation = |name: &str, key: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("key"), key).unwrap();
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    generation("..first", "mounted-1");
    symlink("..data/key", folder.join("key")).unwrap();
    let gateway = start(&folder.join("key")).await;
    until_in_use(&gateway, "mounted-1").await;

    for (name, key) in [("..second", "mounted-2"), ("..third", "mounted-3")] {
        generation(name, key);
        until_in_use(&gateway, key).await;
    }
}

#[tokio::test]
async fn a_provider_that_takes_only_the_new_key_is_asked_with_it_in_time_and_without_a_restart() {
    const CHECK_EVERY: Duration = Duration::from_secs(4);
    let key = scratch::folder("rotated").join("key");
    fs::write(&key, "old-key").unwrap();
    let valid = Arc::new(Mutex::new("Bearer old-key"));
    let taken = Arc::clone(&valid);
    let host =
        Host::start(
            move |head, _| match head.headers["authorization"] == *taken.lock().unwrap() {
                true => (200, "text/event-stream", events()),
                false => (401, "application/json", "{}".to_owned()),
            },
        )
        .await;
    let provider = host.provider("p", &format!("api_key = 'file:{}'", key.display()));
    let config = format!(
        "{provider}[models.'p/m']\n[scenarios.s]\ntargets = ['p/m']\n[reload]\ncheck_every = '{CHECK_EVERY:?}'\n"
    );
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let gateway = Gateway::before(simulator, &config).await;
    for method in METHODS {
        gateway.call(method, ask("s", "Hello")).await.unwrap();
    }

    *valid.lock().unwrap() = "Bearer new-key";
    gateway.generate(ask("s", "Hello")).await.unwrap_err();
    let rotated = Instant::now();
    fs::write(&key, "new-key").unwrap();
    let answered = async { while gateway.generate(ask("s", "Hello")).await.is_err() {} };
    timeout(PROMPTLY, answered).await.expect("an answer");

    let took = rotated.elapsed();
    assert!(took <= 2 * CHECK_EVERY, "{took:?}");
    for method in METHODS {
        gateway.call(method, ask("s", "Hello")).await.unwrap();
    }
}

#[tokio::test]
async fn another_key_ends_the_lock_of_the_one_that_was_refused() {
    let key = scratch::folder("locked").join("key");
    fs::write(&key, "revoked").unwrap();
    let gateway = start(&key).await;
    let refused: Behaviour = "status=401".parse().unwrap();
    gateway.simulator.set("model", refused);
    gateway.generate(ask("s", "Hello")).await.unwrap_err();
    gateway.simulator.set("model", Behaviour::default());
    let failure = gateway.generate(ask("s", "Hello")).await.unwrap_err();
    assert!(failure.message().contains("closed off"), "{failure}");

    fs::write(&key, "valid").unwrap();

    let answered = async {
        loop {
            if let Ok(response) = gateway.generate(ask("s", "Hello")).await {
                return response;
            }
        }
    };
    let response = timeout(PROMPTLY, answered).await.expect("an answer");
    assert_eq!(
        lines(&response.attempts),
        ["1 PRIMARY p/model SUCCEEDED"],
        "no probe: nothing is known of it"
    );
    assert_eq!(key_in_use(&gateway).await, "valid");
    let listed = gateway.operations();
    let request = ListBreakersRequest::default();
    let listed = { listed }.list_breakers(request).await.unwrap();
    assert_eq!(listed.into_inner().breakers[0].credential_lock, None);
}

#[tokio::test]
async fn a_file_without_a_key_leaves_the_key_in_use_and_is_told_once() {
    let log = Log::default();
    let _subscriber = log.listen();
    let key = scratch::folder("without").join("key");
    fs::write(&key, "s3cret-first").unwrap();
    let gateway = start(&key).await;

    fs::write(&key, "\n").unwrap();
    log.until(&["WARN", "it is empty"]).await;
    fs::remove_file(&key).unwrap();
    log.until(&["WARN", "cannot be read: there is no such file"])
        .await;
    fs::create_dir(&key).unwrap();
    log.until(&["WARN", "it is not a file"]).await;
    fs::remove_dir(&key).unwrap();
    fs::write(&key, "s3cret two\nlines").unwrap();
    log.until(&["WARN", "no header can carry"]).await;
    assert_eq!(key_in_use(&gateway).await, "s3cret-first");
    fs::write(&key, "s3cret-second").unwrap();
    until_in_use(&gateway, "s3cret-second").await;
    log.until(&["INFO", "the file of the key can be read again"])
        .await;
    fs::write(&key, "").unwrap();
    log.until(&["another key is in its file"]).await;

    let text = log.text();
    let told = text.matches("the key in use stays").count();
    // The key and the other secret are in the same file.
    assert!(told <= 2 * 5, "{told}: {text}");
    assert!(!text.contains("s3cret"), "{text}");
}
