//! What becomes of calls when the process may open only so many files.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{BreakerState, ListBreakersRequest};
use modelway::simulator::{Settings, Simulator, WireName, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::foreign::answer::{Manner, TEXT};
use crate::support::foreign::http1::{End, Http1};
use crate::support::foreign::http2::Http2;
use crate::support::{Process, ask, details, scratch, text_of};

/// Much longer than anything here takes.
const PROMPTLY: Duration = Duration::from_secs(30);

/// The settings that every client of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A service of one runtime before the simulator.
fn config(name: &str, simulator: &Simulator) -> PathBuf {
    let text = format!(
        r#"
        [server]
        runtimes = 1
        predrain = "0s"
        drain_timeout = "1s"
        max_connections_per_ip = 4096
        [providers.openai]
        wire_format = "openai_chat"
        base_url = "{}"
        auth = "none"
        [models."openai/quick"]
        [models."openai/tokens=1+stall=1"]
        [scenarios.quick]
        targets = ["openai/quick"]
        [scenarios.held]
        targets = ["openai/tokens=1+stall=1"]
        "#,
        simulator.base_url(WireName::OpenAiChat)
    );
    scratch::file(name, text)
}

#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let config = config("files-raised.toml", &simulator);
    let process = Process::limited("ulimit -S -n 100 && ulimit -H -n 900", &config);
    process.connect().await;

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<_> = files.unwrap().split_whitespace().collect();
    assert_eq!(files[3..5], ["900", "900"]);
    process.terminate();
    let (_, log) = process.ended().await;
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains("limit on open files is too low"))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(
        told[0].contains("limit=900") && told[0].contains("needed=5192"),
        "{log}"
    );
}

#[tokio::test]
async fn idle_callers_leave_files_for_providers() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let config = config("files-idle.toml", &simulator);
    let process = Process::limited("ulimit -n 140", &config);
    let channel = process.connect().await;
    let mut idle = Vec::new();
    let mut taken = 0;
    for _ in 0..200 {
        let mut caller = TcpStream::connect(process.address).await.unwrap();
        // Where it is closed at once, this may fail.
        let _ = caller.write_all(PREFACE).await;
        let answered = timeout(PROMPTLY, caller.read_u8()).await.unwrap();
        taken += usize::from(answered.is_ok());
        idle.push(caller);
    }
    assert!((20..100).contains(&taken), "{taken}");

    let mut client = GenerationServiceClient::new(channel);
    for _ in 0..3 {
        let response = client.generate(ask("quick", "Hello")).await.unwrap();

        assert_eq!(text_of(&response.into_inner()), text(24));
    }
    drop(idle);
}

#[tokio::test]
async fn a_shortage_of_files_is_reported_as_our_own_and_no_provider_is_blamed() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let config = config("files-short.toml", &simulator);
    let process = Process::limited("ulimit -n 60", &config);
    let channel = process.connect().await;
    let client = GenerationServiceClient::new(channel.clone());
    let mut held = Vec::new();
    let mut refused = Vec::new();
    let began = Instant::now();
    for _ in 0..80 {
        let begun = client.clone().stream_generate(ask("held", "Hello")).await;
        match begun {
            Ok(answer) => {
                let mut answer = answer.into_inner();
                match answer.message().await {
                    Ok(_) => held.push(answer),
                    Err(status) => refused.push(details(&status)),
                }
            }
            Err(status) => refused.push(details(&status)),
        }
    }

    assert!(
        held.len() > 10 && refused.len() > 10,
        "{} {}",
        held.len(),
        refused.len()
    );
    for failure in &refused {
        assert_eq!(failure.reason, "OVERLOADED", "{failure:?}");
        let attempt = &failure.failure.as_ref().unwrap().attempts[0];
        let detail =
            "this service is short of files or sockets: no further connection can be opened here";
        assert_eq!(attempt.detail, detail);
    }
    let mut operations = OperationsServiceClient::new(channel);
    let listed = operations
        .list_breakers(ListBreakersRequest::default())
        .await;
    for breaker in listed.unwrap().into_inner().breakers {
        assert_eq!(breaker.state(), BreakerState::Closed, "{breaker:?}");
    }
    held.clear();
    simulator
        .wait_for(|requests| requests.iter().all(|request| request.ending.is_some()))
        .await;
    let response = client
        .clone()
        .generate(ask("quick", "Hello"))
        .await
        .unwrap();
    assert_eq!(text_of(&response.into_inner()), text(24));
    process.terminate();
    let (_, log) = process.ended().await;
    let told = log
        .lines()
        .filter(|line| line.contains("no connection to a provider"));
    // One, or one in five seconds where connections are made in between.
    let most = 1 + began.elapsed().as_secs() / 5;
    assert!((1..=most).contains(&(told.count() as u64)), "{log}");
}

/// Two runtimes before a provider whose connections are to fill the limit, and the simulator.
fn two_providers(name: &str, crowded: SocketAddr, http: &str, simulator: &Simulator) -> PathBuf {
    let text = format!(
        r#"
        [server]
        runtimes = 2
        predrain = "0s"
        drain_timeout = "1s"
        [transport]
        max_streams = 1
        [providers.crowded]
        wire_format = "openai_chat"
        base_url = "http://{crowded}/v1"
        auth = "none"
        http = "{http}"
        [models."crowded/model"]
        [providers.openai]
        wire_format = "openai_chat"
        base_url = "{}"
        auth = "none"
        [models."openai/quick"]
        [scenarios.crowded]
        targets = ["crowded/model"]
        retry = {{ ratio = 0, burst = 0 }}
        [scenarios.quick]
        targets = ["openai/quick"]
        retry = {{ ratio = 0, burst = 0 }}
        "#,
        simulator.base_url(WireName::OpenAiChat)
    );
    scratch::file(name, text)
}

/// Fills the limit with connections to one provider that no call uses any more: calls come by two
/// connections, so by both runtimes.
async fn fill(process: &Process) {
    let mut calls = JoinSet::new();
    let channels = [process.connect().await, process.connect().await];
    for number in 0..200 {
        let mut client = GenerationServiceClient::new(channels[number % 2].clone());
        calls.spawn(async move { client.generate(ask("crowded", "Hello")).await });
    }
    let told = calls.join_all().await;
    let (answered, short): (Vec<_>, Vec<_>) = told.into_iter().partition(Result::is_ok);
    for answer in &answered {
        assert_eq!(text_of(answer.as_ref().unwrap().get_ref()), TEXT);
    }
    for failure in &short {
        assert_eq!(details(failure.as_ref().unwrap_err()).reason, "OVERLOADED");
    }
    // Otherwise the limit was not reached, and nothing below is shown.
    assert!(
        answered.len() > 20 && !short.is_empty(),
        "{}",
        answered.len()
    );
}

/// The providers whose connections are to fill the limit, by the version of HTTP.
async fn crowds() -> (Http1, Http2) {
    // As long as it takes until all calls have come.
    let manner = Manner {
        first: Duration::from_secs(3),
        ..Manner::default()
    };
    let http2 = Http2::start(Some(1), None).await;
    http2.set(manner);
    (Http1::start(manner, End::Chunked, None).await, http2)
}

#[tokio::test]
async fn unused_connections_to_one_provider_leave_files_for_calls_to_another() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let (http1, http2) = crowds().await;
    for (address, http) in [(http1.address, "1.1"), (http2.address, "2")] {
        let name = format!("files-crowded-{http}.toml");
        let config = two_providers(&name, address, http, &simulator);
        let process = Process::limited("ulimit -n 128", &config);
        let channels = [process.connect().await, process.connect().await];
        fill(&process).await;

        let mut calls = JoinSet::new();
        for number in 0..40 {
            let mut client = GenerationServiceClient::new(channels[number % 2].clone());
            calls.spawn(async move { client.generate(ask("quick", "Hello")).await });
        }

        for told in calls.join_all().await {
            let answer = told.unwrap_or_else(|status| panic!("{:?}", details(&status)));
            assert_eq!(text_of(answer.get_ref()), text(24), "HTTP/{http}");
        }
    }
}

#[tokio::test]
async fn unused_connections_to_a_provider_leave_files_for_callers() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let (http1, http2) = crowds().await;
    for (address, http) in [(http1.address, "1.1"), (http2.address, "2")] {
        let name = format!("files-callers-{http}.toml");
        let config = two_providers(&name, address, http, &simulator);
        let process = Process::limited("ulimit -n 128", &config);
        fill(&process).await;

        let mut callers = Vec::new();
        for _ in 0..10 {
            let connected = timeout(PROMPTLY, process.connect()).await;
            let mut client = GenerationServiceClient::new(connected.unwrap());
            let answered = client.generate(ask("quick", "Hello"));
            let answer = timeout(PROMPTLY, answered).await.unwrap();
            assert_eq!(text_of(answer.unwrap().get_ref()), text(24), "HTTP/{http}");
            callers.push(client);
        }
    }
}
