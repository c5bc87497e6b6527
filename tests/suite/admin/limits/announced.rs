//! Is each threshold announced once, by the service and over real HTTP, however often the receiver fails and the process
//! is killed?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use modelway::grpc::v1::GenerateRequest;
use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::simulator::{Behaviour, Settings, Simulator, WireName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::support::{Process, ask, scratch, until};

/// Counters, each in one window.
const COUNTERS: usize = 100;

/// A webhook that answers the first requests of each notice with a failure. How often each notice came, by its id.
struct Webhook {
    url: String,
    arrived: Arc<Mutex<BTreeMap<String, usize>>>,
    _serving: JoinSet<()>,
}

impl Webhook {
    async fn failing(times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let arrived = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let seen = Arc::clone(&arrived);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&seen);
                connections.spawn(async move {
                    let Some(body) = body(&mut stream).await else {
                        return;
                    };
                    let notice: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    let id = notice["id"].as_str().unwrap().to_owned();
                    let tries = {
                        let mut seen = seen.lock().unwrap();
                        let tries = seen.entry(id).or_default();
                        *tries += 1;
                        *tries
                    };
                    let status = if tries > times { 200 } else { 503 };
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            url,
            arrived,
            _serving: serving,
        }
    }

    fn arrived(&self) -> BTreeMap<String, usize> {
        self.arrived.lock().unwrap().clone()
    }

    /// Waits until this holds of what has arrived.
    async fn until(&self, holds: impl Fn(&BTreeMap<String, usize>) -> bool) {
        let what = "the notices that were awaited have arrived";
        until(what, async || holds(&self.arrived())).await;
    }
}

/// The body of a request.
async fn body(stream: &mut tokio::net::TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))?;
            let length: usize = length.parse().ok()?;
            if bytes.len() >= end + 4 + length {
                return Some(bytes[end + 4..].to_vec());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A service whose limit has a counter for each value of a label, of two calls a day.
fn config(folder: &Path, simulator: &Simulator, webhook: &Webhook) -> PathBuf {
    let url = simulator.base_url(WireName::OpenAiChat);
    let file = folder.join("modelway.toml");
    let text = format!(
        "[server]
        predrain = '0s'
        drain_timeout = '2s'
        [auth]
        anonymous = 'me'
        [[accounts]]
        id = 'me'
        kind = 'caller'
        label_rules = [{{ key = 'run' }}]
        [providers.p]
        wire_format = 'openai_chat'
        base_url = '{url}'
        auth = 'none'
        [models.'p/one']
        [scenarios.one]
        targets = ['p/one']
        [[limits]]
        id = 'run-day'
        per = ['label:run']
        requests = 2
        window = 'year'
        thresholds = [50, 100]
        [notify]
        webhook = '{}'
        secret = 'env:MODELWAY_WEBHOOK_SECRET'
        [ledger]
        path = {:?}
        ",
        webhook.url,
        folder.join("data").display().to_string()
    );
    fs::write(&file, text).unwrap();
    file
}

fn serve(file: &Path) -> Process {
    Process::serve(Some(file), &[("MODELWAY_WEBHOOK_SECRET", "secret")])
}

fn request(run: usize) -> GenerateRequest {
    let mut request = ask("one", "Hello");
    request
        .labels
        .insert("run".to_owned(), format!("run-{run}"));
    request
}

/// Calls in each run, twice, all at once.
async fn fill(channel: &Channel) {
    let mut calls = JoinSet::new();
    for run in 0..COUNTERS {
        for _ in 0..2 {
            let mut client = GenerationServiceClient::new(channel.clone());
            calls.spawn(async move { client.generate(request(run)).await.map(drop) });
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap();
    }
}

/// Row 19 of the invariants for one process: each threshold once, also when the receiver fails twice for each.
#[tokio::test]
async fn two_hundred_thresholds_are_two_hundred_notices_at_a_receiver_that_fails_twice() {
    let webhook = Webhook::failing(2).await;
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let folder = scratch::folder("two-hundred");
    let process = serve(&config(&folder, &simulator, &webhook));

    fill(&process.connect().await).await;
    webhook
        .until(|arrived| arrived.len() == 2 * COUNTERS && arrived.values().all(|tries| *tries == 3))
        .await;
    process.terminate();
    let (_, log) = process.ended().await;

    let lines = log.matches("threshold of a limit reached").count();
    let tries: usize = webhook.arrived().values().sum();
    println!(
        "notices by id: {}; tries: {tries}; log lines: {lines}",
        webhook.arrived().len()
    );
    assert_eq!((webhook.arrived().len(), tries, lines), (200, 600, 200));
}

/// A process is killed as soon as some notices have been delivered; the next one delivers the others, and none anew.
#[tokio::test]
async fn what_was_announced_is_not_announced_again_after_kill_9_and_what_was_not_sent_is_sent() {
    let webhook = Webhook::failing(0).await;
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let folder = scratch::folder("killed");
    let file = config(&folder, &simulator, &webhook);
    let mut log = String::new();
    let process = serve(&file);
    fill(&process.connect().await).await;
    webhook.until(|arrived| arrived.len() >= COUNTERS / 2).await;
    // Dropping it is SIGKILL.
    log += &killed(process).await;
    let before = webhook.arrived();

    let process = serve(&file);
    webhook.until(|arrived| arrived.len() == 2 * COUNTERS).await;
    log += &killed(process).await;
    let all = webhook.arrived();

    // A third finds nothing to tell, and still refuses what is used up.
    let process = serve(&file);
    let mut client = GenerationServiceClient::new(process.connect().await);
    let refused = client.generate(request(0)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    // Nothing shows that no notice follows, so there is a second for one.
    tokio::time::sleep(Duration::from_secs(1)).await;
    log += &killed(process).await;

    let twice: BTreeSet<_> = all.iter().filter(|(_, tries)| **tries > 1).collect();
    let lines = announced(&log);
    let distinct: BTreeSet<_> = lines.iter().collect();
    println!(
        "delivered before kill -9: {}, after: {}, delivered twice with one id: {}, told twice: {}",
        before.len(),
        all.len(),
        twice.len(),
        lines.len() - distinct.len()
    );
    // What the receiver had accepted when a process died may come once more, with its id.
    assert!(webhook.arrived().keys().eq(all.keys()), "no other notice");
    assert_eq!(all.len(), 2 * COUNTERS);
    assert_eq!(lines.len(), distinct.len(), "no threshold is told twice");
}

#[tokio::test]
async fn a_threshold_that_is_reached_by_what_a_killed_process_left_open_has_a_line() {
    let webhook = Webhook::failing(0).await;
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    simulator.set("one", "first=1000s".parse::<Behaviour>().unwrap());
    let folder = scratch::folder("left-open");
    let file = config(&folder, &simulator, &webhook);
    let watched = "[[limits]]\nid = 'tokens'\ntokens = 10\nwindow = 'year'\nenforcement = 'watch'\nthresholds = [100]\n";
    fs::write(&file, fs::read_to_string(&file).unwrap() + watched).unwrap();
    let process = serve(&file);
    let mut client = GenerationServiceClient::new(process.connect().await);
    let killing = async {
        simulator.wait_for(|log| log.len() == 1).await;
        killed(process).await
    };
    let (answer, _) = tokio::join!(client.generate(request(0)), killing);
    answer.unwrap_err();

    let process = serve(&file);
    webhook.until(|arrived| !arrived.is_empty()).await;
    let log = killed(process).await;

    let mut lines = log
        .lines()
        .filter(|line| line.contains("threshold of a limit reached"));
    assert!(lines.any(|line| line.contains(" limit=tokens ")), "{log}");
}

async fn killed(process: Process) -> String {
    let pid = process.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-KILL", &pid])
        .status()
        .unwrap();
    assert!(sent.success());
    process.ended().await.1
}

/// The ids of the notices that were logged.
fn announced(log: &str) -> Vec<String> {
    log.lines()
        .filter(|line| line.contains("threshold of a limit reached"))
        .map(|line| {
            let (_, id) = line.split_once("notice").unwrap();
            id.chars()
                .filter(char::is_ascii_hexdigit)
                .take(32)
                .collect()
        })
        .collect()
}
