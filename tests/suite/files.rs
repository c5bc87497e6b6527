//! What becomes of calls when the process may open only so many files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use modelway::grpc::v1::generation_service_client::GenerationServiceClient;
use modelway::grpc::v1::operations_service_client::OperationsServiceClient;
use modelway::grpc::v1::{BreakerState, ListBreakersRequest};
use modelway::simulator::{Settings, Simulator, WireName, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Process, ask, details, text_of};

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
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
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
        .filter(|line| line.contains("too few files"))
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
        let answered = timeout(Duration::from_secs(5), caller.read_u8())
            .await
            .unwrap();
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
async fn a_shortage_of_files_is_told_as_our_own_and_held_against_nobody() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let config = config("files-short.toml", &simulator);
    let process = Process::limited("ulimit -n 60", &config);
    let channel = process.connect().await;
    let client = GenerationServiceClient::new(channel.clone());
    let mut held = Vec::new();
    let mut refused = Vec::new();
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
    assert_eq!(told.count(), 1, "{log}");
}
